// SPDX-License-Identifier: Apache-2.0
//
// The `rows` that a ForEachBatch function in Lua gets: rows:Count(), rows:Width(), rows:Column(i) (a list of values),
// rows:Row(r) (the values), and `for r, a, b in rows:Each() do`. Numbers start at 1.
//
// For loops over numbers, `local x, count = rows:Doubles(i)` and `rows:Int64s(i)` give a column as an FFI pointer,
// x[0] to x[count - 1], which the JIT compiles to plain loads. A column of the other number type is converted, because
// the type of a column depends on the values in the batch; a nil, a value that is no number and one that the type
// cannot hold exactly are errors that name the row.
//
// Using rows after the function has returned is an error; using such a pointer then reads freed memory.
//
// Thread: its state's.
#pragma once

#include <memory>
#include <vector>

#include "glim/batch.h"

struct lua_State;

namespace glim::udf {

class LuaRows {
 public:
  // `batch` outlives it.
  LuaRows(lua_State* L, const Batch& batch);
  LuaRows(const LuaRows&) = delete;
  // The object in Lua, if it still has it, has no rows from now on.
  ~LuaRows();

  void Push() const;
  const Batch& batch() const { return batch_; }
  // Memory for a converted column, as long as the rows.
  char* Allocate(size_t bytes);

 private:
  lua_State* const L_;
  const Batch& batch_;
  int object_;  // A registry reference.
  std::vector<std::shared_ptr<Buffer>> converted_;
};

}  // namespace glim::udf
