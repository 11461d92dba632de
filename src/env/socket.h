// SPDX-License-Identifier: Apache-2.0
//
// For libraries that have sockets of their own.
//
// Thread: any.
#pragma once

#include <cstdint>

namespace glim::env {

// Waits until a socket can be read, or has an error, or, with `for_writing`, can be written. False when none of that
// happened in time, or a signal came.
bool WaitForSocket(int descriptor, bool for_writing, int64_t timeout_nanos);

}  // namespace glim::env
