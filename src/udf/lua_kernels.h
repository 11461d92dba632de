// SPDX-License-Identifier: Apache-2.0
//
// Lua functions that run as loops over columns, with the result that Lua would give.
//
// Most are read from their bytecode (udf/kernel/reader.h). Some loops that writeRow tokens are recognised as a whole:
//
//   function(line) return line:lower():gmatch("%w+") end
//   function(line) for word in line:gmatch("%w+") do writeRow(word:lower(), 1) end end
//
// A pattern of one class or set followed by +, with lower, upper or neither before or after the search, written with
// methods or with functions of `string`. How: by comparing the function's bytecode with those of templates compiled
// with the same pattern. So nothing depends on opcode numbers or on the version of LuaJIT; what does not match runs as
// plain Lua.
//
// Thread: the state's.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "glim/batch.h"
#include "glim/udf.h"

struct lua_State;

namespace glim::udf {

// Learns what the recognition compares with. Call on a fresh state, before user code can replace string.gmatch.
void PrepareKernels(lua_State* L);

class RowEmitter;

class LuaKernel {
 public:
  // Runs one row of the batch at hand in Lua. What it gives goes to the emitter; its number to `kept` if it is a
  // Filter's and stays.
  using RowInLua = std::function<Status(int64_t row, RowEmitter& emitter, std::vector<uint32_t>* kept)>;

  virtual ~LuaKernel() = default;
  // What it takes for granted (udf/kernel/standard_calls.h).
  virtual const std::set<std::string>& uses() const { return no_uses_; }
  // False: these rows are for Lua.
  virtual bool Fits(const Batch& in) const = 0;
  virtual Status Run(const Batch& in, BatchOutput& out, const RowInLua& in_lua) = 0;
  // False: plain Lua would be faster on rows like those so far.
  virtual bool is_worth_it() const { return true; }

 private:
  const std::set<std::string> no_uses_;
};

struct FoundKernel {
  std::unique_ptr<LuaKernel> kernel;
  std::string why_not;  // When there is none: "line 3: a loop".
};

// The kernel for the function on top of the stack, which stays there. Expects: it does not fold.
FoundKernel FindKernel(lua_State* L, FunctionRole role);

// Why the function on top of the stack, which folds two values, is not just their sum. Empty: it is.
std::string WhyNoSum(lua_State* L);

}  // namespace glim::udf
