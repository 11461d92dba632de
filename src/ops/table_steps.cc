// SPDX-License-Identifier: Apache-2.0
#include "ops/table_steps.h"

#include <fmt/core.h>

#include <algorithm>
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

// Behind those that are there.
Status ReadKeys(const Batch& batch, int column, std::vector<Key>* keys) {
  keys->reserve(keys->size() + batch.row_count());
  for (int64_t row = 0; row < batch.row_count(); ++row) {
    int64_t key;
    if (!native::Read(batch.At(row, column), &key)) {
      return Status::Invalid(fmt::format("a key must be an integer, got {}, row {}",
                                         batch.At(row, column).ToDebugString(), batch.RowToDebugString(row)));
    }
    keys->push_back(static_cast<Key>(key));
  }
  return Status::Ok();
}

// Column by column into rows back to back, behind what is there.
template <class V>
Status FillValues(const Batch& batch, uint32_t width, std::vector<std::byte>* out) {
  const size_t before = out->size();
  out->resize(before + batch.row_count() * width * sizeof(V));
  for (int64_t row = 0; row < batch.row_count(); ++row) {
    for (uint32_t c = 0; c < width; ++c) {
      V value;
      if (!native::Read(batch.At(row, static_cast<int>(c) + 1), &value)) {
        return Status::Invalid(fmt::format("the table's values are {}, got {}, row {}", ValueTypeName(ValueTypeOf<V>()),
                                           batch.At(row, static_cast<int>(c) + 1).ToDebugString(),
                                           batch.RowToDebugString(row)));
      }
      std::memcpy(out->data() + before + (row * width + c) * sizeof(V), &value, sizeof(V));
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
  std::vector<Key> keys;
  RETURN_IF_ERROR(ReadKeys(batch, key_column_, &keys));
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
  RETURN_IF_ERROR(ReadKeys(batch, 0, &keys_));
  switch (spec.value_type) {
    case ValueType::kF32: RETURN_IF_ERROR(FillValues<float>(batch, width, &values_)); break;
    case ValueType::kF64: RETURN_IF_ERROR(FillValues<double>(batch, width, &values_)); break;
    case ValueType::kI32: RETURN_IF_ERROR(FillValues<int32_t>(batch, width, &values_)); break;
    case ValueType::kI64: RETURN_IF_ERROR(FillValues<int64_t>(batch, width, &values_)); break;
  }
  if (again_) return PushGathered(RowsPerPush(spec));
  const Status status = table_->Push(keys_, values_).Wait();
  keys_.clear();
  values_.clear();
  return status;
}

size_t PushToOperator::RowsPerPush(const TableSpec& spec) {
  constexpr size_t kPushBytes = 1 << 20;
  return std::clamp<size_t>(kPushBytes / (sizeof(Key) + RowBytes(spec)), 1, kRowsPerBatch);
}

Status PushToOperator::PushGathered(size_t rows_min) {
  const size_t row_bytes = RowBytes(table_->spec());
  const size_t rows_max = RowsPerPush(table_->spec());
  size_t begin = 0;
  while (begin < keys_.size() && keys_.size() - begin >= rows_min) {
    const size_t rows = std::min(rows_max, keys_.size() - begin);
    if (under_way_.size() == kUnderWayMax) {
      RETURN_IF_ERROR(under_way_.front().Wait());
      under_way_.pop_front();
    }
    under_way_.push_back(table_->Push(std::span(keys_).subspan(begin, rows),
                                      std::span(values_).subspan(begin * row_bytes, rows * row_bytes)));
    begin += rows;
  }
  keys_.erase(keys_.begin(), keys_.begin() + static_cast<int64_t>(begin));
  values_.erase(values_.begin(), values_.begin() + static_cast<int64_t>(begin * row_bytes));
  return Status::Ok();
}

Status PushToOperator::DoFinish() {
  RETURN_IF_ERROR(PushGathered(1));
  for (; !under_way_.empty(); under_way_.pop_front()) RETURN_IF_ERROR(under_way_.front().Wait());
  return Status::Ok();
}

}  // namespace glim::ops
