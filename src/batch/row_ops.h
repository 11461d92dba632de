// SPDX-License-Identifier: Apache-2.0
//
// Hashing, comparing and ordering whole rows by some of their columns: what exchanges, aggregations, joins and sorts
// have in common.
//
// Column by column, with a loop per type: hashing a column of short words costs a few nanoseconds a row, where asking
// each Cell costs ten times that.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "glim/batch.h"

namespace glim::batch {

// hashes[i] = the hash of row i over `columns` in that order; with no columns, of all rows alike. For one column it is
// Cell::Hash(). Expects: hashes.size() == batch.row_count(), columns in range.
void HashRows(const Batch& batch, std::span<const int> columns, std::span<uint64_t> hashes);

// Rows equal in the named columns, in the total order's sense (4 = 4.0, nil = nil).
bool RowsEqual(const Batch& a, int64_t row_a, std::span<const int> columns_a, const Batch& b, int64_t row_b,
               std::span<const int> columns_b);

// One key of an ordering.
struct SortKey {
  int column = 0;
  bool descending = false;
};

// <0, 0, >0.
int CompareRows(const Batch& a, int64_t row_a, const Batch& b, int64_t row_b, std::span<const SortKey> keys);

}  // namespace glim::batch
