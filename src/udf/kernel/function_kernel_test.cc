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
    return "do return " + out + " end\n";
  }

  std::string Number(int depth) {
    if (depth == 0 || Pick(4) == 0) {
      return Pick(3) > 0 ? OneOf({"a", "a", "up"})
                         : OneOf({"0", "1", "2", "3", "-1", "0.5", "10", "100", "-7", "1e308", "2^53",
                                  "9007199254740993", "-0.0", "1e15", "0.1", "(1/0)", "(0/0)"});
    }
    switch (Pick(8)) {
      case 0: return "- " + Number(depth - 1);
      case 1: return "(" + Condition(depth - 1) + " and " + Number(depth - 1) + " or " + Number(depth - 1) + ")";
      default:
        return "(" + Number(depth - 1) + OneOf({" + ", " - ", " * ", " / ", " % ", " + "}) + Number(depth - 1) + ")";
    }
  }

  std::string Text(int depth) {
    if (depth == 0 || Pick(3) > 0) {
      return OneOf({"b", "b", "word", "'x'", "''", "'10'", "'0x10'", "' 12 '", "'a longer text, not inline'"});
    }
    return "(" + Condition(depth - 1) + " and " + Text(depth - 1) + " or " + Text(depth - 1) + ")";
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
    with_ = std::move(*function_->Instantiate(role, *with));
    without_ = std::move(*function_->Instantiate(role, *without));
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
  // Of what is not a number: compiled, a function may give another one than interpreted.
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

struct Sides {
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
  constexpr int kFunctions = 20000;
  Script script;
  Sides sides;
  LuaWriter writer(1);
  std::mt19937_64 random(2);
  int read = 0;
  for (int i = 0; i < kFunctions; ++i) {
    const FunctionRole role = i % 4 == 0 ? kFilter : kMap;
    const std::string source = writer.Function(role);
    ASSERT_EQ(luaL_dostring(script.L(), source.c_str()), 0) << source << lua_tostring(script.L(), -1);
    read += ReadFunction(script.L(), role).why_not.empty() ? 1 : 0;
    auto captured = Capture(script.L(), lua_gettop(script.L()));
    lua_settop(script.L(), 0);
    ASSERT_TRUE(captured.ok());
    Pair pair(MakeLuaFunction(*std::move(captured)), role, &sides.with_task, &sides.without_task);
    std::vector<Row> rows;
    for (int row = 0; row < 24; ++row) rows.push_back(NastyRow(random, i % 2 == 0));
    ASSERT_TRUE(pair.Same(MakeBatch(rows))) << source;
    for (const Row& row : rows) ASSERT_TRUE(pair.Same(MakeBatch({row}))) << source;
  }
  EXPECT_GT(read, kFunctions * 9 / 10);
}

TEST(FunctionKernel, ManySlicesGiveWhatPlainLuaGives) {
  std::mt19937_64 random(3);
  std::vector<Row> rows;
  for (int i = 0; i < 10000; ++i) rows.push_back({static_cast<double>(random() % 1000) / 4, NastyText(random), i});
  const Batch good = MakeBatch(rows);
  rows[5000][0] = Value();
  rows[9000][2] = (int64_t{1} << 53) + 1;
  const Batch mixed = MakeBatch(rows);
  for (const char* body :
       {"return a * 2, b", "return a > 100", "return c, b, a, 'constant', 1", "if a > 200 then return b end",
        "if a and a > 20 then return c end return a, b", "return a and a > 3 and b or c", "return"}) {
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
