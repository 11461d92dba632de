// SPDX-License-Identifier: Apache-2.0
#include "client/training_state.h"

#include <gtest/gtest.h>

namespace glim {
namespace {

TrainingState Some() {
  TrainingState state{.snapshot = 7, .passes = 2, .tables = {"ctr", "counts.of-rows"}, .stages = {}};
  state.stages.push_back({.step = 3, .fingerprint = 0x5eed, .done = {true, false, true, true, false}});
  state.stages.push_back({.step = 4, .fingerprint = ~uint64_t{0}, .done = {}});
  return state;
}

TEST(TrainingState, IsReadAsItWasWritten) {
  EXPECT_EQ(EncodeTrainingState(Some()),
            "glim training 1\n"
            "snapshot 7\n"
            "passes 2\n"
            "table ctr\n"
            "table counts.of-rows\n"
            "stage 3 0000000000005eed 5 d0\n"
            "stage 4 ffffffffffffffff 0\n"
            "crc 01667f5c\n");
  for (const TrainingState& state : {TrainingState(), Some()}) {
    const auto read = DecodeTrainingState(EncodeTrainingState(state));
    ASSERT_TRUE(read.ok()) << read.status().ToString();
    EXPECT_EQ(*read, state);
  }
}

TEST(TrainingState, IsRefusedWithAnyByteChangedOrMissing) {
  const std::string text = EncodeTrainingState(Some());
  for (size_t i = 0; i < text.size(); ++i) {
    EXPECT_EQ(DecodeTrainingState(text.substr(0, i)).status().code(), Code::kCorrupt) << i;
    for (const char other : {'0', '9', ' ', '\n', '\0', 'x', '-'}) {
      std::string changed = text;
      if (changed[i] == other) continue;
      changed[i] = other;
      EXPECT_EQ(DecodeTrainingState(changed).status().code(), Code::kCorrupt) << i << other;
    }
  }
  EXPECT_EQ(DecodeTrainingState(text + "x").status().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace glim
