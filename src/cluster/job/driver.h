// SPDX-License-Identifier: Apache-2.0
//
// The driver's side of runs on executors: which there are, and a run of a plan on them. It cuts the plan (plan/
// processes.h), gives tasks to executors as the schedule (schedule.h) says, runs itself what can only be run here,
// fetches what sinks and caches get, and goes on when executors are lost. docs/design/jobs.md tells the whole story.
//
// The result is that of a run in one process, bit by bit: the same plan, cut into the same tasks, whose rows are read
// in the same order.
//
// Thread: one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "env/env.h"
#include "exec/runner.h"
#include "exec/worker_pool.h"
#include "net/key.h"
#include "plan/plan.h"
#include "udf/hosts.h"

namespace glim::cluster {

struct ExecutorPlace {
  std::string address;  // host:port
  int slots = 1;        // Tasks that it runs at a time.
};

struct JobDriverOptions {
  std::shared_ptr<const net::Key> key;  // Null: this machine only.
  // Starts another executor in place of one that was lost. Null: nobody does. Called in the thread of Run.
  std::function<Result<ExecutorPlace>()> replace;
};

// What executors need to know of a run beside its plan.
struct JobOptions {
  int64_t executor_memory_bytes = 0;
  udf::HostOptions hosts;
};

class JobDriver {
 public:
  JobDriver(env::Env& env, JobDriverOptions options);
  ~JobDriver();
  JobDriver(const JobDriver&) = delete;

  Status AddExecutor(const ExecutorPlace& executor);
  // Those that are not lost, as far as it is known.
  size_t executor_count() const;

  // Runs the plan. Tasks of the driver run on `pool`. Which tasks run where is not seen in the result.
  Status Run(const plan::Plan& plan, exec::WorkerPool* pool, const exec::RunnerOptions& options, const JobOptions& job);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glim::cluster
