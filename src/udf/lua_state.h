// SPDX-License-Identifier: Apache-2.0
//
// The Lua state of one worker thread: libraries, the helpers that functions may call, protected calls, and the copies of functions it has loaded.
//
// What every function sees besides the standard library:
//   writeRow(...)         emits a row (Map, FlatMap, ForEach, ForEachBatch)
//   log(...)              a line on stderr
//   split(text [, sep])   an iterator over the parts of `text` between separators (plain text); without sep, over its words
//   set(list), tableLength(t), listEquals(a, b), addToTable(t, ...)
//   glim = require "glim" glim.hash(text [, bits]): a number below 2^bits (53 by default) · glim.partition(): this task's number, from 0, and how many
//                         there are · glim.log
// `require` finds modules beside the script and under LUA_PATH. A module runs once per task, in the task's environment.
//
// Lua errors are long jumps. Every call that may raise one happens inside Protect, and frames between hold nothing that needs a destructor.
//
// Thread: one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "udf/hosts.h"

struct lua_State;

namespace glim::udf {

class LuaInstance;
struct LuaCopies;

// Puts the helpers above into a state that has its libraries open. In the state of a job script, writeRow and glim.partition raise an error when called.
// Call it before the script adds anything: what is there now counts as the standard library for functions that travel.
void OpenGlimRuntime(lua_State* L);

class LuaState {
 public:
  static Result<std::unique_ptr<LuaState>> Make(const HostOptions& options);
  LuaState(const LuaState&) = delete;
  ~LuaState();

  lua_State* L() const { return L_; }
  const HostOptions& options() const { return options_; }
  LuaCopies& copies() { return *copies_; }

  // Calls body(L) in a protected call, on an empty stack frame with some free slots. A Lua error ends as kUserCode: its first line is the message, the
  // rest and the traceback are the details. No memory: kExhausted. `body` may be called inside another Protect.
  template <class Body>
  Status Protect(Body&& body) {
    return ProtectedCall([](lua_State* L, void* context) { (*static_cast<std::remove_reference_t<Body>*>(context))(L); }, &body);
  }

  // kExhausted when Lua holds more than its bound after a collection.
  Status CheckMemory();

  // Whose function runs now; null between batches. Set by LuaInstance.
  LuaInstance* current() const { return current_; }
  void set_current(LuaInstance* instance) { current_ = instance; }

  // True when the functions that kernels stand for are the original ones: `gmatch` reached through a string, and the library.
  // Pushes nothing; may raise a Lua error.
  bool GmatchIsOriginal();
  // The C function behind every iterator of gmatch when its upvalues (text, pattern, position) lie as expected; else null.
  using CFunction = int (*)(lua_State*);
  CFunction gmatch_step() const { return gmatch_step_; }

 private:
  LuaState() = default;
  Status ProtectedCall(void (*body)(lua_State* L, void* context), void* context);
  Status TakeError(int code);
  static int Trampoline(lua_State* L);
  static int OnError(lua_State* L);
  void Open(lua_State* L);
  void LearnGmatch(lua_State* L);

  HostOptions options_;
  lua_State* L_ = nullptr;
  int on_error_ = 0;     // References into the registry.
  int trampoline_ = 0;
  int gmatch_ = 0;
  CFunction gmatch_step_ = nullptr;
  LuaInstance* current_ = nullptr;
  std::unique_ptr<LuaCopies> copies_;
  std::string error_message_;  // Of the error being handled.
  std::string error_details_;
};

}  // namespace glim::udf
