// SPDX-License-Identifier: Apache-2.0
//
// The `rows` that a ForEachBatch function in Lua gets: rows:Count(), rows:Width(), rows:Column(i) (a list of values),
// rows:Row(r) (the values), and `for r, a, b in rows:Each() do`. Numbers start at 1. Using it after the function has
// returned is an error.
//
// Thread: its state's.
#pragma once

#include "glim/batch.h"

struct lua_State;

namespace glim::udf {

// Pushes an object for `batch`, which stays valid until ForgetRows on the same object.
void PushRows(lua_State* L, const Batch* batch);
void ForgetRows(lua_State* L, int index);

}  // namespace glim::udf
