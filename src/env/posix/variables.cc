// SPDX-License-Identifier: Apache-2.0
#include "env/variables.h"

#include <cstdlib>

namespace glim::env {

void SetVariable(const std::string& name, const std::string& value) { ::setenv(name.c_str(), value.c_str(), 1); }

}  // namespace glim::env
