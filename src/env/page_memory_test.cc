// SPDX-License-Identifier: Apache-2.0
#include "env/page_memory.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "env/usage.h"

namespace glim::env {
namespace {

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // Their malloc keeps what is free.

constexpr int64_t kHoles = 64 << 20;

// Leaves holes of 64 MB in the heap: one piece of 256 stays.
std::vector<std::unique_ptr<char[]>> MakeHoles() {
  constexpr size_t kPiece = 1000;
  std::vector<std::unique_ptr<char[]>> pieces(kHoles / kPiece);
  for (auto& piece : pieces) {
    piece = std::make_unique_for_overwrite<char[]>(kPiece);
    std::memset(piece.get(), 1, kPiece);
  }
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i % 256 != 0) pieces[i].reset();
  }
  return pieces;
}

// Whether `give_back`, called again and again, makes the process smaller by most of the holes. It does nothing at some
// calls, as it must not take long.
template <class Function>
bool Shrinks(Function give_back, std::chrono::seconds within) {
  const int64_t before = ResidentBytes();
  const auto deadline = std::chrono::steady_clock::now() + within;
  while (std::chrono::steady_clock::now() < deadline) {
    give_back();
    if (ResidentBytes() < before - kHoles / 4 * 3) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

TEST(PageMemory, HolesOfTheHeapGoBackBeforeWork) {
  const auto pieces = MakeHoles();
  EXPECT_TRUE(Shrinks(ReturnFreeMemory, std::chrono::seconds(60)));
}

TEST(PageMemory, HolesOfTheHeapGoBackBeyondALimit) {
  const auto pieces = MakeHoles();
  SetResidentLimit(ResidentBytes() + (8 << 20));
  EXPECT_FALSE(Shrinks(ReturnFreeMemoryBeyondLimit, std::chrono::seconds(1)));
  SetResidentLimit(ResidentBytes() - (8 << 20));
  EXPECT_TRUE(Shrinks(ReturnFreeMemoryBeyondLimit, std::chrono::seconds(60)));
  SetResidentLimit(0);
}

#endif

TEST(PageMemory, ResidentBytesAreThoseOfTheProcess) {
  const int64_t before = ResidentBytes();
  void* const memory = AllocatePages(64 << 20);
  std::memset(memory, 1, 64 << 20);
  EXPECT_GT(ResidentBytes(), before + (32 << 20));
  FreePages(memory, 64 << 20);
}

}  // namespace
}  // namespace glim::env
