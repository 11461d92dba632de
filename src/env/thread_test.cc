// SPDX-License-Identifier: Apache-2.0
#include "env/thread.h"

#include <gtest/gtest.h>

#include <vector>

namespace glim::env {
namespace {

// Uses some 4 KiB a level.
int Deep(int levels) {
  volatile char room[4096];
  room[levels % 4096] = 1;
  return levels == 0 ? 0 : Deep(levels - 1) + room[levels % 4096];
}

TEST(Thread, HasTheStackThatItAskedFor) {
  constexpr int kLevels = 12000;  // 48 MiB and more.
  int reached = 0;
  Thread thread(size_t{256} << 20, [&] { reached = Deep(kLevels); });
  thread.Join();
  EXPECT_EQ(reached, kLevels);
}

TEST(Thread, MayBeMovedWhileItRuns) {
  std::vector<int> done(20);
  {
    std::vector<Thread> threads;
    for (int& one : done) threads.emplace_back(size_t{1} << 20, [&one] { one = 1; });
    for (Thread& thread : threads) thread.Join();
  }
  EXPECT_EQ(done, std::vector<int>(20, 1));
}

}  // namespace
}  // namespace glim::env
