// SPDX-License-Identifier: Apache-2.0
#include "ops/row_steps.h"

#include <algorithm>

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

}  // namespace glim::ops
