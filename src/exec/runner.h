// SPDX-License-Identifier: Apache-2.0
//
// Runs a plan in this process: stage after stage, the tasks of a stage side by side on the worker pool.
//
// The tasks of a source's stage are runs of neighbouring splits; how many depends on the size of the data only, never
// on the number of threads, so that a result (down to the rounding of sums) is the same on every machine. The first
// failure cancels the rest: tasks notice at their next batch, sinks are aborted, and the caller gets that first
// failure.
//
// Thread: Run by one thread at a time.
#pragma once

#include <cstdint>
#include <memory>

#include "base/memory_budget.h"
#include "env/env.h"
#include "exec/cache_space.h"
#include "exec/checkpoints.h"
#include "exec/run_report.h"
#include "exec/worker_pool.h"
#include "plan/plan.h"

namespace glim::exec {

struct RunnerOptions {
  int partitions = 0;  // Tasks of a source's stage and partitions of a hash exchange; 0: by size.
  int64_t memory_bytes = 0;
  std::string tmp_folder;        // Where what does not fit into memory lies meanwhile.
  bool progress = false;         // A line on stderr.
  RunReport* report = nullptr;   // Filled when given; its stages are those of the plan.
  Counters* counters = nullptr;  // What the tasks of a run that succeeds counted.
  // For what Cache steps keep from one run to another; null: each run has its own.
  std::shared_ptr<CacheSpace> caches = nullptr;
  Checkpoints* checkpoints = nullptr;  // Asked where the run trains; may be null.
};

class Runner {
 public:
  // All outlive the runner.
  Runner(env::Env* env, WorkerPool* pool, RunnerOptions options) : env_(env), pool_(pool), options_(options) {}

  Status Run(const plan::Plan& plan);

 private:
  env::Env* env_;
  WorkerPool* pool_;
  RunnerOptions options_;
};

}  // namespace glim::exec
