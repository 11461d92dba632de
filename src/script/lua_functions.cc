// SPDX-License-Identifier: Apache-2.0
#include "script/lua_functions.h"

#include <fmt/core.h>

#include <optional>

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

namespace {

constexpr const char* kFold = "glim fold";
// In the registry: which functions of the module stand for a fold where a fold is wanted.
constexpr const char* kAlsoFolds = "glim functions that are folds, too";

// Null when there is none at `index`.
std::optional<Fold> TestFold(lua_State* L, int index) {
  if (void* memory = TestObject(L, index, kFold)) return *static_cast<Fold*>(memory);
  if (!lua_isfunction(L, index)) return std::nullopt;
  lua_getfield(L, LUA_REGISTRYINDEX, kAlsoFolds);
  lua_pushvalue(L, index);
  lua_rawget(L, -2);
  std::optional<Fold> fold;
  if (lua_isnumber(L, -1)) fold = Fold(static_cast<Fold::Kind>(lua_tointeger(L, -1)));
  lua_pop(L, 2);
  return fold;
}

// glim.quantiles(0.5, 0.99)
Result<int> NewQuantiles(lua_State* L) {
  std::vector<double> at;
  for (int i = 1; i <= lua_gettop(L); ++i) {
    if (lua_type(L, i) != LUA_TNUMBER) return WrongArgument(L, i, "glim.quantiles", "numbers from 0 to 1");
    at.push_back(lua_tonumber(L, i));
  }
  PushObject(L, kFold, Quantiles(std::move(at)));
  return 1;
}

constexpr Function kQuantiles[] = {{"quantiles", Call<NewQuantiles>}, {}};

}  // namespace

Result<FunctionSource> ToReducer(lua_State* L, int index, const char* what) {
  if (auto fold = TestFold(L, index)) return FunctionSource(*std::move(fold));
  if (!lua_istable(L, index) || lua_objlen(L, index) == 0) return ToFunction(L, index, what);
  RETURN_IF_ERROR(IsList(L, index, what));
  std::vector<Fold> folds;
  for (size_t i = 1; i <= lua_objlen(L, index); ++i) {
    lua_rawgeti(L, index, static_cast<int>(i));
    auto fold = TestFold(L, lua_gettop(L));
    if (!fold.has_value()) return WrongArgument(L, lua_gettop(L), what, "a list of folds, such as glim.sum");
    folds.push_back(*std::move(fold));
    lua_pop(L, 1);
  }
  return FunctionSource(std::move(folds));
}

void OpenFolds(lua_State* L) {
  RegisterType(L, kFold, kNoFunctions, Collect<Fold>);
  for (const Fold& fold : {Sum(), Mean(), CountDistinct(), ApproxCountDistinct()}) {
    PushObject(L, kFold, fold);
    lua_setfield(L, -2, ToString(fold).c_str());
  }
  SetFunctions(L, kQuantiles, CalledWith::kDot);
  lua_newtable(L);
  for (const auto& [name, kind] : {std::pair("count", Fold::Kind::kCount), std::pair("min", Fold::Kind::kMin),
                                   std::pair("max", Fold::Kind::kMax)}) {
    lua_getfield(L, -2, name);
    lua_pushinteger(L, static_cast<lua_Integer>(kind));
    lua_rawset(L, -3);
  }
  lua_setfield(L, LUA_REGISTRYINDEX, kAlsoFolds);
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
