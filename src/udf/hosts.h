// SPDX-License-Identifier: Apache-2.0
//
// The language runtimes of one worker thread, made when the first function asks for one.
//
// Owned by the thread's worker (exec/); functions reach it through their TaskContext.
//
// Thread: its worker's only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "glim/status.h"

namespace glim::udf {

class LuaState;

struct HostOptions {
  // Of one Lua state; 0 = no bound. Checked between batches.
  int64_t lua_memory_bytes_max = 0;
  // False: every function runs as plain Lua.
  bool lua_kernels = true;
  // Where functions given as text find modules, written as package.path is; empty: where Lua does.
  std::string lua_path = {};
};

class Hosts {
 public:
  explicit Hosts(HostOptions options = {});
  Hosts(const Hosts&) = delete;
  ~Hosts();

  // The thread's Lua state, made at the first call.
  Result<LuaState*> Lua();

 private:
  HostOptions options_;
  std::unique_ptr<LuaState> lua_;
};

}  // namespace glim::udf
