// SPDX-License-Identifier: Apache-2.0
//
// Sockets that take connections, of env.h.
//
// Thread: one.
#pragma once

#include <memory>
#include <string>

#include "env/env.h"

namespace glim::env {

Result<std::unique_ptr<Listener>> ListenOn(const std::string& network, const std::string& address);

}  // namespace glim::env
