// SPDX-License-Identifier: Apache-2.0
//
// What a training (glim/training.h) has in its folder beside the saved tables: which tables are its own, which snapshot
// counts, how many passes are in it, and which parts of the next one. docs/format/training.md has the text.
//
// Thread: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "glim/status.h"

namespace glim {

struct TrainingState {
  // A stage of the pass that a snapshot was taken in.
  struct Stage {
    int step = 0;              // That it ends with.
    uint64_t fingerprint = 0;  // Of its parts.
    std::vector<bool> done;    // Which are in the tables.
    bool operator==(const Stage&) const = default;
  };
  uint64_t snapshot = 0;  // Its folder is snapshot-N; 0: there is none yet.
  int64_t passes = 0;     // That are whole.
  std::vector<std::string> tables;
  std::vector<Stage> stages;  // In the order of the run; the last may be in part.
  bool operator==(const TrainingState&) const = default;
};

std::string EncodeTrainingState(const TrainingState& state);
// kCorrupt when it is not as it was written.
Result<TrainingState> DecodeTrainingState(std::string_view text);

}  // namespace glim
