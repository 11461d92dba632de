// SPDX-License-Identifier: Apache-2.0
#include "base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace glim::base {

uint32_t Crc32c(std::string_view bytes, uint32_t previous) {
  constexpr size_t kPieceMax = size_t{1} << 30;  // ISA-L takes an int.
  uint32_t crc = ~previous;
  while (!bytes.empty()) {
    const size_t piece = std::min(bytes.size(), kPieceMax);
    auto* data = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
    crc = crc32_iscsi(data, static_cast<int>(piece), crc);
    bytes.remove_prefix(piece);
  }
  return ~crc;
}

}  // namespace glim::base
