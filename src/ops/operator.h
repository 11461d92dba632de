// SPDX-License-Identifier: Apache-2.0
//
// An Operator is one step at work in one task: batches are pushed in, it pushes batches on. The operators of a stage
// form a chain; the task pushes what it reads into the first and calls Finish from the first to the last at the end.
//
// A failure carries the name of the step where it happened, once: `Map(lua job.lua:5): job.lua:6: attempt to ...`.
//
// To write one: derive, implement DoPush (and DoFinish when rows are kept), give rows on with Emit, and ask with Fits
// before keeping any. See row_steps.h for the smallest, and exec/bindings.cc for where they are made.
//
// What does not fit is dealt out by the hash of its key into 16 parts (MakeParts), which lie on disk when memory is
// short, and another operator of the same kind does each part's work (RunNested). When that one finds no room either it
// does the same, with another hash.
//
// Thread: its task's.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/memory_budget.h"
#include "env/env.h"
#include "exchange/exchange.h"
#include "glim/batch.h"
#include "glim/status.h"
#include "glim/udf.h"

namespace glim::ops {

// Batches leave an operator with at most about so many rows.
inline constexpr int64_t kRowsPerBatch = 4096;

struct OperatorContext {
  env::Env* env;
  base::MemoryBudget* budget;
  spill::Space* space;
  // Of the budget, what the operator may hold: what it has beyond that it must spill.
  int64_t memory_share;
  TaskContext* task;
  // Set when the run is over for another reason (a failed neighbour, Ctrl-C): long waits look at it.
  const std::atomic<bool>* cancelled;
  std::string step_name;
};

// The columns below `width` that are not in `keys`, in order.
std::vector<int> OtherColumns(int width, std::span<const int> keys);

// The rows have the columns (from 0); else an error that shows the first.
Status CheckColumns(const Batch& batch, std::span<const int> columns);

class Operator : public BatchOutput {
 public:
  explicit Operator(OperatorContext context) : context_(std::move(context)) {}
  Operator(const Operator&) = delete;

  // Before the first batch; `next` outlives this.
  Status Open(BatchOutput* next) {
    next_ = next;
    return Named(DoOpen());
  }
  Status Push(Batch batch) final { return batch.row_count() == 0 ? Status::Ok() : Named(DoPush(std::move(batch))); }
  // After the last batch. Does not finish the next operator.
  Status Finish() { return Named(DoFinish()); }
  bool full() const override { return next_->full(); }

 protected:
  virtual Status DoOpen() { return Status::Ok(); }
  virtual Status DoPush(Batch batch) = 0;
  virtual Status DoFinish() { return Status::Ok(); }

  Status Emit(Batch batch) {
    Status status = next_->Push(std::move(batch));
    if (!status.ok()) downstream_failed_ = true;
    return status;
  }
  // Gives `batch` on in pieces of kRowsPerBatch.
  Status EmitInPieces(const Batch& batch);

  const OperatorContext& context() const { return context_; }
  // The step's name is added on the way up.
  base::Reservation Reserve() const { return base::Reservation(context_.budget, "the step"); }
  // Whether the operator may hold `bytes`, which are then reserved. Fails when somebody who should make room cannot.
  Result<bool> Fits(base::Reservation* memory, int64_t bytes) const;

  // Parts of parts of parts: deeper down, what is in one part has one key.
  static constexpr int kLevelMax = 6;
  static constexpr int kParts = 16;
  std::unique_ptr<exchange::Exchange> MakeParts(std::vector<int> keys, int level) const;
  // Feeds `rows` to `nested` and finishes it; its rows go where ours go.
  Status RunNested(Operator* nested, exchange::PartitionReader* rows);
  Status Feed(Operator* nested, exchange::PartitionReader* rows);

 private:
  Status Named(Status status) {
    if (status.ok() || downstream_failed_ || status.code() == Code::kCancelled) return status;
    return std::move(status).With(context_.step_name);
  }

  OperatorContext context_;
  BatchOutput* next_ = nullptr;
  bool downstream_failed_ = false;
};

}  // namespace glim::ops
