// SPDX-License-Identifier: Apache-2.0
//
// What the loop gives is what calls row by row give, which HostOptions::lua_kernels = false makes.
#include "udf/lua_loop.h"

#include "udf/lua_test_support.h"

namespace glim::udf {
namespace {

// Rows, error and traceback.
void ExpectSame(const std::string& source, const std::vector<Row>& rows, const std::string& init = "") {
  const Answer loop = RunSource(source, FunctionRole::kFilter, rows, init, {.lua_kernels = true});
  const Answer calls = RunSource(source, FunctionRole::kFilter, rows, init, {.lua_kernels = false});
  EXPECT_EQ(loop.status.message(), calls.status.message()) << source;
  EXPECT_EQ(loop.status.details(), calls.status.details()) << source;
  EXPECT_TRUE(loop.rows == calls.rows) << source;
}

std::vector<Row> SomeRows() {
  std::vector<Row> rows;
  for (int i = 0; i < 9000; ++i) {
    rows.push_back({i, i / 4.0, "text " + std::to_string(i % 100) + (i % 3 == 0 ? " that is longer" : ""),
                    std::string("a\0b", 3)});
  }
  return rows;
}

TEST(LuaLoop, KeepsTheRowsThatCallsWouldKeep) {
  const std::vector<Row> rows = SomeRows();
  for (const char* body : {"local s = 0 for k = 1, a % 5 do s = s + k end return s > 3", "return seen[c] == nil",
                           "return b ^ 2 > 1000", "return ({c:byte(1, -1)})[6] == 55", "return #d == 3 and d",
                           "if a % 2 == 0 then for i = 1, 1 do return i end end", "seen[c] = true return not seen[a]",
                           "count = (count or 0) + 1 return count % 7 == 0"}) {
    ExpectSame(std::string("function(a, b, c, d, e) ") + body + " end", rows, "seen = {['text 7'] = 1}");
  }
}

TEST(LuaLoop, RowsWithOtherValuesAreGivenOneByOne) {
  std::vector<Row> rows = SomeRows();
  for (const Value& other : {Value(), Value((int64_t{1} << 53) + 1), Value(true), Value(std::vector<Value>{1})}) {
    rows[4500][0] = other;
    ExpectSame("function(a) for i = 1, 2 do end return a == nil or a == true or type(a) == 'table' or a == 7 end",
               rows);
  }
}

TEST(LuaLoop, ErrorsAreThoseOfCalls) {
  const std::vector<Row> rows = SomeRows();
  ExpectSame("function(a) for i = 1, 1 do if a == 4321 then error('bad') end end return a > 5 end", rows);
  ExpectSame("function(a) for i = 1, 1 do if a == 4321 then error('bad', 2) end end return a > 5 end", rows);
  ExpectSame("function(a) for i = 1, 1 do if a == 4321 then error({}) end end return a > 5 end", rows);
  ExpectSame("function(a, b, c) for i = 1, 1 do if a == 77 then return c.x.y end end return a > 5 end", rows);
  ExpectSame("function(a) for i = 1, 1 do if a == 77 then writeRow(a) end end return a > 5 end", rows);
}

}  // namespace
}  // namespace glim::udf
