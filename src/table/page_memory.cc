// SPDX-License-Identifier: Apache-2.0
#include "table/page_memory.h"

// allow(system): memory that goes back to the kernel; env has no word for it, and nothing here can be simulated.
#include <sys/mman.h>

#include <cstring>
#include <new>

#include "base/check.h"

namespace glim::table {
namespace {

// Smaller pieces are malloc's: there a page would be too much, and fragments are small.
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kFromKernelMin = ~size_t{0};  // So that its redzones see every access.
#else
constexpr size_t kFromKernelMin = 64 << 10;
#endif
constexpr std::align_val_t kAlignment{64};

}  // namespace

void* AllocatePages(size_t bytes) {
  if (bytes < kFromKernelMin) {
    void* memory = ::operator new(bytes, kAlignment);
    std::memset(memory, 0, bytes);
    return memory;
  }
  // Populated: one call is cheaper than a fault for each page, and all of them will be used.
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();  // allow(throw): as operator new does.
  return memory;
}

void FreePages(void* memory, size_t bytes) {
  if (bytes < kFromKernelMin) {
    ::operator delete(memory, kAlignment);
    return;
  }
  CHECK_EQ(munmap(memory, bytes), 0);
}

}  // namespace glim::table
