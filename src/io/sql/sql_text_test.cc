// SPDX-License-Identifier: Apache-2.0
#include "io/sql/sql_text.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstdlib>
#include <limits>

namespace glim::io {
namespace {

using Texts = std::vector<std::string>;

TEST(SqlText, NamesAreQuoted) {
  const auto quoted = [](std::string_view table) { return SqlTable::Parse(table)->Quoted(); };
  EXPECT_EQ(QuoteName("a \"b\""), "\"a \"\"b\"\"\"");
  EXPECT_EQ(quoted("sales"), "\"sales\"");
  EXPECT_EQ(quoted("shop.my sales"), "\"shop\".\"my sales\"");
  EXPECT_EQ(quoted("\"a.b\".\"c\"\"d\""), "\"a.b\".\"c\"\"d\"");
  for (const std::string wrong :
       {"", ".", "a.", ".a", "a..b", "\"", "\"a", "\"\"", "a\"b", "\"a\"b", "\"a\".", "a; drop table \"b\""}) {
    EXPECT_EQ(SqlTable::Parse(wrong).status().code(), Code::kInvalid) << wrong;
  }
  EXPECT_EQ(SqlTable::Parse(std::string_view("a\0b", 3)).status().code(), Code::kInvalid);
}

TEST(SqlText, OneWordIsATable) {
  const auto all = [](std::string_view text) { return SqlQuery::Parse(text)->all(); };
  EXPECT_EQ(all(" sales ;\n"), "select * from \"sales\"");
  EXPECT_EQ(all("shop.\"my sales\""), "select * from \"shop\".\"my sales\"");
  EXPECT_EQ(all("select 1; "), "select 1");
  EXPECT_EQ(all("values(1)"), "values(1)");
  EXPECT_EQ(SqlQuery::Parse("sales")->Select("*", "q.a > 1"), "select * from \"sales\" as q where q.a > 1");
  EXPECT_EQ(SqlQuery::Parse("select 1 -- one")->Select("min(q.a)"), "select min(q.a) from (select 1 -- one\n) as q");
  for (const char* nothing : {"", " \n", " ; "}) EXPECT_FALSE(SqlQuery::Parse(nothing).ok());
  EXPECT_FALSE(SqlQuery::Parse(std::string_view("select \0 1", 10)).ok());
}

TEST(SqlText, RangesOfWholeNumbers) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min(), kMax = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(CutRange(int64_t{1}, int64_t{10}, 1), Texts{});
  EXPECT_EQ(CutRange(int64_t{1}, int64_t{10}, 2), Texts{"6"});
  EXPECT_EQ(CutRange(int64_t{7}, int64_t{7}, 8), Texts{});
  EXPECT_EQ(CutRange(int64_t{7}, int64_t{9}, 8), (Texts{"8", "9"}));
  EXPECT_EQ(CutRange(kMin, kMax, 2), Texts{"0"});
  EXPECT_EQ(CutRange(kMax - 1, kMax, 1000), Texts{std::to_string(kMax)});
}

TEST(SqlText, RangesOfDoubles) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(CutRange(0.0, 1.0, 4), (Texts{"0.25", "0.5", "0.75"}));
  EXPECT_EQ(CutRange(2.5, 2.5, 4), Texts{});
  EXPECT_EQ(CutRange(-kInfinity, kInfinity, 2), Texts{"0"});
  EXPECT_EQ(CutRange(kInfinity, kInfinity, 3), Texts{});
  EXPECT_EQ(CutRange(std::numeric_limits<double>::quiet_NaN(), 1.0, 3), Texts{});
}

TEST(SqlText, ConditionsHoldEveryKeyOnce) {
  EXPECT_EQ(RangeConditions("q.k", {}), Texts{""});
  EXPECT_EQ(RangeConditions("q.k", {"5"}), (Texts{"(q.k < 5 or q.k is null)", "q.k >= 5"}));
  EXPECT_EQ(RangeConditions("q.k", {"5", "9"}),
            (Texts{"(q.k < 5 or q.k is null)", "q.k >= 5 and q.k < 9", "q.k >= 9"}));
}

RC_GTEST_PROP(SqlText, RangesRiseFromAboveTheMinimumToTheMaximum, (int64_t a, int64_t b)) {
  const auto [min, max] = std::minmax(a, b);
  const int count = *rc::gen::inRange(1, 40);
  int64_t last = min;
  const Texts begins = CutRange(min, max, count);
  RC_ASSERT(begins.size() < static_cast<size_t>(count));
  for (const std::string& begin : begins) {
    const int64_t number = std::strtoll(begin.c_str(), nullptr, 10);
    RC_ASSERT(number > last);
    last = number;
  }
  RC_ASSERT(last <= max);
  RC_ASSERT(static_cast<uint64_t>(max) - static_cast<uint64_t>(min) < static_cast<uint64_t>(count) ||
            begins.size() == static_cast<size_t>(count) - 1);
}

}  // namespace
}  // namespace glim::io
