// SPDX-License-Identifier: Apache-2.0
//
// Decimal numbers as text to doubles, by fast_float.
//
// Thread: functions.
#pragma once

#include <string_view>

namespace glim::base {

// The double nearest to `text`: digits, with a point among them or none, perhaps an exponent, perhaps `-` in front.
// False when there is something else in it, and when its number is too large, or so small that only 0 is near.
bool ReadDecimal(std::string_view text, double* value);

}  // namespace glim::base
