// SPDX-License-Identifier: Apache-2.0
#include "ops/table_steps.h"

#include <fmt/core.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/try.h"
#include "glim/native.h"

namespace glim::ops {
namespace {

Status CheckFixedWidth(const TableSpec& spec) {
  if (!spec.is_variable()) return Status::Ok();
  return Status::Invalid(
      fmt::format("table \"{}\" has rows of variable length, a step needs a fixed width", spec.name));
}

Result<std::vector<Key>> ReadKeys(const Batch& batch, int column) {
  std::vector<Key> keys(batch.row_count());
  for (int64_t row = 0; row < batch.row_count(); ++row) {
    int64_t key;
    if (!native::Read(batch.At(row, column), &key)) {
      return Status::Invalid(fmt::format("a key must be an integer, got {}, row {}",
                                         batch.At(row, column).ToDebugString(), batch.RowToDebugString(row)));
    }
    keys[row] = static_cast<Key>(key);
  }
  return keys;
}

// Column by column into rows back to back.
template <class V>
Status FillValues(const Batch& batch, uint32_t width, std::vector<std::byte>* out) {
  out->resize(batch.row_count() * width * sizeof(V));
  for (int64_t row = 0; row < batch.row_count(); ++row) {
    for (uint32_t c = 0; c < width; ++c) {
      V value;
      if (!native::Read(batch.At(row, static_cast<int>(c) + 1), &value)) {
        return Status::Invalid(fmt::format("the table's values are {}, got {}, row {}", ValueTypeName(ValueTypeOf<V>()),
                                           batch.At(row, static_cast<int>(c) + 1).ToDebugString(),
                                           batch.RowToDebugString(row)));
      }
      std::memcpy(out->data() + (row * width + c) * sizeof(V), &value, sizeof(V));
    }
  }
  return Status::Ok();
}

template <class V>
void ReadColumns(std::span<const std::byte> values, int64_t rows, uint32_t width, std::vector<Column>* columns) {
  using Stored = std::conditional_t<std::is_integral_v<V>, int64_t, double>;
  std::vector<Stored> column(rows);
  for (uint32_t c = 0; c < width; ++c) {
    for (int64_t row = 0; row < rows; ++row) {
      V value;
      std::memcpy(&value, values.data() + (row * width + c) * sizeof(V), sizeof(V));
      column[row] = static_cast<Stored>(value);
    }
    if constexpr (std::is_integral_v<V>) {
      columns->push_back(Column::FromInt64s(column));
    } else {
      columns->push_back(Column::FromDoubles(column));
    }
  }
}

uint32_t Width(const TableSpec& spec) { return static_cast<uint32_t>(RowBytes(spec) / ValueBytes(spec.value_type)); }

}  // namespace

std::vector<Column> TableColumns(const TableSpec& spec, std::span<const std::byte> values, int64_t rows) {
  std::vector<Column> columns;
  switch (spec.value_type) {
    case ValueType::kF32: ReadColumns<float>(values, rows, Width(spec), &columns); break;
    case ValueType::kF64: ReadColumns<double>(values, rows, Width(spec), &columns); break;
    case ValueType::kI32: ReadColumns<int32_t>(values, rows, Width(spec), &columns); break;
    case ValueType::kI64: ReadColumns<int64_t>(values, rows, Width(spec), &columns); break;
  }
  return columns;
}

Status LookupOperator::DoOpen() {
  RETURN_IF_ERROR(table_->status());
  return CheckFixedWidth(table_->spec());
}

Status LookupOperator::DoPush(Batch batch) {
  const int columns[] = {key_column_};
  RETURN_IF_ERROR(CheckColumns(batch, columns));
  ASSIGN_OR_RETURN(const std::vector<Key> keys, ReadKeys(batch, key_column_));
  std::vector<std::byte> values(keys.size() * RowBytes(table_->spec()));
  RETURN_IF_ERROR(table_->Pull(keys, values).Wait());
  std::vector<Column> out = batch.columns();
  for (Column& column : TableColumns(table_->spec(), values, batch.row_count())) out.push_back(std::move(column));
  return Emit(Batch(std::move(out), batch.row_count()));
}

Status PushToOperator::DoOpen() {
  RETURN_IF_ERROR(table_->status());
  return CheckFixedWidth(table_->spec());
}

Status PushToOperator::DoPush(Batch batch) {
  const TableSpec& spec = table_->spec();
  const uint32_t width = Width(spec);
  if (batch.column_count() != static_cast<int>(width) + 1) {
    return Status::Invalid(fmt::format("table \"{}\" takes a key and {} value{}, the row has {} fields: {}", spec.name,
                                       width, width == 1 ? "" : "s", batch.column_count(), batch.RowToDebugString(0)));
  }
  ASSIGN_OR_RETURN(const std::vector<Key> keys, ReadKeys(batch, 0));
  std::vector<std::byte> values;
  switch (spec.value_type) {
    case ValueType::kF32: RETURN_IF_ERROR(FillValues<float>(batch, width, &values)); break;
    case ValueType::kF64: RETURN_IF_ERROR(FillValues<double>(batch, width, &values)); break;
    case ValueType::kI32: RETURN_IF_ERROR(FillValues<int32_t>(batch, width, &values)); break;
    case ValueType::kI64: RETURN_IF_ERROR(FillValues<int64_t>(batch, width, &values)); break;
  }
  return table_->Push(keys, values).Wait();
}

}  // namespace glim::ops
