// SPDX-License-Identifier: Apache-2.0
#include "glim/batch.h"

#include "base/check.h"

namespace glim {

Batch::Batch(std::vector<Column> columns, int64_t row_count) : columns_(std::move(columns)), row_count_(row_count) {
  for (const Column& column : columns_) CHECK_EQ(column.length(), row_count_);
}

Row Batch::RowAt(int64_t row) const {
  Row values;
  values.reserve(columns_.size());
  for (const Column& column : columns_) values.emplace_back(column.At(row));
  return values;
}

std::string Batch::RowToDebugString(int64_t row) const {
  constexpr size_t kColumnsShownMax = 12;
  std::string out = "(";
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (i > 0) out += ", ";
    if (i == kColumnsShownMax) {
      out += "...";
      break;
    }
    out += columns_[i].At(row).ToDebugString();
  }
  return out + ")";
}

Batch Batch::Slice(int64_t begin, int64_t length) const {
  if (begin == 0 && length == row_count_) return *this;
  std::vector<Column> columns;
  columns.reserve(columns_.size());
  for (const Column& column : columns_) columns.push_back(column.Slice(begin, length));
  return Batch(std::move(columns), length);
}

Batch Batch::Gather(std::span<const uint32_t> rows) const {
  std::vector<Column> columns;
  columns.reserve(columns_.size());
  for (const Column& column : columns_) columns.push_back(column.Gather(rows));
  return Batch(std::move(columns), static_cast<int64_t>(rows.size()));
}

Batch Batch::Select(std::span<const int> indexes) const {
  std::vector<Column> columns;
  columns.reserve(indexes.size());
  for (const int i : indexes) columns.push_back(columns_[i]);
  return Batch(std::move(columns), row_count_);
}

int64_t Batch::OwnBytes() const {
  int64_t bytes = 0;
  for (const Column& column : columns_) bytes += column.OwnBytes();
  return bytes;
}

int64_t Batch::MemoryBytes() const {
  int64_t bytes = 0;
  for (size_t i = 0; i < columns_.size(); ++i) {
    bool counted = false;
    for (size_t j = 0; j < i && !counted; ++j) counted = columns_[j].parts().blocks == columns_[i].parts().blocks;
    bytes += columns_[i].MemoryBytes(!counted);
  }
  return bytes;
}

}  // namespace glim
