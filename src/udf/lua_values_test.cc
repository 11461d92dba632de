// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_values.h"

#include <cmath>
#include <limits>

#include "udf/lua_test_support.h"

namespace glim::udf {
namespace {

std::string RoundTrip(const Value& value) {
  const Answer answer = RunSource("function(x) local y = x; if y == 1e-300 then return 0 end return y end",
                                  FunctionRole::kMap, {{value}});
  if (!answer.status.ok()) return "failed: " + answer.status.message();
  return answer.rows.at(0).at(0);
}

std::string Result1(const std::string& expression) {
  const Answer answer = RunSource("function(x) return " + expression + " end", FunctionRole::kMap, {{Value(1)}}, "",
                                  {.lua_kernels = false});
  if (!answer.status.ok()) return "failed: " + answer.status.message();
  return answer.rows.at(0).at(0);
}

TEST(LuaValues, ScalarsComeBackUnharmed) {
  EXPECT_EQ(RoundTrip(Value()), Exactly(Value().cell()));
  EXPECT_EQ(RoundTrip(Value(true)), "bool true");
  EXPECT_EQ(RoundTrip(Value(false)), "bool false");
  EXPECT_EQ(RoundTrip(Value(std::string("a\0b", 3))), std::string("bytes a\0b", 9));
  EXPECT_EQ(RoundTrip(Value("")), "bytes ");
  EXPECT_EQ(RoundTrip(Value(2.5)), Exactly(Cell::Double(2.5)));
  EXPECT_EQ(RoundTrip(Value(-0.0)), Exactly(Cell::Double(-0.0)));
  EXPECT_EQ(RoundTrip(Value(std::numeric_limits<double>::infinity())), Exactly(Cell::Double(INFINITY)));
  EXPECT_NE(RoundTrip(Value(std::nan(""))).find("nan"), std::string::npos);
  EXPECT_EQ(RoundTrip(Value(4.0)), "int64 4");
}

TEST(LuaValues, IntegersComeBackUnharmedAboveTwoToThe53) {
  for (const int64_t value : {int64_t{0}, int64_t{-1}, (int64_t{1} << 53) - 1, int64_t{1} << 53, (int64_t{1} << 53) + 1,
                              -(int64_t{1} << 53) - 1, INT64_MAX, INT64_MIN, int64_t{-4294967297}}) {
    EXPECT_EQ(RoundTrip(Value(value)), "int64 " + std::to_string(value));
  }
  EXPECT_EQ(Result1("9007199254740993LL"), "int64 9007199254740993");
  EXPECT_EQ(Result1("9223372036854775807ULL"), "int64 9223372036854775807");
  EXPECT_NE(Result1("18446744073709551615ULL").find("18446744073709551615ULL is more than"), std::string::npos);
  EXPECT_NE(Result1("{{9223372036854775808ULL}}").find("9223372036854775808ULL is more than"), std::string::npos);
}

TEST(LuaValues, ListsComeBackUnharmed) {
  EXPECT_EQ(RoundTrip(Value(std::vector<Value>{1, "a", std::vector<Value>{}})), "{int64 1,bytes a,{},}");
  EXPECT_EQ(RoundTrip(Value(std::vector<Value>{1, Value(), 3})), "{int64 1,null nil,int64 3,}");
}

TEST(LuaValues, NilsAtTheEndOfAListAreKept) {
  EXPECT_EQ(RoundTrip(Value(std::vector<Value>{1, Value()})), "{int64 1,null nil,}");
  EXPECT_EQ(RoundTrip(Value(std::vector<Value>{Value(), Value()})), "{null nil,null nil,}");
  EXPECT_EQ(RoundTrip(Value(std::vector<Value>{Value(std::vector<Value>{Value()})})), "{{null nil,},}");
  EXPECT_EQ(Result1("{1, nil, n = 2}"), "{int64 1,null nil,}");
  EXPECT_EQ(Result1("{n = 0}"), "{}");
  EXPECT_EQ(Result1("(function() local t = {n = 3} t[3] = 1 return t end)()"), "{null nil,null nil,int64 1,}");
  const Answer answer = RunSource("function(list) return list.n, #list end", FunctionRole::kMap,
                                  {{Value(std::vector<Value>{1, 2})}, {Value(std::vector<Value>{1, Value()})}});
  EXPECT_EQ(answer.rows, (Rows{{"null nil", "int64 2"}, {"int64 2", "int64 1"}}));
  EXPECT_EQ(RunSource("function() return {1, nil, n = 2} end", FunctionRole::kFlatMap, {{1}}).rows,
            (Rows{{"int64 1"}, {"null nil"}}));
}

TEST(LuaValues, AListsLengthMustFit) {
  for (const char* list : {"{1, 2, n = 1}", "{1, n = 1.5}", "{n = -1}", "{n = 'two'}", "{n = 1e300}"}) {
    EXPECT_EQ(Result1(list).substr(0, 7), "failed:") << list;
  }
  EXPECT_FALSE(RunSource("function() return {n = -1} end", FunctionRole::kFlatMap, {{1}}).status.ok());
}

TEST(LuaValues, WhatCannotBeAValueIsAnErrorThatSaysSo) {
  for (const char* expression : {"print", "coroutine.create(print)", "io.stdout", "{x = 1}", "{[0] = 1}", "{[1.5] = 1}",
                                 "{print}", "require('ffi').new('int[2]')"}) {
    const std::string text = Result1(expression);
    EXPECT_EQ(text.substr(0, 7), "failed:") << expression << ": " << text;
    EXPECT_NE(text.find("row (1)"), std::string::npos) << text;
  }
  EXPECT_EQ(Result1("(function() local t = {} t[1] = t return t end)()").substr(0, 7), "failed:");
}

TEST(LuaValues, RowsOfThousandsOfColumnsDoNotEndTheProcess) {
  Row row(9000, Value(1));
  const Answer answer = RunSource("function(...) return select('#', ...) end", FunctionRole::kMap, {row});
  if (answer.status.ok()) {
    EXPECT_EQ(answer.rows.at(0).at(0), "int64 9000");
  }
}

}  // namespace
}  // namespace glim::udf
