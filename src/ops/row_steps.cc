// SPDX-License-Identifier: Apache-2.0
#include "ops/row_steps.h"

#include <algorithm>
#include <numeric>

#include "base/hash.h"
#include "base/try.h"

namespace glim::ops {

Status FunctionOperator::DoOpen() {
  ASSIGN_OR_RETURN(instance_, function_->Instantiate(role_, *context().task));
  return Status::Ok();
}

Status SelectOperator::DoPush(Batch batch) {
  RETURN_IF_ERROR(CheckColumns(batch, columns_));
  return Emit(batch.Select(columns_));
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
  if (progress_ != nullptr) progress_->Add(context().task->partition(), taken);
  return Emit(batch.Slice(skipped, taken));
}

SampleOperator::SampleOperator(OperatorContext task_context, double fraction, uint64_t seed)
    : Operator(std::move(task_context)),
      fraction_(fraction),
      next_(base::HashCombine(base::HashInt(seed), static_cast<uint64_t>(context().task->partition()))) {}

Status SampleOperator::DoPush(Batch batch) {
  std::vector<uint32_t> rows;
  for (uint32_t row = 0; row < batch.row_count(); ++row) {
    // 53 bits as a number from 0 to just below 1.
    const double chance = static_cast<double>(base::HashInt(next_++) >> 11) * 0x1p-53;
    if (chance < fraction_) rows.push_back(row);
  }
  return rows.empty() ? Status::Ok() : Emit(batch.Gather(rows));
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
