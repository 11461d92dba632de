// SPDX-License-Identifier: Apache-2.0
//
// The functions that a script gives to steps, and the options of the tables that functions read.
//
// Thread: the driver's.
#pragma once

#include "glim/flow.h"
#include "glim/status.h"

struct lua_State;

namespace glim::script {

// The function at `index`, or the text of one. `what` names the step: "Map".
Result<FunctionSource> ToFunction(lua_State* L, int index, const char* what);
// Or a fold, or a list of folds.
Result<FunctionSource> ToReducer(lua_State* L, int index, const char* what);
// Adds the folds to the module on top of the stack: glim.sum, glim.quantiles(0.5). Three names are there already and
// mean a fold where one is wanted: glim.count, which counts in functions, and the rules glim.min and glim.max.
void OpenFolds(lua_State* L);
// A function at 2 with the options at 3: setup and teardown, functions that share variables with it.
Result<FunctionSource> ToFunctionWithOptions(lua_State* L, const char* what);
// The option `memory` of AsTable, in the table at `index`; 0: none.
Result<int64_t> ToTableMemory(lua_State* L, int index, const char* what);

}  // namespace glim::script
