// SPDX-License-Identifier: Apache-2.0
//
// Sample draws the same rows for any number of partitions and threads, whatever stands before it, and draws equal rows
// independently of each other.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "glim/glim.h"

namespace glim {
namespace {

using Rows = std::vector<Row>;

std::vector<std::string> Text(const Rows& rows) {
  std::vector<std::string> text;
  for (const Row& row : rows) {
    std::string line;
    for (const Value& value : row) line += value.cell().ToDebugString() + "|";
    text.push_back(std::move(line));
  }
  return text;
}

// The rows that `make` gives under several settings, each of which must give the same.
Rows Same(const std::function<Dataset(Flow&)>& make, bool in_order) {
  static auto* const sessions = [] {
    auto* all = new std::vector<std::unique_ptr<Session>>;
    for (const auto& [threads, partitions] : {std::pair(1, 1), {2, 0}, {1, 2}, {4, 3}, {2, 25}}) {
      SessionOptions options;
      options.threads = threads;
      options.partitions = partitions;
      all->push_back(std::make_unique<Session>(options));
    }
    return all;
  }();
  Rows first;
  for (size_t i = 0; i < sessions->size(); ++i) {
    Flow flow;
    Rows rows;
    const Status status = make(flow).Collect(&rows).Run(*(*sessions)[i]);
    EXPECT_EQ(status.message(), "");
    if (i == 0) {
      first = rows;
      continue;
    }
    std::vector<std::string> got = Text(rows), expected = Text(first);
    if (!in_order) {
      std::sort(got.begin(), got.end());
      std::sort(expected.begin(), expected.end());
    }
    EXPECT_EQ(got, expected) << "session " << i;
  }
  return first;
}

// As many as a fair draw gives.
void ExpectAbout(size_t count, double fraction, double of) {
  EXPECT_LE(std::abs(static_cast<double>(count) - fraction * of), 6 * std::sqrt(of * fraction * (1 - fraction)));
}

Dataset Numbers(Flow& flow) {  // 16495 rows in four splits.
  return flow.Range(0, 1'600'000).Filter([](int64_t n) { return n % 97 == 0; });
}

// With 4 beside 4.0, which are equal.
Dataset Few(Flow& flow) {
  return Numbers(flow).Map([](int64_t n) {
    const int64_t few = n / 97 % 5;
    return std::pair(n % 2 == 0 ? Value(few) : Value(static_cast<double>(few)), n % 3);
  });
}

TEST(Sample, OfASourceStaysInItsOrder) {
  const Rows rows = Same([](Flow& flow) { return Numbers(flow).Sample(0.3, 7); }, true);
  ExpectAbout(rows.size(), 0.3, 16495);
  EXPECT_TRUE(std::is_sorted(rows.begin(), rows.end()));
  EXPECT_NE(Text(rows), Text(Same([](Flow& flow) { return Numbers(flow).Sample(0.3, 8); }, true)));
}

TEST(Sample, OfASampleIsIndependentOfIt) {
  const Rows rows = Same([](Flow& flow) { return Numbers(flow).Sample(0.5, 1).Sample(0.5, 2); }, true);
  ExpectAbout(rows.size(), 0.25, 16495);
}

TEST(Sample, KeepsTheOrderOfRowsWithSeveralReaders) {
  const Rows rows = Same(
      [](Flow& flow) {
        const Dataset numbers = Numbers(flow);
        numbers.ForEachBatch([](const Batch&) {});
        return numbers.Filter([](int64_t n) { return n % 2 == 0; }).Sample(0.5);
      },
      true);
  ExpectAbout(rows.size(), 0.5, 8248);
}

TEST(Sample, HoldsAfterStepsThatMoveRows) {
  const std::vector<std::function<Dataset(const Dataset&)>> moves = {
      [](const Dataset& d) { return d.Partition(3, {2}); },
      [](const Dataset& d) { return d.Partition(3, {2}).Select(1); },
      [](const Dataset& d) { return d.RoundRobin(4); },
      [](const Dataset& d) { return d.RoundRobin(4).MergeTo(2); },
      [](const Dataset& d) { return d.RoundRobin(4).Partition(3); },
      [](const Dataset& d) { return d.RoundRobin(4).Sort(2); },
      [](const Dataset& d) { return d.Sort(2); },
      [](const Dataset& d) { return d.Broadcast(2); },
      [](const Dataset& d) { return d.Union(d.Select(2, 1)); },
      [](const Dataset& d) { return d.Union(d.RoundRobin(3)); },
      [](const Dataset& d) { return d.Union(d.Partition(3), true); },
      [](const Dataset& d) { return d.ZipWithIndex().Select(1); },
      [](const Dataset& d) { return d.Limit(9000, 100); },
      [](const Dataset& d) { return d.Pipe("cut -f 1"); },
      [](const Dataset& d) { return d.Partition(3).Pipe("cut -f 1"); },
      [](const Dataset& d) { return d.Partition(3).LocalSort(2); },
      [](const Dataset& d) { return d.HashJoin(d.Distinct(2)); },
  };
  for (size_t i = 0; i < moves.size(); ++i) {
    SCOPED_TRACE(i);
    const Rows all = Same([&](Flow& flow) { return moves[i](Few(flow)); }, false);
    const Rows rows = Same([&](Flow& flow) { return moves[i](Few(flow)).Sample(0.4, 3); }, false);
    ExpectAbout(rows.size(), 0.4, static_cast<double>(all.size()));
  }
}

TEST(Sample, HoldsAfterStepsThatBringKeysTogether) {
  const auto wide = [](Flow& flow) { return Numbers(flow).Map([](int64_t n) { return std::pair(n, n % 3); }); };
  const std::vector<std::function<Dataset(const Dataset&)>> steps = {
      [](const Dataset& d) { return d.ReduceBy("function(x, y) return x + y end"); },
      [](const Dataset& d) { return d.Distinct().Map("function(n, m) return m end"); },
      [](const Dataset& d) { return d.GroupBy().Map("function(n, list) return list, n % 2 / 2 end"); },
      [](const Dataset& d) { return d.Distinct().Union(d); },
      [](const Dataset& d) { return d.Distinct().Partition(3, {2}); },
      [](const Dataset& d) { return d.Distinct().RoundRobin(3).Select(2); },
      [](const Dataset& d) { return d.Distinct().Sort(2); },
      [](const Dataset& d) { return d.Partition(3).Join(d); },
      [](const Dataset& d) { return d.CoGroup(d).Select(2); },
      [](const Dataset& d) { return d.HashJoin(d.Distinct(2), On(2), On(2)); },
  };
  for (size_t i = 0; i < steps.size(); ++i) {
    SCOPED_TRACE(i);
    const Rows all = Same([&](Flow& flow) { return steps[i](wide(flow)); }, false);
    const Rows rows = Same([&](Flow& flow) { return steps[i](wide(flow)).Sample(0.4, 3); }, false);
    ExpectAbout(rows.size(), 0.4, static_cast<double>(all.size()));
  }
}

TEST(Sample, KeepsKeysTogetherThatThePartitionsOfTheUserHave) {
  const Rows rows = Same(
      [](Flow& flow) { return Few(flow).Distinct().Partition(3, {2}).Sample(0.9).LocalDistinct(2).Select(2); }, false);
  EXPECT_EQ(rows.size(), 3u);
}

TEST(Sample, OfACacheIsTheSameInALaterRun) {
  for (const bool ordered : {true, false}) {
    std::vector<std::string> of_first_run;
    const Rows later = Same(
        [&](Flow& flow) {
          const Dataset cached = (ordered ? Few(flow) : Few(flow).Distinct().RoundRobin(2)).Cache();
          Rows first;
          EXPECT_TRUE(cached.Sample(0.5).Collect(&first).Run().ok());
          of_first_run = Text(first);
          return cached.Sample(0.5);
        },
        ordered);
    std::vector<std::string> of_later_run = Text(later);
    std::sort(of_first_run.begin(), of_first_run.end());
    std::sort(of_later_run.begin(), of_later_run.end());
    EXPECT_EQ(of_first_run, of_later_run);
    EXPECT_FALSE(of_later_run.empty());
  }
}

TEST(Sample, ASampleOfNothingIsNothingAndOfAllAll) {
  EXPECT_TRUE(Same([](Flow& flow) { return Few(flow).Sample(0); }, true).empty());
  EXPECT_EQ(Same([](Flow& flow) { return Few(flow).Sample(1); }, true).size(), 16495u);
  EXPECT_EQ(Same([](Flow& flow) { return Few(flow).Distinct().Sample(1); }, false).size(), 15u);
}

}  // namespace
}  // namespace glim
