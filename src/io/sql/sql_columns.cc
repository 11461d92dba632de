// SPDX-License-Identifier: Apache-2.0
#include "io/sql/sql_columns.h"

#include <fmt/core.h>

#include <algorithm>

#include "io/sql/sql_text.h"

namespace glim::io {
namespace {

constexpr int64_t kExactMax = int64_t{1} << 53;

ValueKinds KindOf(const Cell& cell) {
  switch (cell.type()) {
    case Type::kBool: return kBoolKind;
    case Type::kInt64: {
      const int64_t value = cell.as_int64();
      return value < -kExactMax || value > kExactMax ? kIntKind | kLargeIntKind : kIntKind;
    }
    case Type::kDouble: return kDoubleKind;
    case Type::kBytes: return kBytesKind;
    default: return 0;
  }
}

ValueKinds KindsOf(const Column& column) {
  if (column.type() == Type::kDouble) return kDoubleKind;
  if (column.type() == Type::kBytes) return kBytesKind;
  ValueKinds kinds = 0;
  for (int64_t row = 0; row < column.length(); ++row) kinds |= KindOf(column.At(row));
  return kinds;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return lower;
}

}  // namespace

Result<std::vector<ValueKinds>> KindsOf(const Batch& batch) {
  std::vector<ValueKinds> kinds;
  for (int i = 0; i < batch.column_count(); ++i) {
    const Column& column = batch.column(i);
    const bool may_have_lists = column.type() == Type::kList || column.type() == Type::kAny;
    for (int64_t row = 0; may_have_lists && row < batch.row_count(); ++row) {
      if (column.At(row).type() != Type::kList) continue;
      return Status::Invalid(
          fmt::format("column {} of row {} is a list, which a table cannot hold", i + 1, batch.RowToDebugString(row)));
    }
    kinds.push_back(KindsOf(column));
  }
  return kinds;
}

Result<SqlColumns> SqlColumns::ForNew(const std::vector<std::string>& names, const std::vector<std::string>& types,
                                      const SqlTypeNames& type_names) {
  if (names.empty()) return Status::Invalid("the rows have no names here; name them with As, or give `columns`");
  if (!types.empty() && types.size() != names.size()) {
    return Status::Invalid(fmt::format("{} types for {} columns", types.size(), names.size()));
  }
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty() || names[i].find('\0') != std::string::npos) {
      return Status::Invalid(fmt::format("column {} needs a name", i + 1));
    }
    if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i), names[i]) ==
        names.begin() + static_cast<std::ptrdiff_t>(i))
      continue;
    return Status::Invalid(fmt::format("two columns are called {}", Cell::Bytes(names[i]).ToDebugString()));
  }
  SqlColumns columns(type_names);
  for (size_t i = 0; i < names.size(); ++i) columns.Add(names[i], types.empty() ? "" : types[i]);
  return columns;
}

SqlColumns SqlColumns::ForOld(const std::vector<std::string>& names, const std::vector<std::string>& types,
                              const SqlTypeNames& type_names) {
  SqlColumns columns(type_names);
  for (size_t i = 0; i < names.size(); ++i) columns.Add(names[i], types[i]);
  return columns;
}

void SqlColumns::Add(const std::string& name, const std::string& type) {
  columns_.push_back({name, type, Lower(type).find(type_names_->binary) != std::string::npos});
}

Status SqlColumns::Check(const Batch& batch) const {
  if (batch.column_count() == static_cast<int>(count())) return Status::Ok();
  return Status::Invalid(fmt::format("row {} has {} fields, the table {} columns: {}", batch.RowToDebugString(0),
                                     batch.column_count(), count(), Names()));
}

std::vector<size_t> SqlColumns::Widen(std::span<const ValueKinds> kinds) {
  std::vector<size_t> changed;
  for (size_t i = 0; i < count(); ++i) {
    if (!columns_[i].type.empty()) continue;
    const std::string_view before = type(i);
    columns_[i].kinds |= kinds[i];
    if (type(i) != before) changed.push_back(i);
  }
  return changed;
}

std::string_view SqlColumns::type(size_t i) const {
  const Item& column = columns_[i];
  if (!column.type.empty()) return column.type;
  switch (column.kinds) {
    case 0: return type_names_->nothing;
    case kBoolKind: return type_names_->boolean;
    case kIntKind:
    case kIntKind | kLargeIntKind: return type_names_->integer;
    case kDoubleKind:
    case kDoubleKind | kIntKind: return type_names_->real;
    case kDoubleKind | kIntKind | kLargeIntKind: return type_names_->number;
    case kBytesKind: return type_names_->text;
    default: return type_names_->mixed;
  }
}

std::string SqlColumns::Definitions() const {
  std::string text;
  for (size_t i = 0; i < count(); ++i) {
    text += fmt::format("{}{} {}", i == 0 ? "" : ", ", QuoteName(columns_[i].name), type(i));
  }
  return text;
}

std::string SqlColumns::Names() const {
  std::string text;
  for (const Item& column : columns_) text += (text.empty() ? "" : ", ") + QuoteName(column.name);
  return text;
}

}  // namespace glim::io
