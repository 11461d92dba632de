// SPDX-License-Identifier: Apache-2.0
//
// CRC-32C (Castagnoli, the polynomial of iSCSI, RFC 3720): the checksum of all Glim's files and frames. Computed by
// ISA-L.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace glim::base {

// The checksum of `bytes`; of a longer text when `previous` is the checksum of what stood before. Crc32c("123456789")
// is 0xe3069283.
uint32_t Crc32c(std::string_view bytes, uint32_t previous = 0);

}  // namespace glim::base
