// SPDX-License-Identifier: Apache-2.0
#include "base/memory_budget.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>

#include "base/check.h"
#include "base/try.h"

namespace glim::base {

bool MemoryBudget::TryReserve(int64_t bytes) {
  int64_t used = used_bytes_.load(std::memory_order_relaxed);
  do {
    if (bytes > limit_bytes_ - used) return false;
  } while (!used_bytes_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  NotePeak(used + bytes);
  return true;
}

void MemoryBudget::NotePeak(int64_t used) {
  int64_t peak = peak_bytes_.load(std::memory_order_relaxed);
  while (peak < used && !peak_bytes_.compare_exchange_weak(peak, used, std::memory_order_relaxed)) {
  }
}

Result<bool> MemoryBudget::Reserve(int64_t bytes) {
  if (TryReserve(bytes)) return true;
  if (bytes > limit_bytes_) return false;
  // Whoever waits here needs memory as well, and there may be room when its turn comes.
  const std::lock_guard lock(mutex_);
  // More than is needed now, so that the next ones find room.
  const int64_t wanted = std::max(bytes, limit_bytes_ / 16);
  for (Evictor* const evictor : evictors_) {
    while (true) {
      if (TryReserve(bytes)) return true;
      ASSIGN_OR_RETURN(const int64_t released, evictor->Evict(wanted));
      if (released == 0) break;
    }
  }
  return TryReserve(bytes);
}

void MemoryBudget::Force(int64_t bytes) { NotePeak(used_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes); }

void MemoryBudget::Release(int64_t bytes) {
  const int64_t before = used_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  CHECK_GE(before, bytes);
}

void MemoryBudget::AddEvictor(Evictor* evictor) {
  const std::lock_guard lock(mutex_);
  evictors_.push_back(evictor);
}

void MemoryBudget::RemoveEvictor(Evictor* evictor) {
  const std::lock_guard lock(mutex_);
  std::erase(evictors_, evictor);
}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this == &other) return *this;
  Clear();
  budget_ = other.budget_;
  holder_ = std::move(other.holder_);
  bytes_ = std::exchange(other.bytes_, 0);
  reserved_ = std::exchange(other.reserved_, 0);
  return *this;
}

int64_t Reservation::Rounded(int64_t bytes) {
  constexpr int64_t kStep = 64 << 10;
  return (bytes + kStep - 1) / kStep * kStep;
}

Result<bool> Reservation::TryResize(int64_t bytes) {
  const int64_t wanted = Rounded(bytes);
  if (budget_ != nullptr && wanted > reserved_) {
    ASSIGN_OR_RETURN(const bool fits, budget_->Reserve(wanted - reserved_));
    if (!fits) return false;
    reserved_ = wanted;
  }
  ForceResize(bytes);
  return true;
}

Status Reservation::Resize(int64_t bytes) {
  ASSIGN_OR_RETURN(const bool fits, TryResize(bytes));
  if (fits) return Status::Ok();
  return Status::Exhausted(
      fmt::format("{} needs {} of memory, {} of the {} for rows are in use; raise them with --memory", holder_,
                  FormatBytes(bytes), FormatBytes(budget_->used_bytes()), FormatBytes(budget_->limit_bytes())));
}

void Reservation::ForceResize(int64_t bytes) {
  const int64_t wanted = Rounded(bytes);
  if (budget_ != nullptr) {
    if (wanted > reserved_) budget_->Force(wanted - reserved_);
    if (wanted < reserved_) budget_->Release(reserved_ - wanted);
    reserved_ = wanted;
  }
  bytes_ = bytes;
}

void Reservation::Clear() {
  if (budget_ != nullptr && reserved_ > 0) budget_->Release(reserved_);
  reserved_ = 0;
  bytes_ = 0;
}

Result<int64_t> ParseBytes(std::string_view text) {
  const std::string copy(text);
  const auto wrong = [&] {
    return Status::Invalid(
        fmt::format("\"{}\" is not a size; write a number of bytes, or one with K, M, G or T, like 512M", copy));
  };
  char* end = nullptr;
  const double number = std::strtod(copy.c_str(), &end);
  if (end == copy.c_str() || !std::isfinite(number) || number < 0) return wrong();
  while (*end == ' ') ++end;
  double factor = 1;
  if (*end != '\0' && *end != 'b' && *end != 'B') {
    switch (std::toupper(static_cast<unsigned char>(*end))) {
      case 'K': factor = 1024.0; break;
      case 'M': factor = 1024.0 * 1024; break;
      case 'G': factor = 1024.0 * 1024 * 1024; break;
      case 'T': factor = 1024.0 * 1024 * 1024 * 1024; break;
      default: return wrong();
    }
    ++end;
    if (*end == 'i') ++end;
  }
  if (*end == 'b' || *end == 'B') ++end;
  if (*end != '\0' || number * factor > 9e18) return wrong();
  return static_cast<int64_t>(number * factor);
}

std::string FormatBytes(int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

}  // namespace glim::base
