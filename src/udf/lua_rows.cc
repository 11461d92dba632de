// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_rows.h"

#include <cmath>
#include <lua.hpp>

#include "udf/lua_standard.h"
#include "udf/lua_values.h"

namespace glim::udf {
namespace {

constexpr const char* kRows = "glim rows";
constexpr int64_t kExactMax = int64_t{1} << 53;

LuaRows& ToRows(lua_State* L) {
  auto* rows = *static_cast<LuaRows**>(luaL_checkudata(L, 1, kRows));
  if (rows == nullptr) luaL_error(L, "these rows are gone: they are valid only inside the function that got them");
  return *rows;
}

const Batch& ToBatch(lua_State* L) { return ToRows(L).batch(); }

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

// One cell as a number of the type; why not otherwise.
const char* Convert(const Cell& cell, double* out) {
  if (!cell.is_number()) return "no number";
  *out = cell.number();
  const bool exact = cell.type() == Type::kDouble || (cell.as_int64() >= -kExactMax && cell.as_int64() <= kExactMax);
  return exact ? nullptr : "no number that a double holds exactly";
}

const char* Convert(const Cell& cell, int64_t* out) {
  if (!cell.is_number()) return "no number";
  if (cell.type() == Type::kInt64) {
    *out = cell.as_int64();
    return nullptr;
  }
  const double number = cell.as_double();
  if (!(number >= -0x1p63 && number < 0x1p63) || number != std::floor(number)) return "no 64-bit integer";
  *out = static_cast<int64_t>(number);
  return nullptr;
}

// Pushes a pointer to the column's values and their number.
template <class T>
int Numbers(lua_State* L, Type type, const char* pointer_type) {
  LuaRows& rows = ToRows(L);
  const auto index = static_cast<int>(CheckIndex(L, 2, rows.batch().column_count(), "column"));
  const Column& column = rows.batch().column(index);
  const int64_t count = column.length();
  const T* values = nullptr;
  if (column.type() == type && !column.may_have_nulls()) {
    values = column.parts().values->As<T>() + column.parts().offset;
  } else {
    T* converted = reinterpret_cast<T*>(rows.Allocate(static_cast<size_t>(count) * sizeof(T)));
    for (int64_t row = 0; row < count; ++row) {
      const Cell cell = column.At(row);
      const char* wrong = cell.is_null() ? "nil" : Convert(cell, &converted[row]);
      if (wrong != nullptr) {
        luaL_error(L, "row %d of column %d is %s; rows:Column(%d) takes all values", static_cast<int>(row) + 1,
                   index + 1, wrong, index + 1);
      }
    }
    values = converted;
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushstring(L, pointer_type);
  lua_pushlightuserdata(L, const_cast<T*>(values));
  lua_call(L, 2, 1);
  lua_pushnumber(L, static_cast<double>(count));
  return 2;
}

int Doubles(lua_State* L) { return Numbers<double>(L, Type::kDouble, "const double*"); }
int Int64s(lua_State* L) { return Numbers<int64_t>(L, Type::kInt64, "const int64_t*"); }

// Pushes the metatable of rows.
void PushMetatable(lua_State* L) {
  if (luaL_newmetatable(L, kRows) == 0) return;
  constexpr luaL_Reg kMethods[] = {{"Count", Count},   {"Width", Width}, {"Column", ColumnValues},
                                   {"Row", RowValues}, {"Each", Each},   {nullptr, nullptr}};
  lua_newtable(L);
  luaL_register(L, nullptr, kMethods);
  for (const luaL_Reg& method : {luaL_Reg{"Doubles", Doubles}, luaL_Reg{"Int64s", Int64s}}) {
    PushStandard(L, "ffi.cast");
    lua_pushcclosure(L, method.func, 1);
    lua_setfield(L, -2, method.name);
  }
  lua_setfield(L, -2, "__index");
}

}  // namespace

LuaRows::LuaRows(lua_State* L, const Batch& batch) : L_(L), batch_(batch) {
  *static_cast<LuaRows**>(lua_newuserdata(L, sizeof(LuaRows*))) = this;
  PushMetatable(L);
  lua_setmetatable(L, -2);
  object_ = luaL_ref(L, LUA_REGISTRYINDEX);
}

LuaRows::~LuaRows() {
  Push();
  *static_cast<LuaRows**>(lua_touserdata(L_, -1)) = nullptr;
  lua_pop(L_, 1);
  luaL_unref(L_, LUA_REGISTRYINDEX, object_);
}

void LuaRows::Push() const { lua_rawgeti(L_, LUA_REGISTRYINDEX, object_); }

char* LuaRows::Allocate(size_t bytes) {
  converted_.push_back(Buffer::Allocate(bytes));
  return converted_.back()->mutable_data();
}

}  // namespace glim::udf
