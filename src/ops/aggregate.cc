// SPDX-License-Identifier: Apache-2.0
#include "ops/aggregate.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/try.h"

namespace glim::ops {
namespace {

Status WidthChanged(const Batch& batch, int before) {
  return Status::Invalid(
      fmt::format("all rows need the same number of fields; there were rows of {}, now one has {}: {}", before,
                  batch.column_count(), batch.RowToDebugString(0)));
}

}  // namespace

ReduceOperator::ReduceOperator(OperatorContext context, std::vector<int> keys, std::shared_ptr<const Function> function,
                               bool combines)
    : Operator(std::move(context)),
      keys_(std::move(keys)),
      function_(std::move(function)),
      combines_(combines),
      memory_(Reserve()) {}

Status ReduceOperator::DoOpen() { return Restart(); }

Status ReduceOperator::Restart() {
  index_ = std::make_unique<GroupIndex>(keys_.size());
  ASSIGN_OR_RETURN(reducer_, function_->InstantiateReducer(*context().task));
  memory_.Clear();
  return Status::Ok();
}

Status ReduceOperator::DoPush(Batch batch) {
  if (width_ < 0) {
    RETURN_IF_ERROR(CheckColumns(batch, keys_));
    width_ = batch.column_count();
    values_ = OtherColumns(width_, keys_);
    if (values_.empty()) {
      return Status::Invalid("there is no value to fold besides the key, row " + batch.RowToDebugString(0));
    }
  }
  if (batch.column_count() != width_) return WidthChanged(batch, width_);
  index_->Insert(batch, keys_, &groups_);
  if (Status status = reducer_->Update(batch.Select(values_), groups_, index_->group_count()); !status.ok())
    return WithKey(std::move(status), batch.Select(keys_));
  const Status reserved = memory_.Resize(index_->memory_bytes() + reducer_->memory_bytes());
  if (reserved.ok() || !combines_) return reserved;
  RETURN_IF_ERROR(GiveAway());
  return Restart();
}

Status ReduceOperator::GiveAway() {
  if (index_->group_count() == 0) return Status::Ok();
  std::vector<Column> columns = index_->Keys();
  const int64_t count = index_->group_count();
  index_.reset();
  const Result<Batch> folded = reducer_->Finish();
  if (!folded.ok()) return WithKey(folded.status(), Batch(std::move(columns), count));
  columns.insert(columns.end(), folded->columns().begin(), folded->columns().end());
  return EmitInPieces(Batch(std::move(columns), count));
}

Status ReduceOperator::WithKey(Status status, const Batch& keys) const {
  const int64_t row = reducer_->failed();
  if (keys_.empty() || row < 0 || row >= keys.row_count()) return status;
  return std::move(status).With("key " + keys.RowToDebugString(row));
}

GroupOperator::GroupOperator(OperatorContext context, std::vector<int> keys)
    : Operator(std::move(context)), keys_(std::move(keys)), index_(keys_.size()), memory_(Reserve()) {}

Status GroupOperator::DoPush(Batch batch) {
  if (width_ < 0) {
    RETURN_IF_ERROR(CheckColumns(batch, keys_));
    width_ = batch.column_count();
    values_ = OtherColumns(width_, keys_);
    rows_.SetColumnCount(static_cast<int>(values_.size()));
  }
  if (batch.column_count() != width_) return WidthChanged(batch, width_);
  index_.Insert(batch, keys_, &groups_);
  group_of_row_.insert(group_of_row_.end(), groups_.begin(), groups_.end());
  for (size_t c = 0; c < values_.size(); ++c) rows_.column(static_cast<int>(c)).AppendColumn(batch.column(values_[c]));
  rows_.EndRows(batch.row_count());
  return memory_.Resize(index_.memory_bytes() + rows_.memory_bytes() +
                        static_cast<int64_t>(group_of_row_.capacity() * sizeof(uint32_t)));
}

Status GroupOperator::DoFinish() {
  const uint32_t group_count = index_.group_count();
  if (group_count == 0) return Status::Ok();
  std::vector<uint32_t> begins, order;
  OrderByGroup(group_of_row_, group_count, &begins, &order);
  const Batch rows = rows_.Finish();
  std::vector<Column> columns = index_.Keys();
  for (const Column& values : rows.columns()) columns.push_back(ListsOf(values.Gather(order), begins));
  return EmitInPieces(Batch(std::move(columns), group_count));
}

}  // namespace glim::ops
