// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_values.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <lua.hpp>

#include "base/check.h"

namespace glim::udf {
namespace {

constexpr int kCData = 10;  // LuaJIT's type number of FFI objects.
constexpr int64_t kExactMax = int64_t{1} << 53;
constexpr int kDepthMax = 100;
constexpr const char* kLength = "n";

// The FFI's integers have no C interface of their own, so small functions in Lua make them and tell them apart; rare.
// They take what they use when they are made: user code may replace globals.
constexpr char kIntegers[] = R"(
  local ffi = require "ffi"
  local int64, uint64, istype = ffi.typeof("int64_t"), ffi.typeof("uint64_t"), ffi.istype
  local function make(high, low, is_unsigned)
    local value = int64(high) * 4294967296LL + int64(low)
    return is_unsigned and uint64(value) or value
  end
  local function kind(value)
    return istype(int64, value) and 1 or istype(uint64, value) and 2 or 0
  end
  return make, kind)";

// Pushes the function "make" or "kind".
void PushIntegerFunction(lua_State* L, const char* name) {
  const std::string key = std::string("glim int64 ") + name;
  lua_getfield(L, LUA_REGISTRYINDEX, key.c_str());
  if (!lua_isnil(L, -1)) return;
  lua_pop(L, 1);
  CHECK_EQ(luaL_loadbuffer(L, kIntegers, sizeof(kIntegers) - 1, "=int64"), 0);
  lua_call(L, 0, 2);
  lua_setfield(L, LUA_REGISTRYINDEX, "glim int64 kind");
  lua_setfield(L, LUA_REGISTRYINDEX, "glim int64 make");
  lua_getfield(L, LUA_REGISTRYINDEX, key.c_str());
}

// May a value of the column be another after its way through Lua?
bool MayChange(const Column& column) {
  switch (column.type()) {
    case Type::kDouble: return std::ranges::any_of(column.Doubles(), IsLuaInteger);
    case Type::kList: return MayChange(*column.parts().child);
    case Type::kAny: return true;
    default: return false;
  }
}

bool Append(lua_State* L, int index, ColumnBuilder* column, std::string* error, int depth);

bool AppendTable(lua_State* L, int index, ColumnBuilder* column, std::string* error, int depth) {
  if (depth > kDepthMax) {
    *error = "a list nested too deeply, perhaps within itself";
    return false;
  }
  luaL_checkstack(L, 4, "a nested list");
  const int64_t size = ListLength(L, index);
  if (size < 0) {
    *error = "a list's field n must be its length";
    return false;
  }
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) == LUA_TSTRING && std::strcmp(lua_tostring(L, -2), kLength) == 0) continue;
    const double key = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : -1;
    if (key < 1 || key > static_cast<double>(size) || key != std::floor(key)) {
      lua_pop(L, 2);
      *error =
          "a table with other keys than 1 to n is not a list, so it cannot be a value of a row (a list with nils has its "
          "length in the field n)";
      return false;
    }
  }
  ColumnBuilder& elements = column->elements();
  for (int64_t i = 1; i <= size; ++i) {
    lua_rawgeti(L, index, static_cast<int>(i));
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
    case LUA_TNUMBER: AppendLuaNumber(lua_tonumber(L, index), column); return true;
    case LUA_TSTRING: {
      size_t size = 0;
      const char* bytes = lua_tolstring(L, index, &size);
      column->AppendBytes({bytes, size});
      return true;
    }
    case LUA_TTABLE: return AppendTable(L, index, column, error, depth);
    case kCData: {
      const FfiInteger integer = ReadFfiInteger(L, index);
      if (!integer.is_integer) {
        *error = "an FFI object that is no 64-bit integer cannot be a value of a row";
        return false;
      }
      if (integer.is_unsigned && integer.value < 0) {
        *error = fmt::format("{}ULL is more than an integer of a row can be, which ends at 2^63 - 1",
                             static_cast<uint64_t>(integer.value));
        return false;
      }
      column->AppendInt64(integer.value);
      return true;
    }
    default: *error = std::string("a ") + luaL_typename(L, index) + " cannot be a value of a row"; return false;
  }
}

}  // namespace

void PushFfiInteger(lua_State* L, int64_t value, bool is_unsigned) {
  PushIntegerFunction(L, "make");
  lua_pushnumber(L, static_cast<double>(value >> 32));
  lua_pushnumber(L, static_cast<double>(value & 0xffffffff));
  lua_pushboolean(L, is_unsigned);
  lua_call(L, 3, 1);
}

