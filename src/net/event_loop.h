// SPDX-License-Identifier: Apache-2.0
//
// What connections live in: waits for sockets and timers, and runs what they bring and what others post. It sleeps when
// there is nothing; it never spins. A connection belongs to one loop, so its handler needs no lock.
//
// The loop is not so much a thread as a turn: whoever holds it does the loop's work, one thread at a time, and all that
// is said here to run "in the loop" runs in that turn. The loop's own thread takes it whenever something happened. A
// thread that comes with work of its own (Run, Call) takes the turn itself when it is free; and one that waits for an
// answer (HelpUntil) waits for sockets in place of the loop's thread, and does what they bring. So a blocking request
// wakes nobody in this process: with a thread that only waits, each would cost two wake-ups more (into the loop, and
// back), and a wake-up takes longer than all the rest of a short request.
//
// How it is told who wakes: env::Poller tells the thread that came last, and that is the helper. If the loop's thread
// hears something all the same, it does it, wakes the helper, and stands aside until the helper is gone; else it could
// hear in the helper's place again.
//
// Thread: Post, Run, Call, HelpUntil and InLoop from any; Timer and Watch belong to the loop.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "env/poller.h"

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
  // The same, but now and in this thread, when nobody else is in the loop and nothing was posted before. Nothing else
  // is done here, so the caller may hold locks that handlers take, if `work` calls none.
  void Run(std::function<void()> work);
  // Runs it in the loop, after what was posted before, and waits for its end. Within the loop, at once.
  void Call(const std::function<void()>& work);
  bool InLoop() const { return turn_of_.load(std::memory_order_relaxed) == std::this_thread::get_id(); }

  // Works in the loop until `done`, which is asked in the loop and becomes true there, or so long at most (negative:
  // without end). False at once when another thread helps already or this is the loop: then the loop's thread will do
  // it. Whoever calls it may hold no lock that a handler takes.
  bool HelpUntil(const std::function<bool()>& done, int64_t timeout_nanos);

 private:
  friend class Timer;
  friend class Watch;
  using Work = std::function<void()>;
  using Ready = std::function<void(const env::Poller::Event&)>;
  using TimerKey = std::pair<int64_t, uint64_t>;  // When, and a number.
  class Turn;

  void RunThread();
  // False when it is not free.
  bool RunHere(const std::function<void()>& work);
  // A turn's work: what `events` bring, timers, what was posted until now.
  void Dispatch(std::span<const env::Poller::Event> events);
  void RunTimers();
  void RunPosted();

  env::Poller poller_;
  std::thread thread_;

  std::mutex turn_;  // Held by who is in the loop. Guards the next lines.
  std::atomic<std::thread::id> turn_of_{};
  bool stopping_ = false;
  bool stands_aside_ = false;  // The loop's thread does.
  std::condition_variable helper_left_;
  const std::function<bool()>* helper_done_ = nullptr;  // Of a helper that sleeps.
  std::unordered_map<uint64_t, std::shared_ptr<const Ready>> watches_;
  uint64_t next_watch_ = 1;
  std::map<TimerKey, Work> timers_;
  uint64_t next_timer_ = 1;
  int64_t alarm_nanos_ = 0;  // 0: none is set.

  std::atomic<bool> helped_{false};

  std::mutex post_mutex_;  // Guards the next lines.
  std::vector<Work> posted_;
  // All are asleep, or as good as: whoever posts wakes one. Else somebody is in the loop and looks before it leaves.
  bool asleep_ = false;
};

// Runs something later. Destroying it, or Cancel, forgets what it has not run yet.
class Timer {
 public:
  explicit Timer(EventLoop& loop) : loop_(loop) {}
  ~Timer() { Cancel(); }
  Timer(const Timer&) = delete;
  // Forgets what was started before.
  void Start(int64_t nanos, std::function<void()> work);
  void Cancel();

 private:
  EventLoop& loop_;
  EventLoop::TimerKey key_{};  // The number is 0 when nothing was started.
};

// Runs `ready` each time that a descriptor becomes readable (or writable, if that is asked for) anew; see env::Poller.
// Destroy it before the descriptor is closed; `ready` may do so.
class Watch {
 public:
  using Ready = EventLoop::Ready;
  Watch(EventLoop& loop, int descriptor, env::Poller::Interest interest, Ready ready);
  ~Watch();
  Watch(const Watch&) = delete;
  // False when the system had no room for it: it will never be ready.
  bool valid() const { return name_ != 0; }

 private:
  EventLoop& loop_;
  const int descriptor_;
  uint64_t name_;
};

}  // namespace glim::net
