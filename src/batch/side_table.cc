// SPDX-License-Identifier: Apache-2.0
#include "glim/side_table.h"

#include <stdexcept>

#include "batch/keyed_rows.h"

namespace glim {

const batch::KeyedRows& SideTable::filled() const {
  if (!rows_->filled()) {
    // allow(throw): a look-up in a user's function gives a value; the function's caller takes exceptions.
    throw std::logic_error("the table of AsTable() is there for the steps that name it, while their flow runs");
  }
  return *rows_;
}

int64_t SideTable::size() const { return filled().size(); }

Cell SideTable::Get(const Key& key) const { return Get(key, filled().is_list() ? 1 : 2); }

Cell SideTable::Get(const Key& key, int field) const {
  const int64_t row = FindRow(key);
  const Batch& all = rows();
  return row < 0 || field < 1 || field > all.column_count() ? Cell() : all.At(row, field - 1);
}

const Batch& SideTable::rows() const { return filled().rows(); }

int64_t SideTable::FindRow(const Key& key) const { return filled().Find(key.cell()); }

}  // namespace glim
