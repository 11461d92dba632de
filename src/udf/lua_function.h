// SPDX-License-Identifier: Apache-2.0
//
// User functions in Lua, as steps of a flow hold them.
//
// A LuaFunction is plain data (LuaCode): source text, or the copy of a function of a job script with all it captures. A task makes an instance from it
// in the Lua state of its thread. The instance gets an environment and captured variables of its own, so tasks that share a thread do not see each
// other's globals, and no result depends on which thread ran what. Compiled code is kept per state and used again by the next task (lua_copy.h).
//
// What a function gets and may return, by role (values: lua_values.h):
//   Map           columns as arguments; its results are one row, no result drops the row, `return nil` is a row of one nil.
//   FlatMap       returns nothing or nil; an iterator as `for` takes it (function, state, control), each step a row of all its values, ended by nil first;
//                 or a table, each element a row of one column.
//   Filter        a Lua truth value: 0 and "" are true.
//   ForEach       results are ignored. writeRow(...) emits a row; it works in Map, FlatMap and ForEachBatch too.
//   ForEachBatch  f(rows, task): lua_rows.h.
//   a reducer     f(acc, value) or f(acc1 .. accN, value1 .. valueN) returns the N new accumulators.
//
// Thread: values, shared by all tasks; instances belong to their task's thread.
#pragma once

#include <memory>
#include <string>

#include "glim/udf.h"

namespace glim::udf {

struct LuaCode;

class LuaFunction : public Function {
 public:
  explicit LuaFunction(std::shared_ptr<const LuaCode> code) : code_(std::move(code)) {}

  // `lua job.lua:12`, or the beginning of the source: `lua function(x) return x end`.
  std::string Describe() const override;
  Result<std::unique_ptr<BatchFunction>> Instantiate(FunctionRole role, TaskContext& context) const override;
  Result<std::unique_ptr<Reducer>> InstantiateReducer(TaskContext& context) const override;
  // Syntax of the function and of its init code.
  Status Check(FunctionRole role) const override;

 private:
  std::shared_ptr<const LuaCode> code_;
};

// From an expression that yields a function: `function(x) return x + 1 end`, or the name of a global that `init` defines. `init` runs first, once per
// instance, in the same environment. Messages call the two `lua` and `init`. Syntax is left to Check.
Result<std::shared_ptr<const Function>> MakeLuaFunction(std::string source, std::string init = "");

}  // namespace glim::udf
