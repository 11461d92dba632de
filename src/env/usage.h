// SPDX-License-Identifier: Apache-2.0
//
// What this process takes of its machine, by the system's account.
//
// Thread: any.
#pragma once

#include <cstdint>

namespace glim::env {

struct Usage {
  double cpu_seconds = 0;  // Of all threads, the system's work for them included.
  int64_t resident_bytes = 0;
  int64_t descriptors = 0;  // That are open.
};
// What cannot be found out is 0.
Usage OwnUsage();
// The second of these alone, in a few microseconds.
int64_t ResidentBytes();

}  // namespace glim::env
