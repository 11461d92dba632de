// SPDX-License-Identifier: Apache-2.0
//
// What a master has decided, on disk: frames one after the other, as docs/format/wire.md has them, in the file
// decisions.log of the master's folder. A master reads it when it starts, and begins a new one that says the same in
// fewer words.
//
// The last frame may be torn, by a crash while it was written; nobody was told of it, and it is left out. Anything else
// that is wrong is an error that names the place: a master that forgets decides differently.
//
// Thread: one at a time.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cluster/master.h"
#include "env/env.h"

namespace glim::cluster {

// Empty when there is no log. kCorrupt as above.
Result<std::vector<Decision>> ReadMasterLog(env::FileSystem& files, const std::string& folder);

class MasterLog {
 public:
  // A new log with these decisions takes the place of the old one, at once and as a whole.
  static Result<std::unique_ptr<MasterLog>> Begin(env::FileSystem& files, const std::string& folder,
                                                  std::span<const Decision> decisions);
  Status Append(const Decision& decision);
  // What was appended is on the disk. After a failure nothing is known of it: stop.
  Status Sync() { return file_->Sync(); }

 private:
  explicit MasterLog(std::unique_ptr<env::WritableFile> file) : file_(std::move(file)) {}

  std::unique_ptr<env::WritableFile> file_;
};

}  // namespace glim::cluster
