// SPDX-License-Identifier: Apache-2.0
//
// The master as a process: it listens, feeds the state machine of master.h with what members and clients say, and keeps
// its log. `glim master` is this and an address on stdout.
//
// One thread does everything. A decision is on the disk before anybody hears of it; decisions that come together share
// one sync. When the log cannot be written the master stops: what it decided last is not known.
//
// Thread: Start, Stop and the destructor by one; the rest from any.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cluster/master.h"
#include "env/env.h"
#include "net/key.h"

namespace glim::cluster {

struct MasterProcessOptions {
  std::string address = "127.0.0.1:45326";  // Port 0: a free one.
  std::string folder;
  std::shared_ptr<const net::Key> key;  // Null: this machine only.
  bool open_metrics = false;            // Other machines may read /metrics and /healthz as well (cluster/metrics.h).
  MasterOptions master;
};

class MasterProcess {
 public:
  // `stopped` is called once, from the master's thread, when it has to stop by itself.
  MasterProcess(env::Env& env, MasterProcessOptions options, std::function<void(Status)> stopped);
  ~MasterProcess();
  MasterProcess(const MasterProcess&) = delete;

  // Reads the log and listens.
  Status Start();
  // Where it listens. Expects: Start was ok.
  std::string address() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glim::cluster
