// SPDX-License-Identifier: Apache-2.0
//
// How the splits of a source become tasks: runs of neighbours, the same in all processes and for any number of threads,
// since it goes by the data alone.
//
// Thread: plain functions.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "io/source.h"

namespace glim::exec {

// Of each task: its splits from first up to, but not with, second.
using SplitGroups = std::vector<std::pair<uint64_t, uint64_t>>;

// Of what a source guesses, which may be all that there is of numbers.
int64_t SumOfBytes(int64_t a, int64_t b);

// Of about `bytes` each.
SplitGroups GroupSplits(const std::vector<io::Split>& splits, int64_t bytes);
// Exactly `count`, some perhaps empty.
SplitGroups CutSplits(size_t splits, int count);
// The same cut where another host's splits begin.
SplitGroups CutAtHosts(const std::vector<io::Split>& splits, const SplitGroups& groups);

}  // namespace glim::exec
