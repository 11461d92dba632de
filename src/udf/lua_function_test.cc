// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <random>

#include "udf/lua_test_support.h"

namespace glim::udf {
namespace {

using enum FunctionRole;

TEST(LuaFunction, MapKeepsNilsAndDropsARowWithoutResult) {
  const Answer answer = RunSource("function(x, y) if x == 2 then return end return y, nil, x end", kMap,
                                  {{1, "a"}, {2, "b"}, {3, Value()}});
  ASSERT_TRUE(answer.status.ok()) << answer.status.message();
  EXPECT_EQ(answer.rows, (Rows{{"bytes a", "null nil", "int64 1"}, {"null nil", "null nil", "int64 3"}}));
  EXPECT_EQ(RunSource("function(x) return nil end", kMap, {{1}}, "", {.lua_kernels = false}).rows,
            (Rows{{"null nil"}}));
}

TEST(LuaFunction, RowsOfDifferentWidthsAreKeptInOrder) {
  const Answer answer = RunSource("function(x) if x % 2 == 0 then return x, x end return x end", kMap, {{1}, {2}, {3}});
  ASSERT_TRUE(answer.status.ok());
  EXPECT_EQ(answer.rows, (Rows{{"int64 1"}, {"int64 2", "int64 2"}, {"int64 3"}}));
}

TEST(LuaFunction, FlatMapTakesIteratorsTablesAndNothing) {
  EXPECT_EQ(RunSource("function(s) return s:gmatch('(%a)(%d)') end", kFlatMap, {{"a1b2"}}).rows,
            (Rows{{"bytes a", "bytes 1"}, {"bytes b", "bytes 2"}}));
  EXPECT_EQ(RunSource("function(s) return ipairs{s, 'z'} end", kFlatMap, {{"a"}}).rows,
            (Rows{{"int64 1", "bytes a"}, {"int64 2", "bytes z"}}));
  EXPECT_EQ(RunSource("function(s) return {s, 'z'} end", kFlatMap, {{"a"}}).rows, (Rows{{"bytes a"}, {"bytes z"}}));
  EXPECT_EQ(RunSource("function(s) return split(s, ',') end", kFlatMap, {{"a,,b"}}).rows,
            (Rows{{"bytes a"}, {"bytes "}, {"bytes b"}}));
  EXPECT_TRUE(RunSource("function(s) if s then return nil end end", kFlatMap, {{"a"}}).rows.empty());
  EXPECT_TRUE(RunSource("function(s) end", kFlatMap, {{"a"}}).rows.empty());
  EXPECT_EQ(RunSource("function(s) return s, 1 end", kFlatMap, {{"a"}}).status.code(), Code::kUserCode);
}

TEST(LuaFunction, FilterGoesByLuaTruth) {
  EXPECT_EQ(RunSource("function(x) return x end", kFilter, {{0}, {""}, {false}, {Value()}, {1}}).rows.size(), 3u);
  EXPECT_TRUE(RunSource("function(x) end", kFilter, {{0}}).rows.empty());
}

TEST(LuaFunction, WriteRowKeepsTheOrder) {
  const Answer answer = RunSource("function(x) writeRow(x, 1) writeRow(x, 2) return x, 3 end", kMap, {{7}, {8}});
  ASSERT_TRUE(answer.status.ok()) << answer.status.message();
  EXPECT_EQ(answer.rows.size(), 6u);
  EXPECT_EQ(answer.rows[2], (std::vector<std::string>{"int64 7", "int64 3"}));
  EXPECT_EQ(RunSource("function(x) writeRow(x) return 5 end", kForEach, {{7}}).rows, (Rows{{"int64 7"}}));
  EXPECT_EQ(RunSource("function(x) writeRow(x) end", kFilter, {{7}}).status.code(), Code::kUserCode);
}

TEST(LuaFunction, AnOutputThatIsFullEndsALoopOfWriteRow) {
  for (const char* source :
       {"function() while true do writeRow(1) end end", "function() while true do writeRow({1}) end end",
        "function() coroutine.wrap(function() while true do writeRow(1) end end)() end"}) {
    Hosts hosts;
    TaskContext task(0, 1, 0, &hosts);
    auto instance = MakeLuaFunction(source, "")->Instantiate(kForEach, task);
    ASSERT_TRUE(instance.ok());
    Collector out;
    out.rows_max = 10000;
    const Status status = (*instance)->Run(MakeBatch({{1}, {2}}), out);
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_GE(out.rows.size(), 10000u);
    EXPECT_LE(out.rows.size(), 20000u);
  }
}

TEST(LuaFunction, AnOutputThatFailsEndsALoopOfWriteRow) {
  Hosts hosts;
  TaskContext task(0, 1, 0, &hosts);
  auto instance = MakeLuaFunction("function() while true do writeRow(1) end end", "")->Instantiate(kMap, task);
  ASSERT_TRUE(instance.ok());
  Collector out;
  out.next_status = Status::Exhausted("the budget");
  EXPECT_EQ((*instance)->Run(MakeBatch({{1}, {2}}), out).code(), Code::kExhausted);
  EXPECT_EQ(out.batches, 1);
}

// The step behind runs in the same state while the first one is still at work.
TEST(LuaFunction, WriteRowStillWorksAfterTheNextLuaStepTookABatch) {
  Hosts hosts;
  TaskContext task(0, 1, 0, &hosts);
  const auto first = MakeLuaFunction("function(n) for i = 1, n do writeRow(i) end end", "");
  const auto second = MakeLuaFunction("function(i) return i + glim_zero end", "glim_zero = 0");
  auto one = first->Instantiate(kForEach, task), two = second->Instantiate(kMap, task);
  ASSERT_TRUE(one.ok() && two.ok());
  Collector out;
  Behind behind(two->get(), &out);
  const Status status = (*one)->Run(MakeBatch({{10000}}), behind);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(out.rows.size(), 10000u);
}

TEST(LuaFunction, PartitionIsKnownAfterTheNextLuaStepTookABatch) {
  Hosts hosts;
  TaskContext task(2, 5, 0, &hosts);
  const auto first = MakeLuaFunction("function(x) return x, require('glim').partition() end", "");
  const auto second = MakeLuaFunction("function(x, p) return x + 0, p + 0 end", "");
  auto one = first->Instantiate(kMap, task), two = second->Instantiate(kMap, task);
  ASSERT_TRUE(one.ok() && two.ok());
  Collector out;
  Behind behind(two->get(), &out);
  const Status status = (*one)->Run(MakeBatch(std::vector<Row>(9000, Row{1})), behind);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(out.rows.size(), 9000u);
}

TEST(LuaFunction, WriteRowInACoroutineReachesTheNextLuaStep) {
  Hosts hosts;
  TaskContext task(0, 1, 0, &hosts);
  const auto first =
      MakeLuaFunction("function(n) coroutine.wrap(function() for i = 1, n do writeRow(i) end end)() end", "");
  const auto second = MakeLuaFunction("function(i) return i + 0 end", "");
  auto one = first->Instantiate(kForEach, task), two = second->Instantiate(kMap, task);
  ASSERT_TRUE(one.ok() && two.ok());
  Collector out;
  Behind behind(two->get(), &out);
  const Status status = (*one)->Run(MakeBatch({{4096}}), behind);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(out.rows.size(), 4096u);
}

TEST(LuaFunction, GlobalsBelongToOneTask) {
  const auto function = MakeLuaFunction("function() n = (n or 0) + 1 return n end", "");
  const auto by_table = MakeLuaFunction("function() _G.m = (_G.m or 0) + 1 return _G.m end", "");
  Hosts hosts;
  for (const auto& f : {function, by_table}) {
    for (int i = 0; i < 2; ++i) {
      TaskContext task(i, 2, 0, &hosts);
      auto instance = f->Instantiate(kMap, task);
      ASSERT_TRUE(instance.ok());
      Collector out;
      ASSERT_TRUE((*instance)->Run(MakeBatch({{1}}), out).ok());
      EXPECT_EQ(out.rows, (Rows{{"int64 1"}})) << (f == by_table ? "through _G" : "by name") << ", task " << i;
    }
  }
}

TEST(LuaFunction, InitDefinesNamesOncePerTask) {
  EXPECT_EQ(RunSource("twice", kMap, {{4}}, "local k = 2  function twice(x) return k * x end").rows,
            (Rows{{"int64 8"}}));
  EXPECT_EQ(RunSource("nosuch", kMap, {{4}}).status.code(), Code::kInvalid);
}

TEST(LuaFunction, SyntaxErrorsAreFoundByCheck) {
  const Status status = MakeLuaFunction("function(x) return (x end", "")->Check(kMap);
  EXPECT_EQ(status.code(), Code::kInvalid);
  EXPECT_NE(status.message().find("lua:1:"), std::string::npos) << status.message();
  EXPECT_NE(MakeLuaFunction("f", "x = = 1")->Check(kMap).message().find("init:1:"), std::string::npos);
  EXPECT_TRUE(MakeLuaFunction("function(x) return x end -- fine", "")->Check(kMap).ok());
}

TEST(LuaFunction, RunTimeErrorHasLineRowAndTraceback) {
  const Status status =
      RunSource("function(a, b)\n  return a, b + 1\nend", kMap, {{"x", 1}, {"apple", Value()}}).status;
  EXPECT_EQ(status.code(), Code::kUserCode);
  EXPECT_EQ(status.message(), "lua:2: attempt to perform arithmetic on local 'b' (a nil value), row (\"apple\", nil)");
  EXPECT_NE(status.details().find("stack traceback"), std::string::npos);
}

TEST(LuaFunction, ErrorsThatAreNoStringsAreToldToo) {
  for (const char* raise : {"error()", "error(nil)", "error({})", "error(print)",
                            "error(setmetatable({}, {__tostring = function() error('x') end}))"}) {
    const Status status = RunSource(std::string("function(x) ") + raise + " end", kMap, {{1}}).status;
    EXPECT_EQ(status.code(), Code::kUserCode) << raise;
    EXPECT_FALSE(status.message().empty());
  }
  const Status status =
      RunSource("function(x) local function f() return 1 + f() end return f() end", kMap, {{1}}).status;
  EXPECT_FALSE(status.ok());
}

TEST(LuaFunction, TheMessageIsOneLine) {
  const Status status = RunSource("function(x) error('first\\nsecond') end", kMap, {{1}}).status;
  EXPECT_EQ(status.message().find('\n'), std::string::npos) << status.message();
}

TEST(LuaFunction, GarbageDoesNotCountAgainstTheMemoryBound) {
  const auto function = MakeLuaFunction("function(x) local s = ('x'):rep(1000) .. x return #s end", "");
  std::vector<Row> rows;
  for (int i = 0; i < 20000; ++i) rows.push_back({i});
  const Answer answer = RunOn(*function, kMap, {MakeBatch(rows)}, {.lua_memory_bytes_max = 4 << 20});
  EXPECT_TRUE(answer.status.ok()) << answer.status.message();
}

// 5 MB live under a bound of 8 MB; the collector lets garbage grow to twice what lives.
TEST(LuaFunction, GarbageOnTopOfLiveDataDoesNotCountEither) {
  const auto function = MakeLuaFunction("function(x) local s = ('y'):rep(1000) .. x return #s end",
                                        "kept = {} for i = 1, 5000 do kept[i] = ('x'):rep(1000) .. i end");
  std::vector<Batch> batches;
  for (int i = 0; i < 200; ++i) {
    std::vector<Row> rows;
    for (int j = 0; j < 100; ++j) rows.push_back({i * 1000 + j});
    batches.push_back(MakeBatch(rows));
  }
  const Answer answer = RunOn(*function, kMap, batches, {.lua_memory_bytes_max = 8 << 20});
  EXPECT_TRUE(answer.status.ok()) << answer.status.message();
}

TEST(LuaFunction, TheMemoryBoundIsAnError) {
  const Answer answer =
      RunSource("function(x) kept = kept or {} kept[#kept + 1] = ('x'):rep(1000) .. x return x end", kMap,
                std::vector<Row>(1, Row{1}), "kept = {} for i = 1, 20000 do kept[i] = ('x'):rep(1000) .. i end",
                {.lua_memory_bytes_max = 8 << 20});
  EXPECT_EQ(answer.status.code(), Code::kExhausted);
}

TEST(LuaFunction, ForEachBatchSeesTheRowsDuringTheCallOnly) {
  Hosts hosts;
  TaskContext task(1, 3, 0, &hosts);
  const auto function = MakeLuaFunction(
      "function(rows, task) if kept then return kept:Count() end kept = rows "
      "assert(rows:Count() == 2 and rows:Width() == 2 and task.partitions == 3) "
      "local c = rows:Column(1) assert(c[2] == 5) local a, b = rows:Row(1) assert(a == 4 and b == 'x') "
      "local n = 0 for i, x, y in rows:Each() do n = n + x end assert(n == 9) end",
      "");
  auto instance = function->Instantiate(kForEachBatch, task);
  ASSERT_TRUE(instance.ok());
  Collector out;
  const Batch batch = MakeBatch({{4, "x"}, {5, "y"}});
  const Status first = (*instance)->Run(batch, out);
  EXPECT_TRUE(first.ok()) << first.message();
  EXPECT_EQ((*instance)->Run(batch, out).code(), Code::kUserCode);
}

TEST(LuaFunction, ForEachBatchReadsNumbersThroughPointers) {
  const std::vector<Row> rows = {{1, 1.5, 1, Value(), "x", int64_t{9007199254740993}},
                                 {2, 2.5, 2.5, 2, "y", int64_t{INT64_MIN}}};
  const Answer good = RunSource(
      "function(rows) local x, n = rows:Doubles(2) assert(n == 2 and x[0] == 1.5 and x[1] == 2.5) "
      "local i, m = rows:Int64s(1) assert(m == 2 and i[0] == 1LL and tonumber(i[1]) == 2) "
      "assert(type(i[0]) == 'cdata' and type(x[0]) == 'number') "
      // Integers as doubles, a column of both, and what only an int64 holds.
      "local d = rows:Doubles(1) assert(d[1] == 2) local mixed = rows:Doubles(3) assert(mixed[0] + mixed[1] == 3.5) "
      "local large = rows:Int64s(6) assert(large[0] == 9007199254740993LL and large[1] == -9223372036854775807LL - 1) "
      "collectgarbage() assert(d[0] == 1 and x[1] == 2.5) end",
      kForEachBatch, rows);
  EXPECT_TRUE(good.status.ok()) << good.status.message();
  for (const auto& [call, message] : std::vector<std::pair<std::string, std::string>>{
           {"rows:Doubles(4)", "row 1 of column 4 is nil"},
           {"rows:Int64s(4)", "row 1 of column 4 is nil"},
           {"rows:Doubles(5)", "row 1 of column 5 is no number"},
           {"rows:Int64s(5)", "row 1 of column 5 is no number"},
           {"rows:Int64s(3)", "row 2 of column 3 is no 64-bit integer"},
           {"rows:Doubles(6)", "row 1 of column 6 is no number that a double holds exactly"},
           {"rows:Doubles(7)", "there is no column 7, there are 6"},
           {"rows:Doubles(0)", "there is no column 0"},
           {"rows.Doubles(1)", "glim rows expected"}}) {
    const Status status = RunSource("function(rows) local x = " + call + " end", kForEachBatch, rows).status;
    EXPECT_EQ(status.code(), Code::kUserCode) << call;
    EXPECT_NE(status.message().find(message), std::string::npos) << status.message();
  }
}

TEST(LuaFunction, PointersAreOfTheRowsAtHand) {
  Batch all = MakeBatch({{1}, {2}, {3}, {4}, {5}});
  const auto function = MakeLuaFunction(
      "function(rows) local x, n = rows:Int64s(1) local y = rows:Doubles(1) assert(n == 2 and x[0] == 3 and y[1] == 4) end",
      "");
  const Answer answer = RunOn(*function, kForEachBatch, {all.Slice(2, 2)});
  EXPECT_TRUE(answer.status.ok()) << answer.status.message();
}

Result<Batch> Fold(const std::string& source, const std::vector<Row>& rows, const std::vector<uint32_t>& groups,
                   uint32_t count) {
  Hosts hosts;
  TaskContext task(0, 1, 0, &hosts);
  const auto function = MakeLuaFunction(source, "");
  auto reducer = function->InstantiateReducer(task);
  if (!reducer.ok()) return reducer.status();
  if (Status status = (*reducer)->Update(MakeBatch(rows), groups, count); !status.ok()) return status;
  return (*reducer)->Finish();
}

TEST(LuaReducer, FoldsNumbersThenOtherValuesCallingTheFunctionOncePerRow) {
  const auto sums = Fold("function(x, y) return x + y end", {{1}, {2}, {3}, {4}}, {0, 1, 0, 1}, 2);
  ASSERT_TRUE(sums.ok());
  EXPECT_EQ(Exactly(sums->At(0, 0)), "int64 4");
  EXPECT_EQ(Exactly(sums->At(1, 0)), "int64 6");
  const auto mixed = Fold(
      "function(x, y) calls = (calls or 0) + 1 if y == 3 then return 'at ' .. calls end return x .. '/' .. y .. '@' .. calls end",
      {{1}, {3}, {5}}, {0, 0, 0}, 1);
  ASSERT_TRUE(mixed.ok());
  EXPECT_EQ(Exactly(mixed->At(0, 0)), "bytes at 1/5@2");
  const auto wide = Fold("function(a, b, x, y) return a + x, b .. y end", {{1, "a"}, {2, "b"}}, {0, 0}, 1);
  ASSERT_TRUE(wide.ok());
  EXPECT_EQ(Exactly(wide->At(0, 1)), "bytes ab");
  const auto large = Fold("function(x, y) return x + y end", {{int64_t{9007199254740993}}, {1}}, {0, 0}, 1);
  ASSERT_TRUE(large.ok());
  EXPECT_EQ(Exactly(large->At(0, 0)), "int64 9007199254740994");
}

// Sums until a value that 13 divides turns the accumulator of its group into text; new groups come all along.
TEST(LuaReducer, FoldsAsAPlainLoopDoes) {
  std::mt19937_64 random(5);
  for (const int text_at : {13, 1000000}) {
    Hosts hosts;
    TaskContext task(0, 1, 0, &hosts);
    const auto function = MakeLuaFunction(
        "function(x, y) if type(x) == 'string' or y % limit == 0 then return x .. ',' .. y end return x + y end",
        "limit = " + std::to_string(text_at));
    auto reducer = function->InstantiateReducer(task);
    ASSERT_TRUE(reducer.ok());
    struct Sum {
      int64_t number = 0;
      std::string text;
    };
    std::vector<Sum> sums;
    for (int batch = 0; batch < 20; ++batch) {
      std::vector<Row> rows;
      std::vector<uint32_t> groups;
      for (size_t i = random() % 300; i-- > 0;) {
        const auto value = static_cast<int64_t>(random() % (batch < 10 ? 12 : 1000) + 1);
        const size_t choices = sums.empty() ? 1 : sums.size() + (random() % 4 == 0 ? 1 : 0);
        const auto group = static_cast<uint32_t>(random() % choices);
        rows.push_back({value});
        groups.push_back(group);
        if (group == sums.size()) {
          sums.push_back({value, ""});
        } else if (!sums[group].text.empty() || value % text_at == 0) {
          if (sums[group].text.empty()) sums[group].text = std::to_string(sums[group].number);
          sums[group].text += "," + std::to_string(value);
        } else {
          sums[group].number += value;
        }
      }
      const Status status = (*reducer)->Update(MakeBatch(rows), groups, static_cast<uint32_t>(sums.size()));
      ASSERT_TRUE(rows.empty() || status.ok()) << status.message();
    }
    const auto result = (*reducer)->Finish();
    ASSERT_TRUE(result.ok());
    ASSERT_EQ(result->row_count(), static_cast<int64_t>(sums.size()));
    for (size_t i = 0; i < sums.size(); ++i) {
      const std::string wanted =
          sums[i].text.empty() ? "int64 " + std::to_string(sums[i].number) : "bytes " + sums[i].text;
      ASSERT_EQ(Exactly(result->At(static_cast<int64_t>(i), 0)), wanted) << i;
    }
  }
}

// Numbers at the edges of what a double holds, and now and then something else, which is then Lua's.
Value AnyAddend(std::mt19937_64& random, bool only_numbers) {
  constexpr int64_t k53 = int64_t{1} << 53;
  switch (random() % (only_numbers ? 8 : 10)) {
    case 0: return Value(std::nan(""));
    case 1: return Value(-0.0);
    case 2: return Value(1e308);
    case 3: return Value(k53 - static_cast<int64_t>(random() % 3));
    case 4: return Value(static_cast<double>(random() % 1000) / 8);
    case 8: return random() % 8 == 0 ? Value("0x10") : Value(1);
    case 9: return random() % 32 == 0 ? Value() : Value(k53 + 1);
    default: return Value(static_cast<int64_t>(random() % 1000) - 500);
  }
}

TEST(LuaReducer, AddsAsPlainLuaDoes) {
  Hosts with{{.lua_kernels = true}};
  Hosts without{{.lua_kernels = false}};
  const auto function = MakeLuaFunction("function(x, y) return y + x end", "");
  std::mt19937_64 random(7);
  for (int run = 0; run < 2000; ++run) {
    std::vector<std::string> answers[2];
    const uint64_t seed = random();
    for (const bool kernel : {false, true}) {
      TaskContext task(0, 1, 0, kernel ? &with : &without);
      EXPECT_EQ(function->HowItRuns(kReduce, task), kernel ? "kernel" : "plain Lua: --lua=plain");
      auto reducer = function->InstantiateReducer(task);
      ASSERT_TRUE(reducer.ok());
      std::mt19937_64 same(seed);
      uint32_t count = 0;
      Status status;
      for (int batch = 0; batch < 3 && status.ok(); ++batch) {
        std::vector<Row> rows(same() % 20 + 1);
        std::vector<uint32_t> groups(rows.size());
        const bool only_numbers = same() % 4 != 0, integers = same() % 4 == 0;
        for (size_t i = 0; i < rows.size(); ++i) {
          rows[i] = {integers ? Value(static_cast<int64_t>(same() % 100)) : AnyAddend(same, only_numbers)};
          groups[i] = static_cast<uint32_t>(same() % (count + (same() % 2 == 0 || count == 0 ? 1 : 0)));
          if (groups[i] == count) ++count;
        }
        status = (*reducer)->Update(MakeBatch(rows), groups, count);
      }
      const auto sums = status.ok() ? (*reducer)->Finish() : Result<Batch>(status);
      std::vector<std::string>& answer = answers[kernel ? 1 : 0];
      if (!sums.ok()) {
        answer = {sums.status().message(), std::to_string((*reducer)->failed())};
        continue;
      }
      for (int64_t row = 0; row < sums->row_count(); ++row) answer.push_back(Exactly(sums->At(row, 0)));
    }
    ASSERT_EQ(answers[0], answers[1]) << seed;
  }
}

TEST(LuaReducer, OtherFoldsAreNoSums) {
  Hosts hosts;
  TaskContext task(0, 1, 0, &hosts);
  for (const auto& [source, how] : std::vector<std::pair<std::string, std::string>>{
           {"function(x, y) return x + y end", "kernel"},
           {"function(x, y) return x + x end", "plain Lua: a fold that is no sum"},
           {"function(x, y) return x - y end", "plain Lua: a fold that is no sum"},
           {"function(x, y, z) return x + z end", "plain Lua: a fold that is no sum"},
           {"function(x, y) return x + y, 1 end", "plain Lua: a fold that is no sum"},
           {"function(x, y) return x + y + 1 end", "plain Lua: a fold that is no sum"},
           {"function(x, y) return x + 1 end", "plain Lua: a fold that is no sum"},
           {"function(x, y) n = x return x + y end", "plain Lua: line 1: an assignment to a global"},
           {"math.max", "plain Lua: a function of the library"}}) {
    EXPECT_EQ(MakeLuaFunction(source, "")->HowItRuns(kReduce, task), how) << source;
  }
}

TEST(LuaReducer, AWrongNumberOfResultsIsAnErrorThatShowsTheRow) {
  for (const char* source : {"function(x, y) end", "function(x, y) return x, y end"}) {
    const auto result = Fold(source, {{1}, {2}}, {0, 0}, 1);
    EXPECT_EQ(result.status().code(), Code::kUserCode) << source;
    EXPECT_NE(result.status().message().find("row"), std::string::npos) << result.status().message();
  }
  EXPECT_FALSE(Fold("function(a, b, x, y) return 1 end", {{1, 2}, {3, 4}}, {0, 0}, 1).ok());
}

TEST(LuaReducer, AnErrorShowsTheRow) {
  const auto result =
      Fold("function(x, y) if y == 3 then error('three') end return x + y end", {{1}, {2}, {3}}, {0, 0, 0}, 1);
  EXPECT_EQ(result.status().code(), Code::kUserCode);
  EXPECT_NE(result.status().message().find("row (3)"), std::string::npos) << result.status().message();
  // Rows that begin a group stand between the others.
  const auto among_new = Fold("function(x, y) if y == 3 then error('three') end return x + y end",
                              {{1}, {2}, {1}, {9}, {3}, {7}}, {0, 1, 0, 2, 1, 3}, 4);
  EXPECT_NE(among_new.status().message().find("row (3)"), std::string::npos) << among_new.status().message();
}

}  // namespace
}  // namespace glim::udf
