// SPDX-License-Identifier: Apache-2.0
//
// In front of a step that pushes to a table (plan/repeat.h): what makes rows that came in any order, cut into any
// batches, the same for each attempt of a task.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "glim/batch_builder.h"
#include "ops/operator.h"
#include "ops/sort.h"

namespace glim::ops {

// Sorts what the task has, by all columns from the first to the last; narrow rows first.
class OrderOperator : public Operator {
 public:
  explicit OrderOperator(OperatorContext context) : Operator(std::move(context)), output_(this) {}

 protected:
  Status DoPush(Batch batch) override;
  Status DoFinish() override;

 private:
  class Output : public BatchOutput {
   public:
    explicit Output(OrderOperator* owner) : owner_(owner) {}
    Status Push(Batch batch) override { return owner_->Emit(std::move(batch)); }
    bool full() const override { return owner_->full(); }

   private:
    OrderOperator* const owner_;
  };

  Output output_;
  std::map<int, std::unique_ptr<SortOperator>> sorts_;  // By the number of columns.
};

// Gives rows on in batches that end where the rows say: after 4096 of them or about a megabyte, or where the number of
// columns changes.
class CutOperator : public Operator {
 public:
  explicit CutOperator(OperatorContext context) : Operator(std::move(context)) {}

 protected:
  Status DoPush(Batch batch) override;
  Status DoFinish() override { return Flush(); }

 private:
  Status Flush();

  std::unique_ptr<BatchBuilder> rows_;
  int64_t bytes_ = 0;
};

}  // namespace glim::ops
