// SPDX-License-Identifier: Apache-2.0
//
// A Filter's function that is no kernel, called for all rows of a batch from a loop in Lua, which the JIT compiles
// together with it: one call from the host per batch, not per row. Columns are numbers or texts without nil; they are
// read through FFI pointers.
//
// Thread: the state's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "glim/batch.h"
#include "glim/status.h"
#include "udf/lua_instance.h"

namespace glim::udf {

class LuaLoop {
 public:
  explicit LuaLoop(const LuaInstance* instance) : instance_(*instance) {}
  LuaLoop(const LuaLoop&) = delete;
  ~LuaLoop();

  // False: the rows are to be given one by one.
  static bool Fits(const Batch& in);
  // Adds the numbers of the rows that stay to `kept`. Inside a LuaInstance::Scope. Expects: Fits.
  Status Filter(const Batch& in, std::vector<uint32_t>* kept);

 private:
  // Pushes the loop for columns of these kinds, a letter for each: n is a number, t a text.
  Status PushLoop(const std::string& kinds);
  void PushColumn(const Column& column);

  const LuaInstance& instance_;
  std::map<std::string, int> loops_;  // Registry references.
  // What the columns of the batch at hand became.
  std::vector<std::vector<double>> numbers_;
  std::vector<std::vector<const char*>> texts_;
  std::vector<std::vector<uint32_t>> sizes_;
};

}  // namespace glim::udf
