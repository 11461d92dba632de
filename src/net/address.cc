// SPDX-License-Identifier: Apache-2.0
#include "net/address.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>
#include <vector>

#include "base/try.h"
#include "env/stream_socket.h"

namespace glim::net {

Result<HostPort> ParseAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  const auto wrong = [&] {
    return Status::Invalid(fmt::format("\"{}\" is not an address; write host:port, like 127.0.0.1:7000", address));
  };
  if (colon == std::string::npos || colon == 0) return wrong();
  HostPort parsed{.host = address.substr(0, colon)};
  const std::string_view port = std::string_view(address).substr(colon + 1);
  if (parsed.host.starts_with('[') && parsed.host.ends_with(']')) {
    parsed.host = parsed.host.substr(1, parsed.host.size() - 2);
  } else if (parsed.host.find(':') != std::string::npos) {
    return wrong();
  }
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), parsed.port);
  if (error != std::errc() || end != port.data() + port.size()) return wrong();
  return parsed;
}

Result<std::string> LocalAddressToward(const std::string& address) {
  ASSIGN_OR_RETURN(const HostPort parsed, ParseAddress(address));
  ASSIGN_OR_RETURN(const std::vector<env::SocketAddress> found,
                   env::SocketAddress::Resolve(parsed.host, parsed.port, false));
  ASSIGN_OR_RETURN(const std::string own, found.front().OwnToward());
  return own.substr(0, own.rfind(':'));
}

}  // namespace glim::net
