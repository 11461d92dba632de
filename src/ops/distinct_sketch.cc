// SPDX-License-Identifier: Apache-2.0
#include "ops/distinct_sketch.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

namespace glim::ops {
namespace {

constexpr int kIndexBits = 12, kListIndexBits = 26, kRankBits = 6;
constexpr uint32_t kRegisters = 1u << kIndexBits;
constexpr int kRankMax = 64 - kIndexBits + 1;
constexpr size_t kListBytesMax = 2048;

uint32_t Entry(std::string_view list, size_t i) {
  uint32_t entry;
  std::memcpy(&entry, list.data() + i * sizeof(entry), sizeof(entry));
  return entry;
}

// One more than the zeros at the front of the hash behind its first `index_bits`.
int Rank(uint64_t hash, int index_bits) {
  return std::countl_zero(hash << index_bits | uint64_t{1} << (index_bits - 1)) + 1;
}

// Calls f(index, rank) for the registers that an entry of the list, or a byte, stands for.
template <class F>
void ForRegisters(std::string_view bytes, F f) {
  if (bytes.size() == kRegisters) {
    for (uint32_t i = 0; i < kRegisters; ++i) {
      if (bytes[i] != 0) f(i, static_cast<int>(bytes[i]));
    }
    return;
  }
  constexpr int kMore = kListIndexBits - kIndexBits;  // Bits that belong to the rank here.
  for (size_t i = 0; i < bytes.size() / sizeof(uint32_t); ++i) {
    const uint32_t entry = Entry(bytes, i), index = entry >> kRankBits;
    const uint32_t more = index & ((1u << kMore) - 1);
    const int rank_behind = static_cast<int>(entry & ((1u << kRankBits) - 1));
    f(index >> kMore, more == 0 ? kMore + rank_behind : std::countl_zero(more << (32 - kMore)) + 1);
  }
}

// The sums of Ertl's estimator for registers that are full, and empty: x and 1 - x are the parts of all that are.
double Tau(double x) {
  if (x == 0 || x == 1) return 0;
  double y = 1, z = 1 - x, before;
  do {
    x = std::sqrt(x);
    before = z;
    y *= 0.5;
    z -= (1 - x) * (1 - x) * y;
  } while (z != before);
  return z / 3;
}

double Sigma(double x) {
  if (x == 1) return INFINITY;
  double y = 1, z = x, before;
  do {
    x *= x;
    before = z;
    z += x * y;
    y += y;
  } while (z != before);
  return z;
}

}  // namespace

int64_t DistinctSketch::Add(uint64_t hash) {
  const size_t before = registers_.capacity();
  if (registers_.size() == kRegisters) {
    Raise(static_cast<uint32_t>(hash >> (64 - kIndexBits)), Rank(hash, kIndexBits));
  } else {
    AddToList(static_cast<uint32_t>(hash >> (64 - kListIndexBits)) << kRankBits |
              static_cast<uint32_t>(Rank(hash, kListIndexBits)));
  }
  return static_cast<int64_t>(registers_.capacity() - before);
}

int64_t DistinctSketch::Merge(std::string_view bytes) {
  const size_t before = registers_.capacity();
  if (registers_.size() != kRegisters && bytes.size() != kRegisters) {
    for (size_t i = 0; i < bytes.size() / sizeof(uint32_t); ++i) AddToList(Entry(bytes, i));
  } else {
    if (registers_.size() != kRegisters) ToRegisters();
    ForRegisters(bytes, [&](uint32_t index, int rank) { Raise(index, rank); });
  }
  return static_cast<int64_t>(registers_.capacity() - before);
}

void DistinctSketch::Raise(uint32_t index, int rank) {
  char& kept = registers_[index];
  kept = std::max(kept, static_cast<char>(rank));
}

void DistinctSketch::ToRegisters() {
  const std::string list = std::exchange(registers_, std::string(kRegisters, 0));
  ForRegisters(list, [&](uint32_t index, int rank) { Raise(index, rank); });
}

void DistinctSketch::AddToList(uint32_t entry) {
  if (registers_.size() == kRegisters) {
    char bytes[sizeof(entry)];
    std::memcpy(bytes, &entry, sizeof(entry));
    ForRegisters({bytes, sizeof(bytes)}, [&](uint32_t index, int rank) { Raise(index, rank); });
    return;
  }
  size_t low = 0, high = registers_.size() / sizeof(entry);
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (Entry(registers_, middle) >> kRankBits < entry >> kRankBits) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  const size_t at = low * sizeof(entry);
  if (at < registers_.size() && Entry(registers_, low) >> kRankBits == entry >> kRankBits) {
    const uint32_t kept = std::max(Entry(registers_, low), entry);
    std::memcpy(registers_.data() + at, &kept, sizeof(kept));
    return;
  }
  if (registers_.size() == kListBytesMax) {
    ToRegisters();
    return AddToList(entry);
  }
  char bytes[sizeof(entry)];
  std::memcpy(bytes, &entry, sizeof(entry));
  registers_.insert(at, bytes, sizeof(entry));
}

int64_t DistinctSketch::Estimate() const {
  if (registers_.size() != kRegisters) return static_cast<int64_t>(registers_.size() / sizeof(uint32_t));
  std::vector<double> with_rank(kRankMax + 1, 0);
  with_rank[0] = kRegisters;
  ForRegisters(registers_, [&](uint32_t, int rank) {
    --with_rank[0];
    ++with_rank[rank];
  });
  double z = kRegisters * Tau(1 - with_rank[kRankMax] / kRegisters);
  for (int rank = kRankMax - 1; rank >= 1; --rank) z = 0.5 * (z + with_rank[rank]);
  z += kRegisters * Sigma(with_rank[0] / kRegisters);
  return std::llround(kRegisters / (2 * std::log(2.0)) * kRegisters / z);
}

}  // namespace glim::ops
