// SPDX-License-Identifier: Apache-2.0
//
// Rows of one length, back to back in slabs of about 256 KiB. A row has a number and never moves, so growing copies
// nothing.
//
// Thread: that of its owner.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

namespace glim::table {

class RowSlabs {
 public:
  static constexpr size_t kSlabBytes = 256 << 10;

  explicit RowSlabs(size_t row_bytes)
      : row_bytes_(row_bytes),
        shift_(static_cast<uint32_t>(std::bit_width(std::max<size_t>(kSlabBytes / row_bytes, 1)) - 1)) {}

  // The number of a new row; its bytes are for the caller to fill.
  uint32_t Add() {
    if (count_ >> shift_ == slabs_.size()) {
      slabs_.emplace_back(static_cast<std::byte*>(::operator new(row_bytes_ << shift_, std::align_val_t(kAlignment))));
    }
    return count_++;
  }
  std::byte* row(uint32_t number) {
    return slabs_[number >> shift_].get() + (number & ((1u << shift_) - 1)) * row_bytes_;
  }
  const std::byte* row(uint32_t number) const { return const_cast<RowSlabs*>(this)->row(number); }
  uint64_t memory_bytes() const { return slabs_.size() * (row_bytes_ << shift_); }

 private:
  static constexpr size_t kAlignment = 64;
  struct Free {
    void operator()(std::byte* slab) const { ::operator delete(slab, std::align_val_t(kAlignment)); }
  };

  size_t row_bytes_;
  uint32_t shift_;  // Rows in a slab: 1 << shift_.
  uint32_t count_ = 0;
  std::vector<std::unique_ptr<std::byte[], Free>> slabs_;
};

}  // namespace glim::table
