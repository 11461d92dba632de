// SPDX-License-Identifier: Apache-2.0
#include "net/large_blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

namespace glim::net {
namespace {

constexpr size_t kLarge = LargeBlocks::kLargeBytes;

TEST(LargeBlocks, WhatIsLargeIsUsedAgainWhenNobodyHoldsIt) {
  const auto blocks = std::make_shared<LargeBlocks>();
  std::shared_ptr<char[]> block = blocks->Take(kLarge);
  const char* const place = block.get();
  std::shared_ptr<char[]> other = block;
  block.reset();
  EXPECT_EQ(blocks->kept_bytes(), 0u);
  other.reset();
  EXPECT_EQ(blocks->kept_bytes(), kLarge);
  const auto larger = blocks->Take(kLarge + 1);
  EXPECT_NE(larger.get(), place);
  EXPECT_EQ(blocks->kept_bytes(), kLarge);
  const auto again = blocks->Take(kLarge);
  EXPECT_EQ(again.get(), place);
  EXPECT_EQ(blocks->kept_bytes(), 0u);
}

TEST(LargeBlocks, WhatIsSmallIsNotKept) {
  const auto blocks = std::make_shared<LargeBlocks>();
  (void)blocks->Take(kLarge - 1);
  (void)blocks->Take(0);
  EXPECT_EQ(blocks->kept_bytes(), 0u);
}

TEST(LargeBlocks, AFewBytesDoNotTakeAVastBlock) {
  const auto blocks = std::make_shared<LargeBlocks>();
  (void)blocks->Take(3 * kLarge);
  const auto small = blocks->Take(kLarge);
  EXPECT_EQ(blocks->kept_bytes(), 3 * kLarge);
}

TEST(LargeBlocks, KeepsNoMoreThanItSays) {
  const auto blocks = std::make_shared<LargeBlocks>();
  std::vector<std::shared_ptr<char[]>> held;
  for (int i = 0; i < 10; ++i) held.push_back(blocks->Take(3 << 20));
  held.clear();
  EXPECT_EQ(blocks->kept_bytes(), size_t{15} << 20);
  (void)blocks->Take(2 * LargeBlocks::kKeptBytes);
  EXPECT_LE(blocks->kept_bytes(), LargeBlocks::kKeptBytes);
}

TEST(LargeBlocks, ABlockMayOutliveIt) {
  auto blocks = std::make_shared<LargeBlocks>();
  const auto block = blocks->Take(kLarge);
  blocks.reset();
  std::fill_n(block.get(), kLarge, 'y');
  EXPECT_EQ(block[kLarge - 1], 'y');
}

TEST(LargeBlocks, ManyThreadsShareIt) {
  const auto blocks = std::make_shared<LargeBlocks>();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const auto block = blocks->Take(kLarge + static_cast<size_t>(i % 7));
        std::fill_n(block.get(), kLarge, static_cast<char>('a' + t));
        EXPECT_EQ(std::count(block.get(), block.get() + kLarge, static_cast<char>('a' + t)), ptrdiff_t{kLarge});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace glim::net
