// SPDX-License-Identifier: Apache-2.0
//
// Which bytes of a text are wanted, as masks of 64 bits: bit i of masks[b] tells of data[64 * b + i].
//
// One binary runs on every x86-64 and on ARM, with the instructions that the processor has: Highway compiles the loops
// for each kind of processor, and the first call asks which one this is. That choice costs an indirect call, some 3 ns,
// so the functions take many blocks at a time; who looks for one byte near by is better off with a loop of his own.
//
// Thread: functions; a ByteTables is immutable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace glim::base {

inline constexpr size_t kWantedBytesMax = 3;

// Of data[0, 64 * blocks): which are one of the bytes wanted[0, wanted_count). Expects: 1 to kWantedBytesMax of them.
void MatchMasks(const char* data, size_t blocks, const char* wanted, size_t wanted_count, uint64_t* masks);

// Any set of bytes, as two tables of 16: the low half of a byte says which, and there the high halves that belong are
// a bit each, those from 0 to 7 in `low` and those from 8 to 15 in `high` (Mula's universal algorithm).
struct ByteTables {
  void Add(unsigned char byte) { (byte < 128 ? low : high)[byte & 15] |= static_cast<uint8_t>(1 << (byte >> 4 & 7)); }
  bool Has(unsigned char byte) const { return ((byte < 128 ? low : high)[byte & 15] >> (byte >> 4 & 7) & 1) != 0; }

  alignas(16) uint8_t low[16] = {};
  alignas(16) uint8_t high[16] = {};
};

// Which belong to the set. Some 10 GB/s, where a table of 256 entries gives 0.7.
void MemberMasks(const ByteTables& members, const char* data, size_t blocks, uint64_t* masks);

// Both, as compiled for one kind of processor.
struct ByteLoops {
  const char* processor;
  void (*match)(const char* data, size_t blocks, const char* wanted, size_t wanted_count, uint64_t* masks);
  void (*member)(const ByteTables& members, const char* data, size_t blocks, uint64_t* masks);
};
// Those that run here, the newest first: what tests compare. Never empty.
std::vector<ByteLoops> ByteLoopsThatRunHere();

}  // namespace glim::base
