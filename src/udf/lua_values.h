// SPDX-License-Identifier: Apache-2.0
//
// Values across the border. Into Lua: bytes are strings, integers up to 2^53 and doubles numbers, larger integers
// int64_t of the FFI, lists tables, nil nil. Back: a whole number up to 2^53 is an int64, any other a double; int64_t
// and uint64_t of the FFI are int64; a table is the list of its elements 1 to n.
//
// Thread: the state's.
#pragma once

#include <string>

#include "glim/batch.h"
#include "glim/batch_builder.h"

struct lua_State;

namespace glim::udf {

// One value onto the stack. The caller sees to the room (luaL_checkstack).
void PushCell(lua_State* L, const Cell& cell);

// The value at `index` into the column. False, with the reason in *error, when it cannot be a value of a row; the
// column is then not to be used.
bool AppendLuaValue(lua_State* L, int index, ColumnBuilder* column, std::string* error);

}  // namespace glim::udf
