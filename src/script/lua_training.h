// SPDX-License-Identifier: Apache-2.0
//
// A training in Lua (glim/training.h):
//
//   local training = glim.training{folder = "ctr.training", passes = 5, every = 60}
//   local model = training:Table{name = "ctr", rule = glim.ftrl{alpha = 0.1}}
//   training:Run(flow)          or          training:Run(function(pass) return flow_of(pass) end)
//
// Passes are counted from 1, `every` is in seconds.
//
// Thread: the driver's.
#pragma once

#include <lua.hpp>

namespace glim {
class Session;
}

namespace glim::script {

class UnrunFlows;

// Adds training to the module table on top of the stack. `session` and `unrun` outlive the state.
void OpenTraining(lua_State* L, Session* session, UnrunFlows* unrun);

}  // namespace glim::script
