// SPDX-License-Identifier: Apache-2.0
//
// Cutting text into words and fields, for functions in C++, sixteen bytes at a time. Count words:
//
//   flow.TextFile(paths)
//       .FlatMap([](std::string_view line, glim::Emitter& out) {
//         glim::ForEachWord(line, [&](std::string_view word) { out(word, 1); });
//       })
//       .ReduceBy(glim::Sum())
//
// A loop that looks at one byte after the other guesses at each byte whether the word ends there, and guesses wrong at
// most ends; that costs more than all else that such a flow does. Here the ends are bits of a mask.
//
// What is called with a piece gets a view into the text. If it returns bool, false ends the search.
//
// Bytes are bytes: nothing knows of UTF-8, whose letters beyond ASCII belong to no range below 0x80.
//
// Thread: functions; any.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace glim {

namespace text_internal {
// Is nowhere, and cannot be called while a program is compiled: that is the error.
void ARangeEndsBeforeItBegins();
}  // namespace text_internal

// A set of bytes, as ranges: `glim::ByteRanges("09afAF")` holds those from 0 to 9, a to f and A to F; of a single byte,
// both ends are the same: ",,;;". The text has an even number of bytes, each range from low to high. It is known when
// the program is compiled, and given as what a template is made of: ForEachRun<glim::ByteRanges("09afAF")>(...).
template <size_t kCount>
struct ByteRanges {
  consteval explicit ByteRanges(const char (&ends)[2 * kCount + 1]) {
    for (size_t i = 0; i < kCount; ++i) {
      first[i] = static_cast<uint8_t>(ends[2 * i]);
      last[i] = static_cast<uint8_t>(ends[2 * i + 1]);
      if (first[i] > last[i]) text_internal::ARangeEndsBeforeItBegins();
    }
  }

  constexpr bool Has(char c) const {
    bool has = false;
    for (size_t i = 0; i < kCount; ++i) {
      has |= static_cast<uint8_t>(c) >= first[i] && static_cast<uint8_t>(c) <= last[i];
    }
    return has;
  }

  uint8_t first[kCount] = {};
  uint8_t last[kCount] = {};
};
template <size_t kSize>
ByteRanges(const char (&)[kSize]) -> ByteRanges<(kSize - 1) / 2>;

// Letters and digits of ASCII: %w of Lua.
inline constexpr ByteRanges kWordBytes("09AZaz");
// Space, and from tab to carriage return: %s of Lua.
inline constexpr ByteRanges kSpaceBytes("  \t\r");

namespace text_internal {

// Mask16: bit i: data[i] is wanted. Reads 16 bytes.
template <auto kRanges>
struct InRanges {
  bool Has(char c) const { return kRanges.Has(c); }
#ifdef __SSE2__
  uint32_t Mask16(const char* data) const {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data));
    const auto has = [bytes]<size_t... I>(std::index_sequence<I...>) {
      __m128i any = _mm_setzero_si128();
      ((any = _mm_or_si128(any, Within(bytes, kRanges.first[I], kRanges.last[I]))), ...);
      return any;
    }(std::make_index_sequence<std::size(kRanges.first)>());
    return static_cast<uint32_t>(_mm_movemask_epi8(has));
  }
  static __m128i Within(__m128i bytes, uint8_t first, uint8_t last) {
    const __m128i above = _mm_sub_epi8(bytes, _mm_set1_epi8(static_cast<char>(first)));
    return _mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8(static_cast<char>(last - first))), above);
  }
#endif
};

struct Equal {
  char wanted;
  bool Has(char c) const { return c == wanted; }
#ifdef __SSE2__
  uint32_t Mask16(const char* data) const {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data));
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(wanted))));
  }
#endif
};

template <class Wanted>
inline uint64_t Mask16(const char* data, const Wanted& wanted) {
#ifdef __SSE2__
  return wanted.Mask16(data);
#else
  uint64_t mask = 0;
  for (size_t i = 0; i < 16; ++i) mask |= static_cast<uint64_t>(wanted.Has(data[i])) << i;
  return mask;
#endif
}

// Of the 64 bytes of `text` from `at` on: bit i: that one is wanted; 0 beyond the end.
template <class Wanted>
inline uint64_t Mask64(std::string_view text, size_t at, const Wanted& wanted) {
  const char* const data = text.data() + at;
  const size_t size = std::min<size_t>(text.size() - at, 64);
  uint64_t mask = 0;
  size_t i = 0;
  for (; i + 16 <= size; i += 16) mask |= Mask16(data + i, wanted) << i;
  const size_t left = size - i;
  if (left == 0) return mask;
  if (text.size() >= 16) return mask | Mask16(data + size - 16, wanted) >> (16 - left) << i;
  char copy[16] = {};
  std::memcpy(copy, data, left);
  return Mask16(copy, wanted) & ((uint64_t{1} << left) - 1);
}

// False: that was enough.
template <class Take>
inline bool Give(Take& take, const char* begin, const char* end) {
  const std::string_view piece(begin, static_cast<size_t>(end - begin));
  if constexpr (std::same_as<decltype(take(piece)), bool>) {
    return take(piece);
  } else {
    take(piece);
    return true;
  }
}

template <class Separator, class Take>
void ForEachField(std::string_view text, const Separator& separator, Take& take) {
  const char* begin = text.data();
  for (size_t at = 0; at < text.size(); at += 64) {
    for (uint64_t found = Mask64(text, at, separator); found != 0; found &= found - 1) {
      const char* const end = text.data() + at + std::countr_zero(found);
      if (!Give(take, begin, end)) return;
      begin = end + 1;
    }
  }
  Give(take, begin, text.data() + text.size());
}

}  // namespace text_internal

// Calls take(piece) with each longest piece of `text` that has bytes of kRanges only, from left to right.
template <auto kRanges, class Take>
void ForEachRun(std::string_view text, Take&& take) {
  const char* begin = nullptr;  // Of the run at hand.
  for (size_t at = 0; at < text.size(); at += 64) {
    const char* const data = text.data() + at;
    const uint64_t mask = text_internal::Mask64(text, at, text_internal::InRanges<kRanges>());
    // Where runs begin and end, in turn.
    uint64_t ends = mask ^ (mask << 1 | static_cast<uint64_t>(begin != nullptr));
    if (begin == nullptr && ends != 0) {
      begin = data + std::countr_zero(ends);
      ends &= ends - 1;
    }
    while (ends != 0) {
      const char* const end = data + std::countr_zero(ends);
      ends &= ends - 1;
      if (!text_internal::Give(take, begin, end)) return;
      begin = ends != 0 ? data + std::countr_zero(ends) : nullptr;
      ends &= ends - 1;
    }
  }
  if (begin != nullptr) text_internal::Give(take, begin, text.data() + text.size());
}

// Words of letters and digits.
template <class Take>
void ForEachWord(std::string_view text, Take&& take) {
  ForEachRun<kWordBytes>(text, take);
}

// Calls take(field) with what lies between separators: empty fields too, and one more field than there are separators.
// An empty text is one empty field. Quotes mean nothing; for CSV there is a source.
template <class Take>
void ForEachField(std::string_view text, char separator, Take&& take) {
  text_internal::ForEachField(text, text_internal::Equal{separator}, take);
}
// The same, with any byte of kRanges as a separator.
template <auto kRanges, class Take>
void ForEachField(std::string_view text, Take&& take) {
  text_internal::ForEachField(text, text_internal::InRanges<kRanges>(), take);
}

}  // namespace glim
