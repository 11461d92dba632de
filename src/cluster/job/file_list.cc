// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/file_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "base/try.h"
#include "cluster/job/program_digest.h"
#include "env/path.h"

namespace glim::cluster {
namespace {

// Two changes within a tick of the disk's clock have one time.
constexpr int64_t kTickNanos = 2'000'000'000;

Status HasChanged(const std::string& path) {
  return Status::Unavailable(fmt::format("{} has changed while a run sent it to executors", env::QuotePath(path)));
}

}  // namespace

bool IsFileName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find_first_of(std::string_view("/\0", 2)) == name.npos;
}

Result<env::FileStat> FileList::LookAt(const std::string& path) const {
  ASSIGN_OR_RETURN(const env::FileStat stat, env_.files().Stat(path));
  if (stat.kind == env::FileKind::kFile) return stat;
  return Status::Invalid(fmt::format("{} is {}, and only files travel", env::QuotePath(path),
                                     stat.kind == env::FileKind::kFolder ? "a folder" : "no plain file"));
}

Status FileList::Check(uint64_t bytes, const std::string& path) const {
  if (bytes <= kFilesBytesMax) return Status::Ok();
  return Status::Exhausted(fmt::format("with {} there are {} MiB of files, and {} may travel", env::QuotePath(path),
                                       bytes >> 20, kFilesBytesMax >> 20));
}

Result<bool> FileList::Add(const std::string& path) {
  if (path.empty()) return Status::Invalid("a file without a name");
  const std::string name(env::FileName(path));
  uint64_t bytes = 0;
  for (const ListedFile& other : files_) {
    bytes += other.file.size;
    if (other.file.name != name) continue;
    if (other.path == path) return false;
    return Status::Invalid(fmt::format("{} and {} have one name, and would be one file", env::QuotePath(other.path),
                                       env::QuotePath(path)));
  }
  ASSIGN_OR_RETURN(const env::FileStat stat, LookAt(path));
  if (!IsFileName(name)) return Status::Invalid(fmt::format("{} does not end in a name", env::QuotePath(path)));
  RETURN_IF_ERROR(Check(bytes + stat.size_bytes, path));
  if (files_.size() == kFilesMax) {
    return Status::Exhausted(fmt::format("with {} there are more than {} files", env::QuotePath(path), kFilesMax));
  }
  files_.push_back({.file = {.name = name, .digest = "", .size = stat.size_bytes, .permissions = 0}, .path = path});
  return true;
}

Status FileList::Look() {
  uint64_t bytes = 0;
  for (ListedFile& listed : files_) {
    ASSIGN_OR_RETURN(const env::FileStat stat, LookAt(listed.path));
    bytes += stat.size_bytes;
    RETURN_IF_ERROR(Check(bytes, listed.path));
    if (stat.size_bytes != listed.file.size || stat.modified_wall_nanos != listed.modified_nanos)
      listed.settled = false;
    listed.file.size = stat.size_bytes;
    listed.file.permissions = stat.permissions & 0777;
    listed.modified_nanos = stat.modified_wall_nanos;
  }
  return Status::Ok();
}

Result<std::vector<ListedFile>> FileList::Read() {
  RETURN_IF_ERROR(Look());
  std::string piece(kProgramPieceBytes, '\0');
  for (ListedFile& listed : files_) {
    if (listed.settled) continue;
    const int64_t now = env_.clock().WallNanos();
    ASSIGN_OR_RETURN(const auto file, env_.files().OpenRandom(listed.path));
    ProgramDigest digest;
    uint64_t offset = 0;
    while (true) {
      ASSIGN_OR_RETURN(const size_t read, file->ReadAt(offset, std::span(piece)));
      if (read == 0) break;
      digest.Add(std::string_view(piece).substr(0, read));
      offset += read;
      if (offset > listed.file.size) break;
    }
    if (offset != listed.file.size) return HasChanged(listed.path);
    listed.file.digest = digest.Name();
    listed.settled = listed.modified_nanos < now - kTickNanos;
  }
  return files_;
}

Result<std::string> PieceOf(env::FileSystem& files, const std::vector<ListedFile>& list, const FetchFile& fetch) {
  const auto listed =
      std::find_if(list.begin(), list.end(), [&](const ListedFile& file) { return file.file.name == fetch.name; });
  if (listed == list.end()) return Status::Invalid("an executor asks for a file that does not travel");
  ASSIGN_OR_RETURN(const env::FileStat stat, files.Stat(listed->path));
  if (stat.size_bytes != listed->file.size || stat.modified_wall_nanos != listed->modified_nanos ||
      listed->file.digest != fetch.digest || fetch.offset >= listed->file.size)
    return HasChanged(listed->path);
  ASSIGN_OR_RETURN(const auto file, files.OpenRandom(listed->path));
  std::string piece(std::min<uint64_t>(kProgramPieceBytes, listed->file.size - fetch.offset), '\0');
  ASSIGN_OR_RETURN(const size_t read, file->ReadAt(fetch.offset, std::span(piece)));
  if (read != piece.size()) return HasChanged(listed->path);
  return piece;
}

}  // namespace glim::cluster
