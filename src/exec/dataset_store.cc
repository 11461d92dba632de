// SPDX-License-Identifier: Apache-2.0
#include "exec/dataset_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "base/log.h"
#include "base/memory_budget.h"
#include "base/try.h"
#include "env/path.h"

namespace glim::exec {
namespace {

constexpr std::string_view kNew = ".new-";
constexpr const char* kRows = "rows";
constexpr const char* kRead = "READ";
constexpr const char* kLock = "LOCK";
// Between making a folder and locking it.
constexpr int64_t kLeftoverNanos = 60'000'000'000;
constexpr int64_t kPieceBytes = 4 << 20;
constexpr size_t kPieceBatches = 16;

// The steps that give the rows of `step`, in their order; whatever only looks at rows on the way is none.
std::string StepsBefore(const flow::Graph& graph, int step) {
  const auto& steps = graph.steps();
  std::vector<bool> before(step + 1);
  before[step] = true;
  for (int i = step; i >= 0; --i) {
    if (!before[i]) continue;
    for (const int input : steps[i].inputs) before[input] = true;
  }
  std::string text;
  for (int i = 0; i < step; ++i) {
    if (before[i] && !flow::IsSink(steps[i])) text += (text.empty() ? "" : ", ") + steps[i].name;
  }
  return text;
}

flow::CachedRows* NamedRows(const flow::Step& step) {
  const auto* cache = std::get_if<flow::CacheStep>(&step.body);
  return cache != nullptr && !cache->rows->name.empty() ? cache->rows.get() : nullptr;
}

std::string Called(const std::string& name) { return fmt::format("dataset \"{}\"", name); }

}  // namespace

std::string DatasetStore::PathOf(const std::string& name) const { return env::JoinPath(options_.folder, name); }

std::string DatasetStore::NewFolder() const { return PathOf(fmt::format("{}{:016x}", kNew, env_.RandomSeed())); }

Status DatasetStore::NotThere(const std::string& name) const {
  if (options_.folder.empty())
    return Status::NotFound("there is no folder for datasets, as $HOME is not set; name one with --dataset-dir");
  return Status::NotFound(fmt::format("there is no dataset \"{}\" in \"{}\"", name, options_.folder));
}

Result<std::shared_ptr<const DatasetFile>> DatasetStore::Open(const std::string& name) {
  if (options_.folder.empty()) return NotThere(name);
  auto file = DatasetFile::Open(env_.files(), env::JoinPath(PathOf(name), kRows));
  if (!file.ok()) {
    return file.status().code() == Code::kNotFound ? NotThere(name) : std::move(file).status().With(Called(name));
  }
  // Who may only read the folder reads all the same.
  if (auto read = env_.files().Create(env::JoinPath(PathOf(name), kRead)); read.ok()) (void)(*read)->Close();
  return file;
}

Result<std::shared_ptr<const DatasetFile>> DatasetStore::Keep(const std::string& name, DatasetHead head,
                                                              const KeptRows& rows, int partitions,
                                                              const std::function<Status()>& stop) {
  env::FileSystem& files = env_.files();
  if (options_.folder.empty()) return NotThere(name);
  RETURN_IF_ERROR(files.MakeFolders(options_.folder));
  RETURN_IF_ERROR(RemoveLeftovers());
  const std::string making = NewFolder();
  RETURN_IF_ERROR(files.MakeFolders(making));
  head.made_wall_nanos = env_.clock().WallNanos();
  const auto keep = [&]() -> Result<std::shared_ptr<const DatasetFile>> {
    ASSIGN_OR_RETURN(const auto lock, files.Lock(env::JoinPath(making, kLock)));
    const std::string path = env::JoinPath(making, kRows);
    RETURN_IF_ERROR(Write(path, std::move(head), rows, partitions, stop));
    ASSIGN_OR_RETURN(auto file, DatasetFile::Open(files, path));
    RETURN_IF_ERROR(MakeRoom(file->file_bytes()));
    RETURN_IF_ERROR(files.SyncFolder(making));
    if (Status status = files.Rename(making, PathOf(name)); !status.ok()) {
      // A folder with something in it does not make way for another one.
      if (!files.Stat(env::JoinPath(PathOf(name), kRows)).ok()) return status;
      base::LogWarning("{} was made by another program meanwhile; this one goes on with its own rows", Called(name));
      RETURN_IF_ERROR(files.RemoveAll(making));
      return file;
    }
    RETURN_IF_ERROR(files.SyncFolder(options_.folder));
    (void)files.RemoveFile(env::JoinPath(PathOf(name), kLock));  // It has no meaning any more.
    return file;
  };
  auto kept = keep();
  if (!kept.ok()) (void)files.RemoveAll(making);
  return kept;
}

Status DatasetStore::Write(const std::string& path, DatasetHead head, const KeptRows& rows, int partitions,
                           const std::function<Status()>& stop) {
  ASSIGN_OR_RETURN(const auto writer, DatasetFileWriter::Create(env_.files(), path));
  for (int partition = 0; partition < partitions; ++partition) {
    writer->BeginPartition();
    exchange::SlotPosition position;
    while (true) {
      RETURN_IF_ERROR(stop());
      ASSIGN_OR_RETURN(const std::vector<Batch> batches,
                       rows.ReadPiece(partition, &position, kPieceBytes, kPieceBatches));
      if (batches.empty()) break;
      for (const Batch& batch : batches) RETURN_IF_ERROR(writer->Append(batch));
      if (options_.bytes_max > 0 && writer->bytes_written() > options_.bytes_max) {
        return Status::Exhausted(
            fmt::format("it is larger than {}, what all datasets may take on disk together (--dataset-disk)",
                        base::FormatBytes(options_.bytes_max)));
      }
    }
  }
  return writer->Finish(std::move(head));
}

// Of programs that were killed.
Status DatasetStore::RemoveLeftovers() {
  env::FileSystem& files = env_.files();
  ASSIGN_OR_RETURN(const std::vector<env::DirectoryEntry> entries, files.List(options_.folder));
  for (const env::DirectoryEntry& entry : entries) {
    if (!entry.name.starts_with(kNew) || entry.kind != env::FileKind::kFolder) continue;
    const std::string path = PathOf(entry.name);
    const auto stat = files.Stat(path);
    if (!stat.ok() || env_.clock().WallNanos() - stat->modified_wall_nanos < kLeftoverNanos) continue;
    const auto lock = files.Lock(env::JoinPath(path, kLock));
    if (lock.ok()) (void)files.RemoveAll(path);  // Another one may be at it, too.
  }
  return Status::Ok();
}

// For one of this size to come.
Status DatasetStore::MakeRoom(int64_t bytes) {
  if (options_.bytes_max <= 0) return Status::Ok();
  std::vector<Status> unreadable;
  ASSIGN_OR_RETURN(std::vector<DatasetInfo> all, List(&unreadable));
  std::sort(all.begin(), all.end(),
            [](const DatasetInfo& a, const DatasetInfo& b) { return a.read_wall_nanos < b.read_wall_nanos; });
  for (const DatasetInfo& info : all) bytes += info.file_bytes;
  for (const DatasetInfo& info : all) {
    if (bytes <= options_.bytes_max) break;
    bytes -= info.file_bytes;
    const Status status = Drop(info.name);
    if (!status.ok() && status.code() != Code::kNotFound) return status;
    base::LogInfo("{} made way: datasets may take {} (--dataset-disk)", Called(info.name),
                  base::FormatBytes(options_.bytes_max));
  }
  return Status::Ok();
}

Result<std::vector<DatasetInfo>> DatasetStore::List(std::vector<Status>* unreadable) {
  std::vector<DatasetInfo> all;
  if (options_.folder.empty()) return NotThere("");
  if (const auto stat = env_.files().Stat(options_.folder); !stat.ok() && stat.status().code() == Code::kNotFound)
    return all;
  ASSIGN_OR_RETURN(const std::vector<env::DirectoryEntry> entries, env_.files().List(options_.folder));
  for (const env::DirectoryEntry& entry : entries) {
    if (entry.name.starts_with(".") || entry.kind != env::FileKind::kFolder) continue;
    auto info = Describe(entry.name);
    if (info.ok()) {
      all.push_back(*std::move(info));
    } else if (info.status().code() != Code::kNotFound) {
      unreadable->push_back(std::move(info).status());
    }
  }
  return all;
}

Result<DatasetInfo> DatasetStore::Describe(const std::string& name) {
  RETURN_IF_ERROR(flow::CheckDatasetName(name));
  if (options_.folder.empty()) return NotThere(name);
  const std::string path = env::JoinPath(PathOf(name), kRows);
  auto file = DatasetFile::Open(env_.files(), path);
  if (!file.ok()) {
    return file.status().code() == Code::kNotFound ? NotThere(name) : std::move(file).status().With(Called(name));
  }
  DatasetInfo info{.name = name, .head = (*file)->head()};
  info.partitions = (*file)->partition_count();
  info.rows = (*file)->row_count();
  info.file_bytes = (*file)->file_bytes();
  info.plain_bytes = (*file)->plain_bytes();
  const auto read = env_.files().Stat(env::JoinPath(PathOf(name), kRead));
  info.read_wall_nanos = std::max(info.head.made_wall_nanos, read.ok() ? read->modified_wall_nanos : 0);
  return info;
}

Status DatasetStore::Drop(const std::string& name) {
  RETURN_IF_ERROR(flow::CheckDatasetName(name));
  if (options_.folder.empty()) return NotThere(name);
  env::FileSystem& files = env_.files();
  // Nobody may find half of it.
  const std::string going = NewFolder();
  if (Status status = files.Rename(PathOf(name), going); !status.ok())
    return status.code() == Code::kNotFound ? NotThere(name) : std::move(status).With(Called(name));
  return files.RemoveAll(going);
}

std::string DatasetFolder(env::Env& env) {
  if (std::string chosen = env.Variable("GLIM_DATASET_DIR").value_or(""); !chosen.empty()) return chosen;
  std::string data = env.Variable("XDG_DATA_HOME").value_or("");
  const std::string home = env.Variable("HOME").value_or("");
  if (data.empty() && !home.empty()) data = env::JoinPath(home, ".local/share");
  return data.empty() ? "" : env::JoinPath(data, "glim/datasets");
}

bool HasDatasets(const flow::Graph& graph) {
  return std::any_of(graph.steps().begin(), graph.steps().end(),
                     [](const flow::Step& step) { return NamedRows(step) != nullptr; });
}

Status OpenDatasets(DatasetStore& store, const flow::Graph& graph) {
  for (size_t i = 0; i < graph.steps().size(); ++i) {
    const flow::Step& step = graph.steps()[i];
    flow::CachedRows* rows = NamedRows(step);
    if (rows == nullptr || rows->filled) continue;
    rows->made_by = StepsBefore(graph, static_cast<int>(i));
    auto file = store.Open(rows->name);
    if (!file.ok()) {
      if (file.status().code() == Code::kNotFound && !step.inputs.empty()) continue;
      return std::move(file).status().With(step.name);
    }
    if (!step.inputs.empty() && (*file)->head().made_by != rows->made_by) {
      return Status::Invalid(fmt::format(
          "{}: dataset \"{}\" was made by {}, here it would be by {}; `glim dataset drop {}` makes room for it",
          step.name, rows->name, (*file)->head().made_by, rows->made_by, rows->name));
    }
    Fill(rows, *std::move(file));
  }
  return Status::Ok();
}

}  // namespace glim::exec
