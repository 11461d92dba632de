// SPDX-License-Identifier: Apache-2.0
//
// One shard of a table: the rows of a slice of the key space, without network, clock, threads or locks. Whoever owns it
// (an embedded table under a mutex, a shard server in its thread) has checked the request already; here it is only
// carried out.
//
// Three stores behind one interface:
//   dense      keys are an arithmetic slice: rows by position, in slabs made when the first key of a slab is pushed to
//   sparse     any keys: rows of at most 24 bytes (with their rule's state) inside the key index, longer ones back to
//   back in slabs variable   rows of different lengths: the index holds a pointer and two lengths
// A request is worked off in groups of 16 keys: while the rows of one group are updated, the cache lines of the next
// are on their way.
//
// Thread: that of its owner; const functions may run at the same time.
// Always true: a row is stored if, and only if, somebody pushed to it or it was restored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "glim/table_spec.h"
#include "partition/key_partition.h"
#include "table/row_kernel.h"

namespace glim::table {

// The keys of a request for this shard, and which rows of the caller's buffers belong to them.
struct KeyList {
  std::span<const Key> keys;
  RowOrder order;
};

class Shard {
 public:
  virtual ~Shard() = default;

  // For tables of fixed width. Row order[i] of `values` / `out` belongs to keys[i].
  virtual void Push(const KeyList& list, const std::byte* values) = 0;
  virtual void Pull(const KeyList& list, std::byte* out) const = 0;

  // For tables of variable width. Row r of `values` is `lengths[r]` values long and begins at value `begins[r]`.
  virtual void VPush(const KeyList& list, const std::byte* values, const uint64_t* begins, const uint32_t* lengths);
  // Sets lengths[order[i]]. The length of a row that is not stored is 0.
  virtual void VPullLengths(const KeyList& list, uint32_t* lengths) const;
  // Writes at most lengths[r] values of row r at value begins[r]; what the row has not is initial values.
  virtual void VPull(const KeyList& list, const uint64_t* begins, const uint32_t* lengths, std::byte* out) const;

  // Replaces `chunk` by stored rows: about `rows_max` of them, at least one unless there are no more. With `state` each
  // row is followed by its rule's state (CellBytes). Moves the position, which starts at 0; true at the end. A row that
  // is stored all the time is given once.
  virtual bool Scan(uint64_t* position, size_t rows_max, bool state, RowChunk* chunk) const = 0;
  // Replaces `chunk` by those of the shard's own `keys` that are stored, in that order, each as Scan gives it.
  virtual void ScanKeys(std::span<const Key> keys, bool state, RowChunk* chunk) const = 0;
  // So many rows are going to be restored, into a shard that is empty. Less is fine; more is slow.
  virtual void Reserve(uint64_t rows) {}
  // Stores rows as Scan gave them. Keys must be this shard's own; a row that is there is replaced.
  virtual void Restore(const RowChunk& chunk, bool state) = 0;

  virtual uint64_t keys_stored() const = 0;
  virtual uint64_t memory_bytes() const = 0;
  // What a push of these keys allocates beyond their rows' own bytes, and what any push at most does. Keys must be the
  // shard's own.
  virtual uint64_t GrowthBytes(std::span<const Key> keys) const { return 0; }
  virtual uint64_t growth_bytes_max() const { return 0; }
  virtual uint64_t CountNonZero() const = 0;
  // Rows that can still be stored, at least.
  virtual uint64_t room() const { return ~uint64_t{0}; }
};

// A shard's part of what all shards of a table share. The kernel outlives the shard.
struct ShardSpec {
  uint32_t width = 1;  // Or kVariableWidth.
  // With count > 0: the shard of a dense table. Otherwise any key.
  partition::KeySlice slice;
  uint64_t salt = 0;  // Of the order of sparse keys (key_index.h).
};

std::unique_ptr<Shard> MakeShard(const ShardSpec& spec, const RowKernel& kernel);

// The stores. MakeShard chooses.
std::unique_ptr<Shard> MakeDenseShard(const ShardSpec& spec, const RowKernel& kernel);
std::unique_ptr<Shard> MakeSparseShard(const ShardSpec& spec, const RowKernel& kernel);
std::unique_ptr<Shard> MakeVariableShard(const ShardSpec& spec, const RowKernel& kernel);

}  // namespace glim::table
