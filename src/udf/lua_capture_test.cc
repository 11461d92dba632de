// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_capture.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "udf/lua_test_support.h"

namespace glim::udf {
namespace {

using enum FunctionRole;

Answer RunCaptured(const std::string& script, const std::vector<Row>& rows, FunctionRole role = kMap) {
  Script state;
  const auto function = state.Capture(script);
  if (!function.ok()) return {function.status(), {}};
  return RunOn(**function, role, {MakeBatch(rows)});
}

void ExpectOne(const std::string& script, const Row& row, const std::string& wanted) {
  const Answer answer = RunCaptured(script, {row});
  ASSERT_TRUE(answer.status.ok()) << script << "\n" << answer.status.message();
  ASSERT_EQ(answer.rows.size(), 1u);
  EXPECT_EQ(answer.rows[0].at(0), wanted) << script;
}

TEST(LuaCapture, CapturedVariablesTravelByValue) {
  ExpectOne(
      "local a, b, c, d = 1, 'x\\0y', true, 9007199254740993LL return function() return tostring(a) .. #b .. tostring(c) .. tostring(d) end",
      {1}, "bytes 13true9007199254740993LL");
  ExpectOne("local t = {1, k = {2}} t.self = t return function(x) return t.self.k[1] + t[1] end", {1}, "int64 3");
  ExpectOne("local shared = {0} local a, b = {shared}, {shared} return function() a[1][1] = 5 return b[1][1] end", {1},
            "int64 5");
  ExpectOne("local function fact(n) return n < 2 and 1 or n * fact(n - 1) end return fact", {5}, "int64 120");
  ExpectOne(
      "local even, odd function even(n) return n == 0 or odd(n - 1) end function odd(n) return n > 0 and even(n - 1) end return even",
      {10}, "bool true");
  ExpectOne(
      "local floor, m, ffi = math.floor, math, require 'ffi' return function(x) return floor(x) + m.abs(-1) + ffi.sizeof('int') end",
      {1}, "int64 6");
}

TEST(LuaCapture, FunctionsThatShareAVariableStillShareIt) {
  ExpectOne("local n = 0 local function bump() n = n + 1 end return function(x) bump() bump() return x + n end", {1},
            "int64 3");
  // Through a table, through globals, and two levels deep.
  ExpectOne(
      "local n = 0 local account = {add = function(x) n = n + x end, get = function() return n end} "
      "return function(x) account.add(x) account.add(x) return account.get() end",
      {4}, "int64 8");
  ExpectOne(
      "local n = 0 function bump() n = n + 1 end function get() return n end return function() bump() return get() end",
      {1}, "int64 1");
  ExpectOne(
      "local n = 0 local function bump() return function() n = n + 1 end end "
      "local function get() return (function() return n end)() end "
      "return function(x) bump()() n = n * 10 return get() end",
      {1}, "int64 10");
  // Variables of the same name and value that are not the same.
  ExpectOne(
      "local function counter() local n = 0 return function() n = n + 1 return n end end "
      "local a, b = counter(), counter() return function() return a() + a() + b() end",
      {1}, "int64 4");
  // A function that replaces itself where others see it.
  ExpectOne(
      "local f local function call() return f() end f = function() f = function() return 2 end return 1 end "
      "return function() return call() * 10 + call() end",
      {1}, "int64 12");
}

TEST(LuaCapture, VariablesStaySharedWhenLoopsAreCompiled) {
  const std::string script =
      "local n, limit = 0, 3 local function bump() n = n + 1 if n > limit then limit = limit + 1 end end "
      "return function(x) n, limit = 0, x for i = 1, 500 do bump() end return n * 1000 + limit end";
  Script state;
  const auto function = state.Capture(script);
  ASSERT_TRUE(function.ok());
  std::vector<Row> rows;
  for (int i = 0; i < 300; ++i) rows.push_back({i});
  const Answer answer = RunOn(**function, kMap, {MakeBatch(rows)});
  ASSERT_TRUE(answer.status.ok()) << answer.status.message();
  for (int i = 0; i < 300; ++i) ASSERT_EQ(answer.rows[i][0], "int64 500500");
}

TEST(LuaCapture, TablesKeepTheirShape) {
  ExpectOne("local t = {} local a, b = t, {t} return function() t.x = 1 return a.x + b[1].x end", {1}, "int64 2");
  ExpectOne("local a, b = {}, {} a.b, b.a = b, a return function() return a.b.a == a and b.a.b == b end", {1},
            "bool true");
  ExpectOne("local key = {} local t = {[key] = 5} return function() return t[key] end", {1}, "int64 5");
  ExpectOne("local t = {} function t.self() return t end return function() return t.self() == t end", {1}, "bool true");
}

TEST(LuaCapture, ObjectsWithMetatablesTravel) {
  ExpectOne(
      "local Point = {} Point.__index = Point Point.__add = function(a, b) return setmetatable({x = a.x + b.x}, Point) end "
      "function Point:twice() return 2 * self.x end local p = setmetatable({x = 3}, Point) "
      "return function(x) local q = p + p return q:twice() + (getmetatable(q) == getmetatable(p) and x or 0) end",
      {1}, "int64 13");
  ExpectOne("local t = setmetatable({}, {__index = string}) return function(s) return t.upper(s) end", {"a"},
            "bytes A");
  ExpectOne(
      "local t = setmetatable({}, {__newindex = error, __index = error}) return function() return rawget(t, 1) end",
      {1}, "null nil");
  ExpectOne("local t = setmetatable({}, {__mode = 'k'}) return function() return getmetatable(t).__mode end", {1},
            "bytes k");
  // A table that is its own metatable.
  ExpectOne("local t = {v = 4} t.__index = t setmetatable(t, t) return function() return getmetatable(t).v end", {1},
            "int64 4");
}

TEST(LuaCapture, FunctionsAddedToTheStandardLibraryTravel) {
  ExpectOne("function string.trim(s) return (s:gsub('^%s+', '')) end return function(s) return s:trim() end", {"  a"},
            "bytes a");
  ExpectOne(
      "function math.half(x) return math.twice(x) / 4 end function math.twice(x) return 2 * x end "
      "return function(x) return math.half(x) end",
      {3}, "double 0x1.8p+0");
  ExpectOne("local m = table m.third = function(t) return t[3] end return function() return m.third{1, 2, 5} end", {1},
            "int64 5");
  ExpectOne(
      "local old = string.upper string.upper = function(s) return old(s) .. '!' end return function(s) return s:upper() end",
      {"a"}, "bytes A!");
  // What the function does not mention stays behind, even if it could not travel.
  ExpectOne("string.file = io.tmpfile() return function(s) return s:upper() end", {"a"}, "bytes A");
}

TEST(LuaCapture, AdditionsToTheStandardLibraryBelongToTheirStep) {
  Script one, two;
  const auto first = one.Capture("function string.mark(s) return s .. 1 end return function(s) return s:mark() end");
  const auto second = two.Capture("function string.mark(s) return s .. 2 end return function(s) return s:mark() end");
  const auto third = two.Capture("string.mark = nil return function(s) return s .. tostring(s.mark) end");
  ASSERT_TRUE(first.ok() && second.ok() && third.ok());
  Hosts hosts;
  TaskContext task(0, 1, 0, &hosts);
  auto a = (*first)->Instantiate(kMap, task), b = (*second)->Instantiate(kMap, task);
  auto c = (*third)->Instantiate(kMap, task);
  ASSERT_TRUE(a.ok() && b.ok() && c.ok());
  Collector out;
  Behind last(c->get(), &out), middle(b->get(), &last);
  // More than one batch comes out of the first step, so that the others run in the middle of it.
  const std::vector<Row> rows(9000, Row{"x"});
  const Status status = (*a)->Run(MakeBatch(rows), middle);
  ASSERT_TRUE(status.ok()) << status.message();
  ASSERT_EQ(out.rows.size(), rows.size());
  for (const auto& row : out.rows) ASSERT_EQ(row[0], "bytes x12nil");
}

TEST(LuaCapture, FunctionsOfTheStandardLibraryNeedNoWrapping) {
  ExpectOne("return tostring", {5}, "bytes 5");
  ExpectOne("return string.upper", {"a"}, "bytes A");
}

TEST(LuaCapture, GlobalsOfTheScriptTravelToo) {
  ExpectOne("k = 3 function helper(x) return k * x end return function(x) return helper(x) end", {2}, "int64 6");
  ExpectOne("k = 3 return function(x) return (function() return k + x end)() end", {2}, "int64 5");
}

TEST(LuaCapture, GlobalsOfTheStandardLibraryNeedNotTravel) {
  for (const char* use : {"collectgarbage('count') and 1", "type(package.path) == 'string' and 1",
                          "type(dofile) == 'function' and 1", "type(loadfile) == 'function' and 1", "newproxy and 1",
                          "_VERSION and 1", "io.stderr and 1", "gcinfo and 1", "jit.os and 1"}) {
    ExpectOne(std::string("return function(x) return ") + use + " end", {1}, "int64 1");
  }
}

TEST(LuaCapture, WhatCannotTravelIsAnErrorThatNamesIt) {
  for (const auto& [script, name] : std::vector<std::pair<std::string, std::string>>{
           {"local co = coroutine.create(print) return function() return co end", "co"},
           {"local file = io.tmpfile() return function() return file end", "file"},
           {"local t = {deep = {f = io.tmpfile()}} return function() return t end", "t.deep.f"},
           {"local file = io.tmpfile() local function write() return file end return function() write() end",
            "write > file"},
           {"local t = setmetatable({}, {__index = {f = io.tmpfile()}}) return function() return t end",
            "getmetatable(t).__index.f"},
           {"string.file = io.tmpfile() return function() return ('').file end", "string.file"}}) {
    Script state;
    const auto function = state.Capture(script);
    ASSERT_EQ(function.status().code(), Code::kInvalid);
    EXPECT_NE(function.status().message().find("job.lua:1"), std::string::npos);
    EXPECT_NE(function.status().message().find(name), std::string::npos) << function.status().message();
  }
}

TEST(LuaCapture, TasksThatShareAThreadDoNotSeeEachOthersVariables) {
  Script state;
  const auto function = state.Capture("local n = 0 return function() n = n + 1 return n end");
  ASSERT_TRUE(function.ok());
  Hosts hosts;
  for (int i = 0; i < 2; ++i) {
    TaskContext task(i, 2, 0, &hosts);
    auto instance = (*function)->Instantiate(kMap, task);
    Collector out;
    ASSERT_TRUE((*instance)->Run(MakeBatch({{1}, {1}}), out).ok());
    EXPECT_EQ(out.rows, (Rows{{"int64 1"}, {"int64 2"}}));
  }
}

TEST(LuaCapture, LiveInstancesOfOneFunctionHaveVariablesOfTheirOwn) {
  Script state;
  const auto function = state.Capture(
      "local n, list = 0, {} local function bump() n = n + 1 end "
      "return function() bump() list[#list + 1] = n g = (g or 0) + 1 return n, #list, g end");
  ASSERT_TRUE(function.ok()) << function.status().message();
  Hosts hosts;
  for (int round = 0; round < 2; ++round) {
    TaskContext first(0, 2, 0, &hosts), second(1, 2, 0, &hosts);
    auto a = (*function)->Instantiate(kMap, first), b = (*function)->Instantiate(kMap, second);
    ASSERT_TRUE(a.ok() && b.ok());
    for (int i = 1; i <= 3; ++i) {
      for (const auto& instance : {a->get(), b->get()}) {
        Collector out;
        ASSERT_TRUE(instance->Run(MakeBatch({{1}}), out).ok());
        const std::string wanted = "int64 " + std::to_string(i);
        EXPECT_EQ(out.rows, (Rows{{wanted, wanted, wanted}}));
      }
    }
  }
}

// A module in a folder that only package.path knows.
class LuaModules : public ::testing::Test {
 protected:
  LuaModules() : folder_(::testing::TempDir() + "glim_modules_" + std::to_string(getpid())) {
    std::filesystem::create_directory(folder_);
    Write("counter", "local n = 0 total = (total or 0) + 1 return {next = function() n = n + 1 return n end}");
    Write("outer", "local counter = require 'counter' return {next = counter.next, name = ...}");
    Write("no_result", "answer = 42");
    Write("wrong", "\nlocal x = nil + 1");
    Write("syntax", "return return");
    Write("self", "return require 'self'");
  }
  ~LuaModules() override { std::filesystem::remove_all(folder_); }
  void Write(const std::string& name, const std::string& text) { std::ofstream(folder_ + "/" + name + ".lua") << text; }
  Answer Run(const std::string& script) {
    return RunCaptured("package.path = '" + folder_ + "/?.lua;' .. package.path " + script, {{1}, {1}});
  }

