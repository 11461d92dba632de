// SPDX-License-Identifier: Apache-2.0
#include "glim/files.h"

#include <fmt/core.h>

#include "env/env.h"
#include "env/path.h"

namespace glim {

Result<std::string> FilePath(std::string_view name) {
  const std::string shown = env::QuotePath(name);
  if (name.empty() || name.find('/') != std::string_view::npos) {
    return Status::Invalid(
        fmt::format("{} is no name of a file that travels: they are called by their last names", shown));
  }
  const auto env = env::MakePosixEnv();
  const auto folder = env->Variable(kFilesVariable);
  if (!folder) return Status::NotFound(fmt::format("{} does not travel with this program: there is no --files", shown));
  std::string path = env::JoinPath(*folder, name);
  // An executor has none of them before its first run, and then all. Main may be ahead of that.
  if (env->files().Stat(path).ok() || !env->files().Stat(*folder).ok()) return path;
  return Status::NotFound(fmt::format("{} does not travel with this program: --files does not name it", shown));
}

}  // namespace glim
