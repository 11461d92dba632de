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

// Registers the metatable `name` with these methods (and __index to them); leaves nothing on the stack.
void RegisterType(lua_State* L, const char* name, const luaL_Reg* methods, lua_CFunction collect);

// Once all methods of `name` are there: asking for another one is an error that lists them, not nil.
void RejectUnknownMethods(lua_State* L, const char* name);

// ---- Arguments. `what` names the call: "TextFile". ----
Result<std::string> ToText(lua_State* L, int index, const char* what);
Result<int64_t> ToInteger(lua_State* L, int index, const char* what);
Result<int> ToInt(lua_State* L, int index, const char* what);
Result<std::vector<std::string>> ToTexts(lua_State* L, int index, const char* what);  // A string or a list of strings.
Result<std::vector<int64_t>> ToIntegers(lua_State* L, int index, const char* what);   // A number or a list of numbers.
// Fields of an options table; absent ones leave *out as it is. An unknown name is an error: call AllowOnly first.
Status AllowOnly(lua_State* L, int index, const char* what, std::initializer_list<const char*> names);
Status ReadField(lua_State* L, int index, const char* name, bool* out);
Status ReadField(lua_State* L, int index, const char* name, double* out);
Status ReadField(lua_State* L, int index, const char* name, int64_t* out);
Status ReadField(lua_State* L, int index, const char* name, std::string* out);

}  // namespace glim::script
