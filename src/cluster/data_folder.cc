// SPDX-License-Identifier: Apache-2.0
#include "cluster/data_folder.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>
#include <utility>

#include "base/try.h"
#include "env/path.h"

namespace glim::cluster {
namespace {

constexpr size_t kOwnerBytesMax = 200;

struct Owner {
  FolderKind kind = FolderKind::kMaster;
  uint32_t server = 0;
  std::string cluster;
};

std::string ToText(const Owner& owner) {
  if (owner.kind == FolderKind::kMaster) return fmt::format("master of cluster {}", owner.cluster);
  if (owner.kind == FolderKind::kAgent) return fmt::format("agent of cluster {}", owner.cluster);
  if (owner.server == 0) return fmt::format("servers of cluster {}", owner.cluster);
  return fmt::format("server {} of cluster {}", owner.server, owner.cluster);
}

bool TakeWord(std::string_view* text, std::string_view word) {
  if (!text->starts_with(word)) return false;
  text->remove_prefix(word.size());
  return true;
}

Result<Owner> ParseOwner(std::string_view text) {
  Owner owner;
  if (TakeWord(&text, "server ")) {
    owner.kind = FolderKind::kServer;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), owner.server);
    if (error != std::errc() || owner.server == 0) return Status::Corrupt("a server without a number");
    text.remove_prefix(static_cast<size_t>(end - text.data()));
  } else if (TakeWord(&text, "agent")) {
    owner.kind = FolderKind::kAgent;
  } else if (!TakeWord(&text, "master")) {
    return Status::Corrupt("neither of a master nor of a server nor of an agent");
  }
  if (!TakeWord(&text, " of cluster ") || !text.ends_with('\n')) return Status::Corrupt("of no cluster");
  text.remove_suffix(1);
  owner.cluster = text;
  return owner;
}

Result<std::string> ReadSmallFile(env::FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(const auto file, files.OpenRandom(path));
  if (file->size() > kOwnerBytesMax) return Status::Corrupt(fmt::format("\"{}\": too long", path));
  std::string text(file->size(), '\0');
  ASSIGN_OR_RETURN(const size_t read, file->ReadAt(0, text));
  text.resize(read);
  return text;
}

Status WriteOwner(env::FileSystem& files, const std::string& folder, const std::string& path, const Owner& owner) {
  const std::string beside = path + ".new";
  ASSIGN_OR_RETURN(const auto file, files.Create(beside));
  RETURN_IF_ERROR(file->Append(ToText(owner) + "\n"));
  RETURN_IF_ERROR(file->Sync());
  RETURN_IF_ERROR(file->Close());
  RETURN_IF_ERROR(files.Rename(beside, path));
  return files.SyncFolder(folder);
}

}  // namespace

uint32_t NewServerNumber(env::Env& env) {
  // Short enough to be said; a second server of the same number is told so.
  constexpr uint32_t kNumbers = 1'000'000'000;
  return 1 + static_cast<uint32_t>(env.RandomSeed() % kNumbers);
}

Result<std::unique_ptr<DataFolder>> DataFolder::Open(env::Env& env, const std::string& path, FolderKind kind,
                                                     const std::string& cluster, uint32_t server) {
  env::FileSystem& files = env.files();
  RETURN_IF_ERROR(files.MakeFolders(path));
  auto lock = files.Lock(env::JoinPath(path, "LOCK"));
  if (!lock.ok() && lock.status().code() == Code::kUnavailable) {
    return Status::Unavailable(fmt::format("\"{}\" is in use by another process", path));
  }
  if (!lock.ok()) return std::move(lock).status();
  const std::string owner_path = env::JoinPath(path, "OWNER");
  const auto text = ReadSmallFile(files, owner_path);
  if (!text.ok() && text.status().code() != Code::kNotFound) return text.status();
  Owner wanted{kind, kind == FolderKind::kServer ? server : 0, cluster};
  if (!text.ok()) {
    if (kind == FolderKind::kServer && server == 0) wanted.server = NewServerNumber(env);
    RETURN_IF_ERROR(WriteOwner(files, path, owner_path, wanted));
  } else {
    const auto owner = ParseOwner(*text);
    if (!owner.ok()) return Status::Corrupt(fmt::format("\"{}\": {}", owner_path, owner.status().message()));
    if (wanted.server == 0) wanted.server = owner->server;
    if (ToText(wanted) != ToText(*owner)) {
      return Status::Invalid(
          fmt::format("\"{}\" belongs to the {}, not to the {}", path, ToText(*owner), ToText(wanted)));
    }
  }
  return std::unique_ptr<DataFolder>(new DataFolder(path, wanted.server, *std::move(lock)));
}

}  // namespace glim::cluster
