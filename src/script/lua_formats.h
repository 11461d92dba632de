// SPDX-License-Identifier: Apache-2.0
//
// Formats of files in job scripts: glim.csv and its like, which flow:Input takes, and option tables of sources and
// sinks. Names of options are those of glim/sources.h and glim/sinks.h.
//
// Thread: the driver's.
#pragma once

#include <lua.hpp>

#include "glim/flow.h"

namespace glim::script {

// Adds csv, tsv, ... to the module on top of the stack.
void OpenFormats(lua_State* L);

// What flow:Input does with the format at `index`.
Result<Dataset> InputFormat(lua_State* L, int index, Flow* flow);

// No table at `index`: the defaults. `what` names the call.
Result<TextFileOptions> ToTextOptions(lua_State* L, int index, const char* what);
Result<ListenOptions> ToListenOptions(lua_State* L, int index, const char* what);
Result<PipeOptions> ToPipeOptions(lua_State* L, int index, const char* what);
Result<PipeAsArgsOptions> ToPipeAsArgsOptions(lua_State* L, int index, const char* what);
Result<ZipFileOptions> ToZipOptions(lua_State* L, int index, const char* what);
Result<SqlOptions> ToSqlOptions(lua_State* L, int index, const char* what);
Result<SqlWriteOptions> ToSqlWriteOptions(lua_State* L, int index, const char* what);
Result<WriteOptions> ToWriteOptions(lua_State* L, int index, const char* what);
Result<CsvWriteOptions> ToCsvWriteOptions(lua_State* L, int index, const char* what);

}  // namespace glim::script
