// SPDX-License-Identifier: Apache-2.0
//
// The files that travel with this program (glim/files.h): what --files named, in any of its sessions. Here they are
// links in a folder that goes with the process however it ends; children, executors of local:N among them, find it by
// the same variable. Executors of other machines get copies (cluster/job/file_folder.h).
//
// There is one in a process, since functions ask for a file without saying of which session; and since a variable of
// the environment is the only thing that programs of Pipe inherit.
//
// Thread: any; but the first Add while no other uses the environment.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cluster/job/file_list.h"
#include "env/env.h"

namespace glim {

class ProgramFiles {
 public:
  static ProgramFiles& Here();
  ProgramFiles(const ProgramFiles&) = delete;

  // Relative paths begin at the current folder. An error names the file.
  Status Add(const std::vector<std::string>& paths);
  // Before each run: all of them are still there.
  Status Look();
  // As executors are to have them.
  Result<std::vector<cluster::ListedFile>> Read();

 private:
  ProgramFiles() = default;
  Status Link(const std::vector<std::string>& paths);

  const std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  std::mutex mutex_;  // Of all below.
  cluster::FileList list_{*env_};
  std::string folder_;  // Empty: there are no files.
};

}  // namespace glim
