// SPDX-License-Identifier: Apache-2.0
//
// Where the tasks of a stage are best run: at the executor that keeps the partition of a cache that a task reads, or on
// the machine of the shard of a table that it reads. A preference and no more: whoever is free takes what is left.
//
// Thread: one.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cluster/job/cached_places.h"
#include "exec/plan_tasks.h"
#include "plan/plan.h"

namespace glim::cluster {

// Executors by machine.
class PlacesNear {
 public:
  // `executors`: place, and host:port.
  explicit PlacesNear(const std::vector<std::pair<int, std::string>>& executors);
  // One on the machine of that host, each in its turn; -1: there is none, or no other machine.
  int Next(std::string_view host);

 private:
  struct Machine {
    std::vector<int> places;
    size_t next = 0;
  };
  std::map<std::string, Machine, std::less<>> machines_;
};

class PreferredPlaces {
 public:
  // All outlive this.
  PreferredPlaces(CachedPlaces* cached, const plan::Plan& plan, const exec::PlanTasks& tasks)
      : cached_(*cached), plan_(plan), tasks_(tasks) {}

  // Of each task, when the stage is begun; empty: all places are alike.
  const std::vector<int>& Begin(int stage, const std::vector<std::pair<int, std::string>>& executors);
  // A task has run there. `there`: whether a place is still to be had.
  void Ran(int stage, int task, int place, const std::function<bool(int place)>& there);
  // How well that went, for the log; empty: there is nothing to say.
  std::string Words() const;

 private:
  CachedPlaces& cached_;
  const plan::Plan& plan_;
  const exec::PlanTasks& tasks_;
  int stage_ = -1;
  std::vector<int> places_;
  int of_caches_ = 0, of_shards_ = 0;  // Tasks of the stage that read them,
  int beside_ = 0;                     // and those that ran where they are.
};

}  // namespace glim::cluster
