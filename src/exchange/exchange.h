// SPDX-License-Identifier: Apache-2.0
//
// Moves rows from the tasks of one stage (producers) to the partitions of the next (consumers), in memory.
//
// A producer's writer appends each row to the builder of its consumer, copying the bytes, so that no block of a file is
// kept alive by the few rows that were wanted. Finished batches wait here until the next stage reads them: in the order
// of the producers, so that a result does not depend on which task ran first. Sorted producers are merged instead.
//
// Stages run one after the other, so nothing here waits and nothing can deadlock; what is kept is reserved in the
// memory budget.
//
// Thread: each writer belongs to its producer's task, each reader to its consumer's; the two never run at the same
// time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/memory_budget.h"
#include "batch/exchange_spec.h"
#include "glim/batch.h"
#include "glim/udf.h"

namespace glim::exchange {

// Batches of one partition, pulled.
class PartitionReader {
 public:
  virtual ~PartitionReader() = default;
  // nullopt at the end.
  virtual Result<std::optional<Batch>> Next() = 0;
};

// One producer's door.
class PartitionWriter : public BatchOutput {
 public:
  // After the last batch.
  virtual Status Finish() = 0;
  bool full() const override { return false; }
};

class Exchange {
 public:
  // `name` stands in errors about memory. `budget` outlives the exchange.
  Exchange(batch::ExchangeSpec spec, int producers, int consumers, base::MemoryBudget* budget, std::string name);

  std::unique_ptr<PartitionWriter> MakeWriter(int producer);
  // Rows of consumers [begin, end), one after the other.
  std::unique_ptr<PartitionReader> MakeReader(int begin, int end) const;

  int consumers() const { return consumers_; }
  // The batches of a consumer, in order.
  std::vector<Batch> BatchesOf(int consumer) const;
  // No rows for consumers [begin, end).
  bool Empty(int begin, int end) const;
  // Of consumers [begin, end).
  int64_t RowCount(int begin, int end) const;
  // Fields of the widest row; 0 without rows.
  int width() const;

 private:
  friend class Writer;
  // Where the rows of a producer for a consumer lie. What is broadcast lies there once.
  const std::vector<Batch>& Slot(int producer, int consumer) const {
    if (spec_.kind == batch::ExchangeKind::kBroadcast) consumer = 0;
    return batches_[static_cast<size_t>(producer) * consumers_ + consumer];
  }
  const batch::ExchangeSpec spec_;
  const int producers_;
  const int consumers_;
  base::MemoryBudget* const budget_;
  const std::string name_;
  // [producer * consumers + consumer]
  std::vector<std::vector<Batch>> batches_;
  std::vector<base::Reservation> memory_;  // Per producer.
};

}  // namespace glim::exchange
