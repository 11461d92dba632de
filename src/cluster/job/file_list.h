// SPDX-License-Identifier: Apache-2.0
//
// The files that travel with a program (glim/files.h), where the program is: which they are, and what is in them at
// the moment. A run takes a copy of the list, and executors get the files as they are in it, or not at all: whoever
// changes one while a run sends it ends the run.
//
// Thread: one at a time; the list of a run is a value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/job/messages.h"
#include "env/env.h"
#include "glim/status.h"

namespace glim::cluster {

inline constexpr uint64_t kFilesBytesMax = uint64_t{1} << 30;  // Of all.
inline constexpr size_t kFilesMax = 1000;

// One that leads out of no folder.
bool IsFileName(std::string_view name);

struct ListedFile {
  OpenRun::File file;
  std::string path;
  int64_t modified_nanos = 0;
  bool settled = false;  // Its digest is that of the file as long as size and time of the change are the same.
};

class FileList {
 public:
  explicit FileList(env::Env& env) : env_(env) {}

  // False: it was there already. An error names the file: one that is not there, or no file, or of a name that another
  // one has.
  Result<bool> Add(const std::string& path);
  // Whether all of them are still there and small enough.
  Status Look();
  // Looks, and reads those that may have changed since it was called last.
  Result<std::vector<ListedFile>> Read();
  bool empty() const { return files_.empty(); }

 private:
  Result<env::FileStat> LookAt(const std::string& path) const;
  Status Check(uint64_t more_bytes, const std::string& path) const;

  env::Env& env_;
  std::vector<ListedFile> files_;
};

// A piece of a file of a run: kProgramPieceBytes, or what is left.
Result<std::string> PieceOf(env::FileSystem& files, const std::vector<ListedFile>& list, const FetchFile& fetch);

}  // namespace glim::cluster
