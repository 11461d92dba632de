// SPDX-License-Identifier: Apache-2.0
//
// Every step equals a plain single-threaded oracle, for 1, 2, 3 and 25 partitions and several thread counts, on random
// rows with nils, mixed numbers, empty strings and duplicates.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>

#include "env/env.h"
#include "glim/glim.h"

namespace glim {
namespace {

rc::Gen<Value> AnyKey() {
  return rc::gen::exec([]() -> Value {
    switch (*rc::gen::inRange(0, 6)) {
      case 0: return Value();
      case 1: return Value(*rc::gen::inRange<int64_t>(-2, 3));
      case 2: return Value(static_cast<double>(*rc::gen::inRange(-4, 5)) / 2);
      case 3: return Value("");
      case 4: return Value(std::string(*rc::gen::inRange(0, 30), *rc::gen::element('a', 'b')));
      default: return Value(*rc::gen::arbitrary<bool>());
    }
  });
}

// Rows of a key, a whole number and bytes. Scaled up so that batches and tasks matter now and then.
std::vector<Row> SomeRows() {
  const auto rows = *rc::gen::container<std::vector<Row>>(rc::gen::exec([] {
    return Row{*AnyKey(), Value(*rc::gen::inRange<int64_t>(-1000, 1000)),
               Value(*rc::gen::container<std::string>(rc::gen::inRange('a', 'd')))};
  }));
  const int copies = *rc::gen::element(1, 1, 1, 400);
  std::vector<Row> all;
  for (int i = 0; i < copies; ++i) all.insert(all.end(), rows.begin(), rows.end());
  return all;
}

// Sessions are kept: their threads are dear.
Session& ASession() {
  static auto* const sessions = new std::map<std::pair<int, int>, std::unique_ptr<Session>>;
  const int threads = *rc::gen::element(1, 2, 4);
  const int partitions = *rc::gen::element(0, 1, 2, 3, 25);
  auto& session = (*sessions)[{threads, partitions}];
  if (session == nullptr) {
    SessionOptions options;
    options.threads = threads;
    options.partitions = partitions;
    session = std::make_unique<Session>(options);
  }
  return *session;
}

std::string Text(const std::vector<Row>& rows) {
  std::string text;
  for (const Row& row : rows) {
    for (const Value& value : row) text += value.ToString() + "|";
    text += "\n";
  }
  return text;
}

bool RowLess(const Row& a, const Row& b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}

// The same rows, in any order.
void ExpectSame(std::vector<Row> got, std::vector<Row> expected) {
  std::sort(got.begin(), got.end(), RowLess);
  std::sort(expected.begin(), expected.end(), RowLess);
  RC_ASSERT(Text(got) == Text(expected));
}

void Run(const Dataset& dataset, std::vector<Row>* rows) {
  Session& session = ASession();
  const Status status = dataset.Collect(rows).Run(session);
  if (!status.ok()) RC_FAIL(status.message());
}

RC_GTEST_PROP(Steps, MapAndFlatMapAndFilterEqualTheOracle, ()) {
  const auto rows = SomeRows();
  Flow flow;
  std::vector<Row> got;
  const bool lua = *rc::gen::arbitrary<bool>();
  auto data = flow.Rows(rows);
  if (lua) {
    data =
        data.Filter("function(k, n, s) return n % 3 ~= 0 end")
            .Map("function(k, n, s) return k, n * 2, #s end")
            .FlatMap(
                "function(k, n, s) local i = 0 return function() i = i + 1 if i <= s % 3 then return n, k end end end");
  } else {
    data = data.Filter([](Value, int64_t n) { return n % 3 != 0; })
               .Map([](Value k, int64_t n, std::string_view s) {
                 return std::tuple(k, n * 2, static_cast<int64_t>(s.size()));
               })
               .FlatMap([](Value k, int64_t n, int64_t s, Emitter& out) {
                 for (int64_t i = 0; i < s % 3; ++i) out(n, k);
               });
  }
  Run(data, &got);
  std::vector<Row> expected;
  for (const Row& row : rows) {
    if (row[1].as_int64() % 3 == 0) continue;
    for (size_t i = 0; i < row[2].as_bytes().size() % 3; ++i) expected.push_back({row[1].as_int64() * 2, row[0]});
  }
  RC_ASSERT(Text(got) == Text(expected));  // In order, too.
}

RC_GTEST_PROP(Steps, ReduceByEqualsTheOracle, ()) {
  const auto rows = SomeRows();
  const int key = *rc::gen::element(1, 3);
  Flow flow;
  std::vector<Row> got;
  auto data = flow.Rows(rows).Select(key, 2);
  data = *rc::gen::arbitrary<bool>() ? data.ReduceBy("function(x, y) return x + y end")
                                     : data.ReduceBy([](int64_t x, int64_t y) { return x + y; });
  Run(data, &got);
  std::map<Value, int64_t> sums;
  for (const Row& row : rows) sums[row[key - 1]] += row[1].as_int64();
  std::vector<Row> expected;
  for (const auto& [k, sum] : sums) expected.push_back({k, sum});
  ExpectSame(std::move(got), std::move(expected));
}

RC_GTEST_PROP(Steps, ReduceByOfSeveralKeysAndValuesEqualsTheOracle, ()) {
  const auto rows = SomeRows();
  Flow flow;
  std::vector<Row> got;
  auto data = flow.Rows(rows).Select(2, 1, 3, 2);  // number, key, bytes, number; keys are fields 3 and 2.
  data = *rc::gen::arbitrary<bool>()
             ? data.ReduceBy("function(a, b, x, y) return math.max(a, x), math.min(b, y) end", Field(3, 2))
             : data.ReduceBy([](int64_t a, int64_t b, int64_t x,
                                int64_t y) { return std::tuple(std::max(a, x), std::min(b, y)); },
                             Field(3, 2));
  Run(data, &got);
  std::map<std::pair<Value, Value>, std::pair<int64_t, int64_t>> folded;
  for (const Row& row : rows) {
    const int64_t n = row[1].as_int64();
    auto [at, is_new] = folded.try_emplace({row[2], row[0]}, n, n);
    at->second = {std::max(at->second.first, n), std::min(at->second.second, n)};
  }
  std::vector<Row> expected;
  for (const auto& [keys, values] : folded) expected.push_back({keys.first, keys.second, values.first, values.second});
  ExpectSame(std::move(got), std::move(expected));
}

RC_GTEST_PROP(Steps, ReduceFoldsAllRows, ()) {
  const auto rows = SomeRows();
  Flow flow;
  std::vector<Row> got;
  Run(flow.Rows(rows).Select(2).Reduce("function(x, y) return x + y end"), &got);
  if (rows.empty()) {
    RC_ASSERT(got.empty());
    return;
  }
  int64_t sum = 0;
  for (const Row& row : rows) sum += row[1].as_int64();
  RC_ASSERT(Text(got) == Text({{sum}}));
}

RC_GTEST_PROP(Steps, GroupByListsTheValuesInOrder, ()) {
  const auto rows = SomeRows();
  Flow flow;
  std::vector<Row> got;
  Run(flow.Rows(rows).GroupBy(), &got);
  std::map<Value, std::pair<std::vector<Value>, std::vector<Value>>> groups;
  for (const Row& row : rows) {
    groups[row[0]].first.push_back(row[1]);
    groups[row[0]].second.push_back(row[2]);
  }
  std::vector<Row> expected;
  for (const auto& [key, lists] : groups) expected.push_back({key, Value(lists.first), Value(lists.second)});
  ExpectSame(std::move(got), std::move(expected));
}

RC_GTEST_PROP(Steps, SortIsStableAndTotal, ()) {
  const auto rows = SomeRows();
  const SortOrder first = *rc::gen::element(Ascending, Descending), second = *rc::gen::element(Ascending, Descending);
  const auto less = [&](const Row& a, const Row& b) {
    const int key = a[0].cell().Compare(b[0].cell()) * first;
    return key != 0 ? key < 0 : a[2].cell().Compare(b[2].cell()) * second < 0;
  };
  auto expected = rows;
  std::stable_sort(expected.begin(), expected.end(), less);
  Flow flow;
  std::vector<Row> got;
  Run(flow.Rows(rows).SortBy({OrderBy(1, first), OrderBy(3, second)}), &got);
  RC_ASSERT(Text(got) == Text(expected));
}

RC_GTEST_PROP(Steps, TopIsTheBeginningOfSort, ()) {
  const auto rows = SomeRows();
  const auto count = *rc::gen::inRange<int64_t>(0, 20);
  Flow flow;
  std::vector<Row> top, sorted;
  const std::vector<OrderBy> orders = {OrderBy(2, *rc::gen::element(Ascending, Descending)), OrderBy(1)};
  Run(flow.Rows(rows).Top(count, orders), &top);
  Flow other;
  Run(other.Rows(rows).SortBy(orders).Limit(count), &sorted);
  RC_ASSERT(Text(top) == Text(sorted));
  RC_ASSERT(static_cast<int64_t>(top.size()) == std::min<int64_t>(count, static_cast<int64_t>(rows.size())));
}

RC_GTEST_PROP(Steps, LimitGivesTheFirstRowsInOrder, ()) {
  const auto rows = SomeRows();
  const auto count = *rc::gen::inRange<int64_t>(0, 50), offset = *rc::gen::inRange<int64_t>(0, 50);
  Flow flow;
  std::vector<Row> got;
  Run(flow.Rows(rows).Limit(count, offset), &got);
  const auto size = static_cast<int64_t>(rows.size());
  const auto begin = std::min(offset, size), end = std::min(offset + count, size);
  RC_ASSERT(Text(got) == Text(std::vector<Row>(rows.begin() + begin, rows.begin() + end)));
}

RC_GTEST_PROP(Steps, JoinGivesEveryPairOfEqualKeys, ()) {
  const auto left = SomeRows();
  auto right = *rc::gen::container<std::vector<Row>>(
      rc::gen::exec([] { return Row{*AnyKey(), Value(*rc::gen::inRange<int64_t>(0, 9))}; }));
  Flow flow;
  std::vector<Row> got;
  Run(flow.Rows(left).Join(flow.Rows(right)), &got);
  std::vector<Row> expected;
  for (const Row& l : left) {
    for (const Row& r : right) {
      if (l[0] == r[0]) expected.push_back({l[0], l[1], l[2], r[1]});
    }
  }
  ExpectSame(std::move(got), std::move(expected));
}

std::vector<Row> RightRows() {
  return *rc::gen::container<std::vector<Row>>(
      rc::gen::exec([] { return Row{Value(*rc::gen::inRange<int64_t>(0, 9)), *AnyKey(), Value("r")}; }));
}

// Left rows are (key, number, bytes), right ones (number, key, bytes): the key stands elsewhere on the right.
RC_GTEST_PROP(Steps, OuterJoinsAddTheRowsWithoutPartner, ()) {
  const auto left = SomeRows();
  const auto right = RightRows();
  const bool keeps_left = *rc::gen::arbitrary<bool>(), keeps_right = *rc::gen::arbitrary<bool>();
  Flow flow;
  std::vector<Row> got;
  const Dataset a = flow.Rows(left), b = flow.Rows(right);
  Run(keeps_left && keeps_right ? a.FullOuterJoin(b, On(1), On(2))
      : keeps_left              ? a.LeftOuterJoin(b, On(1), On(2))
      : keeps_right             ? a.RightOuterJoin(b, On(1), On(2))
                                : a.Join(b, On(1), On(2)),
      &got);
  std::vector<Row> expected;
  std::vector<bool> matched(right.size());
  const Value nil = {};
  for (const Row& l : left) {
    bool found = false;
    for (size_t i = 0; i < right.size(); ++i) {
      if (l[0] != right[i][1]) continue;
      expected.push_back({l[0], l[1], l[2], right[i][0], right[i][2]});
      found = matched[i] = true;
    }
    // A side without any row has no columns.
    if (!found && keeps_left)
      expected.push_back(right.empty() ? Row{l[0], l[1], l[2]} : Row{l[0], l[1], l[2], nil, nil});
  }
  for (size_t i = 0; i < right.size() && keeps_right; ++i) {
    if (matched[i]) continue;
    const Row& r = right[i];
    expected.push_back(left.empty() ? Row{r[1], r[0], r[2]} : Row{r[1], nil, nil, r[0], r[2]});
  }
  ExpectSame(std::move(got), std::move(expected));
}

RC_GTEST_PROP(Steps, SemiAndAntiJoinDivideTheLeftRows, ()) {
  const auto left = SomeRows();
  const auto right = RightRows();
  Flow flow;
  std::vector<Row> with, without;
  const Dataset a = flow.Rows(left), b = flow.Rows(right);
  a.SemiJoin(b, On(1), On(2)).Collect(&with);
  Run(a.AntiJoin(b, On(1), On(2)), &without);
  std::vector<Row> expected_with, expected_without;
  for (const Row& l : left) {
    const bool found = std::any_of(right.begin(), right.end(), [&](const Row& r) { return r[1] == l[0]; });
    (found ? expected_with : expected_without).push_back(l);
  }
  ExpectSame(std::move(with), std::move(expected_with));
  ExpectSame(std::move(without), std::move(expected_without));
}

// Also when the small side comes from the big one, and when it was named first.
RC_GTEST_PROP(Steps, HashJoinGivesTheRowsOfJoinInOrder, ()) {
  const auto left = SomeRows();
  const auto right = RightRows();
  Flow flow;
  std::vector<Row> got;
  const bool small_first = *rc::gen::arbitrary<bool>();
  Dataset b = flow.Rows(right);
  const Dataset a = flow.Rows(left);
  if (!small_first) b = flow.Rows(right);
  Run(a.HashJoin(b, On(1), On(2)), &got);
  std::vector<Row> expected;
  for (const Row& l : left) {
    for (const Row& r : right) {
      if (l[0] == r[1]) expected.push_back({l[0], l[1], l[2], r[0], r[2]});
    }
  }
  RC_ASSERT(Text(got) == Text(expected));

  Flow itself;
  std::vector<Row> pairs;
  const Dataset data = itself.Rows(right);
  Run(data.HashJoin(data.Filter([](int64_t n) { return n % 2 == 0; })), &pairs);
  expected.clear();
  for (const Row& l : right) {
    for (const Row& r : right) {
      if (l[0] == r[0] && r[0].as_int64() % 2 == 0) expected.push_back({l[0], l[1], l[2], r[1], r[2]});
    }
  }
  RC_ASSERT(Text(pairs) == Text(expected));
}

RC_GTEST_PROP(Steps, CoGroupListsTheRowsOfBothSides, ()) {
  const auto left = SomeRows();
  const auto right = RightRows();
  Flow flow;
  std::vector<Row> got;
  Run(flow.Rows(left).CoGroup(flow.Rows(right), On(1), On(2)), &got);
  std::map<Value, std::pair<std::vector<Value>, std::vector<Value>>> groups;
  for (const Row& l : left) groups[l[0]].first.push_back(Value(std::vector<Value>{l[1], l[2]}));
  for (const Row& r : right) groups[r[1]].second.push_back(Value(std::vector<Value>{r[0], r[2]}));
  std::vector<Row> expected;
  for (const auto& [key, lists] : groups) expected.push_back({key, Value(lists.first), Value(lists.second)});
  ExpectSame(std::move(got), std::move(expected));
}

RC_GTEST_PROP(Steps, SelfJoinReadsOneDatasetTwice, ()) {
  const auto rows = *rc::gen::container<std::vector<Row>>(
      rc::gen::exec([] { return Row{*AnyKey(), Value(*rc::gen::inRange<int64_t>(0, 9))}; }));
  Flow flow;
  std::vector<Row> got;
  const Dataset data = flow.Rows(rows);
  Run(data.Join(data), &got);
  std::vector<Row> expected;
  for (const Row& l : rows) {
    for (const Row& r : rows) {
      if (l[0] == r[0]) expected.push_back({l[0], l[1], r[1]});
    }
  }
  ExpectSame(std::move(got), std::move(expected));
}

RC_GTEST_PROP(Steps, DistinctKeepsTheFirstRowOfEachKey, ()) {
  const auto rows = SomeRows();
  Flow flow;
  std::vector<Row> by_key, whole;
  flow.Rows(rows).Distinct(1).Collect(&by_key);
  flow.Rows(rows).Distinct().Collect(&whole);
  const Status status = flow.Run(ASession());
  if (!status.ok()) RC_FAIL(status.message());
  std::map<Value, Row> first;
  std::map<Row, bool, bool (*)(const Row&, const Row&)> all(RowLess);
  for (const Row& row : rows) {
    first.emplace(row[0], row);
    all.emplace(row, true);
  }
  std::vector<Row> expected, expected_whole;
  for (const auto& [_, row] : first) expected.push_back(row);
  for (const auto& [row, _] : all) expected_whole.push_back(row);
  ExpectSame(std::move(by_key), std::move(expected));
  ExpectSame(std::move(whole), std::move(expected_whole));
}

// Of any partition counts: rows of one dataset after those of the other.
RC_GTEST_PROP(Steps, UnionGivesAllRowsInOrder, ()) {
  const auto a = SomeRows(), b = RightRows(), c = RightRows();
  Flow flow;
  std::vector<Row> got, numbered, dealt;
  const Dataset first = flow.Rows(a), second = flow.Rows(b);
  const Dataset all = first.Union({second, flow.Rows(c)});
  all.Collect(&got);
  all.ZipWithIndex(5).Collect(&numbered);
  const int count = *rc::gen::element(1, 2, 25);
  first.Union(second.RoundRobin(count)).Pipe("wc -l").Collect(&dealt);
  const Status status = flow.Run(ASession());
  if (!status.ok()) RC_FAIL(status.message());
  std::vector<Row> expected = a;
  expected.insert(expected.end(), b.begin(), b.end());
  expected.insert(expected.end(), c.begin(), c.end());
  RC_ASSERT(Text(got) == Text(expected));
  for (size_t i = 0; i < expected.size(); ++i) expected[i].push_back(Value(static_cast<int64_t>(i) + 5));
  RC_ASSERT(Text(numbered) == Text(expected));
  RC_ASSERT(static_cast<int>(dealt.size()) == count + 1);
}

RC_GTEST_PROP(Steps, LocalStepsWorkWithinEachPartition, ()) {
  const auto rows = SomeRows();
  const int count = *rc::gen::element(1, 2, 3, 25);
  Flow flow;
  std::vector<Row> limited, top, sums, sorted, merged;
  const Dataset dealt = flow.Rows(rows).Partition(count);
  dealt.LocalLimit(2).Collect(&limited);
  dealt.LocalTop(1, {OrderBy(2)}).Collect(&top);
  dealt.Select(2).LocalReduce("function(x, y) return x + y end").Collect(&sums);
  dealt.LocalSort(2)
      .MergeSortedTo(*rc::gen::element(1, 2), {OrderBy(2)})
      .MergeSortedTo(1, {OrderBy(2)})
      .Collect(&merged);
  // All partitions at once: the same as without Local.
  flow.Rows(rows).LocalSort(2).Collect(&sorted);
  const Status status = flow.Run(ASession());
  if (!status.ok()) RC_FAIL(status.message());

  RC_ASSERT(limited.size() <= static_cast<size_t>(2 * count));
  RC_ASSERT(limited.size() >= std::min<size_t>(rows.size(), 2));
  RC_ASSERT(top.size() == sums.size());
  RC_ASSERT(sums.size() <= static_cast<size_t>(count));
  int64_t total = 0, expected_total = 0;
  for (const Row& row : sums) total += row[0].as_int64();
  for (const Row& row : rows) expected_total += row[1].as_int64();
  RC_ASSERT(total == expected_total);
  auto expected = rows;
  std::stable_sort(expected.begin(), expected.end(), [](const Row& x, const Row& y) { return x[1] < y[1]; });
  RC_ASSERT(Text(sorted) == Text(expected));
  RC_ASSERT(std::is_sorted(merged.begin(), merged.end(), [](const Row& x, const Row& y) { return x[1] < y[1]; }));
  ExpectSame(merged, rows);
}

RC_GTEST_PROP(Steps, BroadcastGivesEveryPartitionAllRows, ()) {
  const auto rows = RightRows();
  const int count = *rc::gen::element(1, 2, 7);
  Flow flow;
  std::vector<Row> got;
  Run(flow.Rows(rows).Broadcast(count), &got);
  std::vector<Row> expected;
  for (int i = 0; i < count; ++i) expected.insert(expected.end(), rows.begin(), rows.end());
  RC_ASSERT(Text(got) == Text(expected));
}

RC_GTEST_PROP(Steps, SampleIsASubsetOfItsSize, ()) {
  const double fraction = *rc::gen::element(0.0, 0.1, 0.5, 1.0);
  const auto seed = *rc::gen::arbitrary<uint64_t>();
  constexpr int64_t kRows = 20000;
  Flow flow;
  std::vector<Row> got;
  Run(flow.Range(0, kRows).Sample(fraction, seed), &got);
  const double expected = fraction * kRows;
  // Six standard deviations.
  RC_ASSERT(std::abs(static_cast<double>(got.size()) - expected) <= 6 * std::sqrt(expected * (1 - fraction)));
  RC_ASSERT(std::adjacent_find(got.begin(), got.end(), [](const Row& a, const Row& b) { return !(a[0] < b[0]); }) ==
            got.end());
}

TEST(Steps, ACacheIsWorkedOutOnceAndReadByLaterRuns) {
  Session session;
  Flow flow;
  std::atomic<int> calls = 0;
  std::vector<Row> first, second, third;
  const Dataset kept = flow.Range(0, 1000)
                           .Map([&calls](int64_t n) {
                             ++calls;
                             return n * n;
                           })
                           .Partition(3)
                           .Cache();
  ASSERT_TRUE(kept.Sort().Collect(&first).Run(session).ok());
  EXPECT_EQ(calls, 1000);
  ASSERT_TRUE(kept.Sort().Collect(&second).Run(session).ok());
  EXPECT_EQ(calls, 1000);
  EXPECT_EQ(first.size(), 1000u);  // The first end did not run again.
  EXPECT_EQ(Text(first), Text(second));
  const Status status = kept.Pipe("wc -l").Collect(&third).Run(session);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(third.size(), 3u);
  EXPECT_EQ(calls, 1000);
}

TEST(Steps, ADatasetOnDiskIsMadeOnceForAllSessions) {
  const auto env = env::MakePosixEnv();
  const std::string folder = env->files().MakeTemporaryFolder("glim-steps-").value();
  std::atomic<int> calls = 0;
  std::vector<Row> first;
  for (int i = 0; i < 3; ++i) {
    Session session(SessionOptions{.dataset_folder = folder});
    Flow flow;
    std::vector<Row> rows;
    const Dataset kept = flow.Range(0, 1000)
                             .Map([&calls](int64_t n) {
                               ++calls;
                               return n * n;
                             })
                             .Partition(3)
                             .OnDisk("squares");
    const Status status = kept.Sort().Collect(&rows).Run(session);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(calls, 1000);
    if (i == 0) first = rows;
    EXPECT_EQ(Text(rows), Text(first));
    Flow reads;
    rows.clear();
    ASSERT_TRUE(reads.FromDisk("squares").Sort().Collect(&rows).Run(session).ok());
    EXPECT_EQ(Text(rows), Text(first));
  }
  ASSERT_TRUE(env->files().RemoveAll(folder).ok());
}

TEST(Steps, ARunOfADatasetRunsWhatNoRunHasFinished) {
  Session session;
  Flow flow;
  std::vector<Row> a, b;
  const Dataset source = flow.Range(0, 3);
  source.Collect(&a);
  const Dataset end = source.Map([](int64_t n) { return -n; }).Collect(&b);
  ASSERT_TRUE(end.Run(session).ok());
  EXPECT_EQ(a.size(), 3u);
  EXPECT_EQ(b.size(), 3u);
  ASSERT_TRUE(end.Run(session).ok());  // Again: only its own end.
  EXPECT_EQ(a.size(), 3u);
  EXPECT_EQ(b.size(), 6u);
  ASSERT_TRUE(flow.Run(session).ok());  // All.
  EXPECT_EQ(a.size(), 6u);
  EXPECT_EQ(b.size(), 9u);
}

RC_GTEST_PROP(Steps, PartitionAndRoundRobinKeepAllRows, ()) {
  const auto rows = SomeRows();
  const int count = *rc::gen::element(1, 2, 3, 25);
  Flow flow;
  std::vector<Row> hashed, dealt;
  flow.Rows(rows).Partition(count).Collect(&hashed);
  Run(flow.Rows(rows).RoundRobin(count), &dealt);
  ExpectSame(hashed, rows);
  ExpectSame(dealt, rows);
}

TEST(Steps, RoundRobinDealsASourceAlikeForAnyNumberOfTasks) {
  std::vector<Row> first;
  for (const int tasks : {1, 2, 3, 25}) {
    SessionOptions options;
    options.partitions = tasks;
    Session session(options);
    Flow flow;
    std::vector<Row> got;
    const auto odd = [](int64_t n) { return n % 2 == 1; };
    ASSERT_TRUE(flow.Range(0, 2'000'000)  // Four splits.
                    .Filter(odd)
                    .Union(flow.Range(0, 10))
                    .RoundRobin(3)
                    .LocalReduce([](int64_t a, int64_t b) { return a + b; })
                    .Collect(&got)
                    .Run(session)
                    .ok());
    ASSERT_EQ(got.size(), 3u);
    if (first.empty()) first = got;
    EXPECT_EQ(Text(got), Text(first)) << tasks;
  }
}

// What is in each partition, as a step that works on whole partitions sees it.
TEST(Steps, RoundRobinDealsAnyRowsAlikeForAnyNumberOfTasks) {
  using Make = std::function<Dataset(Flow&)>;
  const auto numbers = [](Flow& flow) { return flow.Range(0, 1'200'000); };  // Several splits.
  const std::pair<const char*, Make> kinds[] = {
      {"a fold",
       [&](Flow& flow) {
         return numbers(flow)
             .Map([](int64_t n) { return std::pair(n % 1000, n); })
             .ReduceBy([](int64_t a, int64_t b) { return a + b; })
             .Select(2);
       }},
      {"distinct rows", [&](Flow& flow) { return numbers(flow).Map([](int64_t n) { return n % 1000; }).Distinct(); }},
      {"a join", [&](Flow& flow) { return flow.Range(0, 1000).Join(flow.Range(0, 500)); }},
      {"partitions", [&](Flow& flow) { return numbers(flow).Partition(2); }},
      {"a sort", [&](Flow& flow) { return numbers(flow).Sort(); }},
      {"what several steps read",
       [&](Flow& flow) {
         const Dataset all = numbers(flow);
         all.Select(1);
         return all.Filter([](int64_t n) { return n % 3 != 0; });
       }},
      {"rows with an index", [&](Flow& flow) { return numbers(flow).ZipWithIndex().Select(2); }},
      {"partitions that were dealt", [&](Flow& flow) { return numbers(flow).Distinct().RoundRobin(2); }},
  };
  for (const auto& [name, make] : kinds) {
    std::string first;
    for (const int tasks : {1, 2, 3, 25}) {
      SessionOptions options;
      options.partitions = tasks;
      Session session(options);
      Flow flow;
      std::vector<Row> got;
      const Status status = make(flow)
                                .RoundRobin(3)
                                .LocalReduce([](int64_t a, int64_t b) { return (a + b) % 1'000'003; })
                                .Collect(&got)
                                .Run(session);
      ASSERT_TRUE(status.ok()) << status.ToString();
      ASSERT_EQ(got.size(), 3u) << name;
      if (first.empty()) first = Text(got);
      EXPECT_EQ(Text(got), first) << name << ", " << tasks << " tasks";
    }
  }
}

RC_GTEST_PROP(Steps, LinesOfAPipeAreTheTextOfTheRows, ()) {
  std::vector<std::string> lines(*rc::gen::inRange(0, 2000));
  for (std::string& line : lines) line = *rc::gen::container<std::string>(rc::gen::inRange('a', 'z'));
  Flow flow;
  std::vector<Row> got;
  Run(flow.Strings(lines).Pipe("cat"), &got);
  std::vector<Row> expected;
  for (const std::string& line : lines) expected.push_back({Value(line)});
  RC_ASSERT(Text(got) == Text(expected));
}

TEST(Steps, ListsAndNilsThatWereMovedApartAreSorted) {
  Flow flow;
  const Value list(std::vector<Value>{Value(7)});
  std::vector<Row> all, each;
  const Dataset moved =
      flow.Rows({{Value(3), Value()}, {Value(1), list}, {Value(2), Value()}, {Value(4), Value()}}).RoundRobin(4);
  moved.Sort().Collect(&all);
  moved.LocalSort().Collect(&each);
  const Status status = flow.Run();
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(Text(all), "1|{7}|\n2|nil|\n3|nil|\n4|nil|\n");
  EXPECT_EQ(each.size(), 4u);
}

TEST(Steps, SaveFirstRowTo) {
  Flow flow;
  int64_t sum = 0;
  ASSERT_TRUE(flow.Range(0, 1000).Reduce([](int64_t x, int64_t y) { return x + y; }).SaveFirstRowTo(&sum).Run().ok());
  EXPECT_EQ(sum, 999 * 1000 / 2);

  const auto fields = [](int64_t n) { return std::tuple(n + 3, n * 0.5, std::string("text")); };
  Flow three;
  int64_t whole = 0;
  double half = 0;
  std::string text;
  ASSERT_TRUE(three.Range(1, 2).Map(fields).SaveFirstRowTo(&whole, &half, &text).Run().ok());
  EXPECT_EQ(std::tuple(whole, half, text), std::tuple(4, 0.5, "text"));

  Flow wrong;
  const Status status = wrong.Range(1, 2).Map(fields).SaveFirstRowTo(&whole, &half, &half).Run();
  EXPECT_NE(status.message().find("SaveFirstRowTo: field 3 is "), std::string::npos) << status.message();
}

TEST(Steps, PipeAfterASourceIsOneProcessAndAfterPartitionOneEach) {
  Flow flow;
  std::vector<Row> one, three;
  flow.Range(0, 100000).Pipe("wc -l").Collect(&one);
  flow.Range(0, 100000).Partition(3).Pipe("wc -l").Collect(&three);
  const Status status = flow.Run();
  ASSERT_TRUE(status.ok()) << status.message();
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0][0].as_bytes(), "100000");
  EXPECT_EQ(three.size(), 3u);
}

