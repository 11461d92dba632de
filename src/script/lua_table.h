// SPDX-License-Identifier: Apache-2.0
//
// Tables in Lua: glim.table{...} and its methods, the same in a job script and inside the functions of a flow, to which
// a table travels as a captured variable.
//
//   local model = glim.table{name = "ctr", keys = "sparse", type = "f32", rule = glim.ftrl{alpha = 0.1, l1 = 1}}
//   model:Push(keys, values):Wait()      local w = model:Pull(keys):Get()
//
// Keys and values are lists of numbers; a key may be an int64 or uint64. A row of width w takes w neighbouring values.
// Pull and Push give a future: Wait() raises the failure, Get() gives the values.
//
// model:Handle() is a text that glim.open_table takes in another process, too.
//
// Thread: one state each; the table itself takes calls from all.
#pragma once

#include <memory>

#include "glim/table.h"
#include "udf/lua_capture.h"

namespace glim {
class Session;
}

namespace glim::script {

// Adds table, open_table, load_table, list_tables and the rules (add, assign, min, max, sgd, adagrad, adam, ftrl) to
// the module table on top of the stack.
void OpenTables(lua_State* L, Session* session);

// The table behind an argument; `what` names the call.
Result<TableHandle> ToTable(lua_State* L, int index, const char* what);

// The options of glim.table, at index 1.
Result<TableSpec> ToTableSpec(lua_State* L);
void PushTable(lua_State* L, TableHandle table);

// The table as functions capture it; for those that came from another process.
std::shared_ptr<const udf::SharedObject> MakeTableObject(TableHandle table);

}  // namespace glim::script
