// SPDX-License-Identifier: Apache-2.0
//
// The bytes of a slice's texts: blocks of the columns that came in, and blocks for what is made. Results are columns
// that point into them.
//
// Thread: its task's.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "glim/batch.h"
#include "udf/kernel/values.h"

namespace glim::udf {

class Texts {
 public:
  // A new slice: texts made before are gone, unless a column has their blocks.
  void Start(BufferRef constants);
  // The number of the first of these blocks; the others follow.
  uint32_t AddBlocks(const Blocks& blocks);

  // Room for a text of at most `bytes`; then Made with those that it has.
  char* Room(size_t bytes);
  Text Made(size_t bytes);

  // All blocks, for a column that points into them.
  Blocks Share();

 private:
  std::vector<BufferRef> blocks_;
  std::vector<std::pair<const void*, uint32_t>> known_;  // Lists that were added, with their first number.
  Blocks shared_;
  std::shared_ptr<Buffer> block_;
  bool is_shared_ = false;     // Somebody may still read it when the next slice comes.
  uint32_t block_number_ = 0;  // 0: block_ is not among the blocks.
  size_t used_ = 0;
};

}  // namespace glim::udf
