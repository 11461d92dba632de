// SPDX-License-Identifier: Apache-2.0
#include "base/byte_masks.h"

#include <cstddef>
#include <type_traits>

#include "base/check.h"

// Not compiled for these, which would gain nothing over the next older ones; all of SVE, as the vectors of its first
// processors are not longer than those of NEON.
#define HWY_DISABLED_TARGETS (HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE_256 | HWY_SVE2 | HWY_SVE2_128)
// This file is included again for each kind of processor.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "base/byte_masks.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace glim::base {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128

// No vectors. On x86-64 that is a processor from before 2006, or an emulator of one.
void Match(const char* data, size_t blocks, const char* wanted, size_t wanted_count, uint64_t* masks) {
  for (size_t block = 0; block < blocks; ++block, data += 64) {
    uint64_t mask = 0;
    for (size_t i = 0; i < 64; ++i) {
      for (size_t n = 0; n < wanted_count; ++n) mask |= static_cast<uint64_t>(data[i] == wanted[n]) << i;
    }
    masks[block] = mask;
  }
}

void Member(const ByteTables& members, const char* data, size_t blocks, uint64_t* masks) {
  for (size_t block = 0; block < blocks; ++block, data += 64) {
    uint64_t mask = 0;
    for (size_t i = 0; i < 64; ++i) {
      mask |= static_cast<uint64_t>(members.Has(static_cast<unsigned char>(data[i]))) << i;
    }
    masks[block] = mask;
  }
}

#else

namespace hn = hwy::HWY_NAMESPACE;

// 16, 32 or 64 bytes at once.
using Bytes = hn::CappedTag<uint8_t, 64>;

// masks[b] from what found(bytes) says of each vector of a block.
template <class Found>
HWY_INLINE void ForBlocks(const char* data, size_t blocks, uint64_t* masks, const Found& found) {
  const Bytes d;
  const size_t lanes = hn::Lanes(d);
  for (size_t block = 0; block < blocks; ++block) {
    uint64_t mask = 0;
    for (size_t at = 0; at < 64; at += lanes) {
      uint64_t bits = 0;  // The first `lanes` of them are stored.
      const auto bytes = hn::LoadU(d, reinterpret_cast<const uint8_t*>(data) + 64 * block + at);
      hn::StoreMaskBits(d, found(bytes), reinterpret_cast<uint8_t*>(&bits));
      mask |= bits << at;
    }
    masks[block] = mask;
  }
}

void Match(const char* data, size_t blocks, const char* wanted, size_t wanted_count, uint64_t* masks) {
  const Bytes d;
  const auto first = hn::Set(d, static_cast<uint8_t>(wanted[0]));
  const auto second = hn::Set(d, static_cast<uint8_t>(wanted[wanted_count > 1 ? 1 : 0]));
  const auto third = hn::Set(d, static_cast<uint8_t>(wanted[wanted_count > 2 ? 2 : 0]));
  switch (wanted_count) {
    case 1: return ForBlocks(data, blocks, masks, [&](auto bytes) HWY_ATTR { return hn::Eq(bytes, first); });
    case 2:
      return ForBlocks(data, blocks, masks,
                       [&](auto bytes) HWY_ATTR { return hn::Or(hn::Eq(bytes, first), hn::Eq(bytes, second)); });
    default:
      return ForBlocks(data, blocks, masks, [&](auto bytes) HWY_ATTR {
        return hn::Or(hn::Or(hn::Eq(bytes, first), hn::Eq(bytes, second)), hn::Eq(bytes, third));
      });
  }
}

void Member(const ByteTables& members, const char* data, size_t blocks, uint64_t* masks) {
  alignas(16) static constexpr uint8_t kBits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const Bytes d;
  const auto low = hn::LoadDup128(d, members.low);
  const auto high = hn::LoadDup128(d, members.high);
  const auto bits = hn::LoadDup128(d, kBits);
  const auto top = hn::Set(d, 0x80);
  const auto kept = hn::Set(d, 0x8F);
  ForBlocks(data, blocks, masks, [&](auto bytes) HWY_ATTR {
    // A look-up by a byte with its top bit set gives 0: each table answers for its half of the set.
    const auto place = hn::And(bytes, kept);
    const auto found = hn::Or(hn::TableLookupBytesOr0(low, place), hn::TableLookupBytesOr0(high, hn::Xor(place, top)));
    const auto bit = hn::TableLookupBytes(bits, hn::ShiftRight<4>(bytes));
    return hn::Eq(hn::And(found, bit), bit);
  });
}

#endif

// Whether this processor has what Highway compiles these loops with.
bool RunsHere() {
#if HWY_TARGET == HWY_STATIC_TARGET || HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
  return true;
#elif HWY_TARGET == HWY_AVX3
  return N_AVX2::RunsHere() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd");
#elif HWY_TARGET == HWY_AVX2
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
         __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") && __builtin_cpu_supports("pclmul") &&
         __builtin_cpu_supports("aes");
#elif HWY_TARGET == HWY_SSSE3
  return __builtin_cpu_supports("ssse3");
#else
  return false;  // Of a newer Highway; those above are good enough.
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace glim::base
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace glim::base {
namespace {

template <class Runs, class MatchLoop, class MemberLoop>
void AddIfItRuns(const char* processor, Runs runs, MatchLoop match, MemberLoop member, std::vector<ByteLoops>* loops) {
  if constexpr (!std::is_same_v<Runs, std::nullptr_t>) {
    if (runs()) loops->push_back({processor, match, member});
  }
}

}  // namespace

// Not by Highway's own dispatch: loading its library measures the resolution of a clock, which takes 3 ms.
std::vector<ByteLoops> ByteLoopsThatRunHere() {
  std::vector<ByteLoops> loops;
#define GLIM_ADD(choose, processor) AddIfItRuns(processor, choose(RunsHere), choose(Match), choose(Member), &loops)
  GLIM_ADD(HWY_CHOOSE_AVX3, "AVX-512");
  GLIM_ADD(HWY_CHOOSE_AVX2, "AVX2");
  GLIM_ADD(HWY_CHOOSE_SSSE3, "SSSE3");
  GLIM_ADD(HWY_CHOOSE_NEON, "NEON");
  GLIM_ADD(HWY_CHOOSE_FALLBACK, "any");
#undef GLIM_ADD
  return loops;
}

namespace {
const ByteLoops& Loops() {
  static const ByteLoops newest = ByteLoopsThatRunHere().front();
  return newest;
}
}  // namespace

void MatchMasks(const char* data, size_t blocks, const char* wanted, size_t wanted_count, uint64_t* masks) {
  CHECK(wanted_count >= 1 && wanted_count <= kWantedBytesMax);
  Loops().match(data, blocks, wanted, wanted_count, masks);
}

void MemberMasks(const ByteTables& members, const char* data, size_t blocks, uint64_t* masks) {
  Loops().member(members, data, blocks, masks);
}

}  // namespace glim::base
#endif
