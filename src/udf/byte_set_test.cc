// SPDX-License-Identifier: Apache-2.0
#include "udf/byte_set.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace glim::udf {
namespace {

RC_GTEST_PROP(ByteSet, SaysOfEachByteWhetherItBelongs, ()) {
  std::array<bool, 256> members;
  for (bool& member : members) member = *rc::gen::arbitrary<bool>();
  const ByteSet set(members);
  const auto text = *rc::gen::container<std::string>(*rc::gen::inRange<size_t>(0, 200), rc::gen::arbitrary<char>());
  const size_t size = *rc::gen::inRange<size_t>(0, text.size() + 1);
  // On the heap, where a sanitizer sees what is read behind its end.
  const std::vector<char> readable(text.begin(), text.end());
  std::array<uint64_t, ByteSet::kBlocksMax> masks;
  const size_t blocks = set.Masks(readable.data(), size, readable.size(), masks.data());
  RC_ASSERT(blocks == (size + 63) / 64);
  for (size_t i = 0; i < 64 * blocks; ++i) {
    const bool wanted = i < size && members[static_cast<unsigned char>(text[i])];
    RC_ASSERT((masks[i / 64] >> (i % 64) & 1) == static_cast<uint64_t>(wanted));
    if (i < size) RC_ASSERT(set.Has(text[i]) == wanted);
  }
}

TEST(ByteSet, GivesAsManyMasksAsThereIsRoomFor) {
  std::array<bool, 256> members = {};
  members['x'] = true;
  const std::string text(64 * ByteSet::kBlocksMax + 1, 'x');
  std::array<uint64_t, ByteSet::kBlocksMax> masks;
  EXPECT_EQ(ByteSet(members).Masks(text.data(), text.size(), text.size(), masks.data()), ByteSet::kBlocksMax);
  for (uint64_t mask : masks) EXPECT_EQ(mask, ~uint64_t{0});
}

}  // namespace
}  // namespace glim::udf
