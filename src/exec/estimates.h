// SPDX-License-Identifier: Apache-2.0
//
// What Explain tells of a plan's sources without running them.
//
// Thread: any.
#pragma once

#include <vector>

#include "env/env.h"
#include "plan/plan.h"

namespace glim::exec {

// One for each stage; nothing is known of a source that cannot be looked at, that is for the run to tell.
std::vector<plan::Size> SourceSizes(env::Env& env, const plan::Plan& plan);

}  // namespace glim::exec
