// SPDX-License-Identifier: Apache-2.0
#include "script/lua_functions.h"

#include <fmt/core.h>

#include "base/memory_budget.h"
#include "base/try.h"
#include "script/lua_support.h"
#include "udf/lua_capture.h"
#include "udf/lua_function.h"
#include "udf/lua_side.h"

namespace glim::script {

namespace {

// The function at `index` with what it captures; the tables of AsTable among that are for the plan to know.
Result<FunctionSource> CaptureFunction(lua_State* L, int index, udf::CaptureWith with) {
  ASSIGN_OR_RETURN(udf::Captured captured, udf::Capture(L, index, with));
  std::vector<SideTable> tables;
  for (const auto& object : captured.shared) {
    if (const auto* side = dynamic_cast<const udf::LuaSide*>(object.get())) tables.emplace_back(side->rows());
  }
  return FunctionSource(udf::MakeLuaFunction(std::move(captured)), std::move(tables));
}

}  // namespace

Result<FunctionSource> ToFunction(lua_State* L, int index, const char* what) {
  if (lua_type(L, index) == LUA_TSTRING) return FunctionSource(std::string(lua_tostring(L, index)));
  if (!lua_isfunction(L, index)) return WrongArgument(L, index, what, "a function");
  return CaptureFunction(L, index, {});
}

Result<FunctionSource> ToFunctionWithOptions(lua_State* L, const char* what) {
  if (lua_isnoneornil(L, 3)) return ToFunction(L, 2, what);
  if (!lua_istable(L, 3)) return WrongArgument(L, 3, what, "a table of options");
  RETURN_IF_ERROR(AllowOnly(L, 3, what, {"setup", "teardown"}));
  if (!lua_isfunction(L, 2)) return WrongArgument(L, 2, what, "a function beside options");
  udf::CaptureWith with;
  for (auto [name, place] : {std::pair("setup", &with.setup), std::pair("teardown", &with.teardown)}) {
    lua_getfield(L, 3, name);
    if (lua_isnil(L, -1)) continue;
    if (!lua_isfunction(L, -1)) {
      return WrongArgument(L, lua_gettop(L), fmt::format("{}: option \"{}\"", what, name).c_str(), "a function");
    }
    *place = lua_gettop(L);
  }
  return CaptureFunction(L, 2, with);
}

Result<int64_t> ToTableMemory(lua_State* L, int index, const char* what) {
  int64_t bytes_max = 0;
  if (!lua_isnoneornil(L, index)) {
    if (!lua_istable(L, index)) return WrongArgument(L, index, what, "a table of options");
    RETURN_IF_ERROR(AllowOnly(L, index, what, {"memory"}));
    std::string memory;
    if (Status status = ReadField(L, index, "memory", &memory); !status.ok()) return std::move(status).With(what);
    if (!memory.empty()) {
      auto bytes = base::ParseBytes(memory);
      if (!bytes.ok()) return std::move(bytes).status().With(what);
      bytes_max = *bytes;
    }
  }
  return bytes_max;
}

}  // namespace glim::script
