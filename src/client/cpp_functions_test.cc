// SPDX-License-Identifier: Apache-2.0
//
// What classes and side tables give to functions in C++.
#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>

#include "glim/glim.h"

namespace glim {
namespace {

using Rows = std::vector<Row>;

std::vector<std::string> Sorted(const Rows& rows) {
  std::vector<std::string> text;
  for (const Row& row : rows) {
    text.emplace_back();
    for (const Value& value : row) text.back() += value.ToString() + "|";
  }
  std::sort(text.begin(), text.end());
  return text;
}

// Counts what is called how often over all tasks; `sum` is that of the task.
struct Calls {
  std::atomic<int> setups{0}, teardowns{0};
};
struct Sum {
  Calls* calls;
  int64_t sum = -1;
  void Setup() {
    ++calls->setups;
    sum = 0;
  }
  void operator()(int64_t n) { sum += n; }
  void Teardown(Emitter& out, TaskContext& task) {
    ++calls->teardowns;
    out(sum, task.partition() < task.partition_count());
  }
};

TEST(CppFunctions, SetupAndTeardownFrameTheRowsOfATask) {
  for (const int threads : {1, 4}) {
    SessionOptions options;
    options.threads = threads;
    Session session(options);
    Flow flow;
    Calls calls;
    Rows rows;
    // Partitions 3 and 4 get no row.
    flow.Ints({1, 2, 3, 4, 5, 6}).Limit(3).RoundRobin(5).ForEach(Sum{&calls}).Collect(&rows);
    ASSERT_EQ(flow.Run(session).message(), "");
    EXPECT_EQ(Sorted(rows), (std::vector<std::string>{"1|true|", "2|true|", "3|true|"}));
    EXPECT_EQ(calls.setups, 3);
    EXPECT_EQ(calls.teardowns, 3);
  }
}

struct Numbered {
  int64_t next = 0;
  std::string name;
  Status Setup(TaskContext& task) {
    next = 100 * task.partition();
    return name == "bad" ? Status::Invalid("no such name") : Status::Ok();
  }
  std::pair<int64_t, int64_t> operator()(int64_t n) { return {n, next++}; }
};
struct Odd {
  bool keep = false;
  void Setup() { keep = false; }
  bool operator()(int64_t) { return keep = !keep; }
};
struct Batches {
  int64_t rows = 0;
  void operator()(const Batch& batch) { rows += batch.row_count(); }
  void Teardown(Emitter& out) const { out(rows); }
};

TEST(CppFunctions, EveryKindOfStepMayHaveThem) {
  Flow flow;
  Rows mapped, odd, counted, nothing;
  const Dataset numbers = flow.Range(0, 6).Partition(1);
  numbers.Map(Numbered{5, "good"}).Collect(&mapped);
  numbers.Filter(Odd()).Collect(&odd);
  numbers.ForEachBatch(Batches()).Collect(&counted);
  numbers.Filter([](int64_t) { return false; }).ForEach(Sum{nullptr}).Collect(&nothing);
  ASSERT_EQ(flow.Run().message(), "");
  EXPECT_EQ(Sorted(mapped), (std::vector<std::string>{"0|0|", "1|1|", "2|2|", "3|3|", "4|4|", "5|5|"}));
  EXPECT_EQ(Sorted(odd), (std::vector<std::string>{"0|", "2|", "4|"}));
  EXPECT_EQ(Sorted(counted), (std::vector<std::string>{"6|"}));
  EXPECT_TRUE(nothing.empty());
}

struct BadEnd {
  void operator()(int64_t) const {}
  void Teardown() const { throw std::runtime_error("disk is gone"); }  // allow(throw): the test's user code.
};

TEST(CppFunctions, FailuresOfSetupAndTeardownAreTheRuns) {
  EXPECT_EQ(Flow().Ints({1}).Map(Numbered{0, "bad"}).Run().message(), "Map(C++): setup: no such name");
  EXPECT_EQ(Flow().Ints({1}).ForEach(BadEnd()).Run().message(),
            "ForEach(C++): teardown: the function threw: disk is gone");
}

TEST(CppFunctions, AMutableLambdaBelongsToItsTask) {
  Flow flow;
  Rows rows;
  flow.Range(0, 4).RoundRobin(2).Map([seen = int64_t{0}](int64_t) mutable { return ++seen; }).Collect(&rows);
  ASSERT_EQ(flow.Run().message(), "");
  EXPECT_EQ(Sorted(rows), (std::vector<std::string>{"1|", "1|", "2|", "2|"}));
}

TEST(CppFunctions, ReadSideTables) {
  for (const int threads : {1, 4}) {
    SessionOptions options;
    options.threads = threads;
    Session session(options);
    Flow flow;
    Rows rows, kept, listed;
    const SideTable names = flow.Rows({{7, "ann", 1.5}, {9, "bob", 2.5}, {7, "eve", Value()}})
                                .Map("function(...) return ... end")
                                .AsTable();
    const SideTable list = flow.Strings({"zero", "one"}).AsTable();
    const Dataset orders = flow.Range(0, 20000).Map([](int64_t n) { return n % 10; });
    orders
        .Map(
            [names](int64_t id) {
              return std::tuple(names.Get(id), names.Get(static_cast<double>(id), 3), names.Contains(id), names.size());
            },
            {names})
        .Distinct()
        .Collect(&rows);
    orders.Filter([&](int64_t id) { return names.Contains(id) && list.size() == 2; }, {names, list})
        .Reduce([](int64_t a, int64_t b) { return a + b; })
        .Collect(&kept);
    flow.Ints({0, 1, 2, 3})
        .FlatMap([list](int64_t i, Emitter& out) { out(list.Get(i), list.rows().row_count(), list.FindRow(i)); },
                 {list})
        .Collect(&listed);
    ASSERT_EQ(flow.Run(session).message(), "");
    EXPECT_EQ(Sorted(rows), (std::vector<std::string>{"bob|2.5|true|2|", "eve|nil|true|2|", "nil|nil|false|2|"}));
    EXPECT_EQ(Sorted(kept), (std::vector<std::string>{"32000|"}));
    EXPECT_EQ(Sorted(listed), (std::vector<std::string>{"nil|2|-1|", "nil|2|-1|", "one|2|1|", "zero|2|0|"}));
  }
}

TEST(CppFunctions, KeysOfSideTablesAreOfAnyType) {
  Flow flow;
  Rows rows;
  const SideTable keys = flow.Rows({{"a", true}, {false, 2}, {2.5, 3}}).AsTable();
  flow.Strings({"a"})
      .Map(
          [keys](std::string_view text) {
            return std::tuple(keys.Get(text), keys.Get("a"), keys.Get(std::string("a")), keys.Get(false), keys.Get(2.5),
                              keys.Get(Value("a")), keys.Get(Cell()), keys.Get("a", 0), keys.Get("a", 3),
                              keys.Get("b"));
          },
          {keys})
      .Collect(&rows);
  ASSERT_EQ(flow.Run().message(), "");
  EXPECT_EQ(Sorted(rows), (std::vector<std::string>{"true|true|true|2|3|true|nil|nil|nil|nil|"}));
}

TEST(CppFunctions, ATableMustBeNamedByTheStepThatReadsIt) {
  Flow flow;
  const SideTable names = flow.Rows({{7, "ann"}}).AsTable();
  EXPECT_EQ(
      flow.Ints({7}).Map([names](int64_t id) { return names.Get(id); }).Run().message(),
      "Map(C++): the function threw: the table of AsTable() is there for the steps that name it, while their flow "
      "runs, row (7)");
  Flow other;
  EXPECT_EQ(other.Ints({7}).Map([names](int64_t id) { return names.Get(id); }, {names}).Run().message(),
            "Map reads a table that AsTable made of another flow; both must be of one flow");
}

}  // namespace
}  // namespace glim
