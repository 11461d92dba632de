// SPDX-License-Identifier: Apache-2.0
#include "param/model_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/try.h"

namespace glim::param {
namespace {

constexpr size_t kChunkBytes = 1 << 20;
constexpr uint64_t kManifestBytesMax = 64 << 20;

std::string Join(const std::string& folder, std::string_view name) {
  return folder.empty() || folder.back() == '/' ? fmt::format("{}{}", folder, name)
                                                : fmt::format("{}/{}", folder, name);
}

table::RowsFormat FormatOf(const table::Manifest& manifest, uint32_t part) {
  return {manifest.model_id, part, manifest.spec.value_type, manifest.spec.width, manifest.slots, manifest.extras};
}

Status CheckFits(const table::Manifest& manifest, const TableSpec& spec, const table::RowKernel& kernel, bool state) {
  auto differs = [](std::string_view what, std::string_view saved, std::string_view ours) {
    return Status::Invalid(fmt::format("{} of the saved model is {}, that of the table {}", what, saved, ours));
  };
  auto width = [](const TableSpec& s) { return s.is_variable() ? "variable" : std::to_string(s.width); };
  const TableSpec& saved = manifest.spec;
  if (saved.value_type != spec.value_type) {
    return differs("the value type", ValueTypeName(saved.value_type), ValueTypeName(spec.value_type));
  }
  if (saved.keys != spec.keys) return differs("the key space", ToString(saved.keys), ToString(spec.keys));
  if (saved.width != spec.width) return differs("the row width", width(saved), width(spec));
  if (!state || !manifest.has_state) return Status::Ok();
  if (saved.rule != spec.rule) {
    return std::move(differs("the update rule", ToString(saved.rule), ToString(spec.rule)))
        .With("the state of a rule fits that rule only, so load the rows without it (rule_state = false)");
  }
  if (manifest.slots != kernel.slots() || manifest.extras != kernel.extras()) {
    return Status::Corrupt("the rule's state has another shape than this program's");
  }
  return Status::Ok();
}

}  // namespace

ModelWriter::ModelWriter(env::Env& env, std::string folder, const TableSpec& spec, const table::RowKernel& kernel,
                         bool state)
    : files_(env.files()), folder_(std::move(folder)) {
  manifest_.spec = spec;
  manifest_.model_id = env.RandomSeed();
  manifest_.has_state = state;
  manifest_.slots = state ? kernel.slots() : 0;
  manifest_.extras = state ? kernel.extras() : 0;
}

Status ModelWriter::Begin() { return files_.MakeFolders(folder_); }

Status ModelWriter::BeginFile() {
  const uint32_t part = static_cast<uint32_t>(manifest_.files.size());
  // Named in the manifest first, so that Abandon finds it.
  manifest_.files.push_back({.name = fmt::format("rows-{:016x}-{:05}", manifest_.model_id, part)});
  ASSIGN_OR_RETURN(
      file_, table::RowsFileWriter::Create(files_, PathOf(manifest_.files.back().name), FormatOf(manifest_, part)));
  return Status::Ok();
}

Status ModelWriter::Write(const table::Shard& shard) {
  RETURN_IF_ERROR(BeginFile());
  const uint64_t row_bytes = shard.memory_bytes() / std::max<uint64_t>(shard.keys_stored(), 1) + 1;
  const size_t rows_max = std::clamp<size_t>(kChunkBytes / row_bytes, 1, kChunkBytes);
  RowChunk chunk;
  uint64_t position = 0;
  for (bool done = false; !done;) {
    done = shard.Scan(&position, rows_max, manifest_.has_state, &chunk);
    RETURN_IF_ERROR(Append(chunk));
  }
  return EndFile();
}

Status ModelWriter::SyncFile() {
  RETURN_IF_ERROR(file_->SyncAndClose());
  std::string name = std::move(manifest_.files.back().name);
  manifest_.files.back() = file_->info();
  manifest_.files.back().name = std::move(name);
  file_.reset();
  return Status::Ok();
}

Status ModelWriter::Commit() {
  RETURN_IF_ERROR(files_.SyncFolder(folder_));
  const std::string temporary = PathOf(fmt::format("{}-{:016x}", table::kManifestName, manifest_.model_id));
  {
    ASSIGN_OR_RETURN(auto file, files_.Create(temporary));
    RETURN_IF_ERROR(file->Append(table::EncodeManifest(manifest_)));
    RETURN_IF_ERROR(file->Sync());
    RETURN_IF_ERROR(file->Close());
  }
  // An old model that cannot be read has no files that we know of.
  Result<table::Manifest> old = ReadManifest(files_, folder_);
  RETURN_IF_ERROR(files_.Rename(temporary, PathOf(table::kManifestName)));
  is_in_ = true;
  // When this fails, a crash of the machine may bring the old manifest back: the files of both models stay.
  RETURN_IF_ERROR(files_.SyncFolder(folder_));
  // The new model is in; what is left of the old one does no harm.
  if (old.ok()) {
    for (const auto& file : old->files) (void)files_.RemoveFile(PathOf(file.name)).ok();
  }
  return Status::Ok();
}

void ModelWriter::Abandon() {
  file_.reset();
  if (is_in_) return;
  for (const auto& file : manifest_.files) (void)files_.RemoveFile(PathOf(file.name)).ok();
  (void)files_.RemoveFile(PathOf(fmt::format("{}-{:016x}", table::kManifestName, manifest_.model_id))).ok();
}

std::string ModelWriter::PathOf(std::string_view name) const { return Join(folder_, name); }

Result<table::Manifest> ReadManifest(env::FileSystem& files, const std::string& folder) {
  const std::string path = Join(folder, table::kManifestName);
  auto opened = files.OpenRandom(path);
  if (!opened.ok() && opened.status().code() == Code::kNotFound) {
    return Status::NotFound(fmt::format("\"{}\": there is no {}", folder,
                                        files.Stat(folder).ok() ? "model in this folder" : "such folder"));
  }
  ASSIGN_OR_RETURN(const auto file, std::move(opened));
  if (file->size() > kManifestBytesMax)
    return Status::Corrupt(fmt::format("\"{}\" is too large to be a manifest", path));
  std::string text(file->size(), '\0');
  ASSIGN_OR_RETURN(size_t got, file->ReadAt(0, text));
  text.resize(got);
  Result<table::Manifest> manifest = table::DecodeManifest(text);
  if (!manifest.ok()) return std::move(manifest).status().With(fmt::format("\"{}\" is damaged", path));
  return manifest;
}

Result<table::Manifest> ReadRows(env::Env& env, const std::string& folder, const TableLayout& layout, bool state,
                                 const TakeRows& take) {
  const TableSpec& spec = layout.spec();
  const partition::KeyPartition& partition = layout.partition();
  ASSIGN_OR_RETURN(table::Manifest manifest, ReadManifest(env.files(), folder));
  RETURN_IF_ERROR(CheckFits(manifest, spec, layout.kernel(), state));
  RETURN_IF_ERROR(layout.CheckKeys({}));  // That there is a partitioner.
  const bool with_state = state && manifest.has_state;
  const size_t value_bytes = ValueBytes(spec.value_type);
  partition::SplitKeys split;
  RowChunk chunk, part;
  std::vector<size_t> begins;
  for (uint32_t f = 0; f < manifest.files.size(); ++f) {
    const std::string path = Join(folder, manifest.files[f].name);
    const table::RowsFormat format = FormatOf(manifest, f);
    ASSIGN_OR_RETURN(auto file, table::RowsFileReader::Open(env.files(), path, format, manifest.files[f]));
    while (true) {
      RETURN_IF_ERROR(file->Next(&chunk));
      if (chunk.keys.empty()) break;
      for (Key key : chunk.keys) {
        if (!partition.Contains(key))
          return Status::Corrupt(fmt::format("\"{}\" has key {}, which is out of range", path, key));
      }
      RETURN_IF_ERROR(layout.CheckKeys(chunk.keys));
      begins.assign(1, 0);
      for (size_t i = 0; i < chunk.keys.size(); ++i) {
        const uint32_t length = spec.is_variable() ? chunk.lengths[i] : spec.width;
        begins.push_back(begins.back() + (spec.is_variable() && length == 0 ? 0 : format.CellBytes(length)));
      }
      partition.Split(chunk.keys, &split);
      for (uint32_t s = 0; s < partition.shard_count(); ++s) {
        part.keys.assign(split.keys.begin() + split.begin(s), split.keys.begin() + split.end(s));
        part.values.clear();
        part.lengths.clear();
        for (uint32_t i = split.begin(s); i < split.end(s); ++i) {
          const size_t row = split.positions ? split.positions[i] : i;
          const uint32_t length = spec.is_variable() ? chunk.lengths[row] : spec.width;
          if (spec.is_variable()) part.lengths.push_back(length);
          const std::byte* cells = chunk.values.data() + begins[row];
          const size_t bytes = with_state ? begins[row + 1] - begins[row] : length * value_bytes;
          part.values.insert(part.values.end(), cells, cells + bytes);
        }
        if (!part.keys.empty()) RETURN_IF_ERROR(take(s, part, with_state));
      }
    }
  }
  return manifest;
}

Status CheckStored(const table::Manifest& manifest, uint64_t keys_stored) {
  if (keys_stored == manifest.rows()) return Status::Ok();
  return Status::Corrupt(fmt::format("it has {} rows, but {} different keys", manifest.rows(), keys_stored));
}

Status ReadModel(env::Env& env, const std::string& folder, const TableLayout& layout, bool state,
                 std::span<const std::unique_ptr<table::Shard>> shards) {
  ASSIGN_OR_RETURN(const table::Manifest expected, ReadManifest(env.files(), folder));
  RETURN_IF_ERROR(CheckFits(expected, layout.spec(), layout.kernel(), state));
  for (const auto& shard : shards) shard->Reserve(expected.rows() / shards.size());
  const TakeRows take = [&](uint32_t shard, const RowChunk& rows, bool with_state) {
    shards[shard]->Restore(rows, with_state);
    return Status::Ok();
  };
  ASSIGN_OR_RETURN(const table::Manifest manifest, ReadRows(env, folder, layout, state, take));
  uint64_t stored = 0;
  for (const auto& shard : shards) stored += shard->keys_stored();
  return CheckStored(manifest, stored);
}

}  // namespace glim::param
