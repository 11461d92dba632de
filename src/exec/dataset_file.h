// SPDX-License-Identifier: Apache-2.0
//
// The file of a dataset that is kept by its name (docs/format/dataset.md): the rows of its partitions in blocks
// (spill/block.h), behind them an index that says where each block lies and what the dataset is, and at the end where
// the index is. Written once, from the beginning to the end; a file without its end is none.
//
// Whoever has it open goes on reading when it is dropped, or another one has taken its name.
//
// Thread: a writer one; an open file any.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "env/env.h"
#include "exec/cache_space.h"
#include "flow/graph.h"
#include "spill/block.h"

namespace glim::exec {

// What a dataset is.
struct DatasetHead {
  std::string made_by;             // The steps that gave its rows: "Range, Map".
  std::vector<std::string> names;  // Of its columns, "" where one has none; empty when it has no names.
  int64_t made_wall_nanos = 0;
  int32_t user_partitions = 0;  // As in flow::CachedRows.
  bool in_order = false;
};

class DatasetFileWriter {
 public:
  static Result<std::unique_ptr<DatasetFileWriter>> Create(env::FileSystem& files, const std::string& path);

  // The next partition begins here.
  void BeginPartition() { partitions_.emplace_back(); }
  // Expects: a partition was begun.
  Status Append(const Batch& batch);
  // Everything is on the disk.
  Status Finish(DatasetHead head);
  int64_t bytes_written() const { return static_cast<int64_t>(offset_); }

 private:
  explicit DatasetFileWriter(std::unique_ptr<env::WritableFile> file) : file_(std::move(file)) {}
  Status Write(std::string_view bytes);

  const std::unique_ptr<env::WritableFile> file_;
  uint64_t offset_ = 0;
  std::vector<std::vector<spill::Block>> partitions_;
  spill::Scratch scratch_;
};

class DatasetFile final : public KeptRows {
 public:
  // kNotFound when there is none, kCorrupt when it is not whole.
  static Result<std::shared_ptr<const DatasetFile>> Open(env::FileSystem& files, const std::string& path);

  const DatasetHead& head() const { return head_; }
  int partition_count() const { return static_cast<int>(partitions_.size()); }
  int64_t row_count() const { return row_count_; }
  int64_t plain_bytes() const { return plain_bytes_; }  // Of its rows, not compressed.
  int64_t file_bytes() const { return static_cast<int64_t>(file_->size()); }

  Result<std::vector<Batch>> ReadPiece(int partition, exchange::SlotPosition* position, int64_t bytes_max,
                                       size_t batches_max) const override;

 private:
  DatasetFile(std::string path, std::unique_ptr<env::RandomAccessFile> file)
      : path_(std::move(path)), file_(std::move(file)) {}
  Status ReadIndex();
  Status Damaged() const;

  const std::string path_;
  const std::unique_ptr<env::RandomAccessFile> file_;
  DatasetHead head_;
  std::vector<std::vector<spill::Block>> partitions_;
  int64_t row_count_ = 0;
  int64_t plain_bytes_ = 0;
};

// Makes it what the cache holds.
void Fill(flow::CachedRows* cache, std::shared_ptr<const DatasetFile> file);

}  // namespace glim::exec
