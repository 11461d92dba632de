// SPDX-License-Identifier: Apache-2.0
#include "partition/key_partition.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/hash.h"

namespace glim::partition {
namespace {

constexpr size_t kKeysAhead = 256;

}  // namespace

KeyPartition::KeyPartition(Kind kind, uint64_t key_count, uint32_t shard_count)
    : kind_(kind), key_count_(key_count), shard_count_(shard_count), by_shards_(shard_count) {
  CHECK_GT(shard_count, 0u);
  CHECK_LE(shard_count, kShardsMax);
  if (kind != Kind::kRange || key_count == 0) return;
  uint64_t shorter = key_count / shard_count;
  longer_ = key_count % shard_count;
  longer_keys_ = longer_ * (shorter + 1);
  by_longer_ = Divider(shorter + 1);
  // With fewer keys than shards the others hold none, and this divider is not asked.
  by_shorter_ = Divider(std::max<uint64_t>(shorter, 1));
}

KeyPartition::KeyPartition(std::shared_ptr<const ShardFunction> function, uint32_t shard_count)
    : KeyPartition(Kind::kFunction, 0, shard_count) {
  CHECK(function != nullptr);
  function_ = std::move(function);
}

// Calls `visit` with the function from key to shard, so that a loop over keys asks for the kind once.
template <class Visit>
auto KeyPartition::WithShardOf(Visit visit) const {
  switch (kind_) {
    case Kind::kHash:
      return visit([n = shard_count_](uint64_t key) { return base::HashToRange(base::HashInt(key), n); });
    case Kind::kCyclic:
      return visit([by = by_shards_](uint64_t key) { return static_cast<uint32_t>(by.Remainder(key)); });
    case Kind::kFunction:
      return visit([&function = *function_, n = shard_count_](uint64_t key) {
        try {
          return std::min(function(key, n), n - 1);
        } catch (...) {
          return n - 1;
        }
      });
    case Kind::kRange: break;
  }
  if (key_count_ == 0) return visit([n = shard_count_](uint64_t key) { return base::HashToRange(key, n); });
  return visit([this](uint64_t key) {
    if (key < longer_keys_) return static_cast<uint32_t>(by_longer_.Quotient(key));
    return static_cast<uint32_t>(longer_ + by_shorter_.Quotient(key - longer_keys_));
  });
}

uint32_t KeyPartition::ShardOf(uint64_t key) const {
  return WithShardOf([&](auto shard_of) { return shard_of(key); });
}

void KeyPartition::Split(std::span<const uint64_t> keys, SplitKeys* split) const {
  CHECK_LE(keys.size(), 0xffffffffu);
  if (shard_count_ == 1) {
    split->keys = keys;
    split->positions = nullptr;
    split->ends.assign(1, static_cast<uint32_t>(keys.size()));
    return;
  }
  WithShardOf([&](auto shard_of) { SplitBy(keys, shard_of, split); });
}

template <class ShardOfKey>
void KeyPartition::SplitBy(std::span<const uint64_t> keys, ShardOfKey shard_of, SplitKeys* split) const {
  if (split->key_memory.size() < keys.size()) {
    split->key_memory.resize(keys.size());
    split->position_memory.resize(keys.size());
    split->shard_memory.resize(keys.size());
  }
  split->ends.assign(shard_count_, 0);
  uint16_t* shards = split->shard_memory.data();
  uint32_t* ends = split->ends.data();
  uint32_t previous = 0;
  bool in_order = true;
  for (size_t i = 0; i < keys.size(); ++i) {
    // The hardware reads ahead up to the end of a page of 4 KiB only, and here nothing hides the start of the next one.
    __builtin_prefetch(keys.data() + i + kKeysAhead);
    uint32_t shard = shard_of(keys[i]);
    shards[i] = static_cast<uint16_t>(shard);
    ++ends[shard];
    in_order &= shard >= previous;
    previous = shard;
  }
  uint32_t begin = 0;
  for (uint32_t s = 0; s < shard_count_; ++s) {
    uint32_t count = ends[s];
    ends[s] = in_order ? begin + count : begin;
    begin += count;
  }
  if (in_order) {
    split->keys = keys;
    split->positions = nullptr;
    return;
  }
  // Each shard's `end` starts at its begin and is moved by its keys.
  uint64_t* sorted = split->key_memory.data();
  uint32_t* positions = split->position_memory.data();
  for (size_t i = 0; i < keys.size(); ++i) {
    uint32_t to = ends[shards[i]]++;
    sorted[to] = keys[i];
    positions[to] = static_cast<uint32_t>(i);
  }
  split->keys = {sorted, keys.size()};
  split->positions = positions;
}

KeySlice KeyPartition::Slice(uint32_t shard) const {
  CHECK(key_count_ > 0 && kind_ != Kind::kHash && kind_ != Kind::kFunction);
  CHECK_LT(shard, shard_count_);
  if (kind_ == Kind::kCyclic) {
    uint64_t count = shard < key_count_ ? (key_count_ - shard - 1) / shard_count_ + 1 : 0;
    return {shard, shard_count_, count};
  }
  uint64_t shorter = key_count_ / shard_count_;
  if (shard < longer_) return {shard * (shorter + 1), 1, shorter + 1};
  return {longer_keys_ + (shard - longer_) * shorter, 1, shorter};
}

}  // namespace glim::partition
