// SPDX-License-Identifier: Apache-2.0
//
// Which of the few keys of a bucket is the one that is looked for, as a bit for each: without branches, as which one it
// is cannot be foretold.
//
// Too little for a choice of instructions at run time (a look-up takes some nanoseconds in all), so it is done with
// what every x86-64 has, and elsewhere one by one.
//
// Thread: functions.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace glim::table {

template <uint32_t kCount>
uint32_t MatchesOneByOne(const uint64_t* keys, uint64_t wanted, uint32_t first = 0) {
  uint32_t hits = 0;
  for (uint32_t i = first; i < kCount; ++i) hits |= static_cast<uint32_t>(keys[i] == wanted) << i;
  return hits;
}

template <uint32_t kCount>
uint32_t Matches(const uint64_t* keys, uint64_t wanted) {
  static_assert(kCount >= 2);
#if defined(__SSE2__)
  // SSE2 compares words of 32 bits: a key is found where both of its halves are.
  const __m128i both = _mm_set1_epi64x(static_cast<int64_t>(wanted));
  const auto halves = [&](uint32_t at) {
    return _mm_castsi128_ps(_mm_cmpeq_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(keys + at)), both));
  };
  const __m128 a = halves(0);
  if constexpr (kCount >= 4) {
    const __m128 b = halves(2);
    const __m128 low = _mm_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0));
    const __m128 high = _mm_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1));
    return static_cast<uint32_t>(_mm_movemask_ps(_mm_and_ps(low, high))) | MatchesOneByOne<kCount>(keys, wanted, 4);
  } else {
    const __m128 other = _mm_shuffle_ps(a, a, _MM_SHUFFLE(2, 3, 0, 1));
    return static_cast<uint32_t>(_mm_movemask_pd(_mm_castps_pd(_mm_and_ps(a, other)))) |
           MatchesOneByOne<kCount>(keys, wanted, 2);
  }
#else
  return MatchesOneByOne<kCount>(keys, wanted);
#endif
}

}  // namespace glim::table
