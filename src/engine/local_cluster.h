// SPDX-License-Identifier: Apache-2.0
//
// A cluster of this program alone: executors, and a master and servers when there are tables, as its children, on free
// ports of this machine, with a key that nobody else has. `--on local:3`.
//
// They end with the program, however it ends. What they held ends with them.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/child.h"
#include "engine/launcher.h"
#include "env/env.h"

namespace glim::engine {

// Of each executor.
struct LocalExecutors {
  uint32_t count = 1;
  uint32_t threads = 1;
  int64_t memory_bytes = 0;
  std::string tmp_folder;
};

class LocalCluster final : public Launcher {
 public:
  static Result<std::unique_ptr<LocalCluster>> Make(env::Env& env, LocalExecutors executors);
  ~LocalCluster() override;
  LocalCluster(const LocalCluster&) = delete;

  // A master and servers, each of which may hold `memory_max` bytes of rows. kUnavailable when they do not come up
  // within 10 s.
  Status StartServers(uint32_t servers, uint64_t memory_max);
  // As many as there are to be. A child that does not come up within 10 s is kUnavailable.
  Result<std::vector<cluster::ExecutorPlace>> Launch(const std::vector<cluster::ExecutorPlace>& at_work) override;

  Result<std::vector<cluster::ExecutorHost>> Hosts() override { return std::vector<cluster::ExecutorHost>(); }
  Status SetProgram(std::shared_ptr<const Program> program, int64_t patience_nanos) override;

  const std::string& master() const { return master_; }  // host:port; empty without servers.
  std::shared_ptr<const net::Key> key() const override { return client_key_; }

 private:
  LocalCluster(env::Env& env, LocalExecutors executors) : env_(env), executors_(std::move(executors)) {}
  Status Begin();
  Result<std::string> Start(const std::string& what, const std::string& role, int64_t until);
  Result<std::string> StartExecutor();
  std::string Keep(Child child);
  Status AwaitServers(uint32_t servers, int64_t until);

  env::Env& env_;
  const LocalExecutors executors_;
  std::string folder_;
  std::string key_file_;
  std::string master_;
  std::shared_ptr<const Program> program_;
  int64_t program_nanos_ = 0;
  std::shared_ptr<const net::Key> client_key_;
  std::mutex mutex_;  // Of the next.
  std::vector<Child> children_;
};

}  // namespace glim::engine
