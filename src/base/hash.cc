// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"

#include "base/check.h"
#include "glim/hash.h"

namespace glim {

uint64_t Hash(std::string_view bytes, int bits) {
  CHECK_GE(bits, 1);
  CHECK_LE(bits, 64);
  return base::HashBytes(bytes) >> (64 - bits);
}

}  // namespace glim
