// SPDX-License-Identifier: Apache-2.0
//
// A plan for several processes: which of its stages stay in the driver's, and cut such that all others can run
// anywhere.
//
// Tasks that push to a table are run again when they are lost, for which some of them need another plan (repeat.h).
//
// Sources that live with the driver (standard input, channels, functions that read, databases with the snapshot that
// all its connections look at) are read there, with the steps behind them up to the next exchange; what a cache holds
// only when nothing is done with it but to write it.
// Sinks are written there; so a stage that ends in one is cut in front of it, and what the sink gets is kept, partition
// by partition. Where the sink writes bytes, rows become bytes in front of the cut: that is the larger part of the
// work, and of numbers and short texts bytes are less to move.
//
// Thread: plain functions.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/plan.h"
#include "plan/repeat.h"

namespace glim::plan {

struct SpreadPlan {
  Plan plan;
  std::vector<bool> at_driver;  // Of each stage. Parts are asked for their own tasks.
  std::vector<Repeat> repeats;  // Of each stage.
};

// `facts`: of each step's function, the same in all processes of a run.
SpreadPlan SpreadOverProcesses(const Plan& plan, const std::vector<FunctionFacts>& facts);

// Equal for equal plans, in all processes of one build.
uint64_t Fingerprint(const Plan& plan);

}  // namespace glim::plan
