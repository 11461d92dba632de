// SPDX-License-Identifier: Apache-2.0
//
// Functions of a job script become functions of a flow: a copy of the code and of everything it captures.
//
// What travels: unstripped bytecode, so that errors keep their line; captured variables by value: nil, booleans, numbers, 64-bit integers, strings,
// tables (with metatables, cycles and shared parts), functions of these, recursive ones as well; globals of the script that the function or one
// inside it names; functions and modules of the standard library, the ones in C and the FFI's by name; SharedObjects. Two functions that share a variable
// share it in the copy too. A module of the script written in Lua is copied with the state it has; one that cannot be copied (it holds FFI types, say)
// is loaded again where the function runs. Anything else is an error that names the variable:
//
//   function at job.lua:12 captures "f", a thread; functions can capture nil, booleans, numbers, strings, tables and functions of these
//
// The copy is plain data (LuaCode), except SharedObjects.
//
// Thread: the script's.
#pragma once

#include <memory>

#include "glim/udf.h"

struct lua_State;

namespace glim::udf {

// An object of C++ that functions may capture, such as the handle of a table: each state that needs it pushes its own userdata for it.
class SharedObject {
 public:
  virtual ~SharedObject() = default;
  // Pushes one value that stands for this object (usually by PushSharedObject). The state can be any; called in a protected call.
  virtual void Push(lua_State* L) const = 0;
};

// Pushes a userdata that holds `object`. Its metatable is the registry's `type_name` (luaL_newmetatable), made here when it is not there; it gets __gc and
// the mark by which ToSharedObject knows it.
void PushSharedObject(lua_State* L, std::shared_ptr<SharedObject> object, const char* type_name);

// Null when the value is something else.
std::shared_ptr<SharedObject> ToSharedObject(lua_State* L, int index);

// The state must have been opened by OpenGlimRuntime (lua_state.h). Raises no Lua error.
Result<std::shared_ptr<const Function>> CaptureLuaFunction(lua_State* L, int index);

}  // namespace glim::udf
