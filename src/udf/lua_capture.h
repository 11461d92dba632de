// SPDX-License-Identifier: Apache-2.0
//
// How a Lua function travels from the driver's state to those of the workers: its bytecode with line numbers, and a
// copy of what it captures: nil, booleans, numbers, strings, 64-bit integers, tables of these (shared and cyclic ones
// too), functions of these, parts of the standard library by their names, and objects that say they may travel
// (SharedObject). Global variables of the script that it reads travel in the same way. Anything else is an error that
// names the variable.
//
// A variable is copied when the function is given to a step; each task gets a copy of its own, so what one task assigns
// no other sees.
//
// Thread: capture in the driver's; the captured form is immutable.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "glim/udf.h"

struct lua_State;

namespace glim::udf {

// Something with C++ inside that functions may capture, a table for instance.
class SharedObject {
 public:
  virtual ~SharedObject() = default;
  // A userdata for this object into any state.
  virtual void Push(lua_State* L) const = 0;
};

// A userdata with the metatable of that name (made when it is not there) that holds `object`.
void PushSharedObject(lua_State* L, std::shared_ptr<SharedObject> object, const char* metatable);
// Null when the value is something else.
std::shared_ptr<SharedObject> ToSharedObject(lua_State* L, int index);

struct CapturedValue {
  enum class Kind : uint8_t { kNil, kBool, kNumber, kString, kInt64, kName, kTable, kFunction, kShared };
  Kind kind = Kind::kNil;
  bool boolean = false;
  double number = 0;
  int64_t integer = 0;
  std::string text;  // The string, or the name of a part of the standard library: "string.gmatch".
  int object = -1;   // Of kTable, kFunction: its number.
  std::shared_ptr<const SharedObject> shared;
};

struct CapturedTable {
  std::vector<std::pair<CapturedValue, CapturedValue>> entries;
};

struct CapturedFunction {
  std::string bytecode;
  std::vector<CapturedValue> upvalues;
};

// A function with all that can be reached from it.
struct Captured {
  std::vector<CapturedTable> tables;
  std::vector<CapturedFunction> functions;  // The first is the one that was captured.
  std::vector<std::pair<std::string, CapturedValue>> globals;
  std::string where;  // "job.lua:12"
};

Result<Captured> Capture(lua_State* L, int index);

// The function at `index` as what a step needs.
Result<std::shared_ptr<const Function>> CaptureLuaFunction(lua_State* L, int index);

// Loads the bytecode of all functions: pushes a list of them, by number.
Status LoadFunctions(lua_State* L, const Captured& captured);
// Gives the functions of the list at `functions` fresh upvalues and a fresh environment, and pushes the first one.
// `environment` is a stack index.
void Revive(lua_State* L, const Captured& captured, int functions, int environment);

}  // namespace glim::udf
