// SPDX-License-Identifier: Apache-2.0
//
// What the bindings of the script module share: objects with C++ inside, arguments with good messages, and functions
// that may fail with a Status.
//
// Lua errors unwind by long jumps that skip destructors of frames in between, so a binding is a plain function that
// returns Result<int>; only Call, which holds nothing, raises.
//
// Thread: the driver's.
#pragma once

#include <lua.hpp>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "glim/status.h"

namespace glim::script {

// The number of values pushed, or what the script is told.
using Binding = Result<int> (*)(lua_State* L);

// The name of the code in Lua that stands between a one-liner and the module: never the place of a mistake.
inline constexpr std::string_view kPrelude = "glim e";

// Pushes `message` with the script's position in front, and the details below.
void PushError(lua_State* L, const Status& status);

template <Binding binding>
int Call(lua_State* L) {
  {
    Result<int> result = binding(L);
    if (result.ok()) return *result;
    PushError(L, result.status());
  }
  return lua_error(L);
}

// An object of type T behind a userdata with the metatable `name`.
template <class T>
void PushObject(lua_State* L, const char* name, T object) {
  void* memory = lua_newuserdata(L, sizeof(T));
  new (memory) T(std::move(object));
  luaL_getmetatable(L, name);
  lua_setmetatable(L, -2);
}

// Null when the value is something else.
void* TestObject(lua_State* L, int index, const char* name);

// "Limit expects a whole number, got the string "x"".
Status WrongArgument(lua_State* L, int index, const char* what, const char* wanted);

template <class T>
Result<T*> ToObject(lua_State* L, int index, const char* name, const char* what) {
  if (void* memory = TestObject(L, index, name)) return static_cast<T*>(memory);
  return WrongArgument(L, index, what, (std::string("a ") + name).c_str());
}

template <class T>
int Collect(lua_State* L) {
  static_cast<T*>(lua_touserdata(L, 1))->~T();
  return 0;
}

// A function of the module or a method of its objects. More arguments than it takes are an error of the caller, who
// expects something of them; nils at the end are none.
struct Function {
  const char* name = nullptr;  // Null ends a list.
  lua_CFunction function = nullptr;
  int arguments_max = kAny;  // Behind the colon.
  static constexpr int kAny = -1;
};
inline constexpr Function kNoFunctions[] = {{}};

// The number of arguments, nils at the end not counted.
int CountArguments(lua_State* L);

// Into the table on top of the stack; `list` lives as long as the state. With `a` and `b` as the upvalues of each.
enum class CalledWith { kDot, kColon };
void SetFunctions(lua_State* L, const Function* list, CalledWith with, void* a = nullptr, void* b = nullptr);

// Registers the metatable `name` with these methods (and __index to them); leaves nothing on the stack.
void RegisterType(lua_State* L, const char* name, const Function* methods, lua_CFunction collect);
// More methods of it.
void AddMethods(lua_State* L, const char* name, const Function* methods, void* a = nullptr, void* b = nullptr);

// Once all functions of the table on top of the stack, or methods of `name`, are there: asking for another one is an
// error that says which one may be meant, not nil.
void RejectUnknown(lua_State* L, const char* what);
void RejectUnknownMethods(lua_State* L, const char* name);

// ---- Arguments. `what` names the call: "TextFile". ----
Result<std::string> ToText(lua_State* L, int index, const char* what);
Result<int64_t> ToInteger(lua_State* L, int index, const char* what);
Result<int> ToInt(lua_State* L, int index, const char* what);
// The table has the keys 1, 2, ... and no others, but for those below, as `arg` has them.
Status IsList(lua_State* L, int index, const char* what);
// A string or a list of strings; of a table that may have options besides, only its list.
Result<std::vector<std::string>> ToTexts(lua_State* L, int index, const char* what, bool options_besides = false);
Result<std::vector<int64_t>> ToIntegers(lua_State* L, int index, const char* what);  // A number or a list of numbers.
// Fields of an options table; absent ones leave *out as it is. An unknown name is an error: call AllowOnly first. So is
// a value without a name, unless it is of a list that stands beside the options.
Status AllowOnly(lua_State* L, int index, const char* what, std::initializer_list<const char*> names,
                 bool list_besides = false);
Status ReadField(lua_State* L, int index, const char* name, bool* out);
Status ReadField(lua_State* L, int index, const char* name, double* out);
Status ReadField(lua_State* L, int index, const char* name, int64_t* out);
Status ReadField(lua_State* L, int index, const char* name, std::string* out);

}  // namespace glim::script
