// SPDX-License-Identifier: Apache-2.0
#include "udf/kernel/texts.h"

#include <algorithm>

namespace glim::udf {

void Texts::Start(BufferRef constants) {
  shared_ = nullptr;
  known_.clear();
  blocks_.assign(1, std::move(constants));
  block_number_ = 0;
  if (is_shared_) block_ = nullptr;
  is_shared_ = false;
  used_ = 0;
}

uint32_t Texts::AddBlocks(const Blocks& blocks) {
  // Columns cut from one line share their blocks.
  const auto seen =
      std::ranges::find(known_, static_cast<const void*>(blocks.get()), &std::pair<const void*, uint32_t>::first);
  if (seen != known_.end()) return seen->second;
  known_.emplace_back(blocks.get(), static_cast<uint32_t>(blocks_.size()));
  blocks_.insert(blocks_.end(), blocks->begin(), blocks->end());
  return known_.back().second;
}

char* Texts::Room(size_t bytes) {
  constexpr size_t kBlockBytes = 64 << 10;
  if (block_ == nullptr || used_ + bytes > block_->size()) {
    block_ = Buffer::Allocate(std::max(bytes, kBlockBytes));
    block_number_ = 0;
    used_ = 0;
  }
  if (block_number_ == 0) {
    block_number_ = static_cast<uint32_t>(blocks_.size());
    blocks_.push_back(block_);
    shared_ = nullptr;
  }
  return block_->mutable_data() + used_;
}

Text Texts::Made(size_t bytes) {
  const Text text{block_->data() + used_, static_cast<uint32_t>(bytes), block_number_};
  used_ += bytes;
  return text;
}

Blocks Texts::Share() {
  is_shared_ = true;
  if (shared_ == nullptr) shared_ = std::make_shared<const std::vector<BufferRef>>(blocks_);
  return shared_;
}

}  // namespace glim::udf
