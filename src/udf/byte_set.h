// SPDX-License-Identifier: Apache-2.0
//
// Which bytes of a text belong to a set, as masks of 64 bytes each, of texts of any length: what lies behind the end of
// a text counts as no member, and is not read unless the caller says that it may be.
//
// Thread: immutable.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/byte_masks.h"

namespace glim::udf {

class ByteSet {
 public:
  static constexpr size_t kBlocksMax = 64;

  // `members[byte]`: it belongs.
  template <class Members>
  explicit ByteSet(const Members& members) {
    for (int byte = 0; byte < 256; ++byte) {
      if (members[static_cast<size_t>(byte)]) tables_.Add(static_cast<unsigned char>(byte));
    }
  }

  // Bit i of masks[b]: at[64 * b + i] belongs. Gives how many masks there are: enough for at[0, size), but at most
  // kBlocksMax. Bits from `size` on are 0, and nothing behind at[readable - 1] is read. Expects: size <= readable.
  size_t Masks(const char* at, size_t size, size_t readable, uint64_t* masks) const {
    const size_t blocks = std::min((size + 63) / 64, kBlocksMax);
    const size_t whole = std::min(blocks, readable / 64);
    if (whole > 0) base::MemberMasks(tables_, at, whole, masks);
    if (whole < blocks) {
      char bytes[64] = {};
      std::memcpy(bytes, at + 64 * whole, size - 64 * whole);
      base::MemberMasks(tables_, bytes, 1, masks + whole);
    }
    if (size < 64 * blocks) masks[blocks - 1] &= (uint64_t{1} << (size % 64)) - 1;
    return blocks;
  }
  bool Has(char byte) const { return tables_.Has(static_cast<unsigned char>(byte)); }

 private:
  base::ByteTables tables_;
};

}  // namespace glim::udf
