// SPDX-License-Identifier: Apache-2.0
//
// What the system's error numbers mean to a user: a code by what can be done about it, and words in lower case.
//
// Thread: any.
#pragma once

#include <string>
#include <string_view>

#include "glim/status.h"

namespace glim::env {

// `"a.csv": no such file`. Full disks, quotas and descriptor limits are kExhausted; a missing thing is kNotFound; what
// the same call would meet again (permissions, a folder in place of a file) is kInvalid; the rest may pass and is
// kUnavailable.
Status PathError(int error, std::string_view path);

// The same without a path: `what: broken pipe`.
Status SystemError(int error, std::string_view what);

}  // namespace glim::env
