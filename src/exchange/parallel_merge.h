// SPDX-License-Identifier: Apache-2.0
//
// Merges sorted sequences of batches into one, as exchange/merge_reader.h does and with the same result, on several
// threads: for a task that alone has all rows to merge, while the other threads of the process have nothing to do.
//
// The sequences are cut at the same places of the order into units of about a megabyte: of each sequence the rows up to
// a bound, which is the row that comes first of those some way ahead in each sequence. The reader's thread reads and
// cuts; units are merged each by itself, by whoever is free, and given out in order. So what is held is a few
// units and a little of each sequence, and sequences on disk are read ahead.
//
// Thread: one, which also reads the sequences; the threads that help are the reader's own. They start when there is a
// second unit, and end with the reader.
#pragma once

#include <memory>
#include <vector>

#include "exchange/exchange.h"

namespace glim::exchange {

struct ParallelMergeOptions {
  int threads = 2;  // That merge, with the reader's.
  int64_t unit_bytes = 1 << 20;
};

std::unique_ptr<PartitionReader> MakeParallelMerge(std::vector<std::unique_ptr<PartitionReader>> parts,
                                                   std::vector<batch::SortKey> keys, ParallelMergeOptions options);

}  // namespace glim::exchange
