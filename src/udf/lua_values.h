// SPDX-License-Identifier: Apache-2.0
//
// Values between columns and Lua.
//
//   column -> Lua                                    Lua -> column
//   nil, bool                                        nil, bool
//   int64    number; beyond 2^53 an int64_t cdata    number: int64 when whole and within 2^53 (4.0 is 4; -0.0 is not), else double
//   double   number                                  int64_t and uint64_t cdata: int64, by their bits
//   bytes    string                                  string: bytes
//   list     table 1 .. n, with field `n` when       table: list 1 .. n, n being the larger of its last index and its field `n`;
//            the last element is nil                 any other key is an error
// Everything else (function, userdata, thread, other cdata) cannot be a value of a row.
//
// So an int64 column comes back unharmed, whatever its numbers; a double column whose numbers are all whole comes back as int64, which equals it and
// prints alike.
//
// Thread: the state's.
#pragma once

#include <string>

#include "glim/batch.h"
#include "glim/batch_builder.h"

struct lua_State;

namespace glim::udf {

// Needs a few free stack slots per level of nested lists. May raise a Lua error for lack of memory, as every push.
void PushCell(lua_State* L, const Cell& cell);
// `column.At(row)`, a little faster. Expects: row in range.
void PushColumnCell(lua_State* L, const Column& column, int64_t row);

// Appends the value at `index` (absolute). False: it cannot be a value; *error says what it is (`a function`, `a table with the key "x"`) and nothing
// was appended, except to the elements of lists.
bool AppendLuaValue(lua_State* L, int index, ColumnBuilder* out, std::string* error);

// A number of Lua, as the table above says.
void AppendLuaNumber(double number, ColumnBuilder* out);

}  // namespace glim::udf
