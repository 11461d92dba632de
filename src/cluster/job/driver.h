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
#include <vector>

#include "cluster/job/file_list.h"
#include "env/env.h"
#include "exec/runner.h"
#include "exec/worker_pool.h"
#include "net/key.h"
#include "param/replication/messages.h"
#include "plan/plan.h"
#include "udf/hosts.h"

namespace glim::cluster {

struct ExecutorPlace {
  std::string address;       // host:port
  int slots = 1;             // Tasks that it runs at a time.
  int64_t memory_bytes = 0;  // That its rows may take.
  std::string host;          // For messages: the machine, when it is not the driver's.
};

// A machine that a run may have executors on.
struct ExecutorHost {
  std::string name;     // As ExecutorPlace::host.
  std::string refused;  // Why it gave none when it was asked last; empty: it was not, or did.
};

struct JobDriverOptions {
  std::shared_ptr<const net::Key> key;  // Null: this machine only.
  // Starts executors beside these, which are at work: as many as there should be. Called before each run, when one was
  // lost, and every `look_nanos` of a run, from one thread at a time; takes some seconds at most. An error counts only
  // when no executor is left, or, in a run, when that lasts for `patience_nanos`.
  std::function<Result<std::vector<ExecutorPlace>>(const std::vector<ExecutorPlace>& at_work)> launch;
  // All machines that there should be executors on; kInvalid when some are to have none. Called as launch is. Null:
  // there is one machine, this one.
  std::function<Result<std::vector<ExecutorHost>>()> hosts;
  // Tells the master how a run goes on, twice a second and when it has ended; true: somebody wants it to end. Called in
  // a thread of its own. Null: nobody is told.
  std::function<bool(const param::JobStatus&)> report;
  // Adds to the log of a run that the master keeps, in the same thread; up to where it need not come again.
  std::function<Result<uint64_t>(const std::string& id, uint64_t from, std::string text)> add_to_log;
  std::string host;  // This machine, for that.
  int64_t look_nanos = 2'000'000'000;
  int64_t patience_nanos = 30'000'000'000;
};

// What executors need to know of a run beside its plan.
struct JobOptions {
  udf::HostOptions hosts;
  // Where executors follow the program's main: which run of it this is, from 1, how the others before it went
  // (exec/run_outcome.h), and how much time an executor has to get there. 0: they do not.
  uint64_t program_run = 0;
  std::vector<std::shared_ptr<const std::string>> outcomes = {};
  int64_t reach_nanos = 0;
  // That executors have to have.
  std::vector<ListedFile> files = {};
};

class JobDriver {
 public:
  JobDriver(env::Env& env, JobDriverOptions options);
  ~JobDriver();
  JobDriver(const JobDriver&) = delete;

  // Runs the plan; kUnreachable when there are no executors to be had. What functions print on executors is written to
  // this program's stdout and stderr before it returns. Tasks of the driver run on `pool`. Which tasks run where is not
  // seen in the result.
  Status Run(const plan::Plan& plan, exec::WorkerPool* pool, const exec::RunnerOptions& options, const JobOptions& job);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glim::cluster
