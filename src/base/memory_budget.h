// SPDX-License-Identifier: Apache-2.0
//
// The bytes that one run may hold. Whoever keeps data beyond the batch at hand (an aggregation, a join, a sort, an
// exchange) reserves them here first, and gives them back when it frees them.
//
// Today a reservation that does not fit is an error that names the step and the sizes; operators that can spill will
// ask with TryReserve and spill when it says no.
//
// Thread: any; a counter behind one atomic.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "glim/status.h"

namespace glim::base {

class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t limit_bytes) : limit_bytes_(limit_bytes) {}
  MemoryBudget(const MemoryBudget&) = delete;

  bool TryReserve(int64_t bytes);
  void Release(int64_t bytes);

  int64_t limit_bytes() const { return limit_bytes_; }
  int64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
  int64_t peak_bytes() const { return peak_bytes_.load(std::memory_order_relaxed); }

 private:
  const int64_t limit_bytes_;
  std::atomic<int64_t> used_bytes_{0};
  std::atomic<int64_t> peak_bytes_{0};
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

  // Makes the reservation `bytes` in all. kExhausted when the budget does not allow it: the old size stays.
  Status Resize(int64_t bytes);
  Status Grow(int64_t bytes) { return Resize(bytes_ + bytes); }
  void Clear();

  int64_t bytes() const { return bytes_; }

 private:
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
