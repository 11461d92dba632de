// SPDX-License-Identifier: Apache-2.0
//
// The bytes that one run may hold. Whoever keeps data beyond the batch at hand (an aggregation, a join, a sort, an
// exchange) reserves them here first, and gives them back when it frees them.
//
// Who can put what it keeps on disk is an Evictor: when a reservation does not fit, evictors are asked first. Who is
// told no then spills what it has itself, or fails with an error that names the step and the sizes.
//
// Thread: any. Reserving is a counter behind one atomic; a mutex is taken only when memory is short.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "glim/status.h"

namespace glim::base {

class Evictor {
 public:
  virtual ~Evictor() = default;
  // Puts about `bytes` on disk and releases them. Returns how many were released, 0 when there is nothing left to put
  // there; fails when the disk does. Any thread, one at a time; must not reserve.
  virtual Result<int64_t> Evict(int64_t bytes) = 0;
};

class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t limit_bytes) : limit_bytes_(limit_bytes) {}
  MemoryBudget(const MemoryBudget&) = delete;

  // Whether there is room, asking the evictors for it when there is none. Fails when one of them does.
  Result<bool> Reserve(int64_t bytes);
  // For what must be there to go on at all: above the limit if need be, so that others make room.
  void Force(int64_t bytes);
  void Release(int64_t bytes);

  // Both are called by the owner of the evictor; after RemoveEvictor it is not asked any more.
  void AddEvictor(Evictor* evictor);
  void RemoveEvictor(Evictor* evictor);

  int64_t limit_bytes() const { return limit_bytes_; }
  int64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
  int64_t peak_bytes() const { return peak_bytes_.load(std::memory_order_relaxed); }

 private:
  bool TryReserve(int64_t bytes);
  void NotePeak(int64_t used);

  const int64_t limit_bytes_;
  std::atomic<int64_t> used_bytes_{0};
  std::atomic<int64_t> peak_bytes_{0};
  std::mutex mutex_;
  std::vector<Evictor*> evictors_;
};

// One holder's part of a budget: grows and shrinks to what the holder says it has, gives all back when it dies.
// Thread: that of its holder.
class Reservation {
 public:
  Reservation() = default;
  Reservation(MemoryBudget* budget, std::string holder) : budget_(budget), holder_(std::move(holder)) {}
  Reservation(Reservation&& other) noexcept { *this = std::move(other); }
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation() { Clear(); }

  // Makes the reservation `bytes` in all. False when the budget does not allow it: the old size stays.
  Result<bool> TryResize(int64_t bytes);
  // The same; kExhausted when the budget does not allow it.
  Status Resize(int64_t bytes);
  // The same, above the limit if need be.
  void ForceResize(int64_t bytes);
  Status Grow(int64_t bytes) { return Resize(bytes_ + bytes); }
  void Clear();

  int64_t bytes() const { return bytes_; }

 private:
  static int64_t Rounded(int64_t bytes);
  MemoryBudget* budget_ = nullptr;
  std::string holder_;
  int64_t bytes_ = 0;     // What the holder said.
  int64_t reserved_ = 0;  // What was taken from the budget: bytes_ rounded up, so that small growth costs no atomic.
};

// "512M", "1.5 GiB", "4096", "64k" -> bytes; K, M, G, T count in 1024.
Result<int64_t> ParseBytes(std::string_view text);
// 1536 -> "1.5 KiB".
std::string FormatBytes(int64_t bytes);

}  // namespace glim::base
