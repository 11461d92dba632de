// SPDX-License-Identifier: Apache-2.0
//
// Kernels are held against plain Lua: functions and rows are generated, and what comes out must be the same bit for
// bit, with the same errors.
#include "udf/kernel/function_kernel.h"

#include <cmath>
#include <random>

#include "udf/kernel/reader.h"
#include "udf/lua_test_support.h"

namespace glim::udf {
namespace {

using enum FunctionRole;

// Writes Lua functions of three arguments without loops: a is meant to be a number, b a text, c anything.
class LuaWriter {
 public:
  explicit LuaWriter(uint64_t seed) : random_(seed) {}

  std::string Function(FunctionRole role) {
    locals_ = {"a", "b", "c", "up", "word"};
    if (role == FunctionRole::kFlatMap) {
      return "return function(a, b, c)\n" + Statements(1) + (Pick(4) == 0 ? "if c then return end\n" : "") + "return " +
             OneOf({"(" + Text(2) + "):gmatch(" + Pattern() + ")", "string.gmatch(" + Text(1) + ", " + Pattern() + ")",
                    "split(" + Text(2) + ", " + OneOf({"','", "' '", "', '", "''", "word", "b"}) + ")", "nil", "b"}) +
             "\nend";
    }
    const std::string statements = Statements(2);
    return "local up, word, no = 2.5, 'ab', nil\nreturn function(a, b, c)\n" + statements + Return(role) + "end";
  }

  uint64_t Pick(uint64_t below) { return random_() % below; }

 private:
  std::string OneOf(const std::vector<std::string>& texts) { return texts[Pick(texts.size())]; }

  std::string Statements(int depth) {
    std::string out;
    for (uint64_t i = Pick(3); i > 0; --i) {
      switch (Pick(depth > 0 ? 4 : 2)) {
        case 0: {
          const std::string name = "v" + std::to_string(locals_.size());
          out += "local " + name + " = " + Any(2) + "\n";
          locals_.push_back(name);
          break;
        }
        case 1: out += OneOf({"a = " + Number(2), "b = " + Text(2), "c = " + Any(2)}) + "\n"; break;
        default: {
          const size_t visible = locals_.size();
          out += "if " + Condition(2) + " then\n" + Statements(depth - 1);
          if (Pick(4) == 0) out += Return(FunctionRole::kMap);
          locals_.resize(visible);
          if (Pick(2) == 0) out += "else\n" + Statements(depth - 1);
          locals_.resize(visible);
          out += "end\n";
        }
      }
    }
    return out;
  }

  std::string Return(FunctionRole role) {
    if (role == FunctionRole::kFilter) return "do return " + Condition(3) + " end\n";
    std::string out;
    for (uint64_t i = Pick(8) == 0 ? 0 : 1 + Pick(3); i > 0; --i) out += (out.empty() ? "" : ", ") + Any(3);
    // All results of a call.
    if (Pick(6) == 0) {
      out += (out.empty() ? "(" : ", (") + Text(1) + ")" +
             OneOf({":match(" + Pattern() + ")", ":find(" + Pattern() + ")", ":byte(" + Place() + ")",
                    ":gsub(" + Pattern() + ", '%0')", ":find(" + Text(1) + ", " + Place() + ", true)"});
    }
    return "do return " + out + " end\n";
  }

  std::string Number(int depth) {
    if (depth == 0 || Pick(4) == 0) {
      return Pick(3) > 0 ? OneOf({"a", "a", "up"})
                         : OneOf({"0", "1", "2", "3", "-1", "0.5", "10", "100", "-7", "1e308", "2^53",
                                  "9007199254740993", "-0.0", "1e15", "0.1", "(1/0)", "(0/0)"});
    }
    switch (Pick(12)) {
      case 5: return "math." + OneOf({"max", "min"}) + "(" + Number(depth - 1) + ", " + Number(depth - 1) + ")";
      case 0: return "- " + Number(depth - 1);
      case 2: return OneOf({"#", "string.len"}) + "(" + Text(depth - 1) + ")";
      case 3: return "tonumber(" + Text(depth - 1) + ")";
      case 4: return "math." + OneOf({"floor", "ceil", "abs", "sqrt"}) + "(" + Number(depth - 1) + ")";
      case 6:
        return "(" +
               OneOf({"(" + Text(depth - 1) + "):byte(" + Place() + ")",
                      "(" + Text(depth - 1) + "):find(" + Pattern() + ")",
                      "(" + Text(depth - 1) + "):find(" + Text(depth - 1) + ", " + Place() + ", true)",
                      "tonumber((" + Text(depth - 1) + "):match(" + Pattern() + "))"}) +
               " or 0)";
      case 1: return "(" + Condition(depth - 1) + " and " + Number(depth - 1) + " or " + Number(depth - 1) + ")";
      default:
        return "(" + Number(depth - 1) + OneOf({" + ", " - ", " * ", " / ", " % ", " + "}) + Number(depth - 1) + ")";
    }
  }

