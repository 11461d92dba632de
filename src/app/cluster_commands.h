// SPDX-License-Identifier: Apache-2.0
//
// The commands for clusters: glim init, master, server, status, table.
//
// Thread: one.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

namespace glim::app {

class ClusterCommands {
 public:
  // Adds them to the program's.
  explicit ClusterCommands(CLI::App* app);
  ~ClusterCommands();
  ClusterCommands(const ClusterCommands&) = delete;

  // Runs the one that was asked for, and gives the exit code; nothing when it was none of these.
  std::optional<int> Run();

 private:
  struct Options;
  const std::unique_ptr<Options> options_;
};

}  // namespace glim::app
