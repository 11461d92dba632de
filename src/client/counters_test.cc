// SPDX-License-Identifier: Apache-2.0
//
// What functions count in their tasks.
#include <gtest/gtest.h>

#include "glim/glim.h"

namespace glim {
namespace {

TEST(Counters, AreTheSameForAnyNumberOfThreadsAndPartitions) {
  for (const int threads : {1, 2, 4}) {
    for (const int partitions : {0, 1, 3, 25}) {
      SessionOptions options;
      options.threads = threads;
      options.partitions = partitions;
      Session session(options);
      Flow flow("count");
      flow.Init("glim = require 'glim'")
          .Range(0, 10000)
          .Filter([](int64_t x, TaskContext& task) {
            if (x % 7 == 0) task.Count("sevens");
            return x % 2 == 0;
          })
          .RoundRobin(5)
          .FlatMap([](int64_t x, Emitter& out, TaskContext& task) {
            task.Count("sum", x);
            out(x);
          })
          .ForEach("function(x) if x % 10 == 0 then glim.count('tens') end glim.count('in Lua', 2) end");
      ASSERT_TRUE(flow.Run(session).ok());
      EXPECT_EQ(session.counter("sevens"), 1429);
      EXPECT_EQ(session.counter("sum"), 24995000);
      EXPECT_EQ(session.counter("tens"), 1000);
      EXPECT_EQ(session.counter("in Lua"), 10000);
      EXPECT_EQ(session.counter("another"), 0);
    }
  }
}

TEST(Counters, AddUpOverTheRunsOfASessionThatSucceed) {
  Session session;
  for (int i = 0; i < 3; ++i) {
    Flow flow("count");
    flow.Range(0, 10).ForEach([](int64_t, TaskContext& task) { task.Count("rows"); });
    ASSERT_TRUE(flow.Run(session).ok());
  }
  Flow failing("fails");
  failing.Range(0, 10)
      .Map([](int64_t x, TaskContext& task) {
        task.Count("rows");
        return x;
      })
      .ForEach("function(x) error('no') end");
  EXPECT_FALSE(failing.Run(session).ok());
  EXPECT_EQ(session.counter("rows"), 30);
}

TEST(Counters, StopAtTheEndsOfInt64) {
  Session session;
  Flow flow("count");
  flow.Range(0, 3).ForEach([](int64_t, TaskContext& task) {
    task.Count("up", INT64_MAX);
    task.Count("down", INT64_MIN);
  });
  ASSERT_TRUE(flow.Run(session).ok());
  EXPECT_EQ(session.counter("up"), INT64_MAX);
  EXPECT_EQ(session.counter("down"), INT64_MIN);
}

TEST(Counters, TakeANameAndAWholeNumber) {
  for (const char* call : {"count()", "count('x', 0.5)", "count('x', 'many')", "count('x', 1/0)", "count('x', 0/0)"}) {
    Session session;
    Flow flow("count");
    flow.Ints({1}).ForEach(std::string("function(x) require('glim').") + call + " end");
    const Status status = flow.Run(session);
    EXPECT_NE(status.message().find("bad argument"), std::string::npos) << call << ": " << status.ToString();
  }
}

}  // namespace
}  // namespace glim
