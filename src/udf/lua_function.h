// SPDX-License-Identifier: Apache-2.0
//
// Lua functions of a flow: from source text, or captured from a job script (udf/lua_capture.h).
//
// The contract: columns come as arguments; what a Map function returns is the row, no value drops it; FlatMap returns
// an iterator as `for` takes it (several columns a step are kept), a table, or nothing; Filter goes by truthiness;
// ForEach and the others may give rows with writeRow. Functions that udf/lua_kernels.h understands run without Lua,
// with the same result.
//
// Thread: the Function is shared; instances belong to their task.
#pragma once

#include <memory>
#include <string>

#include "glim/udf.h"
#include "udf/lua_capture.h"

namespace glim::udf {

// `source` is an expression that gives a function: `function(x) ... end`, or a name that `init` defines. `init` runs
// once in each task.
std::shared_ptr<const Function> MakeLuaFunction(std::string source, std::string init);
std::shared_ptr<const Function> MakeLuaFunction(Captured captured);
// What such a function was made of; null for all others.
const Captured* CapturedOf(const Function& function);

}  // namespace glim::udf
