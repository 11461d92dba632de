// SPDX-License-Identifier: Apache-2.0
//
// Merges sorted sequences of batches into one. Rows that are equal in the keys come in the order of the sequences, so
// that sorting stays stable.
//
// A binary heap over the sequences' first rows. While one sequence stays the smallest its rows go out as slices,
// without a copy: two sequences that do not overlap cost a few comparisons a batch.
#pragma once

#include <memory>
#include <vector>

#include "exchange/exchange.h"
#include "spill/spill_file.h"

namespace glim::exchange {

// A sequence on disk. `file` outlives the reader.
std::unique_ptr<PartitionReader> MakeBlockReader(const spill::SpillFile* file, std::vector<spill::Block> blocks);

std::unique_ptr<PartitionReader> MakeMergeReader(std::vector<std::unique_ptr<PartitionReader>> parts,
                                                 std::vector<batch::SortKey> keys);

}  // namespace glim::exchange
