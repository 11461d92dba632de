// SPDX-License-Identifier: Apache-2.0
//
// What an executor keeps of caches between the runs of its driver's session: partitions that its tasks have read,
// whole, as far as there is room. The driver has them all, so nothing is lost when one is dropped, or its executor is.
//
// Room is a quarter of the executor's memory while the session has caches; runs have the rest. When it is full, what
// the run at hand does not read makes way; a partition that has no room then is fetched by each run anew.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "exchange/exchange.h"
#include "flow/graph.h"
#include "glim/batch.h"

namespace glim::cluster {

class CachedParts {
 public:
  using Part = std::shared_ptr<const std::vector<Batch>>;

  // A run begins. `alive`: caches that the session has; what is kept of others is dropped. `read`: those that the run
  // may read. The memory that is left for the run, of `memory_bytes`.
  int64_t Begin(const std::set<uint64_t>& alive, std::set<uint64_t> read, int64_t memory_bytes);

  // Null: it is not here.
  Part Find(uint64_t cache, uint64_t partition) const;
  void Keep(uint64_t cache, uint64_t partition, std::vector<Batch> batches);
  // Could it be kept if it were so large? What it would displace is dropped then.
  bool MakeRoom(int64_t bytes);

  // Its batches: those that are here, or else what `fetch` gives, which is kept if there is room. The parts outlive the
  // reader.
  flow::CachedRows::Reader Read(uint64_t cache, uint64_t partition,
                                const std::function<std::unique_ptr<exchange::PartitionReader>()>& fetch);

  int64_t bytes() const;

 private:
  struct Kept {
    Part batches;
    int64_t bytes = 0;
  };
  bool MakeRoomLocked(int64_t bytes);

  mutable std::mutex mutex_;  // Of all below.
  std::map<std::pair<uint64_t, uint64_t>, Kept> parts_;
  std::set<uint64_t> read_;
  int64_t bytes_ = 0;
  int64_t bytes_max_ = 0;
};

}  // namespace glim::cluster
