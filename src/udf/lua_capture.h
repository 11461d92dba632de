// SPDX-License-Identifier: Apache-2.0
//
// How a Lua function travels from the driver's state to those of the workers: its bytecode with line numbers, and a
// copy of what it captures: nil, booleans, numbers, strings, 64-bit integers, tables of these with their metatables,
// functions of these, parts of the standard library by their names, and objects that say they may travel
// (SharedObject). Global variables of the script that it reads travel in the same way, and so do functions that the
// script put into string, table, math, bit, os, io or coroutine, when the function mentions their name. Anything else
// is an error that names the variable.
//
// The copy has the shape of the original: functions that share a local variable share it, a table reached twice is one
// table, cycles stay cycles. That holds within one captured function; two steps have a copy each.
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

namespace glim {
class TableClient;
}

namespace glim::udf {

// Something with C++ inside that functions may capture, a table for instance.
class SharedObject {
 public:
  virtual ~SharedObject() = default;
  // A userdata for this object into any state.
  virtual void Push(lua_State* L) const = 0;
  // The table that it is, if it is one: what another process can have of it is that table by its name.
  virtual std::shared_ptr<TableClient> table() const { return nullptr; }
};

// A userdata with the metatable of that name (made when it is not there) that holds `object`.
void PushSharedObject(lua_State* L, std::shared_ptr<SharedObject> object, const char* metatable);
// Null when the value is something else.
std::shared_ptr<SharedObject> ToSharedObject(lua_State* L, int index);

struct CapturedValue {
  enum class Kind : uint8_t { kNil, kBool, kNumber, kString, kInt64, kUint64, kName, kTable, kFunction, kShared };
  Kind kind = Kind::kNil;
  bool boolean = false;
  double number = 0;
  int64_t integer = 0;  // Of kUint64, the bits.
  std::string text;     // The string, or the name of a part of the standard library: "string.gmatch".
  int object = -1;      // Of kTable, kFunction: its number.
  std::shared_ptr<const SharedObject> shared;
};

struct CapturedTable {
  std::vector<std::pair<CapturedValue, CapturedValue>> entries;
  CapturedValue metatable;  // Or nil.
};

struct CapturedFunction {
  std::string bytecode;
  std::vector<int> upvalues;  // Numbers of variables.
};

// Of the standard library's table `module`, as the script changed it.
struct CapturedField {
  std::string module;
  std::string name;
  CapturedValue value;
};

// A function with all that can be reached from it.
struct Captured {
  CapturedValue root;
  CapturedValue setup, teardown;  // Functions that share variables with it, or nil.
  std::vector<CapturedTable> tables;
  std::vector<CapturedFunction> functions;
  std::vector<CapturedValue> variables;  // Local ones. Functions that share one have the same number.
  std::vector<std::pair<std::string, CapturedValue>> globals;
  std::vector<CapturedField> additions;
  std::vector<std::shared_ptr<const SharedObject>> shared;  // All of them.
  std::string path;                                         // The script's package.path.
  std::string where;                                        // "job.lua:12", or a name of the standard library.
};

// What is captured together with a function: stack indexes of functions that each task calls before its first row and
// after its last; 0: none.
struct CaptureWith {
  int setup = 0;
  int teardown = 0;
};

Result<Captured> Capture(lua_State* L, int index, CaptureWith with = {});

// Loads the bytecode of all functions: pushes a list of them, by number. Those that share a variable do so from here
// on, so tasks that live side by side need a list each.
Status LoadFunctions(lua_State* L, const Captured& captured);
// Gives the functions of the list at `functions` fresh values in their variables and a fresh environment. Pushes the
// captured one, its setup and teardown or nil, and the list of {module, key, value} that standard tables need while it
// runs; nil when there are none.
// Both arguments are stack indexes.
void Revive(lua_State* L, const Captured& captured, int functions, int environment);

}  // namespace glim::udf
