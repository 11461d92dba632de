// SPDX-License-Identifier: Apache-2.0
#include "ops/row_steps.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "base/hash.h"
#include "base/try.h"
#include "batch/row_ops.h"

namespace glim::ops {

Status FunctionOperator::DoOpen() {
  ASSIGN_OR_RETURN(instance_, function_->Instantiate(role_, *context().task));
  return Status::Ok();
}

Status SelectOperator::DoPush(Batch batch) {
  RETURN_IF_ERROR(CheckColumns(batch, columns_));
  return Emit(batch.Select(columns_));
}

Status AsOperator::DoPush(Batch batch) {
  if (batch.row_count() > 0 && batch.column_count() != names_) {
    return Status::Invalid(fmt::format("{} name{} for {} field{}, row {}", names_, names_ == 1 ? "" : "s",
                                       batch.column_count(), batch.column_count() == 1 ? "" : "s",
                                       batch.RowToDebugString(0)));
  }
  return Emit(std::move(batch));
}

int64_t LimitProgress::RowsBefore(int task) const {
  int64_t rows = 0;
  for (int i = 0; i < task; ++i) rows += rows_[i].load(std::memory_order_relaxed);
  return rows;
}

bool LimitOperator::full() const {
  if (left_ <= 0) return true;
  if (progress_ != nullptr && progress_->RowsBefore(context().task->partition()) >= count_) return true;
  return Operator::full();
}

Status LimitOperator::DoPush(Batch batch) {
  const int64_t skipped = std::min(skip_, batch.row_count());
  skip_ -= skipped;
  const int64_t taken = std::min(left_, batch.row_count() - skipped);
  if (taken <= 0) return Status::Ok();
  left_ -= taken;
  taken_ += taken;
  if (progress_ != nullptr) progress_->Set(context().task->partition(), taken_);
  return Emit(batch.Slice(skipped, taken));
}

namespace {

// 53 bits as a number from 0 to just below 1.
bool IsDrawn(uint64_t hash, double fraction) { return static_cast<double>(hash >> 11) * 0x1p-53 < fraction; }

}  // namespace

SampleOperator::SampleOperator(OperatorContext context, double fraction, uint64_t seed, const uint64_t* split,
                               uint64_t rows_before)
    : Operator(std::move(context)),
      fraction_(fraction),
      seed_(base::HashInt(seed)),
      split_(split),
      next_(base::HashCombine(seed_, 0) + rows_before) {}

Status SampleOperator::DoPush(Batch batch) {
  if (split_ != nullptr && *split_ != last_split_) {
    last_split_ = *split_;
    next_ = base::HashCombine(seed_, last_split_);
  }
  std::vector<uint32_t> drawn;
  for (uint32_t row = 0; row < batch.row_count(); ++row) {
    if (IsDrawn(base::HashInt(next_++), fraction_)) drawn.push_back(row);
  }
  return drawn.empty() ? Status::Ok() : Emit(batch.Gather(drawn));
}

SampleCopiesOperator::SampleCopiesOperator(OperatorContext context, double fraction, uint64_t seed, uint64_t partition,
                                           int level)
    : Operator(std::move(context)),
      fraction_(fraction),
      seed_(seed),
      partition_(partition),
      level_(level),
      rows_(std::make_unique<GroupIndex>(1)),
      memory_(Reserve()) {}

Status SampleCopiesOperator::Number(const Batch& hashes) {
  constexpr int kHash[] = {0};
  if (writer_ != nullptr) {
    rows_->Find(hashes, kHash, &scratch_, &groups_);
    return Status::Ok();
  }
  rows_->Insert(hashes, kHash, &groups_);
  copies_.resize(rows_->group_count());
  const int64_t bytes = rows_->memory_bytes() + static_cast<int64_t>(copies_.capacity() * sizeof(copies_[0]));
  ASSIGN_OR_RETURN(const bool fits, Fits(&memory_, bytes));
  if (fits) return Status::Ok();
  if (level_ == kLevelMax) return memory_.Resize(bytes);
  parts_ = MakeParts({}, level_ + 1);
  writer_ = parts_->MakeWriter(0);
  memory_.ForceResize(bytes);
  return Status::Ok();
}

Status SampleCopiesOperator::DoPush(Batch batch) {
  std::vector<int> columns(batch.column_count());
  std::iota(columns.begin(), columns.end(), 0);
  std::vector<uint64_t> hashes(batch.row_count());
  batch::HashRows(batch, columns, hashes);
  const std::vector<int64_t> keys(hashes.begin(), hashes.end());
  RETURN_IF_ERROR(Number(Batch({Column::FromInt64s(keys)}, batch.row_count())));
  const uint64_t seed = base::HashCombine(base::HashInt(seed_), partition_);
  std::vector<uint32_t> drawn, others;
  for (uint32_t row = 0; row < batch.row_count(); ++row) {
    if (groups_[row] == GroupIndex::kNone) {
      others.push_back(row);
      continue;
    }
    const uint64_t copy = base::HashCombine(base::HashCombine(seed, hashes[row]), copies_[groups_[row]]++);
    if (IsDrawn(base::HashInt(copy), fraction_)) drawn.push_back(row);
  }
  if (!others.empty()) RETURN_IF_ERROR(writer_->Push(batch.Gather(others)));
  return drawn.empty() ? Status::Ok() : Emit(batch.Gather(drawn));
}

Status SampleCopiesOperator::DoFinish() {
  if (writer_ == nullptr) return Status::Ok();
  RETURN_IF_ERROR(writer_->Finish());
  rows_.reset();
  copies_ = {};
  memory_.Clear();
  for (int part = 0; part < kParts && !full(); ++part) {
    SampleCopiesOperator nested(context(), fraction_, seed_, partition_, level_ + 1);
    RETURN_IF_ERROR(RunNested(&nested, parts_->MakeReader(part, part + 1, true).get()));
  }
  return Status::Ok();
}

Status ZipWithIndexOperator::DoPush(Batch batch) {
  std::vector<int64_t> numbers(batch.row_count());
  std::iota(numbers.begin(), numbers.end(), next_);
  next_ += batch.row_count();
  std::vector<Column> columns = batch.columns();
  columns.push_back(Column::FromInt64s(numbers));
  return Emit(Batch(std::move(columns), batch.row_count()));
}

}  // namespace glim::ops
