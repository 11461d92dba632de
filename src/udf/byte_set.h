// SPDX-License-Identifier: Apache-2.0
//
// Which of 64 bytes belong to a set, as a mask: a table of 16 bytes for each half of the set, looked up by the low half
// of each byte, gives the high halves that belong (Mula's universal algorithm). Some 5 GB/s, where a table of 256
// entries gives 0.7.
//
// Thread: immutable.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSSE3__)
#include <tmmintrin.h>
#endif

namespace glim::udf {

class ByteSet {
 public:
  // `members[byte]`: it belongs.
  template <class Members>
  explicit ByteSet(const Members& members) {
    for (int byte = 0; byte < 256; ++byte) {
      if (!members[static_cast<size_t>(byte)]) continue;
      members_[byte] = true;
      (byte < 128 ? low_ : high_)[byte & 15] |= static_cast<uint8_t>(1 << (byte >> 4 & 7));
    }
  }

  // Bit i: at[i] belongs. Bits from `size` on are 0, and nothing behind at[readable - 1] is read. Expects: size <=
  // readable.
  uint64_t Mask(const char* at, size_t size, size_t readable) const {
    if (size >= 64) return Mask64(at);
    const uint64_t within = (uint64_t{1} << size) - 1;
    if (readable >= 64) return Mask64(at) & within;
    char bytes[64] = {};
    std::memcpy(bytes, at, size);
    return Mask64(bytes) & within;
  }
  bool Has(char byte) const { return members_[static_cast<unsigned char>(byte)]; }

 private:
  uint64_t Mask64(const char* at) const {
    uint64_t mask = 0;
#if defined(__SSSE3__)
    const __m128i low = _mm_load_si128(reinterpret_cast<const __m128i*>(low_));
    const __m128i high = _mm_load_si128(reinterpret_cast<const __m128i*>(high_));
    const __m128i bits = _mm_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
    for (int i = 0; i < 4; ++i) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at) + i);
      // A look-up by a byte with its top bit set gives 0: each table answers for its half of the set.
      const __m128i place = _mm_and_si128(bytes, _mm_set1_epi8(static_cast<char>(0x8F)));
      const __m128i found =
          _mm_or_si128(_mm_shuffle_epi8(low, place),
                       _mm_shuffle_epi8(high, _mm_xor_si128(place, _mm_set1_epi8(static_cast<char>(0x80)))));
      const __m128i bit = _mm_shuffle_epi8(bits, _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(0x0F)));
      const __m128i belongs = _mm_cmpeq_epi8(_mm_and_si128(found, bit), bit);
      mask |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(belongs))) << (16 * i);
    }
#else
    for (int i = 0; i < 64; ++i) mask |= static_cast<uint64_t>(members_[static_cast<unsigned char>(at[i])]) << i;
#endif
    return mask;
  }

  alignas(16) uint8_t low_[16] = {};   // By the low half of a byte: a bit for each high half from 0 to 7,
  alignas(16) uint8_t high_[16] = {};  // and from 8 to 15.
  bool members_[256] = {};
};

}  // namespace glim::udf
