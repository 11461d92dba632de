// SPDX-License-Identifier: Apache-2.0
#include "ops/distinct.h"

#include <numeric>

#include "base/try.h"

namespace glim::ops {

DistinctOperator::DistinctOperator(OperatorContext context, std::vector<int> columns)
    : Operator(std::move(context)), columns_(std::move(columns)), memory_(Reserve()) {}

Status DistinctOperator::DoPush(Batch batch) {
  std::vector<int> columns = columns_;
  if (columns.empty()) {
    columns.resize(batch.column_count());
    std::iota(columns.begin(), columns.end(), 0);
  }
  RETURN_IF_ERROR(CheckColumns(batch, columns));
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
  RETURN_IF_ERROR(memory_.Resize(bytes));
  return new_rows_.empty() ? Status::Ok() : Emit(batch.Gather(new_rows_));
}

}  // namespace glim::ops
