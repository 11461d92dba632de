// SPDX-License-Identifier: Apache-2.0
//
// Flows whose rows do not fit into their memory: the answer is that of a flow with plenty.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <functional>

#include "base/try.h"
#include "glim/glim.h"
#include "io/test_files.h"

namespace glim {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kSmall = 1 << 20;

// Some megabytes each. Keys are texts, so that they take memory, too.
Dataset Left(Flow& flow) {
  return flow.Range(0, 60000).Map([](int64_t n) {
    return std::tuple("key " + std::to_string(n * 7919 % 20000), n, "left " + std::to_string(n * 31 % 1000));
  });
}

Dataset Right(Flow& flow) {
  return flow.Range(0, 30000).Map([](int64_t n) {
    return std::tuple("key " + std::to_string(n * 7907 % 20000 + 5000), "right " + std::to_string(n));
  });
}

// Half of all rows under one key.
Dataset Skewed(Flow& flow, int64_t rows) {
  return flow.Range(0, rows).Map(
      [](int64_t n) { return std::pair(n % 2 == 0 ? std::string("the one key") : "key " + std::to_string(n), n); });
}

using Build = std::function<Dataset(Flow&)>;

Result<std::vector<Row>> Rows(const Build& build, int64_t memory_bytes, int threads, const std::string& stats_file) {
  Session session({.threads = threads, .memory_bytes = memory_bytes, .stats_file = stats_file});
  Flow flow;
  std::vector<Row> rows;
  RETURN_IF_ERROR(build(flow).Collect(&rows).Run(session));
  return rows;
}

// Written to disk by the runs of the session.
int64_t SpilledBytes(const std::string& stats_file) {
  std::ifstream file(stats_file);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::string name = "\"spilled_bytes\":";
  const size_t at = text.find(name);
  return at == std::string::npos ? -1 : std::stoll(text.substr(at + name.size()));
}

// `ordered`: the rows come in the same order, or else in any.
void SameInLittleMemory(const Build& build, bool ordered = false, int64_t memory_bytes = kSmall) {
  const auto env = env::MakePosixEnv();
  const io::TemporaryFolder folder(*env);
  const std::string stats_file = folder.path() + "/stats.json";
  auto expected = Rows(build, int64_t{1} << 30, 2, stats_file);
  EXPECT_EQ(SpilledBytes(stats_file), 0);
  ASSERT_TRUE(expected.ok()) << expected.status().message();
  ASSERT_GT(expected->size(), 0u);
  if (!ordered) std::sort(expected->begin(), expected->end());
  for (const int threads : {1, 3}) {
    auto rows = Rows(build, memory_bytes, threads, stats_file);
    ASSERT_TRUE(rows.ok()) << rows.status().message();
    if (!ordered) std::sort(rows->begin(), rows->end());
    ASSERT_EQ(rows->size(), expected->size());
    EXPECT_TRUE(*rows == *expected);
    EXPECT_GT(SpilledBytes(stats_file), 100000);
  }
}

TEST(Spill, Sort) {
  SameInLittleMemory([](Flow& flow) { return Left(flow).SortBy({OrderBy(3), OrderBy(1, Descending)}); }, true);
}

// Equal rows keep their order through any number of runs.
TEST(Spill, SortIsStable) {
  SameInLittleMemory([](Flow& flow) { return Left(flow).SortBy({OrderBy(3)}); }, true);
}

TEST(Spill, LocalSort) {
  SameInLittleMemory([](Flow& flow) { return Left(flow).Partition(3).LocalSort(2); });
}

TEST(Spill, Top) {
  SameInLittleMemory([](Flow& flow) { return Left(flow).Top(30000, {OrderBy(3), OrderBy(2)}); }, true);
}

TEST(Spill, ReduceBy) {
  SameInLittleMemory(
      [](Flow& flow) { return Left(flow).Select(1, 2).ReduceBy([](int64_t a, int64_t b) { return a + b; }); });
  SameInLittleMemory(
      [](Flow& flow) { return Left(flow).Select(1, 2).ReduceBy("function(a, b) return a > b and a or b end"); });
}

// A fold that is no sum: the order of values within a key is kept.
TEST(Spill, ReduceByKeepsTheOrderOfValues) {
  SameInLittleMemory([](Flow& flow) {
    return Left(flow).Select(1, 3).ReduceBy(
        [](std::string_view a, std::string_view b) { return std::string(a) + ">" + std::string(b); });
  });
}

// Two thousand keys take next to nothing; what the texts of a fold have grown to counts, of each type that can hold
// one.
TEST(Spill, ReduceByOfTextsThatGrow) {
  const auto rows = [](Flow& flow) {
    return flow.Range(0, 100000).Map(
        [](int64_t i) { return std::tuple(i % 2000, std::to_string(i) + " is one of a hundred thousand"); });
  };
  SameInLittleMemory([&](Flow& flow) {
    return rows(flow).ReduceBy(
        [](std::string_view a, std::string_view b) { return std::string(a) + ">" + std::string(b); });
  });
  SameInLittleMemory([&](Flow& flow) {
    return rows(flow).ReduceBy([](const Value& a, const Value& b) {
      return Value(std::string(a.as_bytes()) + ">" + std::string(b.as_bytes()));
    });
  });
}

TEST(Spill, GroupBy) {
  SameInLittleMemory([](Flow& flow) { return Left(flow).GroupBy(); });
}

TEST(Spill, Distinct) {
  SameInLittleMemory([](Flow& flow) { return Left(flow).Select(1, 3).Distinct(); });
  SameInLittleMemory([](Flow& flow) { return Left(flow).Distinct(1).Select(1); });
}

// Behind an exchange, where rows are drawn by what is in them and by how often that came.
TEST(Spill, SampleByValue) {
  SameInLittleMemory([](Flow& flow) { return flow.Range(0, 400000).Distinct().Sample(0.25, 3); });
}

TEST(Spill, Joins) {
  SameInLittleMemory([](Flow& flow) { return Left(flow).Join(Right(flow)); });
  SameInLittleMemory([](Flow& flow) { return Left(flow).LeftOuterJoin(Right(flow)); });
  SameInLittleMemory([](Flow& flow) { return Left(flow).RightOuterJoin(Right(flow)); });
  SameInLittleMemory([](Flow& flow) { return Left(flow).FullOuterJoin(Right(flow)); });
  SameInLittleMemory([](Flow& flow) { return Left(flow).SemiJoin(Right(flow)); });
  SameInLittleMemory([](Flow& flow) { return Left(flow).AntiJoin(Right(flow)); });
}

TEST(Spill, JoinsOfOneHugeKey) {
  const auto few = [](Flow& flow) {
    return flow.Range(0, 4).Map([](int64_t n) { return std::pair(n < 2 ? "the one key" : "no key", n); });
  };
  const auto check = [&](auto join) {
    SameInLittleMemory([&](Flow& flow) { return join(few(flow), Skewed(flow, 60000)); }, false, 512 << 10);
  };
  check([](const Dataset& a, const Dataset& b) { return a.Join(b); });
  check([](const Dataset& a, const Dataset& b) { return a.LeftOuterJoin(b); });
  check([](const Dataset& a, const Dataset& b) { return a.RightOuterJoin(b); });
  check([](const Dataset& a, const Dataset& b) { return a.FullOuterJoin(b); });
  check([](const Dataset& a, const Dataset& b) { return a.SemiJoin(b); });
  check([](const Dataset& a, const Dataset& b) { return a.AntiJoin(b); });
}

TEST(Spill, CoGroup) {
  SameInLittleMemory([](Flow& flow) { return Left(flow).CoGroup(Right(flow)); });
}

TEST(Spill, WhatLiesBetweenStages) {
  SameInLittleMemory([](Flow& flow) { return Left(flow).Partition(5).ZipWithIndex().Select(2, 3, 4); });
  SameInLittleMemory([](Flow& flow) { return Left(flow).RoundRobin(4).MergeTo(1); });
  SameInLittleMemory([](Flow& flow) { return Left(flow).Partition(4).LocalSort(2).MergeSortedTo(1, {OrderBy(2)}); },
                     true);
  SameInLittleMemory([](Flow& flow) {
    const Dataset left = Left(flow);
    return left.Union(left.Filter([](std::string_view, int64_t n, std::string_view) { return n % 3 == 0; }));
  });
}

TEST(Spill, AFolderThatIsNotThereIsNamed) {
  Session session({.memory_bytes = kSmall, .tmp_folder = "/nowhere/at/all"});
  Flow flow;
  std::vector<Row> rows;
  const Status status = Left(flow).Sort(3).Collect(&rows).Run(session);
  EXPECT_THAT(status.message(), HasSubstr("\"/nowhere/at/all\": no such folder"));
  EXPECT_THAT(status.message(), HasSubstr("--tmp-dir"));
}

}  // namespace
}  // namespace glim
