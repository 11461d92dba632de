// SPDX-License-Identifier: Apache-2.0
//
// The files that travel with a program (glim/files.h), where an executor has them: in a folder of its own that goes
// with the process. Each comes from the driver once, piece by piece, and counts only when it has the digest that the
// driver named; one that has changed there comes anew. The folder appears when all of its first files are there.
//
// Thread: one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cluster/job/messages.h"
#include "env/env.h"
#include "glim/status.h"

namespace glim::cluster {

class FileFolder {
 public:
  // `path`: of the folder, which must not be there.
  FileFolder(env::Env& env, std::string path) : env_(env), path_(std::move(path)), part_(path_ + ".part") {}
  ~FileFolder();
  FileFolder(const FileFolder&) = delete;

  // The bytes of a file from `offset` on, kProgramPieceBytes of them or all that are left.
  using Fetch = std::function<Result<std::string>(const OpenRun::File& file, uint64_t offset)>;
  // Sees to it that the folder has these files. The list is not trusted. Expects: no task is at work.
  Status Get(const std::vector<OpenRun::File>& files, const Fetch& fetch);

 private:
  Status FetchInto(const std::string& path, const OpenRun::File& file, const Fetch& fetch);
  Status SetPermissions(const std::string& path, const OpenRun::File& file);

  env::Env& env_;
  const std::string path_, part_;
  bool begun_ = false, is_there_ = false;
  std::map<std::string, OpenRun::File> has_;  // By name.
};

}  // namespace glim::cluster
