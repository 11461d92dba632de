// SPDX-License-Identifier: Apache-2.0
//
// A saved model: a folder with one file of rows per shard and a manifest. docs/format/table.md describes it.
//
// The files of each save have names of their own, so that a save into a folder with a model touches nothing of that:
// when all rows are on disk the manifest is replaced by a rename, and then the files that only the old one named are
// removed. A save that is cut short leaves the old model as it was, and perhaps files that no manifest names.
//
// Thread: one at a time.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "env/env.h"
#include "glim/table.h"
#include "param/table_layout.h"
#include "table/manifest.h"
#include "table/rows_file.h"
#include "table/shard.h"

namespace glim::param {

// Begin, then for each shard Write (under its lock), or BeginFile, Append and EndFile, and SyncFile (without), then
// Commit. After a failure: Abandon.
class ModelWriter {
 public:
  ModelWriter(env::Env& env, std::string folder, const TableSpec& spec, const table::RowKernel& kernel, bool state);

  Status Begin();
  Status Write(const table::Shard& shard);
  Status BeginFile();
  // With state when the model has it.
  Status Append(const RowChunk& chunk) { return file_->Append(chunk); }
  Status EndFile() { return file_->Finish(); }
  Status SyncFile();
  Status Commit();
  void Abandon();

 private:
  std::string PathOf(std::string_view name) const;

  env::FileSystem& files_;
  const std::string folder_;
  table::Manifest manifest_;
  std::unique_ptr<table::RowsFileWriter> file_;
  bool is_in_ = false;  // The new manifest is the one that readers find, so its files must stay.
};

// The manifest of the model in `folder`. kNotFound when there is none.
Result<table::Manifest> ReadManifest(env::FileSystem& files, const std::string& folder);

// Reads a model, and hands its rows to `take` by the shard that they belong to in another table, with state if wanted
// and there. kInvalid when it is the model of another kind of table, kCorrupt when anything of it is not as it was
// written; what was taken is then of no use. Gives its manifest; whether no key stands in it twice is for the caller to
// see.
using TakeRows = std::function<Status(uint32_t shard, const RowChunk& rows, bool with_state)>;
Result<table::Manifest> ReadRows(env::Env& env, const std::string& folder, const TableLayout& layout, bool state,
                                 const TakeRows& take);
Status CheckStored(const table::Manifest& manifest, uint64_t keys_stored);

// Reads a model into empty shards of a table. kInvalid when it is the model of another kind of table, kCorrupt when
// anything of it is not as it was written; the shards are then of no use.
Status ReadModel(env::Env& env, const std::string& folder, const TableLayout& layout, bool state,
                 std::span<const std::unique_ptr<table::Shard>> shards);

}  // namespace glim::param
