// SPDX-License-Identifier: Apache-2.0
//
// What every Lua state of Glim has from the start, by name: the standard library, the helpers and the module `glim`.
// Captured functions name these things instead of carrying them ("string.gmatch"), and what a script added to the
// library is told apart from what was there.
//
// Thread: the state's.
#pragma once

#include <string>

struct lua_State;

namespace glim::udf {

// Call once, when the state has all that it starts with, before user code runs.
void RememberStandard(lua_State* L);

// "string.gmatch" for the value at `index`; empty when it is no function, table or file that the state started with.
std::string StandardName(lua_State* L, int index);

// Pushes what had that name from the start, whatever user code did since; nil when nothing had.
void PushStandard(lua_State* L, const std::string& name);

// Pushes a list of {module, key, value}, one for each field that was added to string, table, math, bit, os, io or
// coroutine, or replaced there.
void PushAdditions(lua_State* L);

}  // namespace glim::udf
