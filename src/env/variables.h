// SPDX-License-Identifier: Apache-2.0
//
// Changes to the environment of this process, which its children inherit. Env::Variable reads it.
//
// Thread: one, while no other reads or writes the environment: early.
#pragma once

#include <string>

namespace glim::env {

void SetVariable(const std::string& name, const std::string& value);

}  // namespace glim::env
