// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_values.h"

#include <cmath>
#include <cstring>
#include <lua.hpp>

namespace glim::udf {
namespace {

constexpr int kCData = 10;  // LuaJIT's type number of FFI objects.
constexpr int64_t kExactMax = int64_t{1} << 53;
constexpr int kDepthMax = 100;

// ffi.new of an int64_t, by way of the FFI library; rare.
void PushInt64(lua_State* L, int64_t value) {
  static constexpr char kMake[] = R"(
    local ffi = require "ffi"
    local make = ffi.typeof("int64_t")
    return function(high, low) return make(high) * 4294967296LL + make(low) end)";
  lua_getfield(L, LUA_REGISTRYINDEX, "glim int64");
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    if (luaL_loadbuffer(L, kMake, sizeof(kMake) - 1, "=int64") != 0) return;
    lua_call(L, 0, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "glim int64");
  }
  lua_pushnumber(L, static_cast<double>(value >> 32));
  lua_pushnumber(L, static_cast<double>(value & 0xffffffff));
  lua_call(L, 2, 1);
}

// Reads a 64-bit integer of the FFI: its tostring is "123LL" or "123ULL".
bool ReadInt64(lua_State* L, int index, int64_t* value) {
  lua_getglobal(L, "tostring");
  lua_pushvalue(L, index);
  if (lua_pcall(L, 1, 1, 0) != 0) {
    lua_pop(L, 1);
    return false;
  }
  const char* text = lua_tostring(L, -1);
  const size_t size = text == nullptr ? 0 : std::strlen(text);
  const bool is_unsigned = size > 3 && std::strcmp(text + size - 3, "ULL") == 0;
  const bool is_signed = !is_unsigned && size > 2 && std::strcmp(text + size - 2, "LL") == 0;
  if (is_unsigned) *value = static_cast<int64_t>(std::strtoull(text, nullptr, 10));
  if (is_signed) *value = std::strtoll(text, nullptr, 10);
  lua_pop(L, 1);
  return is_unsigned || is_signed;
}

bool Append(lua_State* L, int index, ColumnBuilder* column, std::string* error, int depth);

bool AppendTable(lua_State* L, int index, ColumnBuilder* column, std::string* error, int depth) {
  if (depth > kDepthMax) {
    *error = "a list nested too deeply, perhaps within itself";
    return false;
  }
  const auto size = static_cast<int>(lua_objlen(L, index));
  int keys = 0;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    const double key = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : -1;
    if (key < 1 || key > size || key != std::floor(key)) {
      lua_pop(L, 2);
      *error = "a table with other keys than 1 to n is not a list, so it cannot be a value of a row";
      return false;
    }
    ++keys;
  }
  luaL_checkstack(L, 4, "a nested list");
  ColumnBuilder& elements = column->elements();
  for (int i = 1; i <= size; ++i) {
    lua_rawgeti(L, index, i);
    const bool ok = Append(L, lua_gettop(L), &elements, error, depth + 1);
    lua_pop(L, 1);
    if (!ok) return false;
  }
  column->AppendList();
  return true;
}

bool Append(lua_State* L, int index, ColumnBuilder* column, std::string* error, int depth) {
  switch (lua_type(L, index)) {
    case LUA_TNIL:
    case LUA_TNONE: column->AppendNull(); return true;
    case LUA_TBOOLEAN: column->AppendBool(lua_toboolean(L, index) != 0); return true;
    case LUA_TNUMBER: {
      const double number = lua_tonumber(L, index);
      if (number == std::floor(number) && std::abs(number) <= static_cast<double>(kExactMax) &&
          !(number == 0 && std::signbit(number))) {
        column->AppendInt64(static_cast<int64_t>(number));
      } else {
        column->AppendDouble(number);
      }
      return true;
    }
    case LUA_TSTRING: {
      size_t size = 0;
      const char* bytes = lua_tolstring(L, index, &size);
      column->AppendBytes({bytes, size});
      return true;
    }
    case LUA_TTABLE: return AppendTable(L, index, column, error, depth);
    case kCData: {
      int64_t value = 0;
      if (ReadInt64(L, index, &value)) {
        column->AppendInt64(value);
        return true;
      }
      *error = "an FFI object that is no 64-bit integer cannot be a value of a row";
      return false;
    }
    default: *error = std::string("a ") + luaL_typename(L, index) + " cannot be a value of a row"; return false;
  }
}

}  // namespace

void PushCell(lua_State* L, const Cell& cell) {
  switch (cell.type()) {
    case Type::kBool: lua_pushboolean(L, cell.as_bool()); return;
    case Type::kInt64:
      if (cell.as_int64() >= -kExactMax && cell.as_int64() <= kExactMax) {
        lua_pushnumber(L, static_cast<double>(cell.as_int64()));
      } else {
        PushInt64(L, cell.as_int64());
      }
      return;
    case Type::kDouble: lua_pushnumber(L, cell.as_double()); return;
    case Type::kBytes: lua_pushlstring(L, cell.as_bytes().data(), cell.as_bytes().size()); return;
    case Type::kList: {
      luaL_checkstack(L, 4, "a nested list");
      lua_createtable(L, static_cast<int>(cell.list_size()), 0);
      for (int64_t i = 0; i < cell.list_size(); ++i) {
        PushCell(L, cell.list_element(i));
        lua_rawseti(L, -2, static_cast<int>(i) + 1);
      }
      return;
    }
    case Type::kNull:
    case Type::kAny: break;
  }
  lua_pushnil(L);
}

bool AppendLuaValue(lua_State* L, int index, ColumnBuilder* column, std::string* error) {
  if (index < 0 && index > LUA_REGISTRYINDEX) index = lua_gettop(L) + 1 + index;
  return Append(L, index, column, error, 0);
}

}  // namespace glim::udf
