// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_rows.h"

#include <lua.hpp>

#include "udf/lua_values.h"

namespace glim::udf {
namespace {

constexpr const char* kRows = "glim rows";

const Batch& ToBatch(lua_State* L) {
  const auto* batch = *static_cast<const Batch**>(luaL_checkudata(L, 1, kRows));
  if (batch == nullptr) luaL_error(L, "these rows are gone: they are valid only inside the function that got them");
  return *batch;
}

int64_t CheckIndex(lua_State* L, int argument, int64_t count, const char* what) {
  const auto index = static_cast<int64_t>(luaL_checknumber(L, argument));
  if (index < 1 || index > count)
    luaL_error(L, "there is no %s %d, there are %d", what, static_cast<int>(index), static_cast<int>(count));
  return index - 1;
}

int Count(lua_State* L) {
  lua_pushnumber(L, static_cast<double>(ToBatch(L).row_count()));
  return 1;
}

int Width(lua_State* L) {
  lua_pushinteger(L, ToBatch(L).column_count());
  return 1;
}

int ColumnValues(lua_State* L) {
  const Batch& batch = ToBatch(L);
  const Column& column = batch.column(static_cast<int>(CheckIndex(L, 2, batch.column_count(), "column")));
  PushList(L, column.length(), [&](int64_t row) { return column.At(row); });
  return 1;
}

int RowValues(lua_State* L) {
  const Batch& batch = ToBatch(L);
  const int64_t row = CheckIndex(L, 2, batch.row_count(), "row");
  luaL_checkstack(L, batch.column_count() + 4, "a row");
  for (const Column& column : batch.columns()) PushCell(L, column.At(row));
  return batch.column_count();
}

// Called as for's iterator: (rows, last row number).
int NextRow(lua_State* L) {
  const Batch& batch = ToBatch(L);
  const auto row = static_cast<int64_t>(luaL_checknumber(L, 2));
  if (row >= batch.row_count()) return 0;
  luaL_checkstack(L, batch.column_count() + 4, "a row");
  lua_pushnumber(L, static_cast<double>(row + 1));
  for (const Column& column : batch.columns()) PushCell(L, column.At(row));
  return 1 + batch.column_count();
}

int Each(lua_State* L) {
  ToBatch(L);
  lua_pushcfunction(L, NextRow);
  lua_pushvalue(L, 1);
  lua_pushinteger(L, 0);
  return 3;
}

}  // namespace

void PushRows(lua_State* L, const Batch* batch) {
  *static_cast<const Batch**>(lua_newuserdata(L, sizeof(batch))) = batch;
  if (luaL_newmetatable(L, kRows) != 0) {
    constexpr luaL_Reg kMethods[] = {{"Count", Count},   {"Width", Width}, {"Column", ColumnValues},
                                     {"Row", RowValues}, {"Each", Each},   {nullptr, nullptr}};
    lua_newtable(L);
    luaL_register(L, nullptr, kMethods);
    lua_setfield(L, -2, "__index");
  }
  lua_setmetatable(L, -2);
}

void ForgetRows(lua_State* L, int index) { *static_cast<const Batch**>(lua_touserdata(L, index)) = nullptr; }

}  // namespace glim::udf
