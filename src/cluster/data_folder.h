// SPDX-License-Identifier: Apache-2.0
//
// What a master, a server or an agent keeps between its starts is in a folder of its own. The folder says whose it is,
// and one process has it at a time.
//
//   LOCK    locked by the process; empty
//   OWNER   `master of cluster local`, `server 7 of cluster local` or `agent of cluster local`, written by the first
//           start
//
// Thread: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "env/env.h"

namespace glim::cluster {

enum class FolderKind { kMaster, kServer, kAgent };

class DataFolder {
 public:
  // Makes the folder, or opens it. `server`: the number of a server, 0 for the one it had, or a new one; a folder
  // keeps its number.
  //
  // kUnavailable when another process has it; kInvalid when it is that of something else; kCorrupt when OWNER makes no
  // sense.
  static Result<std::unique_ptr<DataFolder>> Open(env::Env& env, const std::string& path, FolderKind kind,
                                                  const std::string& cluster, uint32_t server = 0);

  const std::string& path() const { return path_; }
  // Of a server; never 0.
  uint32_t server() const { return server_; }

 private:
  DataFolder(std::string path, uint32_t server, std::unique_ptr<env::FileLock> lock)
      : path_(std::move(path)), server_(server), lock_(std::move(lock)) {}

  const std::string path_;
  const uint32_t server_;
  const std::unique_ptr<env::FileLock> lock_;
};

// A number for a server that has none: any but 0, by chance.
uint32_t NewServerNumber(env::Env& env);

}  // namespace glim::cluster
