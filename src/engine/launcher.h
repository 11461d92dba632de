// SPDX-License-Identifier: Apache-2.0
//
// Where a session's executors come from. An engine is a Launcher: it starts processes of ours somewhere and says where
// they listen. It decides nothing else: which tasks run where is the driver's business (cluster/job/driver.h), and who
// is a member of the cluster the master's.
//
//   local_cluster.h    children of this program
//   agent_launcher.h   the agents of a standalone cluster
//   slurm/             agents in an allocation of Slurm
//
// Thread: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cluster/job/driver.h"
#include "engine/child.h"
#include "glim/status.h"
#include "net/key.h"

namespace glim::engine {

class Launcher {
 public:
  virtual ~Launcher() = default;
  // Starts the executors that are missing beside these, and takes some seconds at most. What was started ends with the
  // Launcher, or when this program does, however it ends. Empty when there are enough, or as many as can be had now;
  // kUnreachable and kExhausted say why there are none; kUnavailable: it may work when it is tried again.
  virtual Result<std::vector<cluster::ExecutorPlace>> Launch(const std::vector<cluster::ExecutorPlace>& at_work) = 0;
  // All machines that there should be executors on, whether there are or not; kInvalid when fewer are wanted. Empty:
  // there is one machine, this one.
  virtual Result<std::vector<cluster::ExecutorHost>> Hosts() = 0;
  // From now on an executor is this program, which follows its main (StartProgram) and has `patience_nanos` to make its
  // first Session. Null: it is none. Expects: none is at work.
  virtual Status SetProgram(std::shared_ptr<const Program> program, int64_t patience_nanos) = 0;
  // With which the program reaches them. Null: this machine only.
  virtual std::shared_ptr<const net::Key> key() const = 0;
};

}  // namespace glim::engine
