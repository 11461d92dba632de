// SPDX-License-Identifier: Apache-2.0
#include "spill/spill_file.h"

#include <fmt/core.h>
#include <lz4.h>

#include <algorithm>

#include "base/crc32c.h"
#include "base/memory_budget.h"
#include "base/try.h"
#include "batch/batch_codec.h"
#include "env/path.h"

namespace glim::spill {
Result<env::TemporaryFile*> SpillFile::Open() {
  const std::lock_guard lock(mutex_);
  if (file_ == nullptr) {
    auto made = space_->files_->CreateTemporary(space_->folder_);
    if (!made.ok()) return std::move(made).status().With("a file for what does not fit into memory (--tmp-dir)");
    file_ = *std::move(made);
  }
  return file_.get();
}

Status SpillFile::Write(const Batch& batch, int64_t block_bytes, std::vector<Block>* blocks) {
  const int64_t pieces =
      std::clamp<int64_t>(batch.OwnBytes() / block_bytes, 1, std::max<int64_t>(batch.row_count(), 1));
  for (int64_t i = 0; i < pieces; ++i) {
    const int64_t begin = batch.row_count() * i / pieces, end = batch.row_count() * (i + 1) / pieces;
    ASSIGN_OR_RETURN(const Block block, WriteBlock(batch.Slice(begin, end - begin)));
    blocks->push_back(block);
  }
  return Status::Ok();
}

Result<Block> SpillFile::WriteBlock(const Batch& rows) {
  std::string plain;
  batch::EncodeBatch(rows, &plain);
  if (plain.size() > LZ4_MAX_INPUT_SIZE) {
    return Status::Exhausted(fmt::format("a row of {} is too large to be kept on disk: {}",
                                         base::FormatBytes(static_cast<int64_t>(plain.size())),
                                         rows.RowToDebugString(0)));
  }
  const auto plain_size = static_cast<int>(plain.size());
  std::string stored(static_cast<size_t>(LZ4_compressBound(plain_size)), '\0');
  const int size = LZ4_compress_default(plain.data(), stored.data(), plain_size, static_cast<int>(stored.size()));
  // Not smaller: as it is.
  if (size > 0 && size < plain_size) {
    stored.resize(static_cast<size_t>(size));
  } else {
    stored = std::move(plain);
  }
  ASSIGN_OR_RETURN(env::TemporaryFile* const file, Open());
  Block block;
  block.offset = size_.fetch_add(stored.size());
  block.stored_bytes = static_cast<uint32_t>(stored.size());
  block.plain_bytes = static_cast<uint32_t>(plain_size);
  block.checksum = base::Crc32c(stored);
  block.row_count = static_cast<uint32_t>(rows.row_count());
  if (Status status = file->WriteAt(block.offset, stored); !status.ok()) {
    return std::move(status).With("keeping what does not fit into memory (--tmp-dir)");
  }
  space_->bytes_written_.fetch_add(static_cast<int64_t>(stored.size()), std::memory_order_relaxed);
  return block;
}

Result<Batch> SpillFile::Read(const Block& block) const {
  const auto damaged = [] { return Status::Corrupt("a temporary file was damaged (--tmp-dir)"); };
  auto stored = Buffer::Allocate(block.stored_bytes);
  ASSIGN_OR_RETURN(const size_t size, file_->ReadAt(block.offset, {stored->mutable_data(), stored->size()}));
  if (size != stored->size() || base::Crc32c({stored->data(), stored->size()}) != block.checksum) return damaged();
  if (block.stored_bytes == block.plain_bytes) return batch::DecodeBatch(stored);
  auto plain = Buffer::Allocate(block.plain_bytes);
  const int unpacked = LZ4_decompress_safe(stored->data(), plain->mutable_data(), static_cast<int>(stored->size()),
                                           static_cast<int>(plain->size()));
  if (unpacked != static_cast<int>(plain->size())) return damaged();
  return batch::DecodeBatch(plain);
}

}  // namespace glim::spill
