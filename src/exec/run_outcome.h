// SPDX-License-Identifier: Apache-2.0
//
// What a program has from a run when it has ended: its status, its rows, what was counted. As bytes it goes to other
// processes of the same program, for which that run is answered so (client/program.h).
//
// Thread: values and plain functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "glim/batch.h"
#include "glim/status.h"

namespace glim::exec {

struct RunOutcome {
  uint8_t code = 0;
  std::string message, details;
  std::vector<std::pair<std::string, int64_t>> counters;
  std::vector<int32_t> finished;                                // Ends of the graph that it did.
  std::vector<std::pair<int32_t, std::vector<Row>>> collected;  // By a Collect or SaveFirstRowTo with that number.

  void SetStatus(const Status& status);
  Status status() const;
};

// kInvalid when a row cannot travel.
Result<std::string> EncodeOutcome(const RunOutcome& outcome);
Result<RunOutcome> DecodeOutcome(std::string_view bytes);

}  // namespace glim::exec
