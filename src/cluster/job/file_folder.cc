// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/file_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/try.h"
#include "cluster/job/file_list.h"
#include "cluster/job/program_digest.h"
#include "env/path.h"

namespace glim::cluster {
namespace {

Status Check(const std::vector<OpenRun::File>& files) {
  uint64_t bytes = 0;
  for (const OpenRun::File& file : files) {
    if (!IsFileName(file.name)) return Status::Corrupt("a file that travels under a name that is none");
    bytes += std::min(file.size, kFilesBytesMax + 1);
    if (bytes > kFilesBytesMax) return Status::Corrupt("more files than may travel");
  }
  return files.size() <= kFilesMax ? Status::Ok() : Status::Corrupt("more files than may travel");
}

}  // namespace

FileFolder::~FileFolder() {
  if (!begun_) return;
  (void)env_.files().RemoveAll(path_);
  (void)env_.files().RemoveAll(part_);
}

Status FileFolder::Get(const std::vector<OpenRun::File>& files, const Fetch& fetch) {
  if (files.empty()) return Status::Ok();
  RETURN_IF_ERROR(Check(files));
  if (path_.empty()) return Status::Invalid("this executor has no folder for files that travel");
  if (!begun_) {
    for (const std::string& folder : {path_, part_}) {
      if (env_.files().Stat(folder).ok())
        return Status::Invalid(fmt::format("{} is there already", env::QuotePath(folder)));
    }
    begun_ = true;
    env_.processes().RemoveAtEnd(path_);
    env_.processes().RemoveAtEnd(part_);
  }
  RETURN_IF_ERROR(env_.files().RemoveAll(part_));
  RETURN_IF_ERROR(env_.files().MakeFolders(part_));
  std::vector<const OpenRun::File*> come;
  for (const OpenRun::File& file : files) {
    const auto has = has_.find(file.name);
    if (has != has_.end() && has->second.digest == file.digest && has->second.permissions == file.permissions) continue;
    RETURN_IF_ERROR(FetchInto(env::JoinPath(part_, file.name), file, fetch));
    come.push_back(&file);
  }
  if (!is_there_) {
    RETURN_IF_ERROR(env_.files().Rename(part_, path_));
    is_there_ = true;
  }
  for (const OpenRun::File* file : come) {
    const std::string path = env::JoinPath(part_, file->name);
    if (env_.files().Stat(path).ok()) RETURN_IF_ERROR(env_.files().Rename(path, env::JoinPath(path_, file->name)));
    has_[file->name] = *file;
  }
  return env_.files().RemoveAll(part_);
}

Status FileFolder::FetchInto(const std::string& path, const OpenRun::File& file, const Fetch& fetch) {
  ASSIGN_OR_RETURN(const auto out, env_.files().CreateSecret(path));
  ProgramDigest digest;
  for (uint64_t offset = 0; offset < file.size;) {
    ASSIGN_OR_RETURN(const std::string piece, fetch(file, offset));
    if (piece.size() != std::min<uint64_t>(kProgramPieceBytes, file.size - offset))
      return Status::Corrupt(fmt::format("a piece of {} is too long or too short", env::QuotePath(file.name)));
    digest.Add(piece);
    RETURN_IF_ERROR(out->Append(piece));
    offset += piece.size();
  }
  RETURN_IF_ERROR(out->Close());
  if (digest.Name() != file.digest)
    return Status::Corrupt(fmt::format("{} is not the file that the driver named", env::QuotePath(file.name)));
  return SetPermissions(path, file);
}

Status FileFolder::SetPermissions(const std::string& path, const OpenRun::File& file) {
  // Of others nobody is here; and who may not read it there may, since it is a copy.
  constexpr uint32_t kRead = 0400, kMine = 0700;
  env::CommandOptions chmod;
  chmod.argv = {"chmod", fmt::format("{:o}", (file.permissions & kMine) | kRead), path};
  ASSIGN_OR_RETURN(const auto process, env_.processes().Start(chmod));
  ASSIGN_OR_RETURN(const int code, process->Wait());
  return code == 0 ? Status::Ok() : Status::Unavailable(fmt::format("chmod ended with exit code {}", code));
}

}  // namespace glim::cluster