TEST(Steps, LimitStopsAnEndlessProgram) {
  Flow flow;
  std::vector<Row> rows;
  const Status status = flow.Strings({"x"}).Pipe("yes").Limit(5).Collect(&rows).Run();
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(rows.size(), 5u);
}

TEST(Steps, AnExceptionBecomesAStatusWithTheRow) {
  Flow flow;
  std::vector<Row> rows;
  const auto fail_at_two = [](int64_t n) -> int64_t {
    if (n == 2) throw std::runtime_error("two is bad");  // allow(throw): the test's user code.
    return n;
  };
  const Status status = flow.Ints({1, 2, 3}).Map(fail_at_two).Collect(&rows).Run();
  EXPECT_EQ(status.code(), Code::kUserCode);
  EXPECT_EQ(status.message(), "Map(C++): the function threw: two is bad, row (2)");
}

[[noreturn]] void Throw() { throw std::runtime_error("bad luck"); }  // allow(throw): the test's user code.

TEST(Steps, WhateverCxxFunctionThrowsItsStepIsNamed) {
  const auto message = [](const auto& add_step) {
    Flow flow;
    std::vector<Row> rows;
    const Dataset dataset = add_step(flow.Rows({{Value("a"), Value(1)}, {Value("a"), Value(2)}}));
    const Status status = dataset.Collect(&rows).Run();
    EXPECT_EQ(status.code(), Code::kUserCode);
    EXPECT_TRUE(rows.empty());
    return status.message();
  };
  const std::string row = "(C++): the function threw: bad luck, row (\"a\", 1)";
  EXPECT_EQ(message([](const Dataset& d) { return d.Filter([](std::string_view) -> bool { Throw(); }); }),
            "Filter" + row);
  EXPECT_EQ(message([](const Dataset& d) {
              return d.FlatMap([](std::string_view) -> std::vector<std::string> { Throw(); });
            }),
            "FlatMap" + row);
  EXPECT_EQ(message([](const Dataset& d) { return d.ForEach([](std::string_view, int64_t) { Throw(); }); }),
            "ForEach" + row);
  EXPECT_EQ(message([](const Dataset& d) { return d.ForEachBatch([](const Batch&) { Throw(); }); }),
            "ForEachBatch(C++): the function threw: bad luck");
  EXPECT_EQ(message([](const Dataset& d) { return d.ReduceBy([](int64_t, int64_t) -> int64_t { Throw(); }); }),
            "ReduceBy(field 1, C++): key (\"a\"): the function threw: bad luck, row (2)");
  EXPECT_EQ(message([](const Dataset& d) { return d.Output([](const Batch&) -> Status { Throw(); }); }),
            "Output: the function threw: bad luck");
  EXPECT_EQ(message([](const Dataset& d) {
              return d.ForEach([](std::string_view) { throw 7; });  // allow(throw): the test's user code.
            }),
            "ForEach(C++): the function threw: an exception that is not a std::exception, row (\"a\", 1)");
}

