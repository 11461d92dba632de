// SPDX-License-Identifier: Apache-2.0
//
// Job scripts: a Lua file that builds flows and tables with the module `glim` and runs them, as a C++ program would
// with the library.
//
// The script runs in a Lua state of its own, the driver's. Functions that it gives to a flow are copied, with what they
// capture, into the states of the worker threads (udf/lua_capture.h).
//
// Thread: RunScript by one thread.
#pragma once

#include <string>
#include <vector>

#include "glim/session.h"

namespace glim::script {

// Runs the file at `path` ("-" is stdin) with `arguments` as `arg[1]`, ... A failure's message starts with the script's
// line.
Status RunScript(const std::string& path, const std::vector<std::string>& arguments, Session* session);

}  // namespace glim::script
