// SPDX-License-Identifier: Apache-2.0
//
// The beginning of a value's place in the total order, as a number: sorts and merges compare these first, and the
// values themselves, which may lie anywhere in memory, only where they are equal.
//
// Two bits of rank on top, so that types mix; then the first 62 bits of a number, or of the first 8 bytes.
#pragma once

#include <cstdint>
#include <vector>

#include "glim/batch.h"

namespace glim::batch {

// Of all rows of the column: a < b implies prefix(a) <= prefix(b); the other way round when `descending`.
void OrderPrefixes(const Column& column, bool descending, std::vector<uint64_t>* prefixes);

}  // namespace glim::batch
