// SPDX-License-Identifier: Apache-2.0
//
// The driver's side of what Cache steps hold. The driver has all of it, and it is never lost: rows of a cache are made
// once, and some could not be made again as they were. Executors keep the partitions that they have read as far as they
// have room (cached_parts.h), and this remembers which, so that tasks of later runs go there.
//
// It is a preference and no more: an executor that is gone, or had no room, has its task run somewhere else, and
// whoever lacks a partition asks the driver.
//
// Thread: one; what OfGraph gave is anybody's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "cluster/job/messages.h"
#include "exec/plan_tasks.h"
#include "flow/graph.h"
#include "plan/plan.h"

namespace glim::cluster {

// The cache and the partition of it that a task reads; the cache is 0 when it reads none. Expects: it is shaped.
std::pair<uint64_t, uint64_t> CachedPart(const plan::Plan& plan, const exec::PlanTasks& tasks, int stage, int task);

class CachedPlaces {
 public:
  using Caches = std::map<uint64_t, std::shared_ptr<const flow::CachedRows>>;

  // Those that a run of the graph may read, by number. From now on they are known here; those whose flow is gone are
  // forgotten.
  Caches OfGraph(const flow::Graph& graph);
  // What a run of the graph tells executors.
  std::vector<OpenRun::Cache> ToTell(const flow::Graph& graph) const;
  // Where the partition was read last; -1: nowhere.
  int PlaceOf(uint64_t cache, uint64_t partition) const;
  // A task that read it has ended there. A place that has it already, and is `there` still, remains the one.
  void Read(uint64_t cache, uint64_t partition, int place, const std::function<bool(int place)>& there);

 private:
  struct Known {
    std::weak_ptr<const flow::CachedRows> rows;
    std::vector<int> places;  // Of each partition.
  };
  std::map<uint64_t, Known> known_;
};

}  // namespace glim::cluster
