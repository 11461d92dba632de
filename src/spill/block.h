// SPDX-License-Identifier: Apache-2.0
//
// A piece of a batch as it lies in a file: encoded (batch/batch_codec.h), compressed with LZ4 where that makes it
// smaller, with a checksum of what is stored. Where the blocks lie whoever writes the file keeps.
//
// Thread: functions and values.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "glim/batch.h"
#include "glim/status.h"

namespace glim::spill {

struct Block {
  uint64_t offset = 0;
  uint32_t stored_bytes = 0;
  uint32_t plain_bytes = 0;  // As many as are stored when it is not compressed.
  uint32_t checksum = 0;     // Of what is stored.
  uint32_t row_count = 0;
};

// What packing and unpacking need meanwhile, kept for the next block: fresh memory costs more than both.
struct Scratch {
  std::string plain;
  std::string stored;
};

// What is to be stored, which lies in `scratch`. Fills all of `block` but its offset. kExhausted for rows of gigabytes.
Result<std::string_view> PackBlock(const Batch& rows, Scratch* scratch, Block* block);
// The same of rows that are encoded already; what is to be stored may be `rows`. Expects: fewer bytes than LZ4 takes.
std::string_view PackEncoded(std::string_view rows, uint32_t row_count, Scratch* scratch, Block* block);

// Fills `out` from `offset` on; fewer bytes only at the end.
using ReadAt = std::function<Result<size_t>(uint64_t offset, std::span<char> out)>;
// `damaged`: what is said when the bytes are not those that were stored.
Result<Batch> UnpackBlock(const Block& block, const ReadAt& read, const Status& damaged, Scratch* scratch);

}  // namespace glim::spill
