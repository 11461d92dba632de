// SPDX-License-Identifier: Apache-2.0
//
// Which processors this machine's programs are for.
//
// Thread: any.
#pragma once

#include <string>

namespace glim::env {

// As `uname -m` says it: "x86_64", "aarch64".
std::string Architecture();

}  // namespace glim::env
