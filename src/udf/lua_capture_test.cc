// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_capture.h"

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
           {"local t = {deep = {f = io.tmpfile()}} return function() return t end", "f"}}) {
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
