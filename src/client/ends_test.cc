// SPDX-License-Identifier: Apache-2.0
//
// Where rows leave a flow: functions called side by side, files behind links, files written again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <set>

#include "env/env.h"
#include "glim/glim.h"

namespace glim {
namespace {

using ::testing::HasSubstr;

TEST(Output, ParallelCallsSeeEveryRowOnce) {
  for (const int threads : {1, 3}) {
    SessionOptions options;
    options.threads = threads;
    options.partitions = 5;
    Session session(options);
    Flow flow;
    std::mutex mutex;
    std::set<int64_t> seen;
    std::atomic<int64_t> rows = 0;
    flow.Range(0, 50000).OutputRow(
        [&](const Row& row) {
          ++rows;
          std::lock_guard lock(mutex);
          seen.insert(row[0].cell().as_int64());
          return Status::Ok();
        },
        {.parallel = true});
    EXPECT_TRUE(flow.Run(session).ok());
    EXPECT_EQ(rows, 50000);
    EXPECT_EQ(seen.size(), 50000u);
  }
}

TEST(Output, ParallelCallsAreSideBySide) {
  SessionOptions options;
  options.threads = 2;
  Session session(options);
  Flow flow;
  // Each call waits until the other one has begun. One at a time, this would never end.
  std::mutex mutex;
  std::condition_variable both;
  int begun = 0;
  flow.Range(0, 2).RoundRobin(2).Output(
      [&](const Batch&) {
        std::unique_lock lock(mutex);
        ++begun;
        both.notify_all();
        both.wait(lock, [&] { return begun == 2; });
        return Status::Ok();
      },
      {.parallel = true});
  EXPECT_TRUE(flow.Run(session).ok());
  EXPECT_EQ(begun, 2);
}

TEST(Output, AFailureOfAParallelCallFailsTheRun) {
  Flow flow;
  flow.Range(0, 100000).Output([](const Batch&) { return Status::UserCode("no more"); }, {.parallel = true});
  EXPECT_THAT(flow.Run().message(), HasSubstr("no more"));
  Flow throwing;
  throwing.Ints({1}).OutputRow([](const Row&) -> Status { throw std::runtime_error("oh"); }, {.parallel = true});
  EXPECT_THAT(throwing.Run().message(), HasSubstr("threw: oh"));
}

}  // namespace
}  // namespace glim
