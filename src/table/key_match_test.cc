// SPDX-License-Identifier: Apache-2.0
#include "table/key_match.h"

#include <gtest/gtest.h>

#include <utility>

namespace glim::table {
namespace {

// Keys that share a half with the one that is looked for, in every arrangement.
template <uint32_t kCount>
void TryAll() {
  constexpr uint64_t kWanted = 0x8000000100000002;
  constexpr uint64_t kOthers[] = {0, 0x8000000100000003, 0x8000000000000002, 0x0000000280000001};
  uint64_t keys[kCount];
  uint64_t arrangements = 1;
  for (uint32_t i = 0; i < kCount; ++i) arrangements *= 5;
  for (uint64_t arrangement = 0; arrangement < arrangements; ++arrangement) {
    uint32_t expected = 0;
    uint64_t left = arrangement;
    for (uint32_t i = 0; i < kCount; ++i, left /= 5) {
      keys[i] = left % 5 == 4 ? kWanted : kOthers[left % 5];
      expected |= static_cast<uint32_t>(keys[i] == kWanted) << i;
    }
    ASSERT_EQ(Matches<kCount>(keys, kWanted), expected) << arrangement;
    ASSERT_EQ(MatchesOneByOne<kCount>(keys, kWanted), expected) << arrangement;
  }
}

TEST(KeyMatch, FindsTheKeyInEverySlot) {
  TryAll<2>();
  TryAll<3>();
  TryAll<4>();
  TryAll<5>();
}

}  // namespace
}  // namespace glim::table
