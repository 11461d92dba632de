// SPDX-License-Identifier: Apache-2.0
#include "spill/spill_file.h"

#include <algorithm>

#include "base/try.h"
#include "env/page_memory.h"

namespace glim::spill {

std::unique_ptr<Scratch> Space::TakeScratch() {
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

Result<Block> SpillFile::WriteBlock(const Batch& rows, Scratch* scratch) {
  Block block;
  ASSIGN_OR_RETURN(const std::string_view stored, PackBlock(rows, scratch, &block));
  RETURN_IF_ERROR(WriteStored(stored, &block));
  return block;
}

Status SpillFile::WriteEncoded(std::string_view rows, uint32_t row_count, std::vector<Block>* blocks) {
  auto scratch = space_->TakeScratch();
  Block block;
  RETURN_IF_ERROR(WriteStored(PackEncoded(rows, row_count, scratch.get(), &block), &block));
  blocks->push_back(block);
  space_->Keep(std::move(scratch));
  return Status::Ok();
}

Status SpillFile::WriteStored(std::string_view stored, Block* block) {
  ASSIGN_OR_RETURN(env::TemporaryFile* const file, Open());
  block->offset = size_.fetch_add(stored.size());
  if (Status status = file->WriteAt(block->offset, stored); !status.ok()) {
    return std::move(status).With("keeping what does not fit into memory (--tmp-dir)");
  }
  space_->bytes_written_.fetch_add(static_cast<int64_t>(stored.size()), std::memory_order_relaxed);
  env::ReturnFreeMemoryBeyondLimit();
  return Status::Ok();
}

Result<Batch> SpillFile::Read(const Block& block, const Block* next) const {
  env::ReturnFreeMemoryBeyondLimit();
  auto scratch = space_->TakeScratch();
  // While this one is decompressed and its rows are merged with those of other runs.
  if (next != nullptr) file_->WillRead(next->offset, next->stored_bytes);
  auto batch = UnpackBlock(
      block, [this](uint64_t offset, std::span<char> out) { return file_->ReadAt(offset, out); },
      Status::Corrupt("a temporary file was damaged (--tmp-dir)"), scratch.get());
  space_->Keep(std::move(scratch));
  return batch;
}

}  // namespace glim::spill
