// SPDX-License-Identifier: Apache-2.0
//
// Values across the border. Into Lua: bytes are strings, integers up to 2^53 and doubles numbers, larger integers
// int64_t of the FFI, lists tables, nil nil. Back: a whole number up to 2^53 is an int64, any other a double; int64_t
// and uint64_t of the FFI are int64; a table is a list.
//
// Lua's # does not count nils at the end, and may stop at any nil. So a list with a nil in it has its length in the
// field n, in both directions: {1, nil, n = 2}. Without n, the length is #list.
//
// Thread: the state's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "glim/batch.h"
#include "glim/batch_builder.h"

struct lua_State;

namespace glim::udf {

// One value onto the stack. The caller sees to the room (luaL_checkstack).
void PushCell(lua_State* L, const Cell& cell);

// An int64_t or uint64_t of the FFI; of the second, `value` has the bits.
struct FfiInteger {
  bool is_integer = false;  // False: it is something else.
  bool is_unsigned = false;
  int64_t value = 0;
};
void PushFfiInteger(lua_State* L, int64_t value, bool is_unsigned);
FfiInteger ReadFfiInteger(lua_State* L, int index);
// A whole number up to 2^53, or an integer of the FFI that fits; nothing otherwise.
std::optional<int64_t> ReadInteger(lua_State* L, int index);

// A list of `size` values, with n when one of them is nil.
void PushList(lua_State* L, int64_t size, const std::function<Cell(int64_t)>& at);

// The length of the table at `index` as a list; -1 when its field n is no length.
int64_t ListLength(lua_State* L, int index);

// The value at `index` into the column. False, with the reason in *error, when it cannot be a value of a row; the
// column is then not to be used.
bool AppendLuaValue(lua_State* L, int index, ColumnBuilder* column, std::string* error);

// A whole number that a double holds exactly, which comes back from Lua as an int64. The zero below zero is none.
bool IsLuaInteger(double number);
// A number of Lua as the value that it is in a row.
void AppendLuaNumber(double number, ColumnBuilder* column);
// What comes back when Lua is given this and returns it.
void AppendThroughLua(const Cell& cell, ColumnBuilder* column);
// The column that comes back when Lua is given the values of this one and returns them: whole doubles as integers.
Column ThroughLua(const Column& column);

}  // namespace glim::udf
