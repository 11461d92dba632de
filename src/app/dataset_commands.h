// SPDX-License-Identifier: Apache-2.0
//
// The commands for datasets that are kept by their names: glim dataset list, describe, drop.
//
// Thread: one.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

namespace glim::app {

class DatasetCommands {
 public:
  // Adds them to the program's.
  explicit DatasetCommands(CLI::App* app);
  ~DatasetCommands();
  DatasetCommands(const DatasetCommands&) = delete;

  // Runs the one that was asked for, and gives the exit code; nothing when it was none of these.
  std::optional<int> Run();

 private:
  struct Options;
  const std::unique_ptr<Options> options_;
};

}  // namespace glim::app
