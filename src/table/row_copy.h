// SPDX-License-Identifier: Apache-2.0
//
// Copies rows of a group to their places in the caller's buffer. The usual lengths are compiled in: a call of memcpy
// for 4 bytes takes longer than finding the row in the cache.
//
// Thread: a function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "table/row_kernel.h"

namespace glim::table {

template <size_t kBytes>
inline void CopyRowsOf(const std::byte* const* rows, size_t count, std::byte* out, RowOrder order) {
  if (order.positions == nullptr) {
    for (size_t i = 0; i < count; ++i) std::memcpy(out + (order.first + i) * kBytes, rows[i], kBytes);
  } else {
    for (size_t i = 0; i < count; ++i) std::memcpy(out + order.positions[i] * kBytes, rows[i], kBytes);
  }
}

inline void CopyRows(const std::byte* const* rows, size_t count, size_t row_bytes, std::byte* out, RowOrder order) {
  switch (row_bytes) {
    case 4: return CopyRowsOf<4>(rows, count, out, order);
    case 8: return CopyRowsOf<8>(rows, count, out, order);
    case 16: return CopyRowsOf<16>(rows, count, out, order);
    case 32: return CopyRowsOf<32>(rows, count, out, order);
    case 64: return CopyRowsOf<64>(rows, count, out, order);
    default:
      for (size_t i = 0; i < count; ++i) std::memcpy(out + order[i] * row_bytes, rows[i], row_bytes);
  }
}

}  // namespace glim::table