  std::string Text(int depth) {
    if (depth == 0 || Pick(3) == 0) {
      return OneOf(
          {"b", "b", "b", "b", "word", "'x'", "''", "'10'", "'0x10'", "' 12 '", "'a longer text, not inline'"});
    }
    const std::string text = Text(depth - 1);
    switch (Pick(10)) {
      case 0: return "(" + Condition(depth - 1) + " and " + text + " or " + Text(depth - 1) + ")";
      case 1: return "(" + text + " .. " + OneOf({Number(depth - 1), Text(depth - 1), "'-' .. a"}) + ")";
      case 2: return "(" + text + "):sub(" + Place() + ", " + Place() + ")";
      case 3: return "string." + OneOf({"lower", "upper", "reverse"}) + "(" + text + ")";
      case 4: return "(" + text + "):rep(" + Place() + ")";
      case 5: return "(" + OneOf({"tostring", "type"}) + "(" + Any(depth - 1) + "))";
      case 6: return "((" + text + "):match(" + Pattern() + ") or '')";
      case 7:
        return "((" + text + "):gsub(" + Pattern() + ", " + OneOf({"''", "'-'", "'<%0>'", "'%1%%'", "'%9'"}) + "))";
      case 8:
        return "string.format(" +
               OneOf({"'%s', ", "'%d', ", "'%s=%5.2f', 'x', ", "'%05d|%x', a, ", "'%-8d.%.0f', a, "}) +
               OneOf({Number(depth - 1), text, "c"}) + ")";
      default: return "(" + text + "):" + OneOf({"lower", "upper"}) + "()";
    }
  }

  std::string Place() { return OneOf({"1", "2", "3", "-1", "-3", "0", "10", "-20", "1.5", "a", "nil", "#b"}); }

  std::string Pattern() {
    return OneOf({"'%w+'", "'(%d+)'", "'^%s*(.-)%s*$'", "'[^,]*'", "'(%a+)=(%d+)'", "'()b()'", "'^a'", "'b$'", "'.'",
                  "''", "'%.'", "'x*'", "'(a)(b)'", "'%f[%w]%w+'", "'(%w)%1'", "'o, W'", "b", "'[%z\\128-\\255]'"});
  }

  std::string Condition(int depth) {
    if (depth == 0) return OneOf({"a", "c", "true", "false", "nil", "b"});
    const std::string compare = OneOf({" == ", " ~= ", " < ", " <= ", " > ", " >= "});
    switch (Pick(7)) {
      case 0: return "not " + Condition(depth - 1);
      case 1: return "(" + Condition(depth - 1) + OneOf({" and ", " or "}) + Condition(depth - 1) + ")";
      case 2: return "(" + Text(depth - 1) + compare + Text(depth - 1) + ")";
      case 3: return "(" + Any(depth - 1) + OneOf({" == ", " ~= "}) + OneOf({"nil", "false", "'x'", "2", "c"}) + ")";
      default: return "(" + Number(depth - 1) + compare + Number(depth - 1) + ")";
    }
  }

  std::string Any(int depth) {
    switch (Pick(6)) {
      case 0: return OneOf(locals_);
      case 1: return OneOf({"nil", "true", "false", "c", "no"});
      case 2: return Condition(depth);
      case 3: return Text(depth);
      default: return Number(depth);
    }
  }

