// SPDX-License-Identifier: Apache-2.0
//
// An agent: the one process on each machine of a cluster that starts others there. Drivers ask it for executors, over a
// connection of their own; it grants threads and memory, starts the executors, and ends them when the driver says so or
// its connection is lost. It tells the master again and again that it is there and what is free, so that drivers find
// it. If wanted, it keeps a server of tables running beside itself.
//
// Executors that have to be the driver's program are that: the agent asks the driver for its bytes, once
// (program_store.h).
//
// It holds no rows: those lie with the executors. Children end with it, however it ends.
//
// Threads: one for connections, one that starts and ends children, which may take a while, and one that fetches
// programs and starts them, which takes as long as their main does. Thread: one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cluster/job/messages.h"
#include "env/env.h"
#include "glim/status.h"
#include "net/key.h"

namespace glim::cluster {

// A child of the agent; ends when this is destroyed.
struct AgentChild {
  std::unique_ptr<env::ChildProcess> process;
  std::string address;  // Where it listens, as it says.
};

struct AgentProcessOptions {
  std::string master;                       // host:port
  std::string address = "127.0.0.1:45327";  // Where it listens; port 0: a free one.
  std::string advertised_host;              // By which others reach this machine; empty: that of `address`.
  std::string folder;                       // Its own; locked while it runs.
  std::shared_ptr<const net::Key> key;      // Null: this machine only.
  bool open_metrics = false;                // As a master's.
  std::string name;                         // For people.
  std::vector<std::string> labels;          // For drivers to choose by.
  int32_t threads = 1;                      // That each executor may have.
  int64_t memory_bytes = 0;                 // That all executors may have together.
  // Starts an executor that keeps what does not fit into memory in `tmp_folder`. Called from one thread.
  std::function<Result<AgentChild>(int32_t threads, const std::string& tmp_folder)> start_executor;
  // The same of the program at `path`, as the driver has it started.
  std::function<Result<AgentChild>(const StartProgram& program, const std::string& path, int32_t threads,
                                   const std::string& tmp_folder)>
      start_program;
  std::function<Result<AgentChild>()> start_server;  // Null: none. Called again when the server has ended.
};

class AgentProcess {
 public:
  // `stopped` is called once, from another thread, when it has to stop by itself: the master does not want it.
  AgentProcess(env::Env& env, AgentProcessOptions options, std::function<void(Status)> stopped);
  ~AgentProcess();
  AgentProcess(const AgentProcess&) = delete;

  // Listens, and looks for the master, which need not be there yet. kUnavailable when the folder or the port is in use.
  Status Start();
  // Where it listens, as others reach it. Expects: Start was ok.
  std::string address() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glim::cluster
