// SPDX-License-Identifier: Apache-2.0
#include "ops/aggregate.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "base/try.h"

namespace glim::ops {
namespace {

constexpr uint32_t kGroupsPerBatch = kRowsPerBatch;

Status WidthChanged(const Batch& batch, int before) {
  return Status::Invalid(
      fmt::format("all rows need the same number of fields; there were rows of {}, now one has {}: {}", before,
                  batch.column_count(), batch.RowToDebugString(0)));
}

// 0, 1, ... count - 1.
std::vector<int> FirstColumns(size_t count) {
  std::vector<int> columns(count);
  std::iota(columns.begin(), columns.end(), 0);
  return columns;
}

}  // namespace

ReduceOperator::ReduceOperator(OperatorContext context, std::vector<int> keys, std::shared_ptr<const Function> function,
                               ReducePhase phase, int level)
    : Operator(std::move(context)),
      keys_(std::move(keys)),
      function_(std::move(function)),
      phase_(phase),
      level_(level),
      memory_(Reserve()) {}

Status ReduceOperator::DoOpen() { return Restart(); }

Status ReduceOperator::Restart() {
  combined_rows_ = 0;
  index_ = std::make_unique<GroupIndex>(keys_.size());
  auto& task = *context().task;
  ASSIGN_OR_RETURN(reducer_, phase_ == ReducePhase::kMerge ? function_->InstantiateMerger(task)
                                                           : function_->InstantiateReducer(task));
  memory_.Clear();
  return Status::Ok();
}

Status ReduceOperator::DoPush(Batch batch) {
  if (width_ < 0) {
    RETURN_IF_ERROR(CheckColumns(batch, keys_));
    width_ = batch.column_count();
    values_ = OtherColumns(width_, keys_);
    if (values_.empty() && !function_->counts_rows()) {
      return Status::Invalid("there is no value to fold besides the key, row " + batch.RowToDebugString(0));
    }
  }
  if (batch.column_count() != width_) return WidthChanged(batch, width_);
  if (passing_rows_ > 0) return PassOn(batch);
  const int64_t groups_before = index_->group_count();
  combined_rows_ += batch.row_count();
  index_->Insert(batch, keys_, &groups_);
  if (Status status = reducer_->Update(batch.Select(values_), groups_, index_->group_count()); !status.ok())
    return WithKey(std::move(status), batch.Select(keys_));
  const int64_t bytes = index_->memory_bytes() + reducer_->memory_bytes();
  ASSIGN_OR_RETURN(const bool fits, Fits(&memory_, bytes));
  const bool passes =
      phase_ == ReducePhase::kCombine && TooManyKeys(batch.row_count(), index_->group_count() - groups_before);
  if (fits && !passes) return Status::Ok();
  if (phase_ == ReducePhase::kCombine) {
    constexpr int64_t kRowsToPass = 1 << 20;
    if (passes) passing_rows_ = kRowsToPass;
    RETURN_IF_ERROR(GiveGroups(true, nullptr));
    return Restart();
  }
  // One key cannot be dealt out.
  if (index_->group_count() < 2 || level_ == kLevelMax) return memory_.Resize(bytes);
  return Spill();
}

bool ReduceOperator::TooManyKeys(int64_t rows, int64_t new_groups) const {
  constexpr int64_t kGroupsMin = 1 << 16, kRowsMin = 1 << 10, kTooMany = 1 << 20;
  const int64_t groups = index_->group_count();
  // Of keys that are all equally frequent, those that are known are met again at this rate.
  return groups >= kGroupsMin && rows >= kRowsMin && combined_rows_ < 2 * groups &&
         (rows - new_groups) * kTooMany <= groups * rows;
}

Status ReduceOperator::PassOn(const Batch& batch) {
  passing_rows_ -= batch.row_count();
  groups_.resize(static_cast<size_t>(batch.row_count()));
  std::iota(groups_.begin(), groups_.end(), 0);
  const Batch keys = batch.Select(keys_);
  Status status = reducer_->Update(batch.Select(values_), groups_, static_cast<uint32_t>(groups_.size()));
  if (!status.ok()) return WithKey(std::move(status), keys);
  const Result<Batch> states = reducer_->FinishStates();
  if (!states.ok()) return WithKey(states.status(), keys);
  std::vector<Column> columns = keys.columns();
  columns.insert(columns.end(), states->columns().begin(), states->columns().end());
  RETURN_IF_ERROR(Emit(Batch(std::move(columns), batch.row_count())));
  return Restart();
}

Status ReduceOperator::GiveGroups(bool states, exchange::PartitionWriter* parts) {
  const uint32_t count = index_->group_count();
  if (count == 0) return Status::Ok();
  index_->EndLooking();
  const Result<Batch> folded = states ? reducer_->FinishStates() : reducer_->Finish();
  if (!folded.ok()) return WithKey(folded.status(), Batch(index_->Keys(), count));
  reducer_.reset();
  // Piece by piece, since whoever gets them copies them.
  memory_.ForceResize(index_->memory_bytes() + folded->OwnBytes());
  for (uint32_t begin = 0; begin < count && (parts != nullptr || !full()); begin += kGroupsPerBatch) {
    const uint32_t some = std::min(kGroupsPerBatch, count - begin);
    std::vector<Column> columns = index_->KeysFrom(begin, some);
    for (const Column& column : folded->columns()) columns.push_back(column.Slice(begin, some));
    Batch groups(std::move(columns), some);
    RETURN_IF_ERROR(parts != nullptr ? parts->Push(std::move(groups)) : Emit(std::move(groups)));
  }
  return Status::Ok();
}

Status ReduceOperator::Spill() {
  if (parts_ == nullptr) {
    parts_ = MakeParts(FirstColumns(keys_.size()), level_ + 1);
    writer_ = parts_->MakeWriter(0);
  }
  RETURN_IF_ERROR(GiveGroups(true, writer_.get()));
  return Restart();
}

Status ReduceOperator::DoFinish() {
  if (parts_ == nullptr) {
    RETURN_IF_ERROR(GiveGroups(phase_ == ReducePhase::kCombine, nullptr));
    index_.reset();
    memory_.Clear();
    return Status::Ok();
  }
  RETURN_IF_ERROR(Spill());
  RETURN_IF_ERROR(writer_->Finish());
  index_.reset();
  reducer_.reset();
  for (int part = 0; part < kParts && !full(); ++part) {
    if (parts_->Empty(part, part + 1)) continue;
    ReduceOperator nested(context(), FirstColumns(keys_.size()), function_, ReducePhase::kMerge, level_ + 1);
    RETURN_IF_ERROR(RunNested(&nested, parts_->MakeReader(part, part + 1, true).get()));
  }
  return Status::Ok();
}

Status ReduceOperator::WithKey(Status status, const Batch& keys) const {
  const int64_t row = reducer_->failed();
  if (keys_.empty() || row < 0 || row >= keys.row_count()) return status;
  return std::move(status).With("key " + keys.RowToDebugString(row));
}

GroupOperator::GroupOperator(OperatorContext context, std::vector<int> keys, int level)
    : Operator(std::move(context)),
      keys_(std::move(keys)),
      level_(level),
      index_(std::make_unique<GroupIndex>(keys_.size())),
      memory_(Reserve()) {}

Status GroupOperator::DoPush(Batch batch) {
  if (width_ < 0) {
    RETURN_IF_ERROR(CheckColumns(batch, keys_));
    width_ = batch.column_count();
    values_ = OtherColumns(width_, keys_);
    rows_.SetColumnCount(static_cast<int>(values_.size()));
  }
  if (batch.column_count() != width_) return WidthChanged(batch, width_);
  if (parts_ != nullptr) {
    std::vector<int> order = keys_;
    order.insert(order.end(), values_.begin(), values_.end());
    return writer_->Push(batch.Select(order));
  }
  index_->Insert(batch, keys_, &groups_);
  group_of_row_.insert(group_of_row_.end(), groups_.begin(), groups_.end());
  for (size_t c = 0; c < values_.size(); ++c) rows_.column(static_cast<int>(c)).AppendColumn(batch.column(values_[c]));
  rows_.EndRows(batch.row_count());
  const int64_t bytes =
      index_->memory_bytes() + rows_.memory_bytes() + static_cast<int64_t>(group_of_row_.capacity() * sizeof(uint32_t));
  ASSIGN_OR_RETURN(const bool fits, Fits(&memory_, bytes));
  if (fits) return Status::Ok();
  // One key cannot be dealt out.
  if (index_->group_count() < 2 || level_ == kLevelMax) return memory_.Resize(bytes);
  return Spill();
}

Status GroupOperator::Spill() {
  parts_ = MakeParts(FirstColumns(keys_.size()), level_ + 1);
  writer_ = parts_->MakeWriter(0);
  const Batch rows = rows_.Finish();
  index_->EndLooking();
  for (int64_t begin = 0; begin < rows.row_count(); begin += kRowsPerBatch) {
    const int64_t count = std::min(kRowsPerBatch, rows.row_count() - begin);
    std::vector<Column> columns =
        index_->KeysOf(std::span(group_of_row_).subspan(static_cast<size_t>(begin), static_cast<size_t>(count)));
    for (const Column& column : rows.columns()) columns.push_back(column.Slice(begin, count));
    RETURN_IF_ERROR(writer_->Push(Batch(std::move(columns), count)));
  }
  index_.reset();
  group_of_row_ = {};
  memory_.Clear();
  return Status::Ok();
}

Status GroupOperator::DoFinish() {
  if (parts_ != nullptr) {
    RETURN_IF_ERROR(writer_->Finish());
    for (int part = 0; part < kParts && !full(); ++part) {
      if (parts_->Empty(part, part + 1)) continue;
      GroupOperator nested(context(), FirstColumns(keys_.size()), level_ + 1);
      RETURN_IF_ERROR(RunNested(&nested, parts_->MakeReader(part, part + 1, true).get()));
    }
    return Status::Ok();
  }
  const uint32_t group_count = index_->group_count();
  if (group_count == 0) return Status::Ok();
  index_->EndLooking();
  std::vector<uint32_t> begins, order;
  OrderByGroup(group_of_row_, group_count, &begins, &order);
  group_of_row_ = {};
  const Batch rows = rows_.Finish();
  for (uint32_t begin = 0, end = 0; begin < group_count && !full(); begin = end) {
    end = EndOfPiece(begins, begin);
    std::vector<Column> columns = index_->KeysFrom(begin, end - begin);
    for (const Column& values : rows.columns()) columns.push_back(ListsOf(values, begins, order, begin, end));
    RETURN_IF_ERROR(Emit(Batch(std::move(columns), end - begin)));
  }
  return Status::Ok();
}

}  // namespace glim::ops
