// SPDX-License-Identifier: Apache-2.0
//
// Operators that look at one row at a time and keep none: Map, FlatMap, Filter, ForEach, ForEachBatch, Select, As,
// Limit, Sample, ZipWithIndex.
#pragma once

#include <memory>
#include <vector>

#include "ops/group_index.h"
#include "ops/operator.h"

namespace glim::ops {

// A user's function in any of its roles.
class FunctionOperator : public Operator {
 public:
  FunctionOperator(OperatorContext context, std::shared_ptr<const Function> function, FunctionRole role)
      : Operator(std::move(context)), function_(std::move(function)), role_(role), output_(this) {}

 protected:
  Status DoOpen() override;
  Status DoPush(Batch batch) override { return instance_->Run(batch, output_); }
  Status DoFinish() override { return instance_->Finish(output_); }

 private:
  // What the function sees as the next step.
  class Output : public BatchOutput {
   public:
    explicit Output(FunctionOperator* owner) : owner_(owner) {}
    Status Push(Batch batch) override { return owner_->Emit(std::move(batch)); }
    bool full() const override { return owner_->full(); }

   private:
    FunctionOperator* owner_;
  };

  std::shared_ptr<const Function> function_;
  FunctionRole role_;
  Output output_;
  std::unique_ptr<BatchFunction> instance_;
};

class SelectOperator : public Operator {
 public:
  SelectOperator(OperatorContext context, std::vector<int> columns)
      : Operator(std::move(context)), columns_(std::move(columns)) {}

 protected:
  Status DoPush(Batch batch) override;

 private:
  std::vector<int> columns_;
};

// Passes rows on that have as many columns as there are names for.
class AsOperator : public Operator {
 public:
  AsOperator(OperatorContext context, size_t names) : Operator(std::move(context)), names_(static_cast<int>(names)) {}

 protected:
  Status DoPush(Batch batch) override;

 private:
  const int names_;
};

// How many rows each task of a stage has let through, so that a later partition stops when the earlier ones have
// enough. A task that is tried again counts anew. Thread: any.
class LimitProgress {
 public:
  explicit LimitProgress(int tasks) : rows_(tasks) {}
  void Set(int task, int64_t rows) { rows_[task].store(rows, std::memory_order_relaxed); }
  int64_t RowsBefore(int task) const;

 private:
  std::vector<std::atomic<int64_t>> rows_;
};

// Rows offset .. offset + count of its task; full afterwards. `progress` may be null.
class LimitOperator : public Operator {
 public:
  LimitOperator(OperatorContext context, int64_t count, int64_t offset, LimitProgress* progress)
      : Operator(std::move(context)), left_(count), skip_(offset), count_(count), progress_(progress) {}
  bool full() const override;

 protected:
  Status DoPush(Batch batch) override;

 private:
  int64_t left_;
  int64_t skip_;
  int64_t taken_ = 0;
  const int64_t count_;
  LimitProgress* progress_;
};

// Each row with the same chance, by a hash of the seed and the row's place: its number in the task plus `rows_before`,
// or, when `split` is given, its number in the split that is being read.
class SampleOperator : public Operator {
 public:
  SampleOperator(OperatorContext context, double fraction, uint64_t seed, const uint64_t* split, uint64_t rows_before);

 protected:
  Status DoPush(Batch batch) override;

 private:
  const double fraction_;
  const uint64_t seed_;
  const uint64_t* const split_;
  uint64_t last_split_ = 0;
  uint64_t next_;  // Hashed: of the next row.
};

// For rows that come in any order: by a hash of the seed, the partition, the row and the number of rows equal to it
// that came before. Equal as everywhere: 4 is 4.0, and which of the two is drawn depends on the order. Rows are counted
// under 64 bits of hash: two that share them share their numbers. Keeps about 40 bytes for each that is unlike the
// others; when memory is short, new ones are dealt out to parts.
class SampleCopiesOperator : public Operator {
 public:
  SampleCopiesOperator(OperatorContext context, double fraction, uint64_t seed, uint64_t partition, int level = 0);

 protected:
  Status DoPush(Batch batch) override;
  Status DoFinish() override;

 private:
  // Numbers the rows of a batch, given their hashes, in groups_: those that rows_ has and, while there is room, new
  // ones.
  Status Number(const Batch& hashes);

  const double fraction_;
  const uint64_t seed_;
  const uint64_t partition_;
  const int level_;
  std::unique_ptr<GroupIndex> rows_;
  std::vector<uint32_t> copies_;  // Per group of rows_.
  std::vector<uint32_t> groups_;
  GroupIndex::Rows scratch_;
  base::Reservation memory_;
  // Once memory was short: rows that rows_ does not have.
  std::unique_ptr<exchange::Exchange> parts_;
  std::unique_ptr<exchange::PartitionWriter> writer_;
};

// One more column: first, first + 1, ...
class ZipWithIndexOperator : public Operator {
 public:
  ZipWithIndexOperator(OperatorContext context, int64_t first) : Operator(std::move(context)), next_(first) {}

 protected:
  Status DoPush(Batch batch) override;

 private:
  int64_t next_;
};

}  // namespace glim::ops
