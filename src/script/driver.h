// SPDX-License-Identifier: Apache-2.0
//
// The Lua state in which a program is written: a script, a one-liner, a session at the prompt. It has the module glim;
// functions that are given to flows are copied out of it (udf/lua_capture.h).
//
// Thread: one.
#pragma once

#include <lua.hpp>
#include <memory>
#include <string>
#include <vector>

#include "env/env.h"
#include "glim/session.h"
#include "script/lua_flow.h"

namespace glim::script {

class Driver {
 public:
  // `folder`: where modules are found first. `name`, `arguments`: arg[0], arg[1], ...
  Status Open(const std::string& folder, const std::string& name, const std::vector<std::string>& arguments,
              Session* session);
  // The same with glim's functions by their bare names, and a function for each source (see RunExpression).
  Status OpenForExpressions(const std::vector<std::string>& arguments, Session* session);

  // Runs the chunk; its results stand on the stack from index 2 on, if there was nothing there before.
  Status Run(const std::string& text, const std::string& name, env::Env& env);
  bool Parses(const std::string& text);
  // A statement of which more lines may come.
  bool IsUnfinished(const std::string& text);

  lua_State* L() const { return state_.get(); }
  const UnrunFlows& unrun() const { return unrun_; }

 private:
  struct CloseState {
    void operator()(lua_State* L) const { lua_close(L); }
  };
  UnrunFlows unrun_;  // Outlives the state.
  std::unique_ptr<lua_State, CloseState> state_;
};

}  // namespace glim::script
