// SPDX-License-Identifier: Apache-2.0
#include "base/byte_masks.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <array>
#include <string>
#include <vector>

namespace glim::base {
namespace {

// Each test runs with the code for every kind of processor that this one can be, the oldest included.
using ByteMasks = testing::TestWithParam<ByteLoops>;

INSTANTIATE_TEST_SUITE_P(On, ByteMasks, testing::ValuesIn(ByteLoopsThatRunHere()), [](const auto& info) {
  std::string name = info.param.processor;
  std::erase(name, '-');
  return name;
});

// All bytes, each at many places of a block, then bytes in disorder. It begins at an odd address.
std::string Text(size_t blocks) {
  std::string text = "#";
  for (size_t i = 0; i < 64 * blocks; ++i) text += static_cast<char>(i < 1024 ? i * 5 : i * i * 2654435761 >> 7);
  return text;
}

TEST_P(ByteMasks, TellWhichBytesAreWanted) {
  constexpr size_t kBlocks = 33;
  const std::string text = Text(kBlocks);
  const char* const data = text.data() + 1;
  for (size_t count = 1; count <= kWantedBytesMax; ++count) {
    for (int first = 0; first < 256; ++first) {
      const char wanted[] = {static_cast<char>(first), '\n', static_cast<char>(0xFF)};
      std::array<uint64_t, kBlocks + 1> masks;
      masks.fill(7);
      GetParam().match(data, kBlocks, wanted, count, masks.data());
      for (size_t i = 0; i < 64 * kBlocks; ++i) {
        const bool expected = std::string_view(wanted, count).find(data[i]) != std::string_view::npos;
        ASSERT_EQ(masks[i / 64] >> (i % 64) & 1, static_cast<uint64_t>(expected)) << count << " " << first << " " << i;
      }
      ASSERT_EQ(masks[kBlocks], 7u);
    }
  }
}

TEST_P(ByteMasks, OfNoBlocksAreNone) {
  uint64_t mask = 7;
  GetParam().match("", 0, "x", 1, &mask);
  GetParam().member(ByteTables(), "", 0, &mask);
  EXPECT_EQ(mask, 7u);
}

TEST_P(ByteMasks, TellWhichBytesBelongToASet) {
  EXPECT_TRUE(rc::check([] {
    const auto members = *rc::gen::container<std::array<bool, 256>>(rc::gen::arbitrary<bool>());
    ByteTables tables;
    for (int byte = 0; byte < 256; ++byte) {
      if (members[static_cast<size_t>(byte)]) tables.Add(static_cast<unsigned char>(byte));
    }
    const size_t blocks = *rc::gen::inRange<size_t>(1, 20);
    const std::string text = Text(blocks);
    std::vector<uint64_t> masks(blocks);
    GetParam().member(tables, text.data() + 1, blocks, masks.data());
    for (size_t i = 0; i < 64 * blocks; ++i) {
      const bool expected = members[static_cast<unsigned char>(text[i + 1])];
      RC_ASSERT((masks[i / 64] >> (i % 64) & 1) == static_cast<uint64_t>(expected));
      RC_ASSERT(tables.Has(static_cast<unsigned char>(text[i + 1])) == expected);
    }
  }));
}

// Which of them runs is not seen from outside.
TEST(ByteMasks, AreThoseOfTheNewestProcessor) {
  const std::string text = Text(4);
  uint64_t masks[4], expected[4];
  MatchMasks(text.data() + 1, 4, "#a", 2, masks);
  ByteLoopsThatRunHere().front().match(text.data() + 1, 4, "#a", 2, expected);
  EXPECT_TRUE(std::equal(masks, masks + 4, expected));
}

}  // namespace
}  // namespace glim::base
