// SPDX-License-Identifier: Apache-2.0
//
// Known folds against a plain oracle, for any partitions, threads and memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/try.h"
#include "glim/glim.h"

namespace glim {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kSmall = 64 << 10;
// The values of one key must fit.
constexpr int64_t kSmallForLists = 512 << 10;
bool KeepsValues(const Fold& fold) {
  return fold.kind == Fold::Kind::kCountDistinct || fold.kind == Fold::Kind::kQuantiles ||
         fold.kind == Fold::Kind::kApproxCountDistinct;
}

Result<std::vector<Row>> Rows(const std::function<Dataset(Flow&)>& build, int threads = 2,
                              int64_t memory_bytes = int64_t{1} << 30) {
  Session session({.threads = threads, .memory_bytes = memory_bytes});
  Flow flow;
  std::vector<Row> rows;
  RETURN_IF_ERROR(build(flow).Collect(&rows).Run(session));
  std::sort(rows.begin(), rows.end());
  return rows;
}

std::string Text(const std::vector<Row>& rows) {
  std::string text;
  for (const Row& row : rows) text += Value(row).ToString() + "\n";
  return text;
}

// What the fold of these values is, done the slow way; nils are no values.
Value Oracle(const Fold& fold, std::vector<Value> values) {
  std::erase(values, Value());
  if (fold.kind == Fold::Kind::kCount) return static_cast<int64_t>(values.size());
  std::sort(values.begin(), values.end());
  if (fold.kind == Fold::Kind::kCountDistinct || fold.kind == Fold::Kind::kApproxCountDistinct) {
    return static_cast<int64_t>(std::set<Value>(values.begin(), values.end()).size());
  }
  if (values.empty()) return Value();
  switch (fold.kind) {
    case Fold::Kind::kMin: return values.front();
    case Fold::Kind::kMax: return values.back();
    case Fold::Kind::kQuantiles: {
      std::vector<Value> found;
      for (const double at : fold.at) {
        const auto count = static_cast<double>(values.size());
        size_t i = 0;
        while (static_cast<double>(i + 1) < at * count) ++i;
        found.push_back(values[i]);
      }
      return found.size() == 1 ? found[0] : Value(found);
    }
    default: break;
  }
  int64_t whole = 0;
  double rest = 0;
  bool doubles = false;
  for (const Value& value : values) {
    if (value.type() == Type::kInt64) {
      whole += value.as_int64();
    } else {
      rest += value.as_double();
      doubles = true;
    }
  }
  if (fold.kind == Fold::Kind::kMean) return (static_cast<double>(whole) + rest) / static_cast<double>(values.size());
  return doubles ? Value(static_cast<double>(whole) + rest) : Value(whole);
}

// Doubles are eighths, whose sums are exact in any order.
Value Number(bool doubles) {
  const auto n = *rc::gen::inRange<int64_t>(-1000, 1000);
  if (*rc::gen::inRange(0, 8) == 0) return Value();
  return doubles && *rc::gen::arbitrary<bool>() ? Value(static_cast<double>(n) / 8) : Value(n);
}

Value Anything() {
  switch (*rc::gen::inRange(0, 5)) {
    case 0: return Value(*rc::gen::arbitrary<bool>());
    case 1: return Value(std::string(*rc::gen::inRange<size_t>(0, 30), 'x'));
    case 2: return Value(std::vector<Value>{Value(*rc::gen::inRange<int64_t>(0, 3))});
    default: return Number(true);
  }
}

std::vector<Fold> AllFolds(bool numbers) {
  std::vector<Fold> folds{
      Count(), Min(), Max(), CountDistinct(), ApproxCountDistinct(), Quantiles({0.5}), Quantiles({0, 0.3, 1})};
  if (numbers) folds.insert(folds.end(), {Sum(), Mean()});
  return folds;
}

RC_GTEST_PROP(Folds, GiveWhatAnOracleGives, ()) {
  const bool numbers = *rc::gen::inRange(0, 3) > 0, doubles = *rc::gen::arbitrary<bool>();
  const auto folds =
      *rc::gen::container<std::vector<Fold>>(*rc::gen::inRange<size_t>(1, 4), rc::gen::elementOf(AllFolds(numbers)));
  const size_t width = folds.size() == 1 ? *rc::gen::inRange<size_t>(1, 3) : folds.size();
  const auto keys = *rc::gen::inRange<int64_t>(1, 40);
  std::vector<Row> rows(*rc::gen::inRange<size_t>(0, 300));
  for (Row& row : rows) {
    row.push_back(Value(*rc::gen::inRange<int64_t>(0, keys)));
    for (size_t i = 0; i < width; ++i) row.push_back(numbers ? Number(doubles) : Anything());
  }
  std::map<Value, std::vector<std::vector<Value>>> by_key;
  for (const Row& row : rows) {
    auto& columns = by_key[row[0]];
    columns.resize(width);
    for (size_t i = 0; i < width; ++i) columns[i].push_back(row[i + 1]);
  }
  std::vector<Row> expected;
  for (const auto& [key, columns] : by_key) {
    Row row{key};
    for (size_t i = 0; i < width; ++i) row.push_back(Oracle(folds[folds.size() == 1 ? 0 : i], columns[i]));
    expected.push_back(row);
  }
  const int partitions = *rc::gen::element(0, 1, 3, 25);
  const bool local = *rc::gen::arbitrary<bool>();
  const int64_t small = std::any_of(folds.begin(), folds.end(), KeepsValues) ? kSmallForLists : kSmall;
  for (const int64_t memory_bytes : {int64_t{1} << 30, small}) {
    const auto found = Rows(
        [&](Flow& flow) {
          Dataset data = flow.Rows(rows);
          if (local && partitions > 0) return data.Partition(partitions).LocalReduceBy(FunctionSource(folds));
          if (partitions > 0) data = data.RoundRobin(partitions);
          return data.ReduceBy(FunctionSource(folds));
        },
        *rc::gen::inRange(1, 4), memory_bytes);
    RC_ASSERT(found.status().message() == "");
    RC_ASSERT(Text(*found) == Text(expected));
  }
  if (rows.empty()) return;
  const auto all = Rows([&](Flow& flow) {
    std::vector<FieldRef> values;
    for (size_t i = 0; i < width; ++i) values.emplace_back(static_cast<int>(i) + 2);
    Dataset data = flow.Rows(rows).Select(Fields(values));
    if (partitions > 0) data = data.RoundRobin(partitions);
    return data.Reduce(FunctionSource(folds));
  });
  Row one;
  for (size_t i = 0; i < width; ++i) {
    std::vector<Value> values;
    for (const Row& row : rows) values.push_back(row[i + 1]);
    one.push_back(Oracle(folds[folds.size() == 1 ? 0 : i], values));
  }
  RC_ASSERT(all.status().message() == "");
  RC_ASSERT(Text(*all) == Text({one}));
}

// Tens of thousands of groups, which do not fit.
TEST(Folds, InLittleMemory) {
  for (const Fold& fold : AllFolds(true)) {
    const auto build = [&](Flow& flow) {
      return flow.Range(0, 60000)
          .Map([](int64_t n) {
            return std::tuple("key " + std::to_string(n * 7919 % 20000), n * 31 % 1000,
                              static_cast<double>(n % 17) / 8);
          })
          .ReduceBy(fold);
    };
    const auto expected = Rows(build);
    ASSERT_TRUE(expected.ok()) << expected.status().message();
    EXPECT_EQ(expected->size(), 20000u);
    for (const int threads : {1, 3}) {
      const auto found = Rows(build, threads, 512 << 10);
      ASSERT_TRUE(found.ok()) << found.status().message();
      EXPECT_TRUE(*found == *expected) << ToString(fold);
    }
  }
}

TEST(Folds, CountOfKeysAloneCountsRows) {
  const auto found = Rows([](Flow& flow) { return flow.Strings({"a", "b", "a"}).ReduceBy(Count()); });
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_EQ(*found, (std::vector<Row>{{"a", 2}, {"b", 1}}));
}

TEST(Folds, NoFoldButCountTakesKeysAlone) {
  const auto found = Rows([](Flow& flow) { return flow.Strings({"a"}).ReduceBy(Sum()); });
  EXPECT_THAT(found.status().message(), HasSubstr("no value to fold besides the key"));
}

TEST(Folds, SumsOfIntegersAreExactAndMayNotLeaveInt64) {
  constexpr int64_t kMost = INT64_MAX;
  for (const int partitions : {1, 3}) {
    // On the way the sum is out of range, in any order but one.
    const auto found = Rows([&](Flow& flow) {
      return flow.Rows({{"a", kMost}, {"a", kMost}, {"b", 1}, {"a", -kMost}, {"a", 1 - kMost}})
          .RoundRobin(partitions)
          .ReduceBy(Sum());
    });
    ASSERT_TRUE(found.ok()) << found.status().message();
    EXPECT_EQ(*found, (std::vector<Row>{{"a", 1}, {"b", 1}}));
    const auto failed = Rows([&](Flow& flow) {
      return flow.Rows({{"b", 1}, {"a", kMost}, {"a", 1}}).RoundRobin(partitions).ReduceBy(Sum());
    });
    EXPECT_THAT(failed.status().message(), HasSubstr("key (\"a\")"));
    EXPECT_THAT(failed.status().message(), HasSubstr("more than 64 bits"));
    const auto mean = Rows([&](Flow& flow) { return flow.Ints({kMost, kMost}).RoundRobin(partitions).Reduce(Mean()); });
    ASSERT_TRUE(mean.ok()) << mean.status().message();
    EXPECT_EQ(*mean, (std::vector<Row>{{static_cast<double>(kMost)}}));
  }
}

TEST(Folds, SumsOfDoublesLoseNothingThatADoubleCouldHold) {
  std::vector<Row> rows{{1e16}};
  for (int i = 0; i < 1000; ++i) rows.push_back({0.5});
  rows.push_back({-1e16});
  for (const int partitions : {1, 3}) {
    const auto found = Rows([&](Flow& flow) { return flow.Rows(rows).RoundRobin(partitions).Reduce(Sum()); });
    ASSERT_TRUE(found.ok()) << found.status().message();
    EXPECT_EQ(*found, (std::vector<Row>{{500.0}}));
  }
  const double infinity = std::numeric_limits<double>::infinity();
  const auto found =
      Rows([&](Flow& flow) { return flow.Rows({{infinity, infinity}, {1.5, -infinity}}).Reduce(Sum()); });
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_EQ((*found)[0][0], Value(infinity));
  EXPECT_TRUE(std::isnan((*found)[0][1].as_double()));
}

TEST(Folds, NanIsAboveAllNumbers) {
  const auto found =
      Rows([](Flow& flow) { return flow.Rows({{2.5, 2.5}, {std::nan(""), std::nan("")}}).Reduce({Min(), Max()}); });
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_EQ((*found)[0][0], Value(2.5));
  EXPECT_TRUE(std::isnan((*found)[0][1].as_double()));
}

// Where nearly each row has a key of its own they are not combined; the rows of a key still meet in their order.
TEST(Folds, ManyKeysAreFoldedLikeFew) {
  constexpr int64_t kKeys = 130000, kRows = 3 * kKeys;
  const auto keyed = [](Flow& flow) {
    return flow.Range(0, kRows).Map([](int64_t n) { return std::tuple(n % kKeys, n); });
  };
  const auto check = [&](const Dataset& folded, const std::function<Value(int64_t key)>& expected) {
    Session session({.threads = 2});
    std::vector<Row> rows;
    const Status status = Dataset(folded).Collect(&rows).Run(session);
    ASSERT_TRUE(status.ok()) << status.message();
    ASSERT_EQ(rows.size(), static_cast<size_t>(kKeys));
    std::sort(rows.begin(), rows.end());
    for (int64_t key = 0; key < kKeys; ++key) {
      ASSERT_EQ(rows[static_cast<size_t>(key)], (Row{key, expected(key)}));
    }
  };
  Flow flow;
  const auto last = [](int64_t key) { return Value(key + 2 * kKeys); };
  const auto sum = [](int64_t key) { return Value(3 * key + 3 * kKeys); };
  check(keyed(flow).ReduceBy(Sum()), sum);
  check(keyed(flow).ReduceBy(Mean()), [](int64_t key) { return Value(static_cast<double>(key + kKeys)); });
  check(keyed(flow).ReduceBy(CountDistinct()), [](int64_t) { return Value(3); });
  check(keyed(flow).ReduceBy([](int64_t, int64_t b) { return b; }), last);
  check(keyed(flow).ReduceBy("function(a, b) return b end"), last);
  check(keyed(flow).ReduceBy("function(a, b) return a + b end"), sum);
}

// A mistake in a row that was not combined is told like any other.
TEST(Folds, ManyKeysTellWhoseValueCannotBeFolded) {
  const auto found = Rows([](Flow& flow) {
    return flow.Range(0, 300000)
        .Map([](int64_t n) { return std::tuple(n, n == 140000 ? Value("x") : Value(n)); })
        .ReduceBy(Sum());
  });
  EXPECT_EQ(found.status().message(), "ReduceBy(field 1, sum): key (140000): sum expects numbers, got \"x\"");
}

TEST(Folds, ApproxCountDistinctIsNearTheTruth) {
  for (const int64_t count : {10, 100, 300, 3000, 10000, 100000}) {
    const auto found = Rows([&](Flow& flow) {
      return flow.Range(0, 2 * count)
          .Map([&](int64_t n) { return "value " + std::to_string(n % count); })
          .Reduce(ApproxCountDistinct());
    });
    ASSERT_TRUE(found.ok()) << found.status().message();
    EXPECT_NEAR(static_cast<double>((*found)[0][0].as_int64()), static_cast<double>(count),
                0.05 * static_cast<double>(count));
  }
}

TEST(Folds, TellWhatTheyCannotFold) {
  const auto text = Rows([](Flow& flow) { return flow.Rows({{"a", Value()}, {"a", "x"}}).ReduceBy(Sum()); });
  EXPECT_EQ(text.status().message(), "ReduceBy(field 1, sum): key (\"a\"): sum expects numbers, got \"x\"");
  const auto width = Rows([](Flow& flow) { return flow.Rows({{"a", 1}}).ReduceBy({Sum(), Max()}); });
  EXPECT_EQ(width.status().message(), "ReduceBy(field 1, sum, max): there are 2 folds for 1 field besides the key");
  const auto at = Rows([](Flow& flow) { return flow.Rows({{"a", 1}}).ReduceBy(Quantiles({0.5, 50})); });
  EXPECT_EQ(at.status().message(), "ReduceBy: quantiles wants numbers from 0 to 1, got quantiles(0.5, 50)");
  const auto map = Rows([](Flow& flow) { return flow.Rows({{"a", 1}}).Map(FunctionSource(Sum())); });
  EXPECT_EQ(map.status().message(), "Map takes a function, and sum is a fold");
}

}  // namespace
}  // namespace glim