  const std::string folder_;
};

TEST_F(LuaModules, AreFoundByFunctionsWhereTheScriptFindsThem) {
  EXPECT_EQ(Run("return function() return require('counter').next() end").rows, (Rows{{"int64 1"}, {"int64 2"}}));
  EXPECT_EQ(Run("local require = require return function() return require('counter').next() end").rows,
            (Rows{{"int64 1"}, {"int64 2"}}));
  EXPECT_EQ(Run("local counter = require 'counter' return function() return counter.next() end").rows,
            (Rows{{"int64 1"}, {"int64 2"}}));
  EXPECT_EQ(Run("return function() local o = require 'outer' return o.next(), o.name, total end").rows,
            (Rows{{"int64 1", "bytes outer", "int64 1"}, {"int64 2", "bytes outer", "int64 1"}}));
  EXPECT_EQ(Run("return function() return require 'no_result', answer end").rows[1],
            (std::vector<std::string>{"bool true", "int64 42"}));
  EXPECT_EQ(Run("return function() return require('ffi').sizeof('int'), require('string') == string end").rows[0],
            (std::vector<std::string>{"int64 4", "bool true"}));
}

TEST_F(LuaModules, BelongToTheirTask) {
  Script state;
  const auto function = state.Capture("package.path = '" + folder_ +
                                      "/?.lua' return function() return require('counter').next(), total end");
  ASSERT_TRUE(function.ok());
  Hosts hosts;
  for (int i = 0; i < 2; ++i) {
    TaskContext task(i, 2, 0, &hosts);
    auto instance = (*function)->Instantiate(kMap, task);
    Collector out;
    ASSERT_TRUE((*instance)->Run(MakeBatch({{1}}), out).ok());
    EXPECT_EQ(out.rows, (Rows{{"int64 1", "int64 1"}}));
  }
}

TEST_F(LuaModules, AreFoundByFunctionsGivenAsText) {
  const Answer answer =
      RunSource("function() return require('counter').next() end", kMap, {{1}}, "", {.lua_path = folder_ + "/?.lua"});
  EXPECT_EQ(answer.rows, (Rows{{"int64 1"}})) << answer.status.message();
}

TEST_F(LuaModules, MistakesNameTheFile) {
  for (const auto& [name, message] :
       std::vector<std::pair<std::string, std::string>>{{"wrong", "wrong.lua:2:"},
                                                        {"syntax", "syntax.lua:1:"},
                                                        {"self", "requires itself"},
                                                        {"absent", folder_ + "/absent.lua"}}) {
    const Status status = Run("return function() return require '" + name + "' end").status;
    EXPECT_EQ(status.code(), Code::kUserCode);
    EXPECT_NE(status.message().find(message), std::string::npos) << status.message();
  }
}

TEST_F(LuaModules, OneThatIsNowhereGivesAShortMessage) {
  const std::string message = Run("return function() return require 'absent' end").status.message();
  EXPECT_NE(message.find("module 'absent' not found: no file '" + folder_ +
                         "/absent.lua', nor in the other places of "
                         "package.path"),
            std::string::npos)
      << message;
  EXPECT_EQ(message.find("no field"), std::string::npos) << message;
}

TEST(LuaCapture, ErrorsKeepTheLineOfTheScript) {
  const Status status = RunCaptured("\n\nreturn function(x)\n  return x.y.z\nend", {{1}}).status;
  EXPECT_EQ(status.message().substr(0, 10), "job.lua:4:") << status.message();
}

class Number : public SharedObject {
 public:
  explicit Number(int value) : value(value) {}
  void Push(lua_State* L) const override { PushSharedObject(L, std::make_shared<Number>(value), "test number"); }
  const int value;
};

TEST(LuaCapture, SharedObjectsTravel) {
  Script state;
  Number(7).Push(state.L());
  lua_setglobal(state.L(), "object");
  EXPECT_EQ(ToSharedObject(state.L(), LUA_GLOBALSINDEX), nullptr);
  const auto function = state.Capture("local o = object return function() return type(o) end");
  ASSERT_TRUE(function.ok()) << function.status().message();
  EXPECT_EQ(RunOn(**function, kMap, {MakeBatch({{1}})}).rows, (Rows{{"bytes userdata"}}));
}

}  // namespace
}  // namespace glim::udf
