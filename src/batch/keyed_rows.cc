// SPDX-License-Identifier: Apache-2.0
#include "batch/keyed_rows.h"

#include <fmt/core.h>

#include <bit>
#include <cmath>

#include "base/try.h"

namespace glim::batch {

void KeyedRows::Start(base::Reservation memory) {
  memory_ = std::move(memory);
  builder_ = BatchBuilder();
  rows_ = Batch();
  slots_ = {};
  size_ = 0;
  filled_ = false;
}

Status KeyedRows::Add(const Batch& batch) {
  if (batch.row_count() == 0) return Status::Ok();
  if (builder_.column_count() == 0) builder_.SetColumnCount(batch.column_count());
  if (batch.column_count() != builder_.column_count() || batch.column_count() == 0) {
    return Status::Invalid(fmt::format("a table has rows of {} fields here and of {} there: {}",
                                       builder_.column_count(), batch.column_count(), batch.RowToDebugString(0)));
  }
  if (builder_.row_count() + batch.row_count() > UINT32_MAX / 4)
    return Status::Exhausted("more rows than a table can have");
  for (int c = 0; c < batch.column_count(); ++c) builder_.column(c).AppendColumn(batch.column(c));
  builder_.EndRows(batch.row_count());
  return Reserve(builder_.memory_bytes());
}

Status KeyedRows::Finish() {
  rows_ = builder_.Finish();
  const int64_t count = rows_.row_count();
  if (rows_.column_count() > 1) {
    const size_t slots = std::bit_ceil(static_cast<size_t>(2 * count) + 1);
    RETURN_IF_ERROR(Reserve(memory_.bytes() + static_cast<int64_t>(slots * sizeof(uint32_t))));
    slots_.assign(slots, 0);
    for (int64_t row = 0; row < count; ++row) {
      const Cell key = rows_.At(row, 0);
      if (key.is_null()) {
        return Status::Invalid(fmt::format("a key of a table is nil, row {}", rows_.RowToDebugString(row)));
      }
      uint32_t& slot = slots_[SlotOf(key)];
      if (slot == 0) ++size_;
      slot = static_cast<uint32_t>(row) + 1;
    }
  }
  filled_ = true;
  return Status::Ok();
}

int64_t KeyedRows::Find(const Cell& key) const {
  if (is_list()) {
    if (!key.is_number()) return -1;
    const double number = key.number();
    const bool is_row = number == std::floor(number) && number >= 1 && number <= static_cast<double>(rows_.row_count());
    return is_row ? static_cast<int64_t>(number) - 1 : -1;
  }
  return static_cast<int64_t>(slots_[SlotOf(key)]) - 1;
}

Status KeyedRows::Reserve(int64_t bytes) {
  if (bytes_max_ > 0 && bytes > bytes_max_) {
    return Status::Exhausted(fmt::format("the table takes more than its limit of {}; give AsTable another one, or Join",
                                         base::FormatBytes(bytes_max_)));
  }
  return memory_.Resize(bytes);
}

size_t KeyedRows::SlotOf(const Cell& key) const {
  size_t slot = key.Hash() & (slots_.size() - 1);
  while (slots_[slot] != 0 && !(rows_.At(slots_[slot] - 1, 0) == key)) slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

}  // namespace glim::batch
