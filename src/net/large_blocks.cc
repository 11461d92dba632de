// SPDX-License-Identifier: Apache-2.0
#include "net/large_blocks.h"

#include <utility>

namespace glim::net {

std::shared_ptr<char[]> LargeBlocks::Take(size_t bytes) {
  if (bytes < kLargeBytes) return std::make_shared_for_overwrite<char[]>(bytes);
  Block block = Find(bytes);
  if (block.memory == nullptr) block = {std::make_unique_for_overwrite<char[]>(bytes), bytes};
  char* const memory = block.memory.release();
  return {memory, [self = shared_from_this(), size = block.bytes](char* back) {
            self->GiveBack({std::unique_ptr<char[]>(back), size});
          }};
}

// One of twice the size would hold more than it is counted for.
LargeBlocks::Block LargeBlocks::Find(size_t bytes) {
  const std::lock_guard lock(mutex_);
  for (size_t i = kept_.size(); i-- > 0;) {
    if (kept_[i].bytes < bytes || kept_[i].bytes > 2 * bytes) continue;
    Block block = std::move(kept_[i]);
    kept_.erase(kept_.begin() + static_cast<ptrdiff_t>(i));
    kept_bytes_ -= block.bytes;
    return block;
  }
  return {};
}

void LargeBlocks::GiveBack(Block block) {
  const std::lock_guard lock(mutex_);
  kept_bytes_ += block.bytes;
  kept_.push_back(std::move(block));
  size_t oldest = 0;
  while (kept_bytes_ > kKeptBytes) kept_bytes_ -= kept_[oldest++].bytes;
  kept_.erase(kept_.begin(), kept_.begin() + static_cast<ptrdiff_t>(oldest));
}

size_t LargeBlocks::kept_bytes() const {
  const std::lock_guard lock(mutex_);
  return kept_bytes_;
}

}  // namespace glim::net
