// SPDX-License-Identifier: Apache-2.0
//
// Executors on the machines of a standalone cluster: the master says which agents there are, and each of them is asked
// for one. An agent that comes later gets one, too, in the middle of a run; one that is gone is done without.
// `--on standalone://host:port`.
//
// The connection to an agent is the lease of what it has started for us: both end together. An agent that is to start
// our program asks for it there, piece by piece, if it has not kept it from another time.
//
// Thread: one at a time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cluster/job/messages.h"
#include "cluster/job/peer.h"
#include "engine/launcher.h"
#include "env/env.h"
#include "net/event_loop.h"
#include "net/transport.h"
#include "param/cluster_client.h"

namespace glim::engine {

struct AgentLauncherOptions {
  std::string master;                   // host:port
  std::shared_ptr<const net::Key> key;  // Null: this machine only.
  // Of each executor; 0: what the agent gives.
  int32_t threads = 0;
  int64_t memory_bytes = 0;
  uint32_t executors_max = 0;       // 0: one on each agent.
  std::vector<std::string> labels;  // Agents that have all of these.
};

class AgentLauncher final : public Launcher {
 public:
  AgentLauncher(env::Env& env, AgentLauncherOptions options);
  ~AgentLauncher() override;
  AgentLauncher(const AgentLauncher&) = delete;

  // Whether the cluster has agents at all, living or dead: one that has only servers does not.
  Result<bool> HasAgents();
  // The names of the living ones. Thread: any.
  Result<std::vector<std::string>> AliveAgents();
  Result<std::vector<cluster::ExecutorPlace>> Launch(const std::vector<cluster::ExecutorPlace>& at_work) override;
  Result<std::vector<cluster::ExecutorHost>> Hosts() override { return HostsWith({}, {}); }
  // Those that are alive, and those that somebody sees to that they come (again); warns of those that do not.
  Result<std::vector<cluster::ExecutorHost>> HostsWith(const std::vector<std::string>& coming,
                                                       const std::vector<std::string>& lost);
  Status SetProgram(std::shared_ptr<const Program> program, int64_t patience_nanos) override;
  // Tells the master of a job; true when somebody wants it to end. Thread: any.
  bool Report(const param::JobStatus& job);
  // Adds to the log that the master keeps of a job; up to where it need not come again. Thread: any.
  Result<uint64_t> AddToLog(const std::string& job, uint64_t from, std::string text);
  // From here on the master is asked nothing, and what is asked of it ends; the program is at its end.
  void GiveUp() { master_.GiveUp(); }
  std::shared_ptr<const net::Key> key() const override { return options_.key; }

 private:
  struct Asked;
  // What agents start, when it is our program.
  struct Sent {
    std::map<std::string, std::unique_ptr<const env::RandomAccessFile>> files;  // By the names of their bytes.
    cluster::StartProgram start;
  };
  Status AddBinary(const std::string& architecture, const std::string& path, Sent* sent);
  std::shared_ptr<cluster::Peer> PeerOf(const std::string& agent);
  net::Frame Question() const;
  static net::Frame PieceOf(const Sent* sent, const net::Frame& question);
  bool HasLabels(const param::AgentStatus& agent) const;

  env::Env& env_;
  const AgentLauncherOptions options_;
  param::ClusterClient master_;
  std::map<std::string, std::string> agent_of_;  // Executors that were started, by address: the agent's address.
  std::map<std::string, std::string> refused_;   // Agents by name, and why they gave none at the last Launch.
  net::EventLoop loop_;
  std::unique_ptr<net::Transport> transport_;
  // The loop's.
  std::map<std::string, std::shared_ptr<cluster::Peer>> peers_;  // By the agent's address.
  std::unique_ptr<const Sent> sent_;                             // Changed by SetProgram, in the loop.
};

}  // namespace glim::engine
