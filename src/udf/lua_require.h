// SPDX-License-Identifier: Apache-2.0
//
// `require` as a task's functions see it. Modules written in Lua are found where the script finds them and are loaded
// for each task anew, with the task's globals, so that what a module keeps belongs to the task like any other variable.
// Everything else (the standard library, C modules) is the state's.
//
// Thread: the state's.
#pragma once

#include <string>

#include "udf/modules.h"

struct lua_State;

namespace glim::udf {

// Pushes a `require` for the task whose globals are at `environment`. `path` is written as package.path is; empty: the
// state's own. `finder` is asked first; empty: nobody is. It has to stay as long as the state.
void PushTaskRequire(lua_State* L, int environment, const std::string& path, const ModuleFinder& finder);

}  // namespace glim::udf