TEST(Steps, ARunWithinARunIsRefusedAndTheSessionStaysUsable) {
  Session session;
  Flow inner("inner"), outer("outer");
  std::vector<Row> rows;
  inner.Ints({1}).Collect(&rows);
  outer.Ints({1}).Output([&](const Batch&) { return inner.Run(session); });
  EXPECT_EQ(outer.Run(session).message(), "Output: the flow \"inner\" cannot run yet: its session runs another one");
  EXPECT_TRUE(inner.Run(session).ok());
  EXPECT_EQ(rows.size(), 1u);
}

TEST(Steps, MistakesInACallAreToldByRun) {
  const auto message = [](const auto& add_step) {
    Flow flow;
    return add_step(flow.Ints({1})).Run().message();
  };
  EXPECT_EQ(message([](const Dataset& d) { return d.Partition(0); }),
            "Partition(0): there can be 1 to 65536 partitions");
  EXPECT_EQ(message([](const Dataset& d) { return d.RoundRobin(1000000000); }),
            "RoundRobin(1000000000): there can be 1 to 65536 partitions");
  EXPECT_EQ(message([](const Dataset& d) { return d.Pipe(""); }), "Pipe needs a command");
  EXPECT_EQ(message([](const Dataset& d) { return d.PipeAsArgs(""); }), "PipeAsArgs needs a command");
  EXPECT_EQ(message([](const Dataset& d) { return d.WriteText(""); }), "WriteText needs the name of a file");
  EXPECT_EQ(message([](const Dataset& d) { return d.WriteText("a/b").WriteText("a/./b"); }),
            "WriteText(\"a/./b\"): this flow writes that file already");
  EXPECT_EQ(Flow().TextFile(std::vector<std::string>{}).Run().message(), "TextFile needs the name of a file");
}

