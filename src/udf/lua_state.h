// SPDX-License-Identifier: Apache-2.0
//
// A Lua state of a worker thread and what every state of Glim has in it: the standard library, the helpers of the
// original Gleam (writeRow, log, split, set, ...), and the module `glim` with what functions may use at run time.
//
// Code that a task is done with is kept by the function's id for the next one (udf/lua_instance.h).
//
// Thread: its worker's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "glim/udf.h"
#include "udf/hosts.h"
#include "udf/lua_memory.h"

struct lua_State;

namespace glim::udf {

class GmatchReader;
class RowEmitter;

class LuaState {
 public:
  static Result<std::unique_ptr<LuaState>> Make(const HostOptions& options);
  LuaState(const LuaState&) = delete;
  ~LuaState();

  lua_State* raw() const { return L_; }
  const HostOptions& options() const { return options_; }

  // Calls the function below `arguments` values; all results stay (or `results` of them). A failure leaves nothing and
  // carries the traceback. The bound of memory holds for it (udf/lua_memory.h).
  Status Call(int arguments, int results);
  // Does the engine's own work on the state. Any of it may call a finalizer of user code, when garbage is collected,
  // and so may fail; that comes back as an error, too. `work` has a stack of its own.
  Status Guard(const std::function<Status()>& work);
  // After each batch: is the state within its memory bound?
  Status CheckMemory() const;
  LuaMemory* memory() { return memory_.get(); }
  // Memory was refused once: let no other task use it. What LuaJIT was about to do then is done by halves.
  bool spoiled() const { return memory_->refused(); }

  // Where writeRow puts rows, and what glim.partition() tells; null outside of a call.
  RowEmitter* emitter = nullptr;
  TaskContext* task = nullptr;
  // The changes to the standard library that are in place, of the instance at work (LuaInstance::Scope); 0: none.
  int additions = 0;
  // Functions that live in it.
  int instances = 0;

  // Null: iterators of gmatch are called like others.
  GmatchReader* gmatch() const { return gmatch_.get(); }

  // Loaded code of the function `id` that nobody uses, as a registry reference; 0: there is none.
  int TakeCode(uint64_t id);
  // Keeps it, or lets it go when there is too much.
  void KeepCode(uint64_t id, int reference);

 private:
  LuaState(lua_State* L, const HostOptions& options);
  // Of the error on top of the stack; pops it.
  Status TakeError(int code);
  Status MemoryError() const;

  lua_State* const L_;
  std::unique_ptr<LuaMemory> memory_;
  const HostOptions options_;
  int handler_ = 0;  // Registry reference of the message handler.
  const void* globals_ = nullptr;
  int globals_reference_ = 0;
  std::unordered_multimap<uint64_t, int> spare_code_;
  std::unique_ptr<GmatchReader> gmatch_;
};

// Expects the error object as value 1 and alone: makes it a text, with the line in front when it was none.
void MakeErrorText(lua_State* L);

// Prelude and module `glim` into a state with the standard library open. writeRow and glim.partition need a LuaState.
void OpenGlimRuntime(lua_State* L);

// Of the function that runs in the state at the moment; null when it is none of a flow.
TaskContext* TaskAtWork(lua_State* L);

}  // namespace glim::udf
