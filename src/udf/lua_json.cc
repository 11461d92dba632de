// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_json.h"

#include <simdjson.h>

#include <algorithm>
#include <lua.hpp>
#include <string>

#include "base/json_error.h"
#include "udf/lua_values.h"

namespace glim::udf {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;
using simdjson::dom::parser;

constexpr size_t kDepthMax = 200;

void PushText(lua_State* L, std::string_view text) { lua_pushlstring(L, text.data(), text.size()); }

void PushJson(lua_State* L, const element& value) {
  luaL_checkstack(L, 4, "JSON");  // Never fails: kDepthMax is far below what Lua allows.
  switch (value.type()) {
    case element_type::NULL_VALUE: return lua_pushnil(L);
    case element_type::BOOL: return lua_pushboolean(L, value.get_bool().value_unsafe() ? 1 : 0);
    case element_type::INT64: return PushCell(L, Cell::Int64(value.get_int64().value_unsafe()));
    case element_type::UINT64: return PushText(L, std::to_string(value.get_uint64().value_unsafe()));
    case element_type::DOUBLE: return lua_pushnumber(L, value.get_double().value_unsafe());
    case element_type::STRING: return PushText(L, value.get_string().value_unsafe());
    case element_type::ARRAY: {
      const simdjson::dom::array children = value.get_array().value_unsafe();
      lua_createtable(L, static_cast<int>(children.size()), 0);
      int count = 0;
      bool has_nil = false;
      for (const element child : children) {
        PushJson(L, child);
        has_nil = has_nil || lua_isnil(L, -1);
        lua_rawseti(L, -2, ++count);
      }
      if (!has_nil) return;
      lua_pushinteger(L, count);
      return lua_setfield(L, -2, "n");
    }
    case element_type::OBJECT: {
      const simdjson::dom::object members = value.get_object().value_unsafe();
      lua_createtable(L, 0, static_cast<int>(members.size()));
      for (const auto member : members) {
        PushText(L, member.key);
        PushJson(L, member.value);
        lua_rawset(L, -3);
      }
      return;
    }
  }
}

// One for each thread, kept from one text to the next. Not in a state's memory: what it holds would be lost to leak
// checkers, and to us when a script ends the process.
parser& ThreadParser() {
  struct Shallow : parser {
    // It grows with the texts; without memory the first one fails.
    Shallow() { [[maybe_unused]] const auto error = allocate(0, kDepthMax); }
  };
  thread_local Shallow made;
  return made;
}

// Nothing here has a destructor when lua_error leaves.
int ParseJson(lua_State* L) {
  if (lua_gettop(L) > 1) return luaL_error(L, "glim.parse_json takes one argument, got %d", lua_gettop(L));
  size_t size = 0;
  const char* text = luaL_checklstring(L, 1, &size);
  element value;
  const auto error = ThreadParser().parse(text, size).get(value);
  if (error == simdjson::SUCCESS) {
    PushJson(L, value);
    return 1;
  }
  constexpr size_t kShownMax = 60;
  PushText(L, base::WhyNoJson(error));
  PushText(L, {text, std::min(size, kShownMax)});
  return luaL_error(L, "glim.parse_json: no JSON, %s: %s%s", lua_tostring(L, -2), lua_tostring(L, -1),
                    size > kShownMax ? "..." : "");
}

}  // namespace

void PushParseJson(lua_State* L) { lua_pushcfunction(L, ParseJson); }

}  // namespace glim::udf
