// SPDX-License-Identifier: Apache-2.0
#include "partition/key_partition.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace glim::partition {
namespace {

const std::vector<uint64_t> kBorders = {
    0, 1, 2, 3, 1ull << 31, (1ull << 32) - 1, 1ull << 32, (1ull << 63) - 1, 1ull << 63, ~0ull - 2, ~0ull - 1, ~0ull};

rc::Gen<uint64_t> AnyWord() {
  return rc::gen::oneOf(rc::gen::elementOf(kBorders), rc::gen::arbitrary<uint64_t>(),
                        rc::gen::inRange<uint64_t>(0, 100));
}

TEST(Divider, EqualsTheProcessor) {
  for (uint64_t d : kBorders) {
    if (d == 0) continue;
    for (uint64_t x : kBorders) EXPECT_EQ(Divider(d).Quotient(x), x / d) << x << " / " << d;
  }
}

RC_GTEST_PROP(Divider, EqualsTheProcessorOnAnyWords, ()) {
  uint64_t d = std::max<uint64_t>(1, *AnyWord()), x = *AnyWord();
  RC_ASSERT(Divider(d).Quotient(x) == x / d);
  RC_ASSERT(Divider(d).Remainder(x) == x % d);
}

Kind AnyKind() { return *rc::gen::element(Kind::kRange, Kind::kCyclic, Kind::kHash); }

RC_GTEST_PROP(KeyPartition, SlicesHoldEachDenseKeyOnceWhereShardOfSays, ()) {
  uint64_t key_count = *rc::gen::inRange<uint64_t>(1, 200);
  uint32_t shard_count = *rc::gen::inRange(1, 40);
  KeyPartition partition(*rc::gen::element(Kind::kRange, Kind::kCyclic), key_count, shard_count);
  std::set<uint64_t> seen;
  uint64_t least = key_count, most = 0;
  for (uint32_t s = 0; s < shard_count; ++s) {
    KeySlice slice = partition.Slice(s);
    for (uint64_t i = 0; i < slice.count; ++i) {
      uint64_t key = slice.first + i * slice.stride;
      RC_ASSERT(seen.insert(key).second);
      RC_ASSERT(partition.ShardOf(key) == s);
    }
    least = std::min(least, slice.count);
    most = std::max(most, slice.count);
  }
  RC_ASSERT(seen.size() == key_count && *seen.rbegin() == key_count - 1);
  RC_ASSERT(most - least <= 1u);
}

RC_GTEST_PROP(KeyPartition, SplitIsAStableSortByShard, ()) {
  uint32_t shard_count = *rc::gen::inRange(1, 40);
  bool dense = *rc::gen::arbitrary<bool>();
  uint64_t key_count = dense ? 1 + *AnyWord() % 1000000 : 0;
  KeyPartition partition(AnyKind(), key_count, shard_count);
  auto keys = *rc::gen::container<std::vector<uint64_t>>(AnyWord());
  if (dense) std::for_each(keys.begin(), keys.end(), [&](uint64_t& key) { key %= key_count; });
  if (*rc::gen::arbitrary<bool>()) std::sort(keys.begin(), keys.end());

  SplitKeys split;
  partition.Split(*rc::gen::arbitrary<bool>() ? std::vector<uint64_t>{1} : std::vector<uint64_t>{},
                  &split);  // Memory is reused.
  partition.Split(keys, &split);
  RC_ASSERT(split.keys.size() == keys.size());
  RC_ASSERT(split.ends.size() == shard_count);
  RC_ASSERT(split.end(shard_count - 1) == keys.size());
  for (uint32_t s = 0; s < shard_count; ++s) {
    for (uint32_t i = split.begin(s); i < split.end(s); ++i) {
      uint32_t position = split.positions ? split.positions[i] : i;
      RC_ASSERT(split.keys[i] == keys[position]);
      RC_ASSERT(partition.ShardOf(split.keys[i]) == s);
      if (i > split.begin(s)) RC_ASSERT((split.positions ? split.positions[i - 1] : i - 1) < position);
    }
  }
}

TEST(KeyPartition, SortedKeysUnderRangeAreNotMoved) {
  std::vector<uint64_t> keys = {0, 1, 5, 5, 8, 9};
  SplitKeys split;
  KeyPartition(Kind::kRange, 10, 3).Split(keys, &split);
  EXPECT_EQ(split.keys.data(), keys.data());
  EXPECT_EQ(split.positions, nullptr);
  EXPECT_EQ(split.ends, (std::vector<uint32_t>{2, 4, 6}));
}

TEST(KeyPartition, SparseRangeReachesTheLastKey) {
  KeyPartition partition(Kind::kRange, 0, 3);
  EXPECT_EQ(partition.ShardOf(0), 0u);
  EXPECT_EQ(partition.ShardOf(~0ull), 2u);
}

TEST(KeyPartition, HashSpreadsConsecutiveKeysEvenly) {
  KeyPartition partition(Kind::kHash, 0, 8);
  std::vector<int> counts(8);
  for (uint64_t key = 0; key < 80000; ++key) ++counts[partition.ShardOf(key)];
  for (int count : counts) EXPECT_NEAR(count, 10000, 500);
}

// The shard of a key is part of the format between processes: these may never change.
TEST(KeyPartition, ShardsOfKnownKeys) {
  KeyPartition hash(Kind::kHash, 0, 100), range(Kind::kRange, 1000, 7), cyclic(Kind::kCyclic, 0, 7);
  std::vector<uint32_t> got;
  for (uint64_t key : {uint64_t{0}, uint64_t{1}, uint64_t{42}, ~uint64_t{0}}) got.push_back(hash.ShardOf(key));
  EXPECT_EQ(got, (std::vector<uint32_t>{0, 70, 50, 39}));
  EXPECT_EQ(range.ShardOf(857), 5u);
  EXPECT_EQ(range.ShardOf(858), 6u);
  EXPECT_EQ(cyclic.ShardOf(~uint64_t{0}), 1u);
}

}  // namespace
}  // namespace glim::partition
