// SPDX-License-Identifier: Apache-2.0
//
// Which shard of a table holds a key. A pure function of (kind, key count, shard count), the same in every process.
//
//   range      shard s holds a run of keys; of n dense keys the first n mod shards runs are one longer; sparse keys are
//              cut by their value
//   cyclic     key mod shards: runs of hot keys are spread
//   hash       by HashInt(key): even whatever the keys are
//   function   as a function of the program says, which is then a part of the partition
//
// A request for many keys is split by shard in two passes (a counting sort, 16 bytes written per key, stable: keys of
// one shard keep their order, so duplicates are applied in order). Keys that are already in shard order, such as sorted
// keys under range, are not moved at all.
//
// The slices of range and cyclic are arithmetic (first, stride, count), so a shard of a dense table needs no index.
//
// Shards are small and many; where tables move between servers, the shard is what moves, and a map from shard to server
// stands beside this.
//
// Thread: KeyPartition is an immutable value; a SplitKeys belongs to one request.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "partition/divide.h"

namespace glim::partition {

enum class Kind : uint8_t { kRange, kCyclic, kHash, kFunction };

// Pure; gives a number below `shards`.
using ShardFunction = std::function<uint32_t(uint64_t key, uint32_t shards)>;

// The keys of a shard of a dense table: first, first + stride, ... (count of them).
struct KeySlice {
  uint64_t first = 0;
  uint64_t stride = 1;
  uint64_t count = 0;
};

// A request's keys in the order of their shards.
struct SplitKeys {
  // Those of shard s are keys[ends[s - 1] .. ends[s]), the first one from 0.
  std::span<const uint64_t> keys;
  // Where key i stood in the request; null when it is i.
  const uint32_t* positions = nullptr;
  std::vector<uint32_t> ends;

  uint32_t begin(uint32_t shard) const { return shard == 0 ? 0 : ends[shard - 1]; }
  uint32_t end(uint32_t shard) const { return ends[shard]; }

  // Memory, kept from one request to the next.
  std::vector<uint64_t> key_memory;
  std::vector<uint32_t> position_memory;
  std::vector<uint16_t> shard_memory;
};

class KeyPartition {
 public:
  static constexpr uint32_t kShardsMax = 65535;

  // `key_count` 0: all 64-bit keys. Expects: 0 < shard_count <= kShardsMax.
  KeyPartition(Kind kind, uint64_t key_count, uint32_t shard_count);
  // Of all 64-bit keys. A key of which the function fails, or gives no shard, goes to the last one: callers ask it
  // before.
  KeyPartition(std::shared_ptr<const ShardFunction> function, uint32_t shard_count);

  Kind kind() const { return kind_; }
  uint64_t key_count() const { return key_count_; }
  uint32_t shard_count() const { return shard_count_; }
  bool Contains(uint64_t key) const { return key_count_ == 0 || key < key_count_; }

  // Expects: Contains(key), also below.
  uint32_t ShardOf(uint64_t key) const;
  // Expects: fewer than 2^32 keys. `keys` must live as long as `split` is used.
  void Split(std::span<const uint64_t> keys, SplitKeys* split) const;
  // Expects: dense keys, kind() is kRange or kCyclic.
  KeySlice Slice(uint32_t shard) const;

 private:
  template <class ShardOfKey>
  void SplitBy(std::span<const uint64_t> keys, ShardOfKey shard_of, SplitKeys* split) const;
  template <class Visit>
  auto WithShardOf(Visit visit) const;

  Kind kind_;
  uint64_t key_count_;
  uint32_t shard_count_;
  std::shared_ptr<const ShardFunction> function_;
  Divider by_shards_;
  // Of range over dense keys: the first `longer_` shards hold one key more than the others, together `longer_keys_`.
  uint64_t longer_ = 0;
  uint64_t longer_keys_ = 0;
  Divider by_longer_;
  Divider by_shorter_;
};

}  // namespace glim::partition
