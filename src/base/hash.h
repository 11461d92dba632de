// SPDX-License-Identifier: Apache-2.0
//
// The hashes of Glim. One function per kind of thing, the same on every machine and in every run, because the hash of a
// key decides its partition and its shard: a change here is a change of format.
//
// Bytes are hashed by XXH3 (inlined: a token of up to 16 bytes costs about 3 ns), 64-bit integers by two
// multiplications.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdint>
#include <string_view>

namespace glim::base {

inline uint64_t HashBytes(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

inline uint64_t HashBytes(std::string_view bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

// A bijection of 64-bit integers in which every input bit reaches every output bit (the finaliser of MurmurHash3,
// Appleby 2011).
inline uint64_t HashInt(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  x ^= x >> 33;
  return x;
}

// The hash of a sequence from the hash of its beginning and of its next part; order counts.
inline uint64_t HashCombine(uint64_t first, uint64_t next) {
  return HashInt(first + 0x9e3779b97f4a7c15ULL) ^ (next * 0x9fb21c651e98df25ULL);
}

// Of 16 bytes that are at hand as two words: one 128-bit product, a third of the time of HashBytes. Not that of
// HashBytes.
inline uint64_t HashPair(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a ^ 0x9e3779b97f4a7c15ULL) * (b ^ 0xd1b54a32d192ed03ULL);
  const uint64_t mixed = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  return mixed ^ (mixed >> 29);
}

// A number below n, evenly, from the high bits of a hash (Lemire 2016). Expects: n > 0.
inline uint32_t HashToRange(uint64_t hash, uint32_t n) {
  return static_cast<uint32_t>((static_cast<unsigned __int128>(hash) * n) >> 64);
}

}  // namespace glim::base
