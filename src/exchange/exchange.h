// SPDX-License-Identifier: Apache-2.0
//
// Moves rows from the tasks of one stage (producers) to the partitions of the next (consumers).
//
// A producer's writer appends each row to the builder of its consumer, copying the bytes, so that no block of a file is
// kept alive by the few rows that were wanted. Finished batches wait here until the next stage reads them: in the order
// of the producers, so that a result does not depend on which task ran first. Sorted producers are merged instead.
//
// Stages run one after the other, so nothing here waits and nothing can deadlock. What is kept is reserved in the
// memory budget; when others need it, batches go to a spill file, those of the last consumers first, and readers fetch
// them from there.
//
// When producers ran in other processes, their rows stay there, and a reader fetches them (SetElsewhere). Whoever
// fetches them from here reads them with MakeSlotReader.
//
// Thread: each writer belongs to its producer's task, each reader to its consumer's; a producer's rows are read when it
// has ended. Evict may be called at any time.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/memory_budget.h"
#include "batch/exchange_spec.h"
#include "glim/batch.h"
#include "glim/udf.h"
#include "spill/spill_file.h"

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

// The rows that producers in another process gave.
// Thread: any.
class ElsewhereRows {
 public:
  virtual ~ElsewhereRows() = default;
  // What `producer` has for `consumer`, in pieces of about `piece_bytes`. May begin to fetch it at once. The reader may
  // outlive this.
  virtual std::unique_ptr<PartitionReader> Read(int producer, int consumer, int64_t piece_bytes) = 0;
};

// How many rows a producer gave.
struct ProducerRows {
  std::vector<int64_t> row_counts;  // For each consumer.
  int width = 0;                    // Fields of the widest.
};

// In the rows that a producer has for a consumer.
struct SlotPosition {
  uint32_t held = 0;   // Which of its batches,
  uint32_t block = 0;  // and which piece of it, when it is on disk.
};

class Exchange : public base::Evictor {
 public:
  // `name` stands in errors. `budget` and `space` outlive the exchange.
  Exchange(batch::ExchangeSpec spec, int producers, int consumers, base::MemoryBudget* budget, spill::Space* space,
           std::string name);
  ~Exchange() override;

  // `split`: where the producer says which split it is at, when it has any; outlives the writer. `rows_before`: of the
  // producers before this one, where rows are dealt by place. `in_runs`: the rows are sorted runs, each batch of one.
  std::unique_ptr<PartitionWriter> MakeWriter(int producer, const uint64_t* split = nullptr, int64_t rows_before = 0,
                                              bool in_runs = false);
  // Rows of consumers [begin, end), one after the other. `take`: nobody reads them again, so their memory is given back
  // as they are read. `threads`: that may merge sorted rows. The exchange outlives the reader.
  std::unique_ptr<PartitionReader> MakeReader(int begin, int end, bool take, int threads = 1);

  // Rows of one producer for one consumer, which are here and stay: those from `*position` on, about `bytes_max` and at
  // most `batches_max` batches, but one at least. Moves the position on. None: that was all.
  Result<std::vector<Batch>> ReadSlot(int producer, int consumer, SlotPosition* position, int64_t bytes_max,
                                      size_t batches_max);

  // The producer ran elsewhere. Replaces what is known of it; nobody reads its rows meanwhile.
  void SetElsewhere(int producer, std::shared_ptr<ElsewhereRows> from, const ProducerRows& rows);
  // Fetches what the producer gave elsewhere; from then on it is here. After a failure it has given nothing.
  Status BringHere(int producer);
  // Lets go of what the producer gave, to run it again, or for good. Nobody reads its rows meanwhile.
  void Clear(int producer);
  ProducerRows RowsOf(int producer) const;

  // Of so many sorted runs a reader may well have a block each in memory.
  int64_t sorted_runs_max() const { return budget_->limit_bytes() / 4 / block_bytes_; }
  int producers() const { return producers_; }
  int consumers() const { return consumers_; }
  // The following count what was written, whether or not it was taken since.
  // No rows for consumers [begin, end).
  bool Empty(int begin, int end) const { return RowCount(begin, end) == 0; }
  // Of consumers [begin, end).
  int64_t RowCount(int begin, int end) const;
  // What its rows take, in memory or in the file, not compressed.
  int64_t KeptBytes() const;
  // Fields of the widest row; 0 without rows.
  int width() const;

  Result<int64_t> Evict(int64_t bytes) override;

 private:
  friend class Writer;
  friend class SlotReader;
  // A batch on its way, in memory or on disk.
  struct Held {
    Batch batch;
    BufferRef packed;  // In its place: the batch as it would be written, in one piece of memory.
    uint32_t row_count = 0;
    int64_t bytes = 0;  // Reserved for it; 0: it is on disk, or was taken.
    std::vector<spill::Block> blocks;
  };
  // What a producer has for a consumer.
  struct Slot {
    std::vector<Held> held;
    std::vector<size_t> runs;  // Of sorted rows: where in `held` each run behind the first begins.
    int64_t row_count = 0;
    int64_t bytes = 0;  // Of those in memory.
    int clears = 0;
    std::shared_ptr<ElsewhereRows> elsewhere;  // Where they are when they are not here.
  };

  // What is broadcast lies in one slot per producer.
  size_t SlotNumber(int producer, int consumer) const {
    if (spec_.kind == batch::ExchangeKind::kBroadcast) consumer = 0;
    return static_cast<size_t>(producer) * consumers_ + consumer;
  }
  int ProducerOf(size_t slot) const { return static_cast<int>(slot / consumers_); }
  int ConsumerOf(size_t slot) const { return static_cast<int>(slot % consumers_); }
  void ClearSlot(Slot* slot);
  Status Keep(int producer, int consumer, Batch batch, int64_t bytes, bool new_run = false);
  // Of a batch with `width` columns, packed.
  Status KeepPacked(int producer, int consumer, std::string_view packed, int64_t row_count, int width);
  Status Keep(int producer, int consumer, Held held, int width, bool new_run);
  Status Write(const Held& held, std::vector<spill::Block>* blocks);
  // The same rows, to be used without the mutex.
  static Held Share(const Held& held);
  static Result<Batch> RowsOf(const Held& held);
  // Puts batches of one slot on disk, the last first, until `bytes` are released or all are there.
  Result<int64_t> EvictFrom(size_t slot, int64_t bytes);

  const batch::ExchangeSpec spec_;
  const int producers_;
  const int consumers_;
  base::MemoryBudget* const budget_;
  const std::string name_;
  const int64_t batch_bytes_max_;
  const bool packs_;  // What writers put together is kept packed.
  const int64_t block_bytes_;
  spill::SpillFile file_;

  mutable std::mutex mutex_;  // Of all below.
  std::vector<Slot> slots_;
  std::vector<int> widths_;  // Of each producer.
};

}  // namespace glim::exchange
