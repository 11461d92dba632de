// SPDX-License-Identifier: Apache-2.0
#include "table/key_index.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>
#include <map>
#include <random>
#include <set>
#include <unordered_map>

namespace glim::table {
namespace {

template <uint32_t kBytes>
void Write(std::byte* payload, uint64_t value) {
  for (uint32_t i = 0; i < kBytes; ++i) payload[i] = static_cast<std::byte>(value >> (i % 8 * 8));
}
template <uint32_t kBytes>
bool Holds(const std::byte* payload, uint64_t value) {
  std::byte expected[kBytes];
  Write<kBytes>(expected, value);
  return payload != nullptr && std::memcmp(payload, expected, kBytes) == 0;
}

// The key whose place in the order is this: the inverse of OrderOf.
Key KeyAt(uint64_t order) {
  auto unshift = [](uint64_t x) { return x ^ (x >> 33); };
  uint64_t x = unshift(std::rotr(order, 32));
  x = unshift(x * 0x9cb4b2f8129337dbULL);
  return unshift(x * 0x4f74430c22a54005ULL);
}

template <uint32_t kBytes>
std::map<Key, int> ScanAll(const KeyIndex<kBytes>& index, size_t count_max) {
  std::map<Key, int> seen;
  uint64_t position = 0;
  for (bool done = false; !done;) {
    size_t before = seen.size();
    done = index.Scan(&position, count_max, [&](Key key, const std::byte*) { ++seen[key]; });
    EXPECT_TRUE(done || seen.size() > before);
  }
  return seen;
}

template <class Bytes>
class KeyIndexOf : public testing::Test {};
using Sizes = testing::Types<std::integral_constant<uint32_t, 4>, std::integral_constant<uint32_t, 8>,
                             std::integral_constant<uint32_t, 12>, std::integral_constant<uint32_t, 16>,
                             std::integral_constant<uint32_t, 24>>;
TYPED_TEST_SUITE(KeyIndexOf, Sizes);

TYPED_TEST(KeyIndexOf, HoldsWhatWasPutInThroughAllGrowth) {
  constexpr uint32_t kBytes = TypeParam::value;
  KeyIndex<kBytes> index;
  std::mt19937_64 random(kBytes);
  std::vector<Key> keys = {0, ~0ull, 1};
  for (int i = 0; i < 300000; ++i) keys.push_back(i % 2 ? random() : static_cast<Key>(i));
  for (size_t i = 0; i < keys.size(); ++i) {
    auto [payload, is_new] = index.FindOrInsert(keys[i], index.OrderOf(keys[i]));
    Write<kBytes>(payload, keys[i] * 3);
    if (i % 1000 == 0) {
      for (size_t j = 0; j <= i; j += i / 50 + 1) {
        ASSERT_TRUE(Holds<kBytes>(index.Find(keys[j], index.OrderOf(keys[j])), keys[j] * 3)) << i << " " << j;
      }
    }
  }
  std::set<Key> distinct(keys.begin(), keys.end());
  EXPECT_EQ(index.size(), distinct.size());
  for (Key key : distinct) ASSERT_TRUE(Holds<kBytes>(index.Find(key, index.OrderOf(key)), key * 3));
  for (int i = 0; i < 100000; ++i) {
    Key key = random();
    ASSERT_EQ(index.Find(key, index.OrderOf(key)) != nullptr, distinct.count(key) > 0);
  }
  for (size_t count_max : {size_t{1}, size_t{100}, size_t{100000}, ~size_t{0}}) {
    if (count_max == 1 && kBytes != 4) continue;
    auto seen = ScanAll(index, count_max);
    EXPECT_EQ(seen.size(), distinct.size());
    for (auto [key, times] : seen) ASSERT_EQ(times, 1) << key;
  }
}

RC_GTEST_PROP(KeyIndex, IsAMap, ()) {
  KeyIndex<8> index;
  std::unordered_map<Key, uint64_t> oracle;
  auto keys =
      *rc::gen::container<std::vector<Key>>(rc::gen::oneOf(rc::gen::arbitrary<Key>(), rc::gen::inRange<Key>(0, 50)));
  uint64_t value = 0;
  for (Key key : keys) {
    auto [payload, is_new] = index.FindOrInsert(key, index.OrderOf(key));
    RC_ASSERT(is_new == oracle.try_emplace(key).second);
    oracle[key] = ++value;
    Write<8>(payload, value);
  }
  RC_ASSERT(index.size() == oracle.size());
  for (auto [key, v] : oracle) RC_ASSERT(Holds<8>(index.Find(key, index.OrderOf(key)), v));
}

TEST(KeyIndex, MemoryOfManyKeysIsAsTheHeaderSays) {
  KeyIndex<4> index;
  uint64_t next = 20000;
  for (uint64_t i = 1; i <= 3000000; ++i) {
    index.FindOrInsert(i, index.OrderOf(i));
    if (i < next) continue;
    next += next / 7;
    double bytes = static_cast<double>(index.memory_bytes()) / static_cast<double>(i);
    EXPECT_GT(bytes, 16.5) << i;
    EXPECT_LT(bytes, 22.5) << i;
  }
}

TEST(KeyIndex, MemoryThatIsCountedIsTheMemoryOfTheSegments) {
  KeyIndex<12> index;
  std::mt19937_64 random(1);
  for (int i = 0; i < 500000; ++i) {
    Key key = random();
    index.FindOrInsert(key, index.OrderOf(key));
  }
  EXPECT_EQ(index.memory_bytes(), index.SumOfSegments());
}

// The scan is what the flow's Table source stands on: keys that are there all the time come exactly once whatever is
// put in meanwhile.
TEST(KeyIndex, ScanGivesOldKeysOnceWhileNewOnesMakeItGrow) {
  for (size_t count_max : {1, 10, 1000}) {
    KeyIndex<4> index;
    std::mt19937_64 random(count_max);
    std::set<Key> old = {0};
    for (int i = 0; i < 20000; ++i) old.insert(random());
    for (Key key : old) index.FindOrInsert(key, index.OrderOf(key));
    std::map<Key, int> seen;
    uint64_t position = 0;
    for (bool done = false; !done;) {
      done = index.Scan(&position, count_max, [&](Key key, const std::byte*) { ++seen[key]; });
      for (int i = 0; i < 200 && index.size() < 600000; ++i) {
        Key key = random();
        index.FindOrInsert(key, index.OrderOf(key));
      }
    }
    for (Key key : old) ASSERT_EQ(seen[key], 1);
    for (auto [key, times] : seen) ASSERT_EQ(times, 1);
  }
}

TEST(KeyIndex, KeysMadeToCollideAreSlowButFineAndSmall) {
  KeyIndex<4> index;
  ASSERT_EQ(index.OrderOf(KeyAt(0x123456789abcdefULL)), 0x123456789abcdefULL);
  // All in one home bucket, whatever the size.
  constexpr uint64_t kCount = 3000;
  for (uint64_t i = 0; i < kCount; ++i) {
    Key key = KeyAt((uint64_t{0xabcdef} << 40) + i);
    index.FindOrInsert(key, index.OrderOf(key));
  }
  EXPECT_EQ(index.size(), kCount);
  EXPECT_LT(index.memory_bytes(), kCount * 1000);
  for (uint64_t i = 0; i < kCount; ++i) {
    Key key = KeyAt((uint64_t{0xabcdef} << 40) + i);
    ASSERT_NE(index.Find(key, index.OrderOf(key)), nullptr);
  }
  EXPECT_EQ(ScanAll(index, 10).size(), kCount);
}

// Keys in the order of a map, as a scan gives them; how often a look-up of all of them meets a full home bucket.
uint64_t FullHomes(const std::vector<Key>& keys, KeyIndex<4>* index) {
  for (Key key : keys) index->FindOrInsert(key, index->OrderOf(key));
  EXPECT_EQ(index->size(), keys.size());
  EXPECT_EQ(index->memory_bytes(), index->SumOfSegments());
  uint64_t full = 0;
  for (Key key : keys) full += index->FindAtHome(key, index->PrefetchHome(index->OrderOf(key))) == nullptr;
  return full;
}

TEST(KeyIndex, ACopyIsAsGoodAsTheMap) {
  KeyIndex<4> from(1);
  constexpr uint64_t kCount = 300'000;
  for (Key key = 1; key <= kCount; ++key) from.FindOrInsert(key, from.OrderOf(key));
  std::vector<Key> keys;
  uint64_t position = 0;
  from.Scan(&position, ~size_t{0}, [&](Key key, const std::byte*) { keys.push_back(key); });
  ASSERT_EQ(keys.size(), kCount);
  KeyIndex<4> other(2), same(1), too_small(1);
  same.Reserve(kCount);
  EXPECT_LT(FullHomes(keys, &other), kCount / 4);
  const uint64_t moves = same.moves();
  EXPECT_LT(FullHomes(keys, &same), kCount / 4);
  EXPECT_EQ(same.moves(), moves);  // Nothing had to grow.
  EXPECT_EQ(ScanAll(same, 1000).size(), kCount);
  too_small.Reserve(kCount * 9 / 10);
  EXPECT_LT(FullHomes(keys, &too_small), kCount / 4);
  EXPECT_EQ(ScanAll(too_small, 1000).size(), kCount);
}

TEST(KeyIndex, KeysThatShareTheirLeadingBitsDoNotBlowUpTheDirectory) {
  KeyIndex<4> index;
  std::mt19937_64 random(3);
  constexpr uint64_t kCount = 50000;
  for (uint64_t i = 0; i < kCount; ++i) {
    Key key = KeyAt(random() >> 5);  // The leading 5 bits are 0.
    index.FindOrInsert(key, index.OrderOf(key));
  }
  EXPECT_LT(static_cast<double>(index.memory_bytes()) / static_cast<double>(index.size()), 40);
  EXPECT_EQ(ScanAll(index, 5000).size(), index.size());
}

}  // namespace
}  // namespace glim::table
