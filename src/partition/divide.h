// SPDX-License-Identifier: Apache-2.0
//
// Division by a number that is known only at run time but used millions of times: a multiplication and a correction in
// place of the processor's divider (Granlund and Montgomery 1994), for any 64-bit operands.
//
// The estimate is floor(x * m / 2^64) with m = floor((2^64 - 1) / d). As m >= 2^64 / d - 1, it is above x / d - 2 and
// never above x / d: one correction is enough.
//
// Thread: a value.
#pragma once

#include <cstdint>

namespace glim::partition {

class Divider {
 public:
  // Expects: divisor > 0.
  explicit Divider(uint64_t divisor = 1) : divisor_(divisor), multiplier_(~uint64_t{0} / divisor) {}

  uint64_t Quotient(uint64_t x) const {
    uint64_t quotient = static_cast<uint64_t>((static_cast<unsigned __int128>(x) * multiplier_) >> 64);
    return quotient + (x - quotient * divisor_ >= divisor_);
  }
  uint64_t Remainder(uint64_t x) const { return x - Quotient(x) * divisor_; }
  uint64_t divisor() const { return divisor_; }

 private:
  uint64_t divisor_;
  uint64_t multiplier_;
};

}  // namespace glim::partition
