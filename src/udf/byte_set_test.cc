// SPDX-License-Identifier: Apache-2.0
#include "udf/byte_set.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <string>

namespace glim::udf {
namespace {

RC_GTEST_PROP(ByteSet, SaysOfEachByteWhetherItBelongs, ()) {
  std::array<bool, 256> members;
  for (bool& member : members) member = *rc::gen::arbitrary<bool>();
  const auto text = *rc::gen::container<std::string>(*rc::gen::inRange<size_t>(0, 70), rc::gen::arbitrary<char>());
  const size_t size = *rc::gen::inRange<size_t>(0, text.size() + 1);
  const uint64_t mask = ByteSet(members).Mask(text.data(), size, text.size());
  for (size_t i = 0; i < 64; ++i) {
    const bool wanted = i < size && members[static_cast<unsigned char>(text[i])];
    RC_ASSERT((mask >> i & 1) == static_cast<uint64_t>(wanted));
  }
}

}  // namespace
}  // namespace glim::udf
