// SPDX-License-Identifier: Apache-2.0
//
// How an exchange deals the rows of some tasks to the partitions of the next stage. Written by the planner, obeyed by
// the exchange.
#pragma once

#include <vector>

#include "batch/row_ops.h"

namespace glim::batch {

enum class ExchangeKind {
  kNone,         // The stage ends in a sink, or nobody wants its rows.
  kKeep,         // Partitions stay as they are; several stages may read them.
  kGather,       // Neighbouring partitions one after the other: all rows to `partitions`, in order.
  kMergeSorted,  // The same of sorted partitions, in the order of `sort_keys`.
  kBroadcast,    // Every row to every partition.
  kHash,         // Rows with equal `columns` (none: equal rows) to the same partition:
                 // base::HashToRange(HashRows(columns), partitions).
  kRoundRobin,   // Evenly.
};

struct ExchangeSpec {
  ExchangeKind kind = ExchangeKind::kNone;
  int partitions = 0;  // 0: the engine's choice (kHash), or as the stage has (kKeep).
  std::vector<int> columns;
  std::vector<SortKey> sort_keys;
  int level = 0;          // Of kHash: rows that one level sends to one partition are dealt out by the next.
  bool by_split = false;  // Of kRoundRobin: by a row's place in its split of the source, or else in its task.
};

}  // namespace glim::batch
