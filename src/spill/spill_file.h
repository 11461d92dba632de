// SPDX-License-Identifier: Apache-2.0
//
// Batches that leave memory for a while: a temporary file that a run writes when its memory budget is short, and reads
// again.
//
// A batch is written as one block or several (block.h). The writer keeps the blocks' places; the file itself has no
// index. The space is free again when the file is closed, and nothing is left when the process is killed, since the
// file has no name.
//
// Thread: any; writers get places that do not overlap.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "env/env.h"
#include "glim/batch.h"
#include "glim/status.h"
#include "spill/block.h"

namespace glim::spill {

// The spill files of one run.
class Space {
 public:
  // `files` outlives this. `folder`: where they lie.
  Space(env::FileSystem* files, std::string folder) : files_(files), folder_(std::move(folder)) {}

  // Written so far, compressed.
  int64_t bytes_written() const { return bytes_written_.load(std::memory_order_relaxed); }

 private:
  friend class SpillFile;
  std::unique_ptr<Scratch> TakeScratch();
  void Keep(std::unique_ptr<Scratch> scratch);

  env::FileSystem* const files_;
  const std::string folder_;
  std::atomic<int64_t> bytes_written_{0};
  std::mutex mutex_;  // Of the next one.
  std::vector<std::unique_ptr<Scratch>> free_;
};

class SpillFile {
 public:
  // `space` outlives this. The file is made by the first write.
  explicit SpillFile(Space* space) : space_(space) {}

  // Cuts the batch into blocks of about `block_bytes` and adds them to `blocks`. kExhausted when the disk is full.
  Status Write(const Batch& batch, int64_t block_bytes, std::vector<Block>* blocks);
  // Rows that are encoded already (batch/batch_codec.h), as one block.
  Status WriteEncoded(std::string_view rows, uint32_t row_count, std::vector<Block>* blocks);
  // `next`: the block that the same reader will want then, which the disk may begin with; null: there is none.
  Result<Batch> Read(const Block& block, const Block* next = nullptr) const;

 private:
  Result<env::TemporaryFile*> Open();
  Result<Block> WriteBlock(const Batch& rows, Scratch* scratch);
  Status WriteStored(std::string_view stored, Block* block);

  Space* const space_;
  std::mutex mutex_;  // Of the next one, until it is set.
  std::unique_ptr<env::TemporaryFile> file_;
  std::atomic<uint64_t> size_{0};
};

}  // namespace glim::spill
