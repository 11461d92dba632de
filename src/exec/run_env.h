// SPDX-License-Identifier: Apache-2.0
//
// The machine as the sources and sinks of a run see it: the same one, but interrupted as soon as the run is over for
// any reason. So whoever waits for a server or a lock and looks at interrupted() ends when a neighbour fails, too.
//
// Thread: any.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "env/env.h"

namespace glim::exec {

class RunEnv : public env::Env {
 public:
  // Both outlive this.
  RunEnv(env::Env* env, const std::atomic<bool>* cancelled) : env_(env), cancelled_(cancelled) {}

  bool interrupted() const override { return cancelled_->load(std::memory_order_relaxed) || env_->interrupted(); }

  env::Clock& clock() override { return env_->clock(); }
  env::FileSystem& files() override { return env_->files(); }
  env::Processes& processes() override { return env_->processes(); }
  Result<std::unique_ptr<env::Listener>> Listen(const std::string& network, const std::string& address) override {
    return env_->Listen(network, address);
  }
  uint64_t RandomSeed() override { return env_->RandomSeed(); }
  env::Machine machine() override { return env_->machine(); }
  std::optional<std::string> Variable(const std::string& name) override { return env_->Variable(name); }
  int process_id() override { return env_->process_id(); }
  env::SequentialFile& standard_input() override { return env_->standard_input(); }
  void ReturnToStandardInput(std::string_view bytes) override { env_->ReturnToStandardInput(bytes); }
  env::WritableFile& standard_output() override { return env_->standard_output(); }
  env::WritableFile& standard_error() override { return env_->standard_error(); }
  bool IsTerminal(int descriptor) override { return env_->IsTerminal(descriptor); }
  void WatchInterrupts() override { env_->WatchInterrupts(); }
  void UnwatchInterrupts() override { env_->UnwatchInterrupts(); }
  void AwaitInterrupt() override { env_->AwaitInterrupt(); }

 private:
  env::Env* const env_;
  const std::atomic<bool>* const cancelled_;
};

}  // namespace glim::exec
