// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_standard.h"

#include <lua.hpp>

#include "base/check.h"

namespace glim::udf {
namespace {

constexpr const char* kNames = "glim standard names";
constexpr const char* kObjects = "glim standard objects";
constexpr const char* kAdditions = "glim standard additions";

constexpr char kRemember[] = R"lua(
local names, objects, known = {}, {}, {}
local is_named = {["function"] = true, table = true, userdata = true}
local function add(name, value)
  if not is_named[type(value)] then return end
  names[value] = names[value] or name
  objects[name] = value
end
local function add_fields(prefix, fields)
  for key, value in pairs(fields) do
    if type(key) == "string" then add(prefix .. key, value) end
  end
end
for _, name in ipairs {"string", "table", "math", "bit", "os", "io", "coroutine", "debug", "jit", "jit.util", "jit.opt",
                       "ffi", "package", "glim"} do
  local found, module = pcall(require, name)
  if found and type(module) == "table" then
    add(name, module)
    add_fields(name .. ".", module)
  end
end
add("_G", _G)
add_fields("", _G)
for _, name in ipairs {"string", "table", "math", "bit", "os", "io", "coroutine"} do
  known[name] = {}
  for key, value in pairs(objects[name]) do known[name][key] = value end
end
local function additions()
  local list = {}
  for name, fields in pairs(known) do
    for key, value in pairs(objects[name]) do
      if type(key) == "string" and not rawequal(fields[key], value) then list[#list + 1] = {name, key, value} end
    end
  end
  return list
end
return names, objects, additions)lua";

}  // namespace

void RememberStandard(lua_State* L) {
  CHECK_EQ(luaL_loadbuffer(L, kRemember, sizeof(kRemember) - 1, "=standard"), 0);
  lua_call(L, 0, 3);
  lua_setfield(L, LUA_REGISTRYINDEX, kAdditions);
  lua_setfield(L, LUA_REGISTRYINDEX, kObjects);
  lua_setfield(L, LUA_REGISTRYINDEX, kNames);
}

std::string StandardName(lua_State* L, int index) {
  if (lua_isnil(L, index)) return "";
  lua_pushvalue(L, index);
  lua_getfield(L, LUA_REGISTRYINDEX, kNames);
  lua_insert(L, -2);
  lua_rawget(L, -2);
  std::string name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  lua_pop(L, 2);
  return name;
}

void PushStandard(lua_State* L, const std::string& name) {
  lua_getfield(L, LUA_REGISTRYINDEX, kObjects);
  lua_getfield(L, -1, name.c_str());
  lua_replace(L, -2);
}

void PushAdditions(lua_State* L) {
  lua_getfield(L, LUA_REGISTRYINDEX, kAdditions);
  lua_call(L, 0, 1);
}

}  // namespace glim::udf