FfiInteger ReadFfiInteger(lua_State* L, int index) {
  if (lua_type(L, index) != kCData) return {};
  if (index < 0) index = lua_gettop(L) + 1 + index;
  PushIntegerFunction(L, "kind");
  lua_pushvalue(L, index);
  lua_call(L, 1, 1);
  const int kind = static_cast<int>(lua_tointeger(L, -1));
  lua_pop(L, 1);
  if (kind == 0) return {};
  FfiInteger integer{.is_integer = true, .is_unsigned = kind == 2};
  std::memcpy(&integer.value, lua_topointer(L, index), sizeof(integer.value));
  return integer;
}

std::optional<int64_t> ReadInteger(lua_State* L, int index) {
  if (lua_type(L, index) == LUA_TNUMBER) {
    const double number = lua_tonumber(L, index);
    if (number != std::floor(number) || !(std::abs(number) <= static_cast<double>(kExactMax))) return std::nullopt;
    return static_cast<int64_t>(number);
  }
  const FfiInteger integer = ReadFfiInteger(L, index);
  if (!integer.is_integer || (integer.is_unsigned && integer.value < 0)) return std::nullopt;
  return integer.value;
}

void PushCell(lua_State* L, const Cell& cell) {
  switch (cell.type()) {
    case Type::kBool: lua_pushboolean(L, cell.as_bool()); return;
    case Type::kInt64:
      if (cell.as_int64() >= -kExactMax && cell.as_int64() <= kExactMax) {
        lua_pushnumber(L, static_cast<double>(cell.as_int64()));
      } else {
        PushFfiInteger(L, cell.as_int64(), false);
      }
      return;
    case Type::kDouble: lua_pushnumber(L, cell.as_double()); return;
    case Type::kBytes: lua_pushlstring(L, cell.as_bytes().data(), cell.as_bytes().size()); return;
    case Type::kList: PushList(L, cell.list_size(), [&](int64_t i) { return cell.list_element(i); }); return;
    case Type::kNull:
    case Type::kAny: break;
  }
  lua_pushnil(L);
}

void PushList(lua_State* L, int64_t size, const std::function<Cell(int64_t)>& at) {
  luaL_checkstack(L, 4, "a nested list");
  lua_createtable(L, static_cast<int>(size), 0);
  bool has_nil = false;
  for (int64_t i = 0; i < size; ++i) {
    const Cell cell = at(i);
    has_nil |= cell.is_null();
    PushCell(L, cell);
    lua_rawseti(L, -2, static_cast<int>(i) + 1);
  }
  if (!has_nil) return;
  lua_pushnumber(L, static_cast<double>(size));
  lua_setfield(L, -2, kLength);
}

int64_t ListLength(lua_State* L, int index) {
  lua_pushvalue(L, index);
  lua_pushstring(L, kLength);
  lua_rawget(L, -2);
  int64_t length = -1;
  if (lua_isnil(L, -1)) {
    length = static_cast<int64_t>(lua_objlen(L, -2));
  } else if (lua_type(L, -1) == LUA_TNUMBER) {
    const double number = lua_tonumber(L, -1);
    if (number >= 0 && number <= INT32_MAX && number == std::floor(number)) length = static_cast<int64_t>(number);
  }
  lua_pop(L, 2);
  return length;
}

bool AppendLuaValue(lua_State* L, int index, ColumnBuilder* column, std::string* error) {
  if (index < 0 && index > LUA_REGISTRYINDEX) index = lua_gettop(L) + 1 + index;
  return Append(L, index, column, error, 0);
}

bool IsLuaInteger(double number) {
  return number == std::floor(number) && std::abs(number) <= static_cast<double>(kExactMax) &&
         !(number == 0 && std::signbit(number));
}

void AppendLuaNumber(double number, ColumnBuilder* column) {
  if (IsLuaInteger(number)) {
    column->AppendInt64(static_cast<int64_t>(number));
  } else {
    column->AppendDouble(number);
  }
}

void AppendThroughLua(const Cell& cell, ColumnBuilder* column) {
  if (cell.type() == Type::kDouble) {
    AppendLuaNumber(cell.as_double(), column);
  } else if (cell.type() == Type::kList) {
    ColumnBuilder& elements = column->elements();
    for (int64_t i = 0; i < cell.list_size(); ++i) AppendThroughLua(cell.list_element(i), &elements);
    column->AppendList();
  } else {
    column->Append(cell);
  }
}

Column ThroughLua(const Column& column) {
  if (!MayChange(column)) return column;
  ColumnBuilder builder;
  for (int64_t row = 0; row < column.length(); ++row) AppendThroughLua(column.At(row), &builder);
  return builder.Finish();
}

}  // namespace glim::udf
