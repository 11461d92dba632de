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

std::unique_ptr<Space::Scratch> Space::TakeScratch() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) return std::make_unique<Scratch>();
  auto scratch = std::move(free_.back());
  free_.pop_back();
  return scratch;
}

void Space::Keep(std::unique_ptr<Scratch> scratch) {
  // No more than there are threads at work at a time; and none for rows that are large themselves.
  constexpr size_t kBytesMax = 256 << 10;
  if (scratch->plain.capacity() > kBytesMax || scratch->stored.capacity() > kBytesMax) return;
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(scratch));
}

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
  auto scratch = space_->TakeScratch();
  for (int64_t i = 0; i < pieces; ++i) {
    const int64_t begin = batch.row_count() * i / pieces, end = batch.row_count() * (i + 1) / pieces;
    ASSIGN_OR_RETURN(const Block block, WriteBlock(batch.Slice(begin, end - begin), scratch.get()));
    blocks->push_back(block);
  }
  space_->Keep(std::move(scratch));
  return Status::Ok();
}

Result<Block> SpillFile::WriteBlock(const Batch& rows, Space::Scratch* scratch) {
  std::string& plain = scratch->plain;
  plain.clear();
  batch::EncodeBatch(rows, &plain);
  if (plain.size() > LZ4_MAX_INPUT_SIZE) {
    return Status::Exhausted(fmt::format("a row of {} is too large to be kept on disk: {}",
                                         base::FormatBytes(static_cast<int64_t>(plain.size())),
                                         rows.RowToDebugString(0)));
  }
  return WritePlain(plain, static_cast<uint32_t>(rows.row_count()), scratch);
}

Status SpillFile::WriteEncoded(std::string_view rows, uint32_t row_count, std::vector<Block>* blocks) {
  auto scratch = space_->TakeScratch();
  ASSIGN_OR_RETURN(const Block block, WritePlain(rows, row_count, scratch.get()));
  blocks->push_back(block);
  space_->Keep(std::move(scratch));
  return Status::Ok();
}

Result<Block> SpillFile::WritePlain(std::string_view plain, uint32_t row_count, Space::Scratch* scratch) {
  const auto plain_size = static_cast<int>(plain.size());
  const auto bound = static_cast<size_t>(LZ4_compressBound(plain_size));
  if (scratch->stored.size() < bound) scratch->stored.resize(bound);
  const int size =
      LZ4_compress_default(plain.data(), scratch->stored.data(), plain_size, static_cast<int>(scratch->stored.size()));
  const bool smaller = size > 0 && size < plain_size;
  const std::string_view stored =
      smaller ? std::string_view(scratch->stored).substr(0, static_cast<size_t>(size)) : plain;
  ASSIGN_OR_RETURN(env::TemporaryFile* const file, Open());
  Block block;
  block.offset = size_.fetch_add(stored.size());
  block.stored_bytes = static_cast<uint32_t>(stored.size());
  block.plain_bytes = static_cast<uint32_t>(plain_size);
  block.checksum = base::Crc32c(stored);
  block.row_count = row_count;
  if (Status status = file->WriteAt(block.offset, stored); !status.ok()) {
    return std::move(status).With("keeping what does not fit into memory (--tmp-dir)");
  }
  space_->bytes_written_.fetch_add(static_cast<int64_t>(stored.size()), std::memory_order_relaxed);
  return block;
}

Result<Batch> SpillFile::Read(const Block& block) const {
  const auto damaged = [] { return Status::Corrupt("a temporary file was damaged (--tmp-dir)"); };
  const auto read = [&](std::span<char> out) -> Status {
    ASSIGN_OR_RETURN(const size_t size, file_->ReadAt(block.offset, out));
    return size == out.size() && base::Crc32c({out.data(), size}) == block.checksum ? Status::Ok() : damaged();
  };
  auto plain = Buffer::Allocate(block.plain_bytes);
  if (block.stored_bytes == block.plain_bytes) {
    RETURN_IF_ERROR(read({plain->mutable_data(), plain->size()}));
    return batch::DecodeBatch(plain);
  }
  auto scratch = space_->TakeScratch();
  if (scratch->stored.size() < block.stored_bytes) scratch->stored.resize(block.stored_bytes);
  const std::span<char> stored(scratch->stored.data(), block.stored_bytes);
  RETURN_IF_ERROR(read(stored));
  const int unpacked = LZ4_decompress_safe(stored.data(), plain->mutable_data(), static_cast<int>(stored.size()),
                                           static_cast<int>(plain->size()));
  if (unpacked != static_cast<int>(plain->size())) return damaged();
  space_->Keep(std::move(scratch));
  return batch::DecodeBatch(plain);
}

}  // namespace glim::spill
