// SPDX-License-Identifier: Apache-2.0
//
// Memory that two processes see: made by one, handed to the other as a descriptor. It has no name, and is gone with the
// last of them.
//
// Thread: any; what guards the bytes is the user's.
#pragma once

#include <cstddef>
#include <span>

#include "glim/status.h"

namespace glim::env {

class SharedMemory {
 public:
  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  // Zeros. Nobody can change its size any more: what was mapped stays there.
  static Result<SharedMemory> Create(size_t bytes);
  // What somebody else has made; takes the descriptor over. kInvalid unless it is memory of just this size whose size
  // nobody can change: with other things the other side could take it away under our hands, which would end this
  // process.
  static Result<SharedMemory> Open(int descriptor, size_t bytes);

  std::span<char> bytes() const { return bytes_; }
  // For handing it on. -1 after CloseDescriptor: the memory stays as long as it is mapped.
  int descriptor() const { return descriptor_; }
  void CloseDescriptor();

 private:
  static Result<SharedMemory> Map(SharedMemory memory, size_t bytes);

  int descriptor_ = -1;
  std::span<char> bytes_;
};

}  // namespace glim::env
