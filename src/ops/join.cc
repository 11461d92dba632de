// SPDX-License-Identifier: Apache-2.0
#include "ops/join.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "base/try.h"

namespace glim::ops {
JoinOperator::JoinOperator(OperatorContext context, std::vector<int> keys)
    : Operator(std::move(context)), keys_(std::move(keys)), index_(keys_), memory_(Reserve()) {}

Status JoinOperator::Build(const Batch& right) {
  if (right.row_count() == 0) return Status::Ok();
  return DoBuild(right).With(context().step_name);
}

Status JoinOperator::DoBuild(const Batch& right) {
  RETURN_IF_ERROR(CheckColumns(right, keys_));
  if (right_width_ < 0) {
    right_width_ = right.column_count();
    builder_.SetColumnCount(static_cast<int>(OtherColumns(right_width_, keys_).size()));
  }
  if (right.column_count() != right_width_) {
    return Status::Invalid(fmt::format("the right side has rows of {} and of {} fields: {}", right_width_,
                                       right.column_count(), right.RowToDebugString(0)));
  }
  index_.Insert(right, &groups_);
  group_of_row_.insert(group_of_row_.end(), groups_.begin(), groups_.end());
  const std::vector<int> others = OtherColumns(right_width_, keys_);
  for (size_t c = 0; c < others.size(); ++c) builder_.column(static_cast<int>(c)).AppendColumn(right.column(others[c]));
  builder_.EndRows(right.row_count());
  return memory_.Resize(index_.memory_bytes() + builder_.memory_bytes() +
                        2 * static_cast<int64_t>(group_of_row_.capacity() * sizeof(uint32_t)));
}

void JoinOperator::EndBuild() {
  right_ = builder_.Finish();
  begins_.assign(index_.group_count() + 1, 0);
  for (const uint32_t group : group_of_row_) ++begins_[group + 1];
  std::partial_sum(begins_.begin(), begins_.end(), begins_.begin());
  order_.resize(group_of_row_.size());
  std::vector<uint32_t> next(begins_.begin(), begins_.end() - 1);
  for (size_t row = 0; row < group_of_row_.size(); ++row)
    order_[next[group_of_row_[row]]++] = static_cast<uint32_t>(row);
}

Status JoinOperator::DoPush(Batch left) {
  RETURN_IF_ERROR(CheckColumns(left, keys_));
  if (index_.group_count() == 0) return Status::Ok();
  index_.Find(left, keys_, &groups_);
  std::vector<int> order = keys_;
  for (const int c : OtherColumns(left.column_count(), keys_)) order.push_back(c);
  const Batch selected = left.Select(order);

  std::vector<uint32_t> left_rows, right_rows;
  const auto flush = [&]() -> Status {
    std::vector<Column> columns = selected.Gather(left_rows).columns();
    for (const Column& column : right_.columns()) columns.push_back(column.Gather(right_rows));
    const auto count = static_cast<int64_t>(left_rows.size());
    left_rows.clear();
    right_rows.clear();
    return Emit(Batch(std::move(columns), count));
  };
  for (int64_t row = 0; row < left.row_count() && !full(); ++row) {
    if (groups_[row] == GroupIndex::kNone) continue;
    for (uint32_t i = begins_[groups_[row]]; i < begins_[groups_[row] + 1]; ++i) {
      left_rows.push_back(static_cast<uint32_t>(row));
      right_rows.push_back(order_[i]);
      if (left_rows.size() == kRowsPerBatch) RETURN_IF_ERROR(flush());
    }
  }
  return left_rows.empty() ? Status::Ok() : flush();
}

}  // namespace glim::ops
