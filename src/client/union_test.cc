// SPDX-License-Identifier: Apache-2.0
//
// What goes through a Union is kept nowhere, and looks as if each input had gone through the steps behind it alone.
#include <gtest/gtest.h>

#include <cstdlib>
#include <mutex>
#include <set>

#include "glim/glim.h"

namespace glim {
namespace {

using Rows = std::vector<Row>;

std::vector<int64_t> Numbers(const Rows& rows) {
  std::vector<int64_t> numbers;
  for (const Row& row : rows) numbers.push_back(row[0].as_int64());
  return numbers;
}

// With little memory.
Status RunSmall(const Dataset& dataset) {
  SessionOptions options;
  options.threads = 2;
  options.memory_bytes = 4 << 20;
  Session session(options);
  return dataset.Run(session);
}

TEST(Union, TakesNoMemory) {
  Flow flow;
  Rows rows;
  const auto even = [](int64_t n) { return n % 2 == 0; };
  const Status status = RunSmall(flow.Range(0, 3'000'000)
                                     .Filter(even)
                                     .Union({flow.Range(0, 10), flow.Range(0, 3'000'000).Union(flow.Range(0, 5))})
                                     .Reduce([](int64_t a, int64_t b) { return a + b; })
                                     .Collect(&rows));
  EXPECT_EQ(status.message(), "");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0][0].as_int64(), 1'499'999LL * 1'500'000 + 45 + 2'999'999LL * 3'000'000 / 2 + 10);
}

TEST(Union, ALimitStopsAnEndlessInput) {
  Flow flow;
  Rows rows, later;
  flow.Ints({1, 2, 3}).Union(flow.Range(7, INT64_MAX)).Limit(5).Collect(&rows);
  flow.Range(7, INT64_MAX).Limit(2).Union(flow.Ints({1})).Collect(&later);
  EXPECT_EQ(flow.Run().message(), "");
  EXPECT_EQ(Numbers(rows), (std::vector<int64_t>{1, 2, 3, 7, 8}));
  EXPECT_EQ(Numbers(later), (std::vector<int64_t>{7, 8, 1}));
}

TEST(Union, InputsEndInAllKindsOfStages) {
  Flow flow;
  Rows rows, kept, nested, nothing;
  const Dataset data = flow.Ints({3, 1, 2});
  const Dataset sum = data.Reduce([](int64_t a, int64_t b) { return a + b; });
  data.Sort()
      .Union({sum, data.Join(data), data.HashJoin(data),
              data.Pipe("tail -n 1").Map([](std::string_view text) { return static_cast<int64_t>(text.size()); }),
              data.Filter([](int64_t) { return false; }), data.Sort().Limit(1, 1)})
      .ZipWithIndex()
      .Collect(&rows);
  data.Union(data).Union(data.Cache()).Collect(&kept);
  data.Filter([](int64_t n) { return n < 0; }).Union(sum.Filter([](int64_t) { return false; })).Collect(&nothing);
  const Status status = flow.Run();
  ASSERT_EQ(status.message(), "");
  std::vector<int64_t> numbers = Numbers(rows);
  ASSERT_EQ(numbers.size(), 12u);
  std::sort(numbers.begin() + 4, numbers.begin() + 7);  // Join gives them in any order.
  EXPECT_EQ(numbers, (std::vector<int64_t>{1, 2, 3, 6, 1, 2, 3, 3, 1, 2, 1, 2}));
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i][1].as_int64(), static_cast<int64_t>(i));
  EXPECT_EQ(Numbers(kept), (std::vector<int64_t>{3, 1, 2, 3, 1, 2, 3, 1, 2}));
  EXPECT_TRUE(nothing.empty());
}

// A function sees the partitions of its dataset, not those of what the dataset becomes a part of.
TEST(Union, FunctionsBeforeItSeeTheirOwnPartitions) {
  Flow flow;
  std::mutex mutex;
  std::set<std::pair<int, int>> before, behind;
  const auto note = [&mutex](std::set<std::pair<int, int>>* where) {
    return [&mutex, where](int64_t n, TaskContext& task) {
      std::lock_guard lock(mutex);
      where->insert({task.partition(), task.partition_count()});
      return n;
    };
  };
  Rows rows;
  flow.Range(0, 100)
      .RoundRobin(2)
      .Union(flow.Range(0, 100).RoundRobin(3).Map(note(&before)))
      .Map(note(&behind))
      .Collect(&rows);
  EXPECT_EQ(flow.Run().message(), "");
  EXPECT_EQ(before, (std::set<std::pair<int, int>>{{0, 3}, {1, 3}, {2, 3}}));
  EXPECT_EQ(behind, (std::set<std::pair<int, int>>{{0, 5}, {1, 5}, {2, 5}, {3, 5}, {4, 5}}));
  EXPECT_EQ(rows.size(), 200u);
}

TEST(Union, AFailureInAnInputNamesItsStep) {
  Flow flow;
  EXPECT_EQ(flow.Ints({1})
                .Map("function(n) return n.x.y end")
                .Union(flow.Ints({1}))
                .Map("function(n) return n end")
                .Run()
                .message(),
            "Map(lua function(n) return n.x.y end): lua:1: attempt to index local 'n' (a number value), row (1)");
}

TEST(Union, ExplainShowsWhatPassesOn) {
  Flow flow("f");
  Rows rows;
  flow.Ints({1, 2}).Union(flow.Range(0, 5).Select(1)).Select(1).Sort().Collect(&rows);
  char* text = nullptr;
  size_t size = 0;
  FILE* out = open_memstream(&text, &size);
  EXPECT_TRUE(flow.Run(Explain{out}).ok());
  std::fclose(out);
  EXPECT_STREQ(text,
               "flow \"f\"\n"
               "stage 1\n"
               "  read   Ints(2 values)  (2 rows)\n"
               "  pass   to stage 3 as they come\n"
               "stage 2\n"
               "  read   Range(0, 5)  (5 rows)\n"
               "  do     Select(1)  (5 rows)\n"
               "  pass   to stage 3 as they come\n"
               "stage 3\n"
               "  read   stage 1\n"
               "  read   stage 2\n"
               "  do     Select(1)  (7 rows)\n"
               "  fused  Sort(1)  (7 rows)\n"
               "  send   merge sorted to 1 partition\n"
               "stage 4, one task\n"
               "  read   stage 3\n"
               "  write  Collect\n");
  std::free(text);
}

}  // namespace
}  // namespace glim
