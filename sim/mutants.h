// SPDX-License-Identifier: Apache-2.0
//
// The planted bugs that the simulation must catch (param/replication/mutant.h), each with the number of seeds within
// which it must. That is the test of the test: a simulation that finds nothing proves nothing unless it would find
// these.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "param/replication/mutant.h"

namespace glim::sim {

struct MutantEntry {
  param::Mutant mutant;
  std::string_view name;
  uint64_t seeds_max;
};

std::span<const MutantEntry> Mutants();

}  // namespace glim::sim