TEST(Steps, MessagesNameTheStepAndTheRow) {
  const auto message = [](const Dataset& dataset) {
    std::vector<Row> rows;
    return dataset.Collect(&rows).Run().message();
  };
  Flow flow;
  EXPECT_EQ(message(flow.Ints({7}).Sort(3)), "Sort(3): there is no field 3, the row has 1: (7)");
  Flow types;
  EXPECT_EQ(message(types.Strings({"x"}).Map([](int64_t n) { return n; })),
            "Map(C++): the function wants an integer in column 1, got \"x\", row (\"x\")");
  Flow lua;
  EXPECT_EQ(message(lua.Strings({"x"}).Map("function(s) return s.y.z end")),
            "Map(lua function(s) return s.y.z end): lua:1: attempt to index field 'y' (a nil value), row (\"x\")");
  Flow zero;
  EXPECT_EQ(message(zero.Ints({7}).Select(0)), "Select: field 0 does not exist, fields are numbered from 1");
}

TEST(Steps, OneKeyBeyondTheBudgetIsAnErrorThatNamesTheStep) {
  SessionOptions options;
  options.memory_bytes = 4 << 20;
  Session session(options);
  Flow flow;
  std::vector<Row> rows;
  const Status status =
      flow.Range(0, 2000000).Map([](int64_t n) { return std::pair(1, n); }).GroupBy().Collect(&rows).Run(session);
  EXPECT_EQ(status.code(), Code::kExhausted);
  EXPECT_EQ(status.message().find("GroupBy(field 1): the step needs "), 0u) << status.message();
  EXPECT_NE(status.message().find("raise them with --memory"), std::string::npos) << status.message();
}

TEST(Tables, FlowsPushAndLookUpAndRead) {
  Session session;
  auto counts = session.CreateTable<int64_t>("counts", SparseKeys(), Add());
  Flow flow;
  flow.Range(0, 10000).Map([](int64_t n) { return std::tuple(n % 7, int64_t{1}); }).PushTo(counts.client());
  ASSERT_TRUE(flow.Run(session).ok());
  Flow reading;
  std::vector<Row> rows, found;
  reading.Table(counts.client()).Sort().Collect(&rows);
  reading.Ints({3, 99}).Lookup(counts.client()).Collect(&found);
  const Status status = reading.Run(session);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(Text(rows), "0|1429|\n1|1429|\n2|1429|\n3|1429|\n4|1428|\n5|1428|\n6|1428|\n");
  EXPECT_EQ(Text(found), "3|1429|\n99|0|\n");
}

}  // namespace
}  // namespace glim