  std::mt19937_64 random_;
  std::vector<std::string> locals_;
};

Value NastyNumber(std::mt19937_64& random) {
  static const std::vector<Value> kNumbers = {0,
                                              1,
                                              -1,
                                              2,
                                              7,
                                              0.5,
                                              -0.0,
                                              NAN,
                                              -NAN,
                                              1e308,
                                              -1e308,
                                              INFINITY,
                                              5e-324,
                                              -INFINITY,
                                              1e15,
                                              0.1,
                                              123456,
                                              3.25,
                                              2147483648.0,
                                              int64_t{1} << 53,
                                              (int64_t{1} << 53) + 1,
                                              INT64_MIN};
  if (random() % 3 == 0) return static_cast<int64_t>(random() % 100) - 20;
  return kNumbers[random() % kNumbers.size()];
}

Value NastyText(std::mt19937_64& random) {
  static const std::vector<std::string> kTexts = {"",
                                                  "x",
                                                  "ab",
                                                  "abc",
                                                  "10",
                                                  "0x10",
                                                  " 12 ",
                                                  "-3.5e2",
                                                  "1e999",
                                                  "nan",
                                                  "inf",
                                                  "Hello, World",
                                                  "a,b,,c",
                                                  "%d %s",
                                                  std::string("a\0b", 3),
                                                  "\xff\xfe\x80",
                                                  "key=value; other=12",
                                                  "a longer text than twelve bytes",
                                                  "   trim me   ",
                                                  "9007199254740993"};
  return kTexts[random() % kTexts.size()];
}

Value Nasty(std::mt19937_64& random) {
  switch (random() % 6) {
    case 0: return Value();
    case 1: return random() % 2 == 0;
    case 2: return std::vector<Value>{1.0, Value(), "x"};
    case 3: return NastyText(random);
    default: return NastyNumber(random);
  }
}

// Mostly as the writer of functions hopes; `strict`: always.
Row NastyRow(std::mt19937_64& random, bool strict) {
  return {strict || random() % 8 > 0 ? NastyNumber(random) : Nasty(random),
          strict || random() % 8 > 0 ? NastyText(random) : Nasty(random), Nasty(random)};
}

// One function, instantiated with and without kernels, given one batch after the other.
class Pair {
 public:
  Pair(std::shared_ptr<const Function> function, FunctionRole role, TaskContext* with, TaskContext* without)
      : function_(std::move(function)) {
    with_ = *function_->Instantiate(role, *with);
    without_ = *function_->Instantiate(role, *without);
  }

  // Whether both gave the same; where not, says how.
  testing::AssertionResult Same(const Batch& batch) {
    Collector with;
    Collector without;
    const Status with_status = with_->Run(batch, with);
    const Status without_status = without_->Run(batch, without);
    if (with_status.message() != without_status.message() || with_status.details() != without_status.details()) {
      return testing::AssertionFailure() << "kernel: " << with_status.message()
                                         << "\nplain:  " << without_status.message();
    }
    if (!with_status.ok()) return testing::AssertionSuccess();
    ForgetSigns(&with.rows);
    ForgetSigns(&without.rows);
    if (with.rows == without.rows && with.batches == without.batches) return testing::AssertionSuccess();
    auto failure = testing::AssertionFailure() << with.rows.size() << " rows, plain " << without.rows.size();
    for (size_t row = 0; row < with.rows.size() && row < without.rows.size(); ++row) {
      if (with.rows[row] == without.rows[row]) continue;
      failure << "\nrow " << row << ":";
      for (const auto& cell : with.rows[row]) failure << " [" << cell << "]";
      failure << ", plain";
      for (const auto& cell : without.rows[row]) failure << " [" << cell << "]";
      break;
    }
    return failure;
  }

 private:
  // Of what is not a number: LuaJIT has one NaN when it takes in a value, and others when it computes with it.
  static void ForgetSigns(std::vector<std::vector<std::string>>* rows) {
    for (auto& row : *rows) {
      for (std::string& cell : row) {
        if (cell == "double -nan") cell = "double nan";
      }
    }
  }

