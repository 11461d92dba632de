// SPDX-License-Identifier: Apache-2.0
#include "cluster/job_logs.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/try.h"
#include "env/path.h"

namespace glim::cluster {
namespace {

constexpr std::string_view kSuffix = ".log";

bool IsId(std::string_view id) {
  return id.size() == 16 && id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

JobLogs::JobLogs(env::FileSystem& files, const std::string& folder)
    : files_(files), folder_(env::JoinPath(folder, "jobs")) {
  Status status = files_.MakeFolders(folder_);
  auto entries = files_.List(folder_);
  if (status.ok()) status = entries.status();
  if (!status.ok()) {
    base::LogWarning("{}; the logs of jobs are not kept", status.message());
    return;
  }
  works_ = true;
  std::vector<std::pair<int64_t, std::string>> by_age;
  for (const env::DirectoryEntry& entry : *entries) {
    const std::string_view name = entry.name;
    if (!name.ends_with(kSuffix) || !IsId(name.substr(0, name.size() - kSuffix.size()))) continue;
    const auto stat = files_.Stat(env::JoinPath(folder_, entry.name));
    by_age.emplace_back(stat.ok() ? stat->modified_wall_nanos : 0, name.substr(0, name.size() - kSuffix.size()));
  }
  std::sort(by_age.begin(), by_age.end());
  for (auto& [when, id] : by_age) ids_.push_back(std::move(id));
}

std::string JobLogs::PathOf(const std::string& id) const { return env::JoinPath(folder_, id + std::string(kSuffix)); }

Result<std::string> JobLogs::Contents(const std::string& path) {
  ASSIGN_OR_RETURN(const auto file, files_.OpenRandom(path));
  std::string text(std::min(file->size(), kLogBytesMax), '\0');
  ASSIGN_OR_RETURN(const size_t read, file->ReadAt(0, text));
  text.resize(read);
  return text;
}

JobLogs::Open JobLogs::Begin(const std::string& id) {
  if (!works_ || open_.size() >= kOpenMax) return {};
  const std::string path = PathOf(id);
  std::string before;
  if (std::find(ids_.begin(), ids_.end(), id) == ids_.end()) {
    ids_.push_back(id);
  } else if (auto contents = Contents(path); contents.ok()) {
    before = *std::move(contents);  // This master has started while the job ran.
  }
  for (auto it = ids_.begin(); ids_.size() > kLogsMax && it != ids_.end();) {
    if (open_.contains(*it) || *it == id) {
      ++it;
      continue;
    }
    (void)files_.RemoveFile(PathOf(*it));
    it = ids_.erase(it);
  }
  auto file = files_.Create(path);
  Status status = file.status();
  if (status.ok()) status = (*file)->Append(before);
  if (status.ok()) return {*std::move(file), before.size()};
  base::LogWarning("{}; the log of job {} is not kept", status.message(), id);
  return {};
}

Result<uint64_t> JobLogs::Append(const std::string& id, uint64_t from, std::string_view text) {
  if (!IsId(id)) return Status::Invalid("the id of a job has 16 hexadecimal digits");
  auto it = open_.find(id);
  if (it == open_.end()) it = open_.emplace(id, Begin(id)).first;
  Open& open = it->second;
  const uint64_t end = from + text.size();
  if (open.file == nullptr || open.size >= end || open.size >= kLogBytesMax) return end;
  if (from < open.size) text.remove_prefix(open.size - from);
  text = text.substr(0, kLogBytesMax - open.size);
  if (const Status status = open.file->Append(text); !status.ok()) {
    base::LogWarning("{}; the log of job {} ends here", status.message(), id);
    open.file.reset();
    return end;
  }
  open.size += text.size();
  return end;
}

void JobLogs::End(const std::string& id) { open_.erase(id); }

Result<JobLogs::Piece> JobLogs::Read(const std::string& id, uint64_t from) {
  if (!IsId(id)) return Status::Invalid("\"" + id + "\" is no job: ids have 16 hexadecimal digits");
  if (std::find(ids_.begin(), ids_.end(), id) == ids_.end()) return Status::NotFound("there is no log of job " + id);
  ASSIGN_OR_RETURN(const auto file, files_.OpenRandom(PathOf(id)));
  Piece piece{.text = {}, .size = file->size()};
  if (from >= piece.size) return piece;
  piece.text.resize(std::min<uint64_t>(kPieceBytes, piece.size - from));
  ASSIGN_OR_RETURN(const size_t read, file->ReadAt(from, piece.text));
  piece.text.resize(read);
  return piece;
}

}  // namespace glim::cluster
