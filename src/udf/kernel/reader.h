// SPDX-License-Identifier: Apache-2.0
//
// Reads the bytecode of a Lua function into a Program, by following what each register holds. Where two ways meet and a
// register holds different values on them, a value of its own takes the one of the way that a row came; only if
// somebody reads it.
//
// Whatever is not known for certain is not read, and the reason says what it was: "line 3: a loop".
//
// Thread: the state's.
#pragma once

#include <string>

#include "glim/udf.h"
#include "udf/kernel/program.h"

struct lua_State;

namespace glim::udf {

struct Reading {
  Program program;
  std::string why_not;  // Empty: it was read.
};

// The function on top of the stack, which stays there.
Reading ReadFunction(lua_State* L, FunctionRole role);

}  // namespace glim::udf
