// SPDX-License-Identifier: Apache-2.0
//
// Sorts what one task has (Sort, Top); the stage's exchange merges the sorted partitions. Equal rows keep their order.
//
// Rows are copied into one batch per width; an array of (8-byte prefix of the first key, row) is sorted, and whole rows
// are compared only where prefixes are equal. For most keys the first eight bytes decide, so the sort runs over 16-byte
// entries without touching the rows.
//
// Top keeps at most a few times `count` rows: when it has more, it sorts and cuts.
//
// What does not fit into memory is written as sorted runs, which are merged at the end; at most some hundred at once,
// as each takes a block of memory meanwhile. Where the exchange behind merges anyhow, the first runs are given to it as
// they are (`runs_given_max`), which spares them a way to disk and back.
#pragma once

#include <optional>
#include <vector>

#include "batch/row_ops.h"
#include "glim/batch_builder.h"
#include "ops/operator.h"
#include "spill/spill_file.h"

namespace glim::ops {

class SortOperator : public Operator {
 public:
  static constexpr int64_t kAll = INT64_MAX;
  // `count`: how many of the first rows are wanted.
  SortOperator(OperatorContext context, std::vector<batch::SortKey> keys, int64_t count, int64_t runs_given_max = 0);

 protected:
  Status DoPush(Batch batch) override;
  Status DoFinish() override;

 private:
  using Run = std::vector<spill::Block>;
  struct Entry {
    uint64_t prefix;
    uint32_t chunk;
    uint32_t row;
  };
  // Rows of one width.
  struct Chunk {
    BatchBuilder builder;
    Batch rows;
  };
  void Keep(const Batch& batch);
  int64_t MemoryBytes() const;
  void Sort();
  // Of the rows that Sort sorted, the next, cut to `count_`; nullopt behind the last.
  std::optional<Batch> NextSorted();
  // Sorts the rows that are in memory and gives them on, until nobody wants more.
  Status GiveRun();
  // The same into a run of our own.
  Status WriteRun();
  Status MergeRuns(size_t count);
  std::unique_ptr<exchange::PartitionReader> MakeMerge(size_t count);

  const std::vector<batch::SortKey> keys_;
  std::vector<int> key_columns_;
  const int64_t count_;
  int64_t runs_to_give_;
  std::vector<Chunk> chunks_;
  int64_t row_count_ = 0;
  std::vector<Entry> entries_;  // Of all chunks, sorted.
  size_t next_entry_ = 0;
  base::Reservation memory_;
  spill::SpillFile file_;
  std::vector<Run> runs_;
};

}  // namespace glim::ops
