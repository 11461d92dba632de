// SPDX-License-Identifier: Apache-2.0
//
// About how many different values there were: HyperLogLog (Flajolet et al. 2007) with 4096 registers and the estimator
// of Ertl (2017), whose standard error is 1.6 percent for any count. A register holds the longest run of zeros among
// the hashes that came to it; so sketches can be merged in any order.
//
// Few values, up to 512, are kept as a list of what 2^26 registers would hold, 4 bytes each: so their count is all but
// exact, and the 4096 registers follow from them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace glim::ops {

class DistinctSketch {
 public:
  // Both give the bytes by which it grew.
  int64_t Add(uint64_t hash);
  int64_t Merge(std::string_view bytes);
  int64_t Estimate() const;
  // For Merge.
  std::string_view bytes() const { return registers_; }

 private:
  void AddToList(uint32_t entry);
  void ToRegisters();
  void Raise(uint32_t index, int rank);

  std::string registers_;  // kRegisters bytes, or less: a sorted list of index << 6 | rank.
};

}  // namespace glim::ops
