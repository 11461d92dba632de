// SPDX-License-Identifier: Apache-2.0
//
// Children of this process that have one of the roles of roles.h: this program, started again.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "env/env.h"
#include "glim/status.h"

namespace glim::engine {

struct Child {
  std::unique_ptr<env::ChildProcess> process;  // Ends when this is destroyed.
  std::string address;                         // Where it listens.
};

// Waits until it listens. `role`: ChildOf (roles.h). `what`: for messages: "the master". kUnavailable when it does not
// listen by `until`, or ends before that.
Result<Child> StartChild(env::Env& env, const std::string& what, const std::string& role, int64_t until);

}  // namespace glim::engine
