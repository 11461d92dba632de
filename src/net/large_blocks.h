// SPDX-License-Identifier: Apache-2.0
//
// Memory of large payload, used again. Pages that are asked for anew with each push of a megabyte cost more than the
// copy into them: the system clears each and gives it out one by one (measured: 0.25 ms of faults for 0.1 ms of copy).
//
// Cost: up to kKeptBytes that nobody uses.
// Thread: any; blocks may outlive it.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace glim::net {

class LargeBlocks : public std::enable_shared_from_this<LargeBlocks> {
 public:
  static constexpr size_t kLargeBytes = 128 << 10;
  static constexpr size_t kKeptBytes = 16 << 20;

  // So many bytes, not cleared. Those of a large block are used again when nobody holds it.
  std::shared_ptr<char[]> Take(size_t bytes);
  size_t kept_bytes() const;

 private:
  struct Block {
    std::unique_ptr<char[]> memory;
    size_t bytes = 0;
  };
  Block Find(size_t bytes);
  void GiveBack(Block block);

  mutable std::mutex mutex_;  // Guards the next lines.
  std::vector<Block> kept_;   // The last used comes last.
  size_t kept_bytes_ = 0;
};

}  // namespace glim::net
