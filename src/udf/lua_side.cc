// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_side.h"

#include <lua.hpp>

#include "udf/lua_values.h"

namespace glim::udf {
namespace {

constexpr const char* kSide = "glim side table";

// Value 1 with the metatable in upvalue 1; this and not luaL_checkudata, because it is done for each look-up.
const batch::KeyedRows& ToRows(lua_State* L) {
  const bool same = lua_getmetatable(L, 1) != 0 && lua_rawequal(L, -1, lua_upvalueindex(1)) != 0;
  if (!same) luaL_error(L, "this is no table of side data");
  lua_pop(L, 1);
  const auto& object = *static_cast<std::shared_ptr<SharedObject>*>(lua_touserdata(L, 1));
  const batch::KeyedRows& rows = *static_cast<const LuaSide&>(*object).rows();
  if (!rows.filled()) luaL_error(L, "the table of AsTable() is there for functions of its flow, while that runs");
  return rows;
}

void PushValue(lua_State* L, const batch::KeyedRows& rows, int64_t row) {
  luaL_checkstack(L, 4, "a table");
  const Batch& batch = rows.rows();
  const int width = batch.column_count();
  if (width <= 2) return PushCell(L, batch.At(row, width - 1));
  PushList(L, width - 1, [&](int64_t i) { return batch.At(row, static_cast<int>(i) + 1); });
}

int64_t FindRow(lua_State* L, const batch::KeyedRows& rows, int index) {
  switch (lua_type(L, index)) {
    case LUA_TBOOLEAN: return rows.Find(Cell::Bool(lua_toboolean(L, index) != 0));
    case LUA_TNUMBER: return rows.Find(Cell::Double(lua_tonumber(L, index)));
    case LUA_TSTRING: {
      size_t size = 0;
      const char* bytes = lua_tolstring(L, index, &size);
      return rows.Find(Cell::Bytes({bytes, size}));
    }
    default: {
      const auto integer = ReadInteger(L, index);
      return integer.has_value() ? rows.Find(Cell::Int64(*integer)) : -1;
    }
  }
}

int Index(lua_State* L) {
  const batch::KeyedRows& rows = ToRows(L);
  const int64_t row = FindRow(L, rows, 2);
  if (row < 0) {
    lua_pushnil(L);
  } else {
    PushValue(L, rows, row);
  }
  return 1;
}

int Length(lua_State* L) {
  lua_pushnumber(L, static_cast<double>(ToRows(L).size()));
  return 1;
}

int ReadOnly(lua_State* L) {
  return luaL_error(L, "the table of AsTable() is shared by all tasks and cannot be changed");
}

// Upvalues: the metatable, and the row to look at next.
int Next(lua_State* L) {
  const batch::KeyedRows& rows = ToRows(L);
  auto row = static_cast<int64_t>(lua_tonumber(L, lua_upvalueindex(2)));
  // A row whose key came again is not there.
  while (row < rows.rows().row_count() && !rows.is_list() && rows.Find(rows.rows().At(row, 0)) != row) ++row;
  lua_pushnumber(L, static_cast<double>(row + 1));
  lua_replace(L, lua_upvalueindex(2));
  if (row >= rows.rows().row_count()) return 0;
  if (rows.is_list()) {
    lua_pushnumber(L, static_cast<double>(row + 1));
  } else {
    PushCell(L, rows.rows().At(row, 0));
  }
  PushValue(L, rows, row);
  return 2;
}

}  // namespace

void LuaSide::Push(lua_State* L) const {
  PushSharedObject(L, std::make_shared<LuaSide>(rows_), kSide);
  lua_getmetatable(L, -1);
  lua_getfield(L, -1, "__index");
  if (lua_isnil(L, -1)) {
    for (const luaL_Reg& method :
         {luaL_Reg{"__index", Index}, luaL_Reg{"__len", Length}, luaL_Reg{"__newindex", ReadOnly}}) {
      lua_pushvalue(L, -2);
      lua_pushcclosure(L, method.func, 1);
      lua_setfield(L, -3, method.name);
    }
  }
  lua_pop(L, 2);
}

int SidePairs(lua_State* L) {
  luaL_getmetatable(L, kSide);
  if (lua_type(L, 1) == LUA_TUSERDATA && lua_getmetatable(L, 1) != 0 && lua_rawequal(L, -1, -2) != 0) {
    lua_pop(L, 1);
    lua_pushnumber(L, 0);
    lua_pushcclosure(L, Next, 2);
    lua_pushvalue(L, 1);
    return 2;
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_getglobal(L, "next");
  lua_pushvalue(L, 1);
  return 2;
}

}  // namespace glim::udf