  std::shared_ptr<const Function> function_;
  std::unique_ptr<BatchFunction> with_;
  std::unique_ptr<BatchFunction> without_;
};

// Lua interprets: of the zero below zero and of NaNs, compiled code gives now this and now that.
struct Sides {
  Sides() {
    for (Hosts* hosts : {&with, &without}) EXPECT_EQ(luaL_dostring((*hosts->Lua())->raw(), "jit.off()"), 0);
  }
  Hosts with{{.lua_kernels = true}};
  Hosts without{{.lua_kernels = false}};
  TaskContext with_task{0, 1, 0, &with};
  TaskContext without_task{0, 1, 0, &without};
};

std::string WhyNot(const std::string& source, FunctionRole role) {
  Script script;
  EXPECT_EQ(luaL_dostring(script.L(), source.c_str()), 0) << source;
  return ReadFunction(script.L(), role).why_not;
}

TEST(FunctionKernel, GeneratedFunctionsGiveWhatPlainLuaGives) {
#ifdef __SANITIZE_ADDRESS__
  constexpr int kFunctions = 2000;
#else
  constexpr int kFunctions = 20000;
#endif
  Script script;
  Sides sides;
  LuaWriter writer(1);
  std::mt19937_64 random(2);
  int read = 0;
  for (int i = 0; i < kFunctions; ++i) {
    const FunctionRole role = i % 4 == 0 ? kFilter : i % 4 == 1 ? kFlatMap : kMap;
    const std::string source = writer.Function(role);
    ASSERT_EQ(luaL_dostring(script.L(), source.c_str()), 0) << source << lua_tostring(script.L(), -1);
    read += ReadFunction(script.L(), role).why_not.empty() ? 1 : 0;
    auto captured = Capture(script.L(), lua_gettop(script.L()));
    lua_settop(script.L(), 0);
    ASSERT_TRUE(captured.ok());
    Pair pair(MakeLuaFunction(*std::move(captured)), role, &sides.with_task, &sides.without_task);
    std::vector<Row> rows;
    // The text of a list is where it lies in memory.
    const bool writes = source.find("tostring") != source.npos || source.find("%s") != source.npos;
    for (int row = 0; row < 24; ++row) {
      rows.push_back(NastyRow(random, i % 2 == 0));
      for (Value& value : rows.back()) {
        if (writes && value.type() == Type::kList) value = Value();
      }
    }
    ASSERT_TRUE(pair.Same(MakeBatch(rows))) << source;
    for (const Row& row : rows) ASSERT_TRUE(pair.Same(MakeBatch({row}))) << source;
  }
  EXPECT_GT(read, kFunctions / 2);
}

TEST(FunctionKernel, ManySlicesGiveWhatPlainLuaGives) {
  std::mt19937_64 random(3);
  std::vector<Row> rows;
  for (int i = 0; i < 10000; ++i) rows.push_back({static_cast<double>(random() % 1000) / 4, NastyText(random), i});
  const Batch good = MakeBatch(rows);
  rows[5000][0] = Value();
  rows[9000][2] = (int64_t{1} << 53) + 1;
  const Batch mixed = MakeBatch(rows);
  for (const char* body : {"return a * 2, b", "return a > 100", "return math.max(a or 0, 77), math.min(c % 50, a or 1)",
                           "return b:lower(), b:sub(2, 5), #b, b:find('a', 1, true)", "return b:match('(%w+)=(%w+)')",
                           "return b .. a, b:gsub('%s', '_')", "return tonumber(b)", "return c, b, a, 'constant', 1",
                           "if a > 200 then return b end", "if a and a > 20 then return c end return a, b",
                           "return a and a > 3 and b or c", "return"}) {
    for (const FunctionRole role : {kMap, kFilter}) {
      Sides sides;
      Pair pair(MakeLuaFunction(std::string("function(a, b, c) ") + body + " end", ""), role, &sides.with_task,
                &sides.without_task);
      EXPECT_TRUE(pair.Same(good)) << body;
      EXPECT_TRUE(pair.Same(mixed)) << body;
      EXPECT_TRUE(pair.Same(good)) << body;
    }
  }
}

TEST(FunctionKernel, AReplacedFunctionOfTheLibraryIsUsed) {
  for (const char* init : {"string.lower = function() return 'own' end", "function tostring() return 'own' end",
                           "string = {lower = function() return 'own' end, find = string.find}",
                           "getmetatable('').__index = function() return function() return 'own' end end",
                           "getmetatable('').__tostring = function() return 'own' end"}) {
    for (const char* result : {"x:lower()", "string.lower(x)", "tostring(x)", "tostring(x):lower()"}) {
      const std::string source = std::string("function(x) return ") + result + " end";
      const Answer with = RunSource(source, kMap, {{"A b"}, {2.5}}, init, {.lua_kernels = true});
      const Answer without = RunSource(source, kMap, {{"A b"}, {2.5}}, init, {.lua_kernels = false});
      EXPECT_EQ(with.status.message(), without.status.message()) << init << source;
      if (with.status.ok()) {
        EXPECT_EQ(with.rows, without.rows) << init << source;
      }
    }
  }
}

TEST(FunctionKernel, AFunctionThatIsReplacedBetweenBatchesIsUsed) {
  Hosts hosts;
  TaskContext task(0, 1, 0, &hosts);
  const auto function = MakeLuaFunction("function(x) return x:lower() end", "");
  const auto changes = MakeLuaFunction("function(x) string.lower = string.upper return x end", "");
  auto kernel = function->Instantiate(kMap, task);
  auto change = changes->Instantiate(kMap, task);
  Collector out;
  ASSERT_TRUE((*kernel)->Run(MakeBatch({{"Ab"}}), out).ok());
  ASSERT_TRUE((*change)->Run(MakeBatch({{"Ab"}}), out).ok());
  ASSERT_TRUE((*kernel)->Run(MakeBatch({{"Ab"}}), out).ok());
  EXPECT_EQ(out.rows, (udf::Rows{{"bytes ab"}, {"bytes Ab"}, {"bytes AB"}}));
}

TEST(FunctionKernel, NumbersOfAllSizesAreReadAndWrittenAsLuaDoesIt) {
  std::mt19937_64 random(5);
  std::vector<Row> rows;
  for (int i = 0; i < 100000; ++i) {
    const uint64_t bits = random();
    double number = 0;
    std::memcpy(&number, &bits, sizeof(number));
    if (i % 3 == 0) number = static_cast<double>(static_cast<int64_t>(random() % 2000000000000)) / 1000;
    if (i % 5 == 0) number = static_cast<double>(random() % 10000000000000000) / 8;
    if (i % 3 == 1) number = std::ldexp(static_cast<double>(random() % 100000), static_cast<int>(random() % 80) - 40);
    char text[64];
    std::snprintf(text, sizeof(text), i % 2 == 0 ? "%.17g" : " %.6f ", number);
    rows.push_back({text, number});
  }
  Sides sides;
  Pair pair(MakeLuaFunction("function(b, a) return tonumber(b), tostring(a), a .. '', ('%.3f'):format(a) end", ""),
            kMap, &sides.with_task, &sides.without_task);
  EXPECT_TRUE(pair.Same(MakeBatch(rows)));
}

TEST(FunctionKernel, RowsThatAreAllForLuaGoThereInTheEnd) {
  Sides sides;
  Pair pair(MakeLuaFunction("function(a) return a + 1 end", ""), kMap, &sides.with_task, &sides.without_task);
  std::vector<Row> texts;
  for (int i = 0; i < 5000; ++i) texts.push_back({std::to_string(i)});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pair.Same(MakeBatch(texts)));
  EXPECT_TRUE(pair.Same(MakeBatch({{1}, {"2"}, {Value()}})));
}

TEST(FunctionKernel, SaysWhyAFunctionIsNotRead) {
  EXPECT_EQ(WhyNot("return function(x) return x > 5 end", kFilter), "");
  EXPECT_EQ(WhyNot("local n = 5 return function(x) return x + n, not x end", kMap), "");
  EXPECT_EQ(WhyNot("return function(x)\nfor i = 1, 2 do x = x + i end return x end", kMap), "line 2: a loop");
  EXPECT_EQ(WhyNot("return function(x) while x < 5 do x = x + 1 end return x end", kMap), "line 1: a loop");
  EXPECT_EQ(WhyNot("return function(x) return x > limit end", kFilter), "line 1: the global \"limit\"");
  EXPECT_EQ(WhyNot("return function(x) count = x return x end", kMap), "line 1: an assignment to a global");
  EXPECT_EQ(WhyNot("local n = 0 return function(x) n = n + 1 return n end", kMap),
            "line 1: an assignment to a captured variable");
  EXPECT_EQ(WhyNot("local t = {} return function(x) return t[x] end", kMap), "line 1: the captured \"t\", a table");
  EXPECT_EQ(WhyNot("return function(x) return {x} end", kMap), "line 1: a table");
  EXPECT_EQ(WhyNot("return function(...) return ... end", kMap), "a function with ... as argument");
  EXPECT_EQ(WhyNot("return function(x) return function() return x end end", kMap),
            "line 1: a function within the function");
}

}  // namespace
}  // namespace glim::udf
