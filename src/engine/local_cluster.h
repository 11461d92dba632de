// SPDX-License-Identifier: Apache-2.0
//
// A cluster of this program alone: executors, and a master and servers when there are tables, as its children, on free
// ports of this machine, with a key that nobody else has. `--on local:3`.
//
// They end with the program, however it ends. What they held ends with them. What executors print to stdout, because a
// function of the flow does, comes out at the program's.
//
// Thread: one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "env/env.h"
#include "glim/status.h"
#include "net/key.h"

namespace glim::engine {

class LocalCluster {
 public:
  static Result<std::unique_ptr<LocalCluster>> Make(env::Env& env);
  ~LocalCluster();
  LocalCluster(const LocalCluster&) = delete;

  // A master and servers, each of which may hold `memory_max` bytes of rows. kUnavailable when they do not come up
  // within 10 s.
  Status StartServers(uint32_t servers, uint64_t memory_max);
  // Returns where it listens.
  Result<std::string> StartExecutor(uint32_t threads, const std::string& tmp_folder);

  const std::string& master() const { return master_; }  // host:port; empty without servers.
  const std::shared_ptr<const net::Key>& client_key() const { return client_key_; }

 private:
  explicit LocalCluster(env::Env& env) : env_(env) {}
  Status Begin();
  Result<std::string> StartChild(const std::string& what, const std::string& role, int64_t until);
  Status AwaitServers(uint32_t servers, int64_t until);

  env::Env& env_;
  std::string folder_;
  std::string key_file_;
  std::string master_;
  std::shared_ptr<const net::Key> client_key_;
  std::vector<std::unique_ptr<env::ChildProcess>> children_;
};

}  // namespace glim::engine
