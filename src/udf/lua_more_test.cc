// SPDX-License-Identifier: Apache-2.0
//
// Promises of the contract that the other tests of Lua functions do not touch.
#include <gmock/gmock.h>

#include "udf/lua_test_support.h"

namespace glim::udf {
namespace {

using ::testing::HasSubstr;

Result<std::unique_ptr<Reducer>> MakeReducer(TaskContext& task, const std::string& source,
                                             const std::string& init = "") {
  return MakeLuaFunction(source, init)->InstantiateReducer(task);
}

TEST(LuaMore, RowsBeforeARefusedWriteRowAreKeptWhenTheFunctionCatchesTheError) {
  const Answer answer = RunSource("function(x) if x == 3 then pcall(writeRow, print) else writeRow(x) end end",
                                  FunctionRole::kForEach, {{1}, {2}, {3}, {4}});
  EXPECT_TRUE(answer.status.ok()) << answer.status.ToString();
  EXPECT_EQ(answer.rows, (Rows{{"int64 1"}, {"int64 2"}, {"int64 4"}}));
}

TEST(LuaMore, InitMayAskForThePartition) {
  const Answer answer =
      RunSource("function(x) return p end", FunctionRole::kMap, {{1}}, "p = require('glim').partition()");
  EXPECT_TRUE(answer.status.ok()) << answer.status.ToString();
  EXPECT_EQ(answer.rows, (Rows{{"int64 1"}}));
}

TEST(LuaMore, AReduceFunctionMayAskForThePartition) {
  Hosts hosts;
  TaskContext task(0, 1, 0, &hosts);
  auto reducer = MakeReducer(task, "function(a, b) return a + b + require('glim').partition() end");
  ASSERT_TRUE(reducer.ok());
  const std::vector<uint32_t> groups{0, 0};
  const Status status = (*reducer)->Update(MakeBatch({{1}, {2}}), groups, 1);
  EXPECT_TRUE(status.ok()) << status.ToString();
}

TEST(LuaMore, ReduceWithoutValueColumnsIsAnError) {
  Hosts hosts;
  TaskContext task(0, 1, 0, &hosts);
  auto reducer = MakeReducer(task, "function(a, b) return 1 end");
  ASSERT_TRUE(reducer.ok());
  const std::vector<uint32_t> groups{0, 0};
  EXPECT_FALSE((*reducer)->Update(Batch({}, 2), groups, 1).ok());
}

TEST(LuaMore, TooManyReduceResultsAreAnError) {
  Hosts hosts;
  TaskContext task(0, 1, 0, &hosts);
  auto reducer = MakeReducer(task, "function(a, b, c, d) return 1, 2, 3 end");
  ASSERT_TRUE(reducer.ok());
  const std::vector<uint32_t> groups{0, 0};
  EXPECT_FALSE((*reducer)->Update(MakeBatch({{1, 2}, {3, 4}}), groups, 1).ok());
}

TEST(LuaMore, StandardGlobalsBeyondTheCommonOnesNeedNotTravel) {
  for (const char* body :
       {"return collectgarbage('count') > 0", "return package.loaded ~= nil", "return newproxy ~= nil"}) {
    Script script;
    auto function = script.Capture(std::string("return function(x) ") + body + " end");
    EXPECT_TRUE(function.ok()) << body << ": " << function.status().ToString();
  }
}

TEST(LuaMore, ARefusedValueIsToldInOneReadableSentence) {
  const Answer answer = RunSource("function(x) return print end", FunctionRole::kMap, {{1}});
  ASSERT_FALSE(answer.status.ok());
  EXPECT_THAT(answer.status.message(), HasSubstr("a function cannot be a value of a row"));
  EXPECT_THAT(answer.status.message(), ::testing::Not(HasSubstr("gave a function cannot")));
}

TEST(LuaMore, AGmatchReplacedByInitIsUsedByTheFirstFunctionOfAThread) {
  const Answer answer = RunSource(
      "function(line) return string.gmatch(line, '%w+') end", FunctionRole::kFlatMap, {{"a b"}},
      "string.gmatch = function() local n = 0 return function() n = n + 1 if n < 2 then return 'mine' end end end");
  EXPECT_TRUE(answer.status.ok()) << answer.status.ToString();
  EXPECT_EQ(answer.rows, (Rows{{"bytes mine"}}));
}

TEST(LuaMore, AnErrorThatIsANumberKeepsIt) {
  const Answer answer = RunSource("function(x) error(42) end", FunctionRole::kMap, {{1}});
  EXPECT_THAT(answer.status.message(), HasSubstr("42"));
}

}  // namespace
}  // namespace glim::udf
