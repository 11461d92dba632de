// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_require.h"

#include <lua.hpp>

#include "base/check.h"

namespace glim::udf {
namespace {

constexpr const char* kMaker = "glim task require";

constexpr char kMakeRequire[] = R"lua(
local package, require, loadfile, loadstring, setfenv, pcall, error =
  package, require, loadfile, loadstring, setfenv, pcall, error
local loading = {}
return function(environment, path, find)
  local modules = {}
  return function(name)
    local module = modules[name]
    if module == loading then error("module '" .. name .. "' requires itself", 2) end
    if module ~= nil then return module end
    if package.loaded[name] ~= nil or package.preload[name] then return require(name) end
    local file, chunk, problem, tried
    if find then
      file, chunk, problem = find(name, path or "")
      if problem then error(problem, 2) end
    end
    if file then
      chunk, problem = loadstring(chunk, "@" .. file)
    else
      file, tried = package.searchpath(name, path or package.path)
      if file then chunk, problem = loadfile(file) end
    end
    if not file then
      local found, result = pcall(require, name)
      if found then return result end
      -- The list of places where the module is not has a line for each, too long for a message.
      if not result:find("not found:", 1, true) then error(result, 2) end
      local first = tried:match("no file '([^']*)'") or name
      error("module '" .. name .. "' not found: no file '" .. first .. "', nor in the other places of package.path", 2)
    end
    if not chunk then error(problem, 2) end
    setfenv(chunk, environment)
    modules[name] = loading
    local done, result = pcall(chunk, name)
    modules[name] = nil
    if not done then error(result, 0) end
    if result == nil then result = package.loaded[name] end
    if result == nil then result = true end
    modules[name] = result
    return result
  end
end)lua";

// find(name, path): file and source; nothing; or nil, nil and why nobody knows.
int Find(lua_State* L) {
  const auto& finder = *static_cast<const ModuleFinder*>(lua_touserdata(L, lua_upvalueindex(1)));
  size_t name_size = 0, path_size = 0;
  const char* name = lua_tolstring(L, 1, &name_size);
  const char* path = lua_tolstring(L, 2, &path_size);
  if (name == nullptr || path == nullptr) return 0;
  const auto found = finder(std::string(name, name_size), std::string(path, path_size));
  if (!found.ok()) {
    lua_pushnil(L);
    lua_pushnil(L);
    lua_pushlstring(L, found.status().message().data(), found.status().message().size());
    return 3;
  }
  if (!found->found) return 0;
  lua_pushlstring(L, found->file.data(), found->file.size());
  lua_pushlstring(L, found->source.data(), found->source.size());
  return 2;
}

}  // namespace

void PushTaskRequire(lua_State* L, int environment, const std::string& path, const ModuleFinder& finder) {
  lua_getfield(L, LUA_REGISTRYINDEX, kMaker);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    CHECK_EQ(luaL_loadbuffer(L, kMakeRequire, sizeof(kMakeRequire) - 1, "=require"), 0);
    lua_call(L, 0, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, kMaker);
  }
  lua_pushvalue(L, environment);
  if (path.empty()) {
    lua_pushnil(L);
  } else {
    lua_pushlstring(L, path.data(), path.size());
  }
  if (finder) {
    lua_pushlightuserdata(L, const_cast<ModuleFinder*>(&finder));
    lua_pushcclosure(L, &Find, 1);
  } else {
    lua_pushnil(L);
  }
  lua_call(L, 3, 1);
}

}  // namespace glim::udf
