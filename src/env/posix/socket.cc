// SPDX-License-Identifier: Apache-2.0
#include "env/socket.h"

#include <poll.h>

namespace glim::env {

bool WaitForSocket(int descriptor, bool for_writing, int64_t timeout_nanos) {
  constexpr int64_t kNanosPerMilli = 1'000'000;
  pollfd wait{descriptor, static_cast<int16_t>(for_writing ? POLLIN | POLLOUT : POLLIN), 0};
  // Rounded up: a wait for half a millisecond must not become a loop without waits.
  return poll(&wait, 1, static_cast<int>((timeout_nanos + kNanosPerMilli - 1) / kNanosPerMilli)) > 0;
}

}  // namespace glim::env
