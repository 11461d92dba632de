// SPDX-License-Identifier: Apache-2.0
#include "env/page_memory.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <new>

#include "base/check.h"
#include "env/usage.h"

namespace glim::env {
namespace {

// Smaller pieces are malloc's: there a page would be too much, and fragments are small.
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kFromKernelMin = ~size_t{0};  // So that its redzones see every access.
#else
constexpr size_t kFromKernelMin = 64 << 10;
#endif
constexpr size_t kHugePage = 2 << 20;
constexpr size_t kHugeMin = std::max(2 * kHugePage, kFromKernelMin);
constexpr std::align_val_t kAlignment{64};

bool IsFromKernel(size_t bytes, Pages pages) { return bytes >= (pages == Pages::kHuge ? kHugeMin : kFromKernelMin); }

// Populated: one call is cheaper than a fault for each page, and all of them will be used.
char* Map(size_t bytes, int populate) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | populate, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();  // allow(throw): as operator new does.
  return static_cast<char*>(memory);
}

void Unmap(char* memory, size_t bytes) {
  if (bytes > 0) CHECK_EQ(munmap(memory, bytes), 0);
}

char* MapHuge(size_t bytes) {
  char* const memory = Map(bytes + kHugePage, 0);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(memory) % kHugePage) % kHugePage;
  Unmap(memory, before);
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));  // What a mapping is rounded up to.
  Unmap(memory + before + (bytes + page - 1) / page * page, kHugePage - before);
  (void)madvise(memory + before, bytes, MADV_HUGEPAGE);  // Without them it works as well.
  return memory + before;
}

std::atomic<int64_t> resident_after_return = 0;  // When it was done last, or less since.
std::atomic<int64_t> resident_limit = 0;

void ReturnWhenBeyond(int64_t resident_bytes, std::chrono::milliseconds at_most_each) {
  using Clock = std::chrono::steady_clock;
  static std::atomic<Clock::rep> again_at = 0;
  const Clock::rep now = Clock::now().time_since_epoch().count();
  Clock::rep at = again_at.load(std::memory_order_relaxed);
  const Clock::rep next = now + Clock::duration(at_most_each).count();
  if (now < at || !again_at.compare_exchange_strong(at, next, std::memory_order_relaxed)) return;
  int64_t resident = ResidentBytes();
  if (resident > resident_bytes) {
    malloc_trim(0);
    resident = ResidentBytes();
  } else {
    resident = std::min(resident, resident_after_return.load(std::memory_order_relaxed));
  }
  resident_after_return.store(resident, std::memory_order_relaxed);
}

}  // namespace

void* AllocatePages(size_t bytes, Pages pages) {
  if (!IsFromKernel(bytes, pages)) {
    void* memory = ::operator new(bytes, kAlignment);
    std::memset(memory, 0, bytes);
    return memory;
  }
  return pages == Pages::kHuge ? MapHuge(bytes) : Map(bytes, MAP_POPULATE);
}

void FreePages(void* memory, size_t bytes, Pages pages) {
  if (!IsFromKernel(bytes, pages)) {
    ::operator delete(memory, kAlignment);
    return;
  }
  Unmap(static_cast<char*>(memory), bytes);
}

void ReturnFreeMemory() {
  const int64_t after_last = resident_after_return.load(std::memory_order_relaxed);
  ReturnWhenBeyond(after_last + (16 << 20), std::chrono::milliseconds(100));
}

void SetResidentLimit(int64_t bytes) { resident_limit.store(bytes, std::memory_order_relaxed); }

void ReturnFreeMemoryBeyondLimit() {
  const int64_t limit = resident_limit.load(std::memory_order_relaxed);
  if (limit > 0) ReturnWhenBeyond(limit, std::chrono::milliseconds(20));
}

}  // namespace glim::env
