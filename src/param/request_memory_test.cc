// SPDX-License-Identifier: Apache-2.0
#include "param/request_memory.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace glim::param {
namespace {

constexpr size_t kLarge = RequestMemory::kLargeBytes;

TEST(RequestMemory, WhatIsLargeIsUsedAgainWhenNobodyHoldsIt) {
  const auto memory = std::make_shared<RequestMemory>();
  std::string text = memory->Take(kLarge);
  text.assign(kLarge, 'x');
  const char* const place = text.data();
  SharedBytes shared = memory->Share(std::move(text));
  SharedBytes other = shared;
  shared = {};
  EXPECT_EQ(memory->kept_bytes(), 0u);
  EXPECT_EQ(other.bytes.size(), kLarge);
  EXPECT_EQ(other.bytes.back(), std::byte{'x'});
  other = {};
  EXPECT_GE(memory->kept_bytes(), kLarge);
  std::string larger = memory->Take(2 * kLarge);
  EXPECT_NE(larger.data(), place);
  std::string again = memory->Take(kLarge);
  EXPECT_EQ(again.data(), place);
  EXPECT_TRUE(again.empty());
  EXPECT_EQ(memory->kept_bytes(), 0u);
}

TEST(RequestMemory, WhatIsSmallIsNotKept) {
  const auto memory = std::make_shared<RequestMemory>();
  EXPECT_EQ(memory->Share("abc").bytes.size(), 3u);
  EXPECT_EQ(memory->kept_bytes(), 0u);
}

TEST(RequestMemory, KeepsNoMoreThanItSays) {
  const auto memory = std::make_shared<RequestMemory>();
  std::vector<SharedBytes> shared;
  for (int i = 0; i < 10; ++i) shared.push_back(memory->Share(memory->Take(4 << 20)));
  shared.clear();
  EXPECT_LE(memory->kept_bytes(), RequestMemory::kKeptBytes);
  EXPECT_GT(memory->kept_bytes(), 0u);
  (void)memory->Share(memory->Take(2 * RequestMemory::kKeptBytes));
  EXPECT_LE(memory->kept_bytes(), RequestMemory::kKeptBytes);
}

TEST(RequestMemory, BytesMayOutliveIt) {
  auto memory = std::make_shared<RequestMemory>();
  std::string text = memory->Take(kLarge);
  text = std::string(kLarge, 'y');
  const SharedBytes shared = memory->Share(std::move(text));
  memory.reset();
  EXPECT_EQ(shared.bytes.front(), std::byte{'y'});
}

TEST(RequestMemory, ManyThreadsShareIt) {
  const auto memory = std::make_shared<RequestMemory>();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        std::string text = memory->Take(kLarge);
        text.assign(kLarge, static_cast<char>('a' + t));
        const SharedBytes shared = memory->Share(std::move(text));
        EXPECT_EQ(shared.bytes[i], std::byte('a' + t));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace glim::param
