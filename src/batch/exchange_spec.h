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
  kRoundRobin,   // Evenly, by `deal`.
};

// What tells RoundRobin the partition of a row, such that it is the same for any number of tasks.
enum class Deal {
  kByTask,   // Its place in its task, which is a partition of the user's or the only one.
  kBySplit,  // Its place in its split of the source.
  kByPlace,  // Its place among all rows.
};

struct ExchangeSpec {
  ExchangeKind kind = ExchangeKind::kNone;
  int partitions = 0;  // 0: the engine's choice (kHash), or as the stage has (kKeep).
  std::vector<int> columns;
  std::vector<SortKey> sort_keys;
  int level = 0;  // Of kHash: rows that one level sends to one partition are dealt out by the next.
  Deal deal{};    // Of kRoundRobin.
};

}  // namespace glim::batch
