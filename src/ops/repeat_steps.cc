// SPDX-License-Identifier: Apache-2.0
#include "ops/repeat_steps.h"

#include <utility>

#include "base/try.h"

namespace glim::ops {
namespace {

constexpr int64_t kBatchBytes = 1 << 20;

// What counts is that equal rows have equal sizes, however their columns are stored.
int64_t SizeOf(const Cell& cell) {
  int64_t size = 16;
  if (cell.type() == Type::kBytes) size += static_cast<int64_t>(cell.as_bytes().size());
  if (cell.type() == Type::kList) {
    for (int64_t i = 0; i < cell.list_size(); ++i) size += SizeOf(cell.list_element(i));
  }
  return size;
}

}  // namespace

Status OrderOperator::DoPush(Batch batch) {
  // Rows without columns are all alike.
  if (batch.column_count() == 0) return Emit(std::move(batch));
  auto& sort = sorts_[batch.column_count()];
  if (sort == nullptr) {
    std::vector<batch::SortKey> keys;
    for (int c = 0; c < batch.column_count(); ++c) keys.push_back({.column = c});
    sort = std::make_unique<SortOperator>(context(), std::move(keys), SortOperator::kAll);
    RETURN_IF_ERROR(sort->Open(&output_));
  }
  return sort->Push(std::move(batch));
}

Status OrderOperator::DoFinish() {
  for (const auto& [width, sort] : sorts_) RETURN_IF_ERROR(sort->Finish());
  return Status::Ok();
}

Status CutOperator::DoPush(Batch batch) {
  if (rows_ != nullptr && rows_->column_count() != batch.column_count()) RETURN_IF_ERROR(Flush());
  std::vector<uint32_t> taken;
  for (int64_t row = 0; row < batch.row_count(); ++row) {
    for (int c = 0; c < batch.column_count(); ++c) bytes_ += SizeOf(batch.At(row, c));
    taken.push_back(static_cast<uint32_t>(row));
    if (rows_ == nullptr) rows_ = std::make_unique<BatchBuilder>(batch.column_count());
    const bool full = rows_->row_count() + static_cast<int64_t>(taken.size()) >= kRowsPerBatch || bytes_ >= kBatchBytes;
    if (!full && row + 1 < batch.row_count()) continue;
    rows_->AppendRows(batch, std::exchange(taken, {}));
    if (full) RETURN_IF_ERROR(Flush());
  }
  return Status::Ok();
}

Status CutOperator::Flush() {
  bytes_ = 0;
  if (rows_ == nullptr) return Status::Ok();
  const auto rows = std::exchange(rows_, nullptr);
  return rows->row_count() == 0 ? Status::Ok() : Emit(rows->Finish());
}

}  // namespace glim::ops
