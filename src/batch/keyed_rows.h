// SPDX-License-Identifier: Apache-2.0
//
// Rows that are looked up by key, one at a time: what Dataset::AsTable keeps for functions. With one column the key is
// the row's number, from 1; else it is the first column, and a key that comes again replaces its row.
//
// One copy for all threads. Memory: the rows, packed, and 8 bytes or less of index for each.
//
// Thread: Start, Add, Finish and Clear by one; then Find and rows() by any.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/memory_budget.h"
#include "glim/batch_builder.h"

namespace glim::batch {

class KeyedRows {
 public:
  // `bytes_max`: 0: what the budget allows.
  explicit KeyedRows(int64_t bytes_max = 0) : bytes_max_(bytes_max) {}
  KeyedRows(const KeyedRows&) = delete;

  // Empty, and not filled.
  void Start(base::Reservation memory);
  Status Add(const Batch& batch);
  // After the last Add.
  Status Finish();
  // Gives the memory back.
  void Clear() { Start({}); }

  int64_t bytes_max() const { return bytes_max_; }
  bool filled() const { return filled_; }
  // Are keys row numbers?
  bool is_list() const { return rows_.column_count() < 2; }
  // Keys, not rows.
  int64_t size() const { return is_list() ? rows_.row_count() : size_; }
  // The row of that key; -1 when there is none.
  int64_t Find(const Cell& key) const;
  const Batch& rows() const { return rows_; }

 private:
  Status Reserve(int64_t bytes);
  // Where the key is in slots_, or where it would go.
  size_t SlotOf(const Cell& key) const;

  const int64_t bytes_max_;
  base::Reservation memory_;
  BatchBuilder builder_;
  Batch rows_;
  std::vector<uint32_t> slots_;  // Row number and one, 0: free. A power of two of them, or none.
  int64_t size_ = 0;
  bool filled_ = false;
};

}  // namespace glim::batch
