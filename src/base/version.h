// SPDX-License-Identifier: Apache-2.0
//
// The version of Glim, as `glim version` prints it. Thread: a constant.
#pragma once

namespace glim {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace glim
