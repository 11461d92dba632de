// SPDX-License-Identifier: Apache-2.0
#include "exec/run_outcome.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace glim::exec {
namespace {

using testing::ElementsAre;
using testing::Pair;

RunOutcome Some() {
  RunOutcome outcome;
  outcome.SetStatus(Status::UserCode("no nine").WithDetails("traceback"));
  outcome.counters = {{"threes", 3}};
  outcome.finished = {1, 4};
  outcome.collected = {{4,
                        {{Value(int64_t{1}), Value(std::string("a\0b", 3)), Value()},
                         {Value(std::vector<Value>{Value(true), Value(0.1)})}}}};
  return outcome;
}

TEST(RunOutcomeTest, ComesBackAsItWas) {
  const auto outcome = DecodeOutcome(*EncodeOutcome(Some()));
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->status().code(), Code::kUserCode);
  EXPECT_EQ(outcome->status().message(), "no nine");
  EXPECT_EQ(outcome->status().details(), "traceback");
  EXPECT_THAT(outcome->counters, ElementsAre(Pair("threes", 3)));
  EXPECT_THAT(outcome->finished, ElementsAre(1, 4));
  ASSERT_EQ(outcome->collected.size(), 1U);
  EXPECT_EQ(outcome->collected[0].first, 4);
  EXPECT_EQ(outcome->collected[0].second, Some().collected[0].second);
  EXPECT_TRUE(DecodeOutcome(*EncodeOutcome(RunOutcome()))->status().ok());
}

// Cut off, with a byte more, or with any byte changed: refused, or read as something else that is whole.
TEST(RunOutcomeTest, DamagedOnesAreRefused) {
  const std::string bytes = *EncodeOutcome(Some());
  for (size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(DecodeOutcome(bytes.substr(0, size)).ok()) << size;
  EXPECT_FALSE(DecodeOutcome(bytes + '\0').ok());
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    std::string damaged = bytes;
    for (int changes = 1 + static_cast<int>(random() % 4); changes > 0; --changes)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    (void)DecodeOutcome(damaged);
  }
}

}  // namespace
}  // namespace glim::exec
