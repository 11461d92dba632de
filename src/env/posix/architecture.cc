// SPDX-License-Identifier: Apache-2.0
#include "env/architecture.h"

#include <sys/utsname.h>

namespace glim::env {

std::string Architecture() {
  utsname names = {};
  return ::uname(&names) == 0 ? names.machine : "unknown";
}

}  // namespace glim::env
