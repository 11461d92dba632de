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

// `glim e`: evaluates one expression (or some statements), in which the functions of the module glim stand by their
// bare names, and these make a dataset each: lines(paths, options) (stdin without paths), csv, tsv, json_lines (path or
// list, options), range(first, last), ints{...}, strings{...}, rows{{...}}. A dataset that it gives is printed.
Status RunExpression(const std::string& text, const std::vector<std::string>& arguments, const std::string& format,
                     Session* session);

// `glim repl`: expressions and statements, a line at a time, from a terminal (with its history in that file, if it
// has a name) or a pipe.
Status RunRepl(const std::string& history, Session* session);

}  // namespace glim::script
