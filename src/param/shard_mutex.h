// SPDX-License-Identifier: Apache-2.0
//
// The lock of a shard: held for a fraction of a microsecond by a request of one key, for some hundred microseconds by
// one of a slice. Whoever finds it taken looks again for about a microsecond, then sleeps. Taking and giving a free one
// is two atomic operations, half of what std::mutex asks (three states as in Drepper 2005, "Futexes are tricky").
//
// Thread: any. Not recursive.
#pragma once

#include <atomic>
#include <cstdint>

namespace glim::param {

class ShardMutex {
 public:
  void lock() {
    uint32_t expected = kFree;
    if (!state_.compare_exchange_strong(expected, kTaken, std::memory_order_acquire, std::memory_order_relaxed))
        [[unlikely]] {
      LockSlowly();
    }
  }
  void unlock() {
    if (state_.exchange(kFree, std::memory_order_release) == kAwaited) [[unlikely]]
      state_.notify_one();
  }

 private:
  static constexpr uint32_t kFree = 0, kTaken = 1, kAwaited = 2;
  static constexpr int kLooks = 40;

  void LockSlowly() {
    for (int i = 0; i < kLooks; ++i) {
      uint32_t expected = kFree;
      if (state_.load(std::memory_order_relaxed) == kFree &&
          state_.compare_exchange_weak(expected, kTaken, std::memory_order_acquire, std::memory_order_relaxed)) {
        return;
      }
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    // From here on somebody may sleep, so whoever unlocks has to wake.
    while (state_.exchange(kAwaited, std::memory_order_acquire) != kFree)
      state_.wait(kAwaited, std::memory_order_relaxed);
  }

  std::atomic<uint32_t> state_{kFree};
};

}  // namespace glim::param
