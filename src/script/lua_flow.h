// SPDX-License-Identifier: Apache-2.0
//
// glim.flow and its datasets in job scripts: every method of glim/flow.h under the same name.
//
// Thread: the driver's, except callbacks of sinks, which come one at a time while the driver waits in Run.
#pragma once

struct lua_State;

namespace glim {
class Session;
}

namespace glim::script {

// Adds flow, field, order_by, ascending, descending, csv, explain and glob to the module table on top of the stack.
// `session` outlives the state.
void OpenFlow(lua_State* L, Session* session);

}  // namespace glim::script
