// SPDX-License-Identifier: Apache-2.0
#include "cluster/program_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "base/try.h"
#include "cluster/job/program_digest.h"
#include "env/path.h"

namespace glim::cluster {
namespace {

constexpr size_t kNameDigits = 64;
constexpr std::string_view kPart = "part";  // What is being fetched.

bool IsName(std::string_view name) {
  return name.size() == kNameDigits && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

Result<std::unique_ptr<ProgramStore>> ProgramStore::Open(env::Env& env, ProgramStoreOptions options) {
  RETURN_IF_ERROR(env.files().MakeFolders(options.folder));
  std::unique_ptr<ProgramStore> store(new ProgramStore(env, std::move(options)));
  RETURN_IF_ERROR(store->FindWhatIsThere());
  return store;
}

Status ProgramStore::FindWhatIsThere() {
  ASSIGN_OR_RETURN(const std::vector<env::DirectoryEntry> entries, env_.files().List(options_.folder));
  std::vector<std::pair<int64_t, Program>> found;
  for (const env::DirectoryEntry& entry : entries) {
    // Half of one, of an agent that was killed.
    if (entry.name == kPart) RETURN_IF_ERROR(env_.files().RemoveFile(PathOf(entry.name)));
    if (!IsName(entry.name) || entry.kind != env::FileKind::kFile) continue;
    ASSIGN_OR_RETURN(const env::FileStat stat, env_.files().Stat(PathOf(entry.name)));
    found.emplace_back(stat.modified_wall_nanos, Program{.name = entry.name, .size = stat.size_bytes});
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [modified, program] : found) programs_.push_back(std::move(program));
  return Status::Ok();
}

std::string ProgramStore::PathOf(const std::string& name) const { return env::JoinPath(options_.folder, name); }

Result<std::string> ProgramStore::Get(const std::string& name, uint64_t size, const Fetch& fetch) {
  if (!IsName(name)) return Status::Invalid("a program under a name that is none");
  const std::string path = PathOf(name);
  const auto known = std::find_if(programs_.begin(), programs_.end(), [&](const Program& p) { return p.name == name; });
  if (known != programs_.end()) {
    if (!known->checked) {
      const auto is = NameOfFile(path);
      known->checked = is.ok() && *is == name;
    }
    if (known->checked && env_.files().Stat(path).ok()) {
      programs_.splice(programs_.end(), programs_, known);
      return path;
    }
    programs_.erase(known);
    (void)env_.files().RemoveFile(path);
  }
  RETURN_IF_ERROR(MakeRoom(size));
  const std::string part = PathOf(std::string(kPart));
  Status status = FetchInto(part, name, size, fetch);
  if (status.ok()) status = env_.files().Rename(part, path);
  if (!status.ok()) {
    (void)env_.files().RemoveFile(part);
    return status;
  }
  programs_.push_back({.name = name, .size = size, .checked = true});
  return path;
}

Status ProgramStore::FetchInto(const std::string& path, const std::string& name, uint64_t size, const Fetch& fetch) {
  if (env_.files().Stat(path).ok()) RETURN_IF_ERROR(env_.files().RemoveFile(path));
  // Nobody else may write what is going to be executed.
  ASSIGN_OR_RETURN(const auto file, env_.files().CreateSecret(path));
  ProgramDigest digest;
  for (uint64_t offset = 0; offset < size;) {
    ASSIGN_OR_RETURN(const std::string piece, fetch(offset));
    if (piece.size() != std::min<uint64_t>(kProgramPieceBytes, size - offset))
      return Status::Corrupt("a driver sent a piece of its program that is too long or too short");
    digest.Add(piece);
    RETURN_IF_ERROR(file->Append(piece));
    offset += piece.size();
  }
  RETURN_IF_ERROR(file->Close());
  if (digest.Name() != name) return Status::Corrupt("a driver sent another program than it had named");
  env::CommandOptions chmod;
  chmod.argv = {"chmod", "700", path};
  ASSIGN_OR_RETURN(const auto process, env_.processes().Start(chmod));
  ASSIGN_OR_RETURN(const int code, process->Wait());
  return code == 0 ? Status::Ok() : Status::Unavailable(fmt::format("chmod ended with exit code {}", code));
}

Result<std::string> ProgramStore::NameOfFile(const std::string& path) {
  ASSIGN_OR_RETURN(const auto file, env_.files().OpenRandom(path));
  ProgramDigest digest;
  std::string piece(kProgramPieceBytes, '\0');
  for (uint64_t offset = 0; offset < file->size();) {
    ASSIGN_OR_RETURN(const size_t read, file->ReadAt(offset, std::span(piece)));
    if (read == 0) break;
    digest.Add(std::string_view(piece).substr(0, read));
    offset += read;
  }
  return digest.Name();
}

Status ProgramStore::MakeRoom(uint64_t size) {
  if (size > options_.bytes_max) {
    return Status::Exhausted(
        fmt::format("a program of {} MiB, and there is room for {} MiB", size >> 20, options_.bytes_max >> 20));
  }
  uint64_t bytes = size;
  for (const Program& program : programs_) bytes += program.size;
  while (!programs_.empty() && (programs_.size() >= options_.programs_max || bytes > options_.bytes_max)) {
    bytes -= programs_.front().size;
    (void)env_.files().RemoveFile(PathOf(programs_.front().name));  // Somebody may have done so.
    programs_.pop_front();
  }
  return Status::Ok();
}

}  // namespace glim::cluster
