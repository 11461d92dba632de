// SPDX-License-Identifier: Apache-2.0
//
// A cluster in an allocation of Slurm: a master beside this program, and an agent, with a server of tables if wanted,
// as a step on each node. `--on slurm`, `--on "slurm:nodes=3,partition=short,time=30"`.
//
// Within an allocation (salloc, sbatch) it is used; otherwise one is asked for with salloc. Slurm is driven by its own
// programs: salloc, srun, scontrol. The key of the cluster goes to the agents through the stdin of their steps, whose
// end also is the agents' end; the allocation ends with a stdin, too. So nothing is left over,
// however this program ends, and nothing has to be on a shared file system but the program itself.
//
// A step that ends is started again; a node that does not come back is replaced by another one, in an allocation of its
// own. Whether an agent is there our master says, never Slurm, which notices a lost node after half a minute.
//
// Thread: any; a thread of its own looks after the steps.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/agent_launcher.h"
#include "engine/child.h"
#include "engine/launcher.h"
#include "env/env.h"

namespace glim::engine {

struct SlurmOptions {
  uint32_t nodes = 0;                // 0: all of the allocation at hand, or one.
  bool servers = true;               // One on each node, for tables.
  std::vector<std::string> request;  // Options of salloc: --partition=short.
};

// What comes behind "slurm:". kInvalid names what it does not know.
Result<SlurmOptions> ParseSlurmOptions(std::string_view text);

class SlurmCluster final : public Launcher {
 public:
  // Of each executor: as AgentLauncherOptions have them.
  struct Executors {
    int32_t threads = 0;
    int64_t memory_bytes = 0;
  };

  // Waits for the allocation, for as long as Slurm takes, and for the first agent. kUnreachable when there is no Slurm,
  // or it refuses; kCancelled on Ctrl-C.
  static Result<std::unique_ptr<SlurmCluster>> Make(env::Env& env, SlurmOptions options, Executors executors);
  ~SlurmCluster() override;
  SlurmCluster(const SlurmCluster&) = delete;

  Result<std::vector<cluster::ExecutorPlace>> Launch(const std::vector<cluster::ExecutorPlace>& at_work) override;
  Result<std::vector<cluster::ExecutorHost>> Hosts() override;
  Status SetProgram(std::shared_ptr<const Program> program, int64_t patience_nanos) override {
    return agents_->SetProgram(std::move(program), patience_nanos);
  }
  std::shared_ptr<const net::Key> key() const override { return client_key_; }
  const std::string& master() const { return master_; }
  AgentLauncher* agents() { return agents_.get(); }

 private:
  struct Allocation;
  struct Node;

  SlurmCluster(env::Env& env, SlurmOptions options);
  Status Begin(Executors executors);
  Status UseAllocationAtHand(const std::string& job);
  Status Allocate(uint32_t nodes, const std::string& but);
  Status AwaitAllocation();
  // What there is to be read of it; true once it was granted.
  Result<bool> Look(Allocation& allocation);
  Status StartMaster();
  Status AwaitAgents();
  Result<std::string> Output(const std::vector<std::string>& command);
  void StartStep(Node& node);
  void LookAfter();
  void TellNodes();
  void Watch();

  env::Env& env_;
  const SlurmOptions options_;
  std::string program_;  // This one, under whose path nodes have it, too.
  std::string name_;     // Of our jobs.
  std::string folder_, key_file_, key_text_;
  std::shared_ptr<const net::Key> client_key_;
  Child master_child_;
  std::string master_;  // As nodes reach it.
  std::unique_ptr<AgentLauncher> agents_;

  // The watcher's once it runs.
  std::vector<std::unique_ptr<Allocation>> allocations_;
  std::vector<std::unique_ptr<Node>> nodes_;

  std::mutex mutex_;  // Of what follows.
  std::condition_variable stop_;
  bool stopping_ = false;
  std::vector<std::string> ours_, lost_;  // Names of nodes.
  std::thread watcher_;
};

}  // namespace glim::engine
