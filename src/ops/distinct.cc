// SPDX-License-Identifier: Apache-2.0
#include "ops/distinct.h"

#include <numeric>

#include "base/try.h"

namespace glim::ops {

DistinctOperator::DistinctOperator(OperatorContext context, std::vector<int> columns, int level)
    : Operator(std::move(context)), columns_(std::move(columns)), level_(level), memory_(Reserve()) {}

Status DistinctOperator::DoPush(Batch batch) {
  std::vector<int> columns = columns_;
  if (columns.empty()) {
    columns.resize(batch.column_count());
    std::iota(columns.begin(), columns.end(), 0);
  }
  RETURN_IF_ERROR(CheckColumns(batch, columns));
  if (parts_ != nullptr) {
    const Batch rows = Unseen(batch, columns);
    return rows.row_count() == 0 ? Status::Ok() : writer_->Push(rows);
  }
  const auto width = static_cast<int>(columns.size());
  GroupIndex& seen = seen_.try_emplace(width, columns.size()).first->second;
  uint32_t next = seen.group_count();
  seen.Insert(batch, columns, &groups_);
  // Groups are numbered as they come, so a row with the next number is the first of its group.
  new_rows_.clear();
  for (uint32_t row = 0; row < groups_.size(); ++row) {
    if (groups_[row] != next) continue;
    new_rows_.push_back(row);
    ++next;
  }
  int64_t bytes = 0;
  for (const auto& [_, index] : seen_) bytes += index.memory_bytes();
  ASSIGN_OR_RETURN(const bool fits, Fits(&memory_, bytes));
  if (!fits) {
    if (level_ == kLevelMax) return memory_.Resize(bytes);
    parts_ = MakeParts(columns_, level_ + 1);
    writer_ = parts_->MakeWriter(0);
    memory_.ForceResize(bytes);
  }
  return new_rows_.empty() ? Status::Ok() : Emit(batch.Gather(new_rows_));
}

Batch DistinctOperator::Unseen(const Batch& batch, std::span<const int> columns) {
  const auto seen = seen_.find(static_cast<int>(columns.size()));
  if (seen == seen_.end()) return batch;
  seen->second.Find(batch, columns, &scratch_, &groups_);
  new_rows_.clear();
  for (uint32_t row = 0; row < groups_.size(); ++row) {
    if (groups_[row] == GroupIndex::kNone) new_rows_.push_back(row);
  }
  return batch.Gather(new_rows_);
}

Status DistinctOperator::DoFinish() {
  if (parts_ == nullptr) return Status::Ok();
  RETURN_IF_ERROR(writer_->Finish());
  seen_.clear();
  memory_.Clear();
  for (int part = 0; part < kParts && !full(); ++part) {
    DistinctOperator nested(context(), columns_, level_ + 1);
    RETURN_IF_ERROR(RunNested(&nested, parts_->MakeReader(part, part + 1, true).get()));
  }
  return Status::Ok();
}

}  // namespace glim::ops
