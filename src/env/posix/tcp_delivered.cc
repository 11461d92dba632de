// SPDX-License-Identifier: Apache-2.0
//
// In a file of its own: the header that has these numbers defines what the system library's header for TCP does, too.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>

#include "env/stream_socket.h"

namespace glim::env {

StreamSocket::Delivered StreamSocket::delivered() const {
  tcp_info info = {};
  socklen_t size = sizeof info;
  // Local sockets have none of it, and old kernels less.
  if (::getsockopt(descriptor_, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
  if (size < offsetof(tcp_info, tcpi_rwnd_limited) + sizeof info.tcpi_rwnd_limited) return {};
  const uint64_t busy = info.tcpi_busy_time - std::min(info.tcpi_busy_time, info.tcpi_rwnd_limited);
  return {.bytes = info.tcpi_bytes_acked, .busy_nanos = static_cast<int64_t>(busy) * 1000};
}

}  // namespace glim::env
