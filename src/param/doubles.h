// SPDX-License-Identifier: Apache-2.0
//
// Values of a table for callers who know numbers only as doubles, such as Lua.
//
// Thread: functions.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "glim/status.h"
#include "glim/table_spec.h"

namespace glim::param {

// kInvalid, with the place, for what the table's type cannot hold exactly enough.
Result<std::vector<std::byte>> BytesOfDoubles(const TableSpec& spec, std::span<const double> doubles);
std::vector<double> DoublesOfBytes(ValueType type, std::span<const std::byte> bytes);

}  // namespace glim::param
