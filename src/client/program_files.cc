// SPDX-License-Identifier: Apache-2.0
#include "client/program_files.h"

#include <fmt/format.h>

#include <utility>

#include "base/try.h"
#include "env/path.h"
#include "env/variables.h"
#include "glim/files.h"

namespace glim {

ProgramFiles& ProgramFiles::Here() {
  // Never destroyed: with its Env goes who removes the folder at the end.
  static auto* const files = new ProgramFiles;
  return *files;
}

Status ProgramFiles::Add(const std::vector<std::string>& paths) {
  if (paths.empty()) return Status::Ok();
  const std::lock_guard lock(mutex_);
  std::vector<std::string> added;
  for (const std::string& given : paths) {
    std::string path = given.empty() ? given : env::JoinPath(env::CurrentFolder(), env::PlainPath(given));
    ASSIGN_OR_RETURN(const bool is_new, list_.Add(path));
    if (is_new) added.push_back(std::move(path));
  }
  return Link(added);
}

Status ProgramFiles::Link(const std::vector<std::string>& paths) {
  if (paths.empty()) return Status::Ok();
  if (folder_.empty()) {
    ASSIGN_OR_RETURN(folder_, env_->files().MakeTemporaryFolder("glim-files-"));
    env_->processes().RemoveAtEnd(folder_);
    env::SetVariable(kFilesVariable, folder_);
  }
  env::CommandOptions ln;
  ln.argv = {"ln", "-s", "--"};
  ln.argv.insert(ln.argv.end(), paths.begin(), paths.end());
  ln.argv.push_back(folder_);
  ASSIGN_OR_RETURN(const auto process, env_->processes().Start(ln));
  ASSIGN_OR_RETURN(const int code, process->Wait());
  return code == 0 ? Status::Ok() : Status::Unavailable(fmt::format("ln ended with exit code {}", code));
}

Status ProgramFiles::Look() {
  const std::lock_guard lock(mutex_);
  return list_.Look();
}

Result<std::vector<cluster::ListedFile>> ProgramFiles::Read() {
  const std::lock_guard lock(mutex_);
  return list_.Read();
}

}  // namespace glim
