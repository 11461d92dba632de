// SPDX-License-Identifier: Apache-2.0
#include "ops/join.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "base/try.h"

namespace glim::ops {

using batch::JoinKind;

namespace {
bool KeepsLeft(JoinKind kind) { return kind == JoinKind::kLeft || kind == JoinKind::kFull; }
bool KeepsRight(JoinKind kind) { return kind == JoinKind::kRight || kind == JoinKind::kFull; }
}  // namespace

JoinTable::JoinTable(JoinKind kind, std::vector<int> keys, int width, base::Reservation memory)
    : kind_(kind),
      keys_(std::move(keys)),
      width_(width),
      others_(OtherColumns(width, keys_)),
      index_(keys_.size()),
      builder_(static_cast<int>(others_.size())),
      memory_(std::move(memory)) {}

Status JoinTable::Build(const Batch& right) {
  if (right.row_count() == 0) return Status::Ok();
  RETURN_IF_ERROR(CheckColumns(right, keys_));
  if (right.column_count() != width_) {
    return Status::Invalid(fmt::format("the right side has rows of {} and of {} fields: {}", width_,
                                       right.column_count(), right.RowToDebugString(0)));
  }
  index_.Insert(right, keys_, &groups_);
  group_of_row_.insert(group_of_row_.end(), groups_.begin(), groups_.end());
  for (size_t c = 0; c < others_.size(); ++c) {
    builder_.column(static_cast<int>(c)).AppendColumn(right.column(others_[c]));
  }
  builder_.EndRows(right.row_count());
  return memory_.Resize(index_.memory_bytes() + builder_.memory_bytes() +
                        2 * static_cast<int64_t>(group_of_row_.capacity() * sizeof(uint32_t)));
}

void JoinTable::Finish() {
  if (KeepsLeft(kind_)) {
    for (size_t c = 0; c < others_.size(); ++c) builder_.column(static_cast<int>(c)).AppendNull();
    builder_.EndRow();
  }
  rows_ = builder_.Finish();
  OrderByGroup(group_of_row_, index_.group_count(), &begins_, &order_);
}

JoinOperator::JoinOperator(OperatorContext context, JoinKind kind, std::vector<int> left_keys,
                           std::shared_ptr<const JoinTable> table, int left_width)
    : Operator(std::move(context)),
      kind_(kind),
      keys_(std::move(left_keys)),
      table_(std::move(table)),
      left_width_(left_width) {
  if (KeepsRight(kind_)) matched_.resize(table_->index().group_count());
}

Status JoinOperator::DoPush(Batch left) {
  RETURN_IF_ERROR(CheckColumns(left, keys_));
  table_->index().Find(left, keys_, &scratch_, &groups_);
  if (kind_ == JoinKind::kSemi || kind_ == JoinKind::kAnti) {
    for (uint32_t row = 0; row < groups_.size(); ++row) {
      if ((groups_[row] == GroupIndex::kNone) == (kind_ == JoinKind::kAnti)) left_rows_.push_back(row);
    }
    const Batch kept = left.Gather(left_rows_);
    left_rows_.clear();
    return kept.row_count() > 0 ? Emit(kept) : Status::Ok();
  }
  std::vector<int> order = keys_;
  for (const int c : OtherColumns(left.column_count(), keys_)) order.push_back(c);
  return PushPairs(left.Select(order));
}

Status JoinOperator::PushPairs(const Batch& left) {
  const bool keep_left = KeepsLeft(kind_);
  const std::vector<uint32_t>& begins = table_->begins();
  for (uint32_t row = 0; row < groups_.size() && !full(); ++row) {
    const uint32_t group = groups_[row];
    if (group == GroupIndex::kNone) {
      if (!keep_left) continue;
      left_rows_.push_back(row);
      right_rows_.push_back(table_->nil_row());
      if (left_rows_.size() == kRowsPerBatch) RETURN_IF_ERROR(Flush(left));
      continue;
    }
    if (!matched_.empty()) matched_[group] = true;
    for (uint32_t i = begins[group]; i < begins[group + 1]; ++i) {
      left_rows_.push_back(row);
      right_rows_.push_back(table_->order()[i]);
      if (left_rows_.size() == kRowsPerBatch) RETURN_IF_ERROR(Flush(left));
    }
  }
  return left_rows_.empty() ? Status::Ok() : Flush(left);
}

Status JoinOperator::Flush(const Batch& left) {
  std::vector<Column> columns = left.Gather(left_rows_).columns();
  for (const Column& column : table_->rows().columns()) columns.push_back(column.Gather(right_rows_));
  const auto count = static_cast<int64_t>(left_rows_.size());
  left_rows_.clear();
  right_rows_.clear();
  return Emit(Batch(std::move(columns), count));
}

Status JoinOperator::DoFinish() {
  if (matched_.empty() || full()) return Status::Ok();
  // Right rows without a partner, by group, so that their keys can be gathered from the index.
  std::vector<uint32_t> groups;
  for (uint32_t group = 0; group < matched_.size(); ++group) {
    if (matched_[group]) continue;
    for (uint32_t i = table_->begins()[group]; i < table_->begins()[group + 1]; ++i) {
      groups.push_back(group);
      right_rows_.push_back(table_->order()[i]);
    }
  }
  if (groups.empty()) return Status::Ok();
  const auto count = static_cast<int64_t>(groups.size());
  std::vector<Column> columns;
  for (const Column& key : table_->index().Keys()) columns.push_back(key.Gather(groups));
  const int left_others = std::max(0, left_width_ - static_cast<int>(keys_.size()));
  for (int c = 0; c < left_others; ++c) columns.push_back(Column::Nulls(count));
  for (const Column& column : table_->rows().columns()) columns.push_back(column.Gather(right_rows_));
  right_rows_.clear();
  return EmitInPieces(Batch(std::move(columns), count));
}

CoGroupOperator::CoGroupOperator(OperatorContext context, std::vector<int> left_keys, std::vector<int> right_keys)
    : Operator(std::move(context)),
      left_keys_(std::move(left_keys)),
      right_keys_(std::move(right_keys)),
      index_(left_keys_.size()),
      memory_(Reserve()) {}

Status CoGroupOperator::Add(const Batch& batch, const std::vector<int>& keys, Side* side) {
  RETURN_IF_ERROR(CheckColumns(batch, keys));
  index_.Insert(batch, keys, &groups_);
  side->group_of_row.insert(side->group_of_row.end(), groups_.begin(), groups_.end());
  const std::vector<int> others = OtherColumns(batch.column_count(), keys);
  for (int64_t row = 0; row < batch.row_count(); ++row) {
    for (const int c : others) side->rows.elements().Append(batch.At(row, c));
    side->rows.AppendList();
  }
  return memory_.Resize(
      index_.memory_bytes() + left_.rows.memory_bytes() + right_.rows.memory_bytes() +
      2 * static_cast<int64_t>((left_.group_of_row.capacity() + right_.group_of_row.capacity()) * sizeof(uint32_t)));
}

Column CoGroupOperator::Lists(Side* side) const {
  std::vector<uint32_t> begins, order;
  OrderByGroup(side->group_of_row, index_.group_count(), &begins, &order);
  return ListsOf(side->rows.Finish().Gather(order), begins);
}

Status CoGroupOperator::DoFinish() {
  if (index_.group_count() == 0) return Status::Ok();
  std::vector<Column> columns = index_.Keys();
  columns.push_back(Lists(&left_));
  columns.push_back(Lists(&right_));
  return EmitInPieces(Batch(std::move(columns), index_.group_count()));
}

}  // namespace glim::ops
