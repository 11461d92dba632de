// SPDX-License-Identifier: Apache-2.0
//
// A thread that waits for sockets and timers, and runs what they bring and what others post. It sleeps when there is
// nothing; it never spins. A connection belongs to one loop, so its handler needs no lock.
//
// Boost.Asio does the waiting; only .cc files see it (net/asio_loop.h), because it takes seconds to compile.
//
// Thread: Post, Call and InLoop from any; a Timer belongs to the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace glim::net {

class EventLoop {
 public:
  // Starts the thread.
  EventLoop();
  // Ends it; what was posted and did not run is dropped. All that uses the loop (transports, timers) is gone before.
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;

  // Runs `work` in the loop, after what was posted before. Never within Post itself.
  void Post(std::function<void()> work);
  // Runs it in the loop and waits for its end; at once when this is the loop.
  void Call(const std::function<void()>& work);
  bool InLoop() const;

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// Runs something later. Destroying it, or Cancel, forgets what it has not run yet.
class Timer {
 public:
  explicit Timer(EventLoop& loop);
  ~Timer();
  Timer(const Timer&) = delete;
  // Forgets what was started before.
  void Start(int64_t nanos, std::function<void()> work);
  void Cancel();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace glim::net
