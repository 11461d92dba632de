// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/crc32c.h"
#include "glim/hash.h"

namespace glim::base {
namespace {

// Known answers: a hash decides where saved keys belong, so a change of these is a change of format.
TEST(Hash, IsTheSameForEver) {
  EXPECT_EQ(HashBytes(""), 0x2d06800538d394c2u);
  EXPECT_EQ(HashBytes("abc"), 0x78af5f94892f3950u);
  EXPECT_EQ(HashInt(0), 0u);
  EXPECT_EQ(HashInt(1), 0xb456bcfc34c2cb2cu);
}

TEST(Hash, OfIntegersIsABijectionThatSpreads) {
  std::vector<int> counts(16);
  for (uint64_t i = 0; i < 16000; ++i) ++counts[HashToRange(HashInt(i), 16)];
  for (int count : counts) EXPECT_NEAR(count, 1000, 150);
}

TEST(Hash, OfASequenceKnowsItsOrder) {
  EXPECT_NE(HashCombine(HashInt(1), HashInt(2)), HashCombine(HashInt(2), HashInt(1)));
}

TEST(Hash, LeadingBits) {
  const std::string token = "token";
  EXPECT_EQ(Hash(token), HashBytes(token));
  EXPECT_EQ(Hash(token, 22), HashBytes(token) >> 42);
  EXPECT_LE(Hash(token, 1), 1u);
}

TEST(Crc32c, KnownAnswers) {
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);  // RFC 3720, B.4.
  EXPECT_EQ(Crc32c("6789", Crc32c("12345")), 0xe3069283u);
}

}  // namespace
}  // namespace glim::base
