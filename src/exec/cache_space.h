// SPDX-License-Identifier: Apache-2.0
//
// Where the rows of Cache steps lie: in memory up to a bound, and beyond that in files without a name. It belongs to a
// session, since what a run keeps is there for later ones, and lives as long as anything in it.
//
// Runs have the rest of the memory (PlanTasks): all but the bound while they fill a cache, all but what caches have
// taken otherwise.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/memory_budget.h"
#include "env/env.h"
#include "exchange/exchange.h"
#include "flow/graph.h"
#include "spill/spill_file.h"

namespace glim::exec {

class DatasetStore;  // dataset_store.h

// Of what a run may hold in all, what rows may take. The rest is for what is not counted: blocks of files and batches
// at hand, the program itself, and gaps between what is allocated.
int64_t RowBytes(int64_t memory_bytes);

struct CacheSpace {
  // `files` is asked for a file when rows first go to disk, while a cache is being filled. `memory_bytes`: that the
  // session may hold in all, of which caches may have a quarter of what rows may take: half of it is the operators',
  // and what lies between stages needs some, too.
  CacheSpace(env::FileSystem* files, std::string folder, int64_t memory_bytes)
      : budget(RowBytes(memory_bytes) / 4), spill(files, std::move(folder)) {}

  base::MemoryBudget budget;
  spill::Space spill;
  std::shared_ptr<DatasetStore> datasets = nullptr;  // Where datasets with names are kept; null: nobody knows.
};

// What a cache holds, by partition, for whoever sends it to another process.
class KeptRows : public flow::KeptPartitions {
 public:
  // The batches from `*position` on, about `bytes_max` and at most `batches_max`, but one at least. Moves the position
  // on. None: that was all. Thread: any.
  virtual Result<std::vector<Batch>> ReadPiece(int partition, exchange::SlotPosition* position, int64_t bytes_max,
                                               size_t batches_max) const = 0;
};

// A name for rows that are kept now: of no others of the process.
uint64_t NewCacheId();

// What one cache keeps: an exchange that nobody writes to any more, partition i of producer i for consumer i.
class CachePartitions final : public KeptRows {
 public:
  CachePartitions(std::shared_ptr<CacheSpace> space, std::shared_ptr<exchange::Exchange> rows)
      : space_(std::move(space)), rows_(std::move(rows)) {}
  exchange::Exchange& rows() const { return *rows_; }
  Result<std::vector<Batch>> ReadPiece(int partition, exchange::SlotPosition* position, int64_t bytes_max,
                                       size_t batches_max) const override {
    return rows_->ReadSlot(partition, partition, position, bytes_max, batches_max);
  }

 private:
  const std::shared_ptr<CacheSpace> space_;  // Outlives the rows in it.
  const std::shared_ptr<exchange::Exchange> rows_;
};

// Makes them what the cache holds.
void Fill(flow::CachedRows* cache, std::shared_ptr<const CachePartitions> partitions);

}  // namespace glim::exec
