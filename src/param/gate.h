// SPDX-License-Identifier: Apache-2.0
//
// A lock for what is done all the time by many (requests over several shards) and now and then by one who wants to be
// alone (the moment of a snapshot, a load, a drop). Those who pass take a stripe of their own thread, so that they do
// not fight over one cache line: 20 ns each, however many they are. Who wants to be alone takes all stripes.
//
// Thread: any.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <shared_mutex>

namespace glim::param {

class Gate {
 public:
  class Pass {
   public:
    explicit Pass(Gate& gate) : lock_(gate.stripes_[Stripe()].mutex) {}

   private:
    std::shared_lock<std::shared_mutex> lock_;
  };

  void Close() {
    for (auto& stripe : stripes_) stripe.mutex.lock();
  }
  void Open() {
    for (auto& stripe : stripes_) stripe.mutex.unlock();
  }

 private:
  static constexpr size_t kStripes = 16;
  struct alignas(64) OneStripe {
    std::shared_mutex mutex;
  };

  static size_t Stripe() {
    // Threads are numbered as they come.
    static std::atomic<size_t> threads{0};
    thread_local const size_t stripe = threads.fetch_add(1, std::memory_order_relaxed) % kStripes;
    return stripe;
  }

  std::array<OneStripe, kStripes> stripes_;
};

class ClosedGate {
 public:
  explicit ClosedGate(Gate& gate) : gate_(gate) { gate_.Close(); }
  ~ClosedGate() { gate_.Open(); }
  ClosedGate(const ClosedGate&) = delete;

 private:
  Gate& gate_;
};

}  // namespace glim::param
