// SPDX-License-Identifier: Apache-2.0
//
// A process that runs tasks for one driver: it gets the graph of a flow, makes the same plan of it as the driver did,
// runs the tasks that it is given, several at a time, and keeps what they send until it is told to drop it. Other
// executors and the driver fetch rows from it. docs/design/jobs.md tells the whole story.
//
// What functions print goes to the driver, which writes it; a function that prints more than the driver can write
// waits.
//
// Threads: one for connections; one for orders that may take long (making a plan, join tables); a pool for tasks; one
// that gives out rows, since those who wait for rows of each other must not wait for a free thread; one for what is
// printed.
//
// Thread: one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "env/env.h"
#include "exec/graph_codec.h"
#include "net/key.h"
#include "param/table_store.h"

namespace glim::cluster {

struct ExecutorOptions {
  std::string address = "127.0.0.1:0";  // Where it listens; port 0: a free one.
  std::shared_ptr<const net::Key> key;  // Null: this machine only.
  int threads = 1;                      // That run tasks.
  std::string tmp_folder;               // For rows that do not fit into memory.
  std::string files_folder;             // For files that travel with the program; not there yet.
  bool sends_errors = false;            // What is printed to stderr goes to the driver, too.
  // Makes tables what Lua functions can capture (exec/graph_codec.h).
  std::function<std::shared_ptr<const udf::SharedObject>(TableHandle table)> table_object;
  // For a process that is the driver's own program and follows its main, so that it has functions in C++. Null: it is
  // none. What it prints is dropped while no run is open: that is main's, and the driver's main prints it, too.
  //
  // The flow that main runs as its `run`-th; waits until main is there, and fails when it does not get there by
  // `until`, or `given_up` says that nobody waits for it any more. Called from one thread.
  std::function<Result<std::shared_ptr<const flow::Graph>>(uint64_t run, int64_t until,
                                                           const std::function<bool()>& given_up)>
      own_flow;
  // How main's runs from `first` on went (exec/run_outcome.h). From the same thread.
  std::function<Status(uint64_t first, std::vector<std::string> outcomes)> on_outcomes;
};

class ExecutorProcess {
 public:
  // `ended`: called once, from another thread, when the driver has gone: there is nothing more to do.
  ExecutorProcess(env::Env& env, ExecutorOptions options, std::function<void(Status)> ended);
  ~ExecutorProcess();
  ExecutorProcess(const ExecutorProcess&) = delete;

  Status Start();
  // From now on the driver gets what this process prints. After Start, once; for the rest of the process's life.
  Status CaptureOutput();
  // Where it listens. Expects: Start was ok.
  std::string address() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glim::cluster
