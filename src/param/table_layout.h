// SPDX-License-Identifier: Apache-2.0
//
// What a table's description makes of it, wherever it lives: which shard has a key, how a row is worked on, which
// requests make sense. An embedded table has one, and so has each shard of a table on servers, and its clients.
//
// Thread: immutable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "glim/status.h"
#include "glim/table.h"
#include "glim/table_spec.h"
#include "partition/key_partition.h"
#include "table/partitioner.h"
#include "table/row_kernel.h"
#include "table/shard.h"

namespace glim::param {

class TableLayout {
 public:
  // Expects: CheckTableSpec gave this spec, and spec.shards > 0.
  explicit TableLayout(TableSpec spec);
  TableLayout(const TableLayout&) = delete;

  const TableSpec& spec() const { return spec_; }
  size_t row_bytes() const { return row_bytes_; }  // 0 for rows of variable length.
  // To be asked for keys that CheckKeys has passed.
  const partition::KeyPartition& partition() const { return partition_; }
  // Where keys are is what a function of the program says (glim/partitioner.h), which only clients need.
  bool has_function() const { return spec_.partitioner == Partitioner::kFunction; }
  const table::RowKernel& kernel() const { return *kernel_; }

  // They refer to the layout, which must live as long.
  std::unique_ptr<table::Shard> MakeShard(uint32_t shard) const;
  std::vector<std::unique_ptr<table::Shard>> MakeShards() const;

  // kInvalid with the table, the place and the value. What a request needs to make sense depends on nothing else.
  Status CheckFixed(std::string_view call) const;
  // A push that no worker made.
  Status CheckWithoutWorker(std::string_view call) const;
  Status CheckJoin(const JoinOptions& options) const;
  // Also that the partitioner is there, if it is a function, and has a shard for each.
  Status CheckKeys(std::span<const Key> keys) const;
  // `what` has `bytes` for `keys` rows of fixed width.
  Status CheckRows(std::string_view what, size_t keys, size_t bytes) const;
  // `begins`: where the rows of variable length begin; null for fixed width.
  Status CheckValues(std::span<const Key> keys, std::span<const std::byte> values, const uint64_t* begins) const;
  // A length for each key; on a table of fixed width, that width.
  Status CheckWidths(size_t keys, std::span<const uint32_t> lengths) const;
  // Rows of variable length that are `value_bytes` together. Sets where each begins, and where the last ends, in
  // values.
  Status CheckLengths(size_t value_bytes, std::span<const uint32_t> lengths, std::vector<uint64_t>* begins) const;

 private:
  Status AskFunction(std::span<const Key> keys) const;

  const TableSpec spec_;
  const size_t row_bytes_;
  // Null, or why, when there is none or it is not known here.
  const Result<table::SharedPartitionFunction> function_;
  const partition::KeyPartition partition_;
  const std::unique_ptr<const table::RowKernel> kernel_;
};

}  // namespace glim::param
