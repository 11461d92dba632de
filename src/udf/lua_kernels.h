// SPDX-License-Identifier: Apache-2.0
//
// Lua functions that are recognised from their bytecode and run as loops over columns, with the result that Lua would
// give:
//
//   function(line) return line:lower():gmatch("%w+") end
//   function(line) for word in line:gmatch("%w+") do writeRow(word:lower(), 1) end end
//   function(word) return word, 1 end
//
// The first two are tokens: a pattern of one class or set followed by +, with lower, upper or neither before or after
// the search, written with methods or with functions of `string`. The last one moves arguments and constants, in any
// order.
//
// How: tokens by comparing the function's bytecode with those of templates compiled with the same pattern; moves by
// allowing only opcodes that probe functions show to be moves, constants and returns, and then calling it once with
// marked arguments to see where they go. So nothing depends on opcode numbers or on the version of LuaJIT; what does
// not match runs as plain Lua.
//
// Thread: the state's.
#pragma once

#include <memory>

#include "glim/batch.h"
#include "glim/udf.h"

struct lua_State;

namespace glim::udf {

// Learns what the recognition compares with. Call on a fresh state, before user code can replace string.gmatch.
void PrepareKernels(lua_State* L);

class LuaKernel : public BatchFunction {
 public:
  // False: these rows are for Lua.
  virtual bool Fits(const Batch& in) const = 0;
};

// The kernel for the function on top of the stack, which stays there; null when there is none.
std::unique_ptr<LuaKernel> FindKernel(lua_State* L, FunctionRole role);

}  // namespace glim::udf
