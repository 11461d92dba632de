// SPDX-License-Identifier: Apache-2.0
//
// What a Session is made of, for those who stand on it (the script host).
//
// Thread: as Session.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cluster/job/driver.h"
#include "engine/agent_launcher.h"
#include "engine/local_cluster.h"
#include "engine/slurm/slurm_cluster.h"
#include "env/env.h"
#include "exec/cache_space.h"
#include "exec/checkpoints.h"
#include "exec/dataset_store.h"
#include "exec/worker_pool.h"
#include "glim/session.h"
#include "param/table_store.h"

namespace glim {

struct Session::Parts {
  ~Parts() {  // The driver of jobs waits for its threads, and they for what they ask the master.
    if (AgentLauncher() != nullptr) AgentLauncher()->GiveUp();
  }
  // Who starts executors on agents, if somebody does.
  engine::AgentLauncher* AgentLauncher() const { return slurm != nullptr ? slurm->agents() : agents.get(); }

  SessionOptions options;
  Status status;
  std::vector<std::string> arguments;
  std::string lua_path;  // Where functions find modules (udf::HostOptions). Set before the first run.
  std::unique_ptr<env::Env> env;
  std::mutex connect_mutex;
  std::unique_ptr<engine::LocalCluster> local;    // With local:N, once something of it was started.
  std::unique_ptr<engine::SlurmCluster> slurm;    // With slurm.
  std::unique_ptr<engine::AgentLauncher> agents;  // Of a standalone cluster that has some.
  std::unique_ptr<cluster::JobDriver> jobs;       // Where flows run on executors; made by the first run.
  bool followed = false;                          // Its executors follow main (program_course.h).
  std::unique_ptr<param::TableStore> tables;      // Null until the cluster was reached.
  std::map<std::string, std::unique_ptr<param::TableStore>> others;  // Clusters of handles, by their master's address.
  std::unique_ptr<exec::WorkerPool> pool;                            // Made by the first run.
  std::shared_ptr<exec::CacheSpace> caches;                          // Likewise.
  std::shared_ptr<exec::DatasetStore> datasets;                      // Made by the first run of a flow that has some.
  // Of runs so far, for stats_file and trace_file.
  int runs = 0;
  int64_t first_run_nanos = 0;
  std::string stats_json, trace_json;
  Counters counters;                         // Of all runs that succeeded.
  exec::Checkpoints* checkpoints = nullptr;  // Of the training whose pass is run (glim/training.h).
  std::atomic<bool> running{false};          // One run at a time has the pool.
};

// Sets the option that is called `name` on a command line ("--threads"). Expects: one of those that take a value.
Status SetSessionOption(const std::string& name, const std::string& value, SessionOptions* options);

}  // namespace glim
