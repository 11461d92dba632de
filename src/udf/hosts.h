// SPDX-License-Identifier: Apache-2.0
//
// The language runtimes of one worker thread, made when the first function asks for one.
//
// Owned by the thread's worker (exec/); functions reach it through their TaskContext.
//
// Thread: its worker's only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "glim/status.h"
#include "udf/modules.h"

namespace glim::udf {

class LuaState;

// The stack of a thread that runs functions. Lua's own stack is on the heap and bounded, but functions that call
// themselves through string.gsub or coroutines take C's: 10 KB a level, some thousand levels.
constexpr size_t kStackBytes = size_t{256} << 20;

struct HostOptions {
  // Of one Lua state; 0 = no bound.
  int64_t lua_memory_bytes_max = 0;
  // False: every function runs as plain Lua.
  bool lua_kernels = true;
  // Where the stack of the thread begins, when that has kStackBytes; null: it is as it is.
  const char* stack_top = nullptr;
  // Where functions given as text find modules, written as package.path is; empty: where Lua does.
  std::string lua_path = {};
  // Is asked for modules before files are. Null: there is nobody to ask.
  ModuleFinder find_module = {};
};

class Hosts {
 public:
  explicit Hosts(HostOptions options = {});
  Hosts(const Hosts&) = delete;
  ~Hosts();

  // The thread's Lua state, made at the first call, and anew after one ran out of memory.
  Result<LuaState*> Lua();
  // What the Lua state holds and nobody has reserved; 0: there is none.
  int64_t uncounted_bytes() const;

 private:
  HostOptions options_;
  std::unique_ptr<LuaState> lua_;
};

}  // namespace glim::udf
