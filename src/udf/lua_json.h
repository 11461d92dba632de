// SPDX-License-Identifier: Apache-2.0
//
// glim.parse_json(text): a JSON value as a value of Lua, for functions that look into what the paths of JsonLines do
// not reach, like the elements of an array of objects.
//
// Objects are tables, arrays are lists (with n when there is a null in them), null is nil. Whole numbers are as in
// rows: int64_t beyond 2^53; those of more than 64 bits are their digits.
//
// Thread: the state's.
#pragma once

struct lua_State;

namespace glim::udf {

// Pushes the function.
void PushParseJson(lua_State* L);

}  // namespace glim::udf
