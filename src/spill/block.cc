// SPDX-License-Identifier: Apache-2.0
#include "spill/block.h"

#include <fmt/core.h>
#include <lz4.h>

#include "base/crc32c.h"
#include "base/memory_budget.h"
#include "base/try.h"
#include "batch/batch_codec.h"

namespace glim::spill {

Result<std::string_view> PackBlock(const Batch& rows, Scratch* scratch, Block* block) {
  std::string& plain = scratch->plain;
  plain.clear();
  batch::EncodeBatch(rows, &plain);
  if (plain.size() > LZ4_MAX_INPUT_SIZE) {
    return Status::Exhausted(fmt::format("a row of {} is too large to be kept on disk: {}",
                                         base::FormatBytes(static_cast<int64_t>(plain.size())),
                                         rows.RowToDebugString(0)));
  }
  return PackEncoded(plain, static_cast<uint32_t>(rows.row_count()), scratch, block);
}

std::string_view PackEncoded(std::string_view rows, uint32_t row_count, Scratch* scratch, Block* block) {
  const auto plain_size = static_cast<int>(rows.size());
  const auto bound = static_cast<size_t>(LZ4_compressBound(plain_size));
  if (scratch->stored.size() < bound) scratch->stored.resize(bound);
  const int size =
      LZ4_compress_default(rows.data(), scratch->stored.data(), plain_size, static_cast<int>(scratch->stored.size()));
  const bool smaller = size > 0 && size < plain_size;
  const std::string_view stored =
      smaller ? std::string_view(scratch->stored).substr(0, static_cast<size_t>(size)) : rows;
  block->stored_bytes = static_cast<uint32_t>(stored.size());
  block->plain_bytes = static_cast<uint32_t>(plain_size);
  block->checksum = base::Crc32c(stored);
  block->row_count = row_count;
  return stored;
}

Result<Batch> UnpackBlock(const Block& block, const ReadAt& read, const Status& damaged, Scratch* scratch) {
  const auto fill = [&](std::span<char> out) -> Status {
    ASSIGN_OR_RETURN(const size_t size, read(block.offset, out));
    return size == out.size() && base::Crc32c({out.data(), size}) == block.checksum ? Status::Ok() : damaged;
  };
  auto plain = Buffer::Allocate(block.plain_bytes);
  if (block.stored_bytes == block.plain_bytes) {
    RETURN_IF_ERROR(fill({plain->mutable_data(), plain->size()}));
    return batch::DecodeBatch(plain);
  }
  if (scratch->stored.size() < block.stored_bytes) scratch->stored.resize(block.stored_bytes);
  const std::span<char> stored(scratch->stored.data(), block.stored_bytes);
  RETURN_IF_ERROR(fill(stored));
  const int unpacked = LZ4_decompress_safe(stored.data(), plain->mutable_data(), static_cast<int>(stored.size()),
                                           static_cast<int>(plain->size()));
  if (unpacked != static_cast<int>(plain->size())) return damaged;
  return batch::DecodeBatch(plain);
}

}  // namespace glim::spill
