// SPDX-License-Identifier: Apache-2.0
//
// What tables and partitioners may be called: names stand in addresses, in file names and between spaces.
//
// Thread: functions.
#pragma once

#include <string>
#include <string_view>

#include "glim/status.h"

namespace glim::table {

// kInvalid: "... cannot be the name of a `what`".
Status CheckName(std::string_view what, const std::string& name);

}  // namespace glim::table
