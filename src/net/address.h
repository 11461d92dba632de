// SPDX-License-Identifier: Apache-2.0
//
// "host:port", as people write it, and which of this machine's addresses another one sees.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <string>

#include "glim/status.h"

namespace glim::net {

struct HostPort {
  std::string host;  // A name or a number; without the brackets of [v6]:port.
  uint16_t port = 0;
};
Result<HostPort> ParseAddress(const std::string& address);

// The address, without a port, by which this machine would reach `address`. Nothing is sent, but names are looked up.
// kUnavailable when there is no such host, or no way to it.
Result<std::string> LocalAddressToward(const std::string& address);

}  // namespace glim::net
