// SPDX-License-Identifier: Apache-2.0
#include "net/event_loop.h"

#include <algorithm>
#include <array>
#include <future>
#include <span>

#include "base/check.h"

namespace glim::net {
namespace {

constexpr size_t kEventsInTurn = 64;

}  // namespace

// This thread is in the loop as long as it lives. What is posted meanwhile wakes nobody: leaving looks for it.
class EventLoop::Turn {
 public:
  explicit Turn(EventLoop& loop) : Turn(loop, std::unique_lock(loop.turn_)) {}
  // Expects: `lock` holds the turn.
  Turn(EventLoop& loop, std::unique_lock<std::mutex> lock) : loop_(loop), lock_(std::move(lock)) {
    loop_.turn_of_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    const std::lock_guard posting(loop_.post_mutex_);
    loop_.asleep_ = false;
  }
  // With work left, or an answer for who helps, somebody is woken for it.
  ~Turn() {
    if (!lock_.owns_lock()) return;
    const bool left = Settle();
    if (left || HelperIsDone()) loop_.poller_.Wake();
  }
  // True when there is work left, which the caller does then.
  bool Leave() {
    const bool left = Settle();
    lock_.unlock();
    return left;
  }
  // Leaves it to the helper until there is none.
  void StandAside() {
    if (Settle() || HelperIsDone()) loop_.poller_.Wake();
    loop_.stands_aside_ = true;
    loop_.helper_left_.wait(lock_, [this] { return !loop_.helped_.load(); });
    loop_.stands_aside_ = false;
  }

 private:
  bool Settle() {
    loop_.turn_of_.store({}, std::memory_order_relaxed);
    const std::lock_guard posting(loop_.post_mutex_);
    loop_.asleep_ = loop_.posted_.empty();
    return !loop_.asleep_;
  }
  bool HelperIsDone() const { return loop_.helper_done_ != nullptr && (*loop_.helper_done_)(); }

  EventLoop& loop_;
  std::unique_lock<std::mutex> lock_;
};

EventLoop::EventLoop() {
  thread_ = std::thread([this] { RunThread(); });
}

EventLoop::~EventLoop() {
  CHECK(!InLoop());
  {
    const std::lock_guard lock(turn_);
    stopping_ = true;
  }
  poller_.Wake();
  thread_.join();
}

void EventLoop::RunThread() {
  std::array<env::Poller::Event, kEventsInTurn> room;
  bool left = true;  // What was posted before this thread was there.
  while (true) {
    const auto events = poller_.Wait(room, left ? 0 : -1);
    std::unique_lock lock(turn_);
    if (stopping_) return;
    Turn turn(*this, std::move(lock));
    Dispatch(events);
    if (helped_.load()) turn.StandAside();
    left = turn.Leave();
  }
}

bool EventLoop::HelpUntil(const std::function<bool()>& done, int64_t timeout_nanos) {
  if (InLoop() || helped_.exchange(true)) return false;
  const int64_t end = timeout_nanos < 0 ? 0 : env::Poller::MonotonicNanos() + timeout_nanos;
  std::array<env::Poller::Event, kEventsInTurn> room;
  std::span<const env::Poller::Event> events;
  bool left = false, one_waits = false;
  while (true) {
    Turn turn(*this);
    Dispatch(events);
    const int64_t rest = timeout_nanos < 0 ? -1 : std::max<int64_t>(0, end - env::Poller::MonotonicNanos());
    if (done() || rest == 0) {
      helper_done_ = nullptr;
      helped_.store(false);
      one_waits = stands_aside_;
      break;
    }
    helper_done_ = &done;
    left = turn.Leave();
    events = poller_.Wait(room, left ? 0 : rest);
  }
  // Not before it can have the turn.
  if (one_waits) helper_left_.notify_one();
  return true;
}

void EventLoop::Post(std::function<void()> work) {
  bool wake = false;
  {
    const std::lock_guard lock(post_mutex_);
    posted_.push_back(std::move(work));
    wake = std::exchange(asleep_, false);
  }
  if (wake) poller_.Wake();
}

bool EventLoop::RunHere(const std::function<void()>& work) {
  if (InLoop()) return false;
  std::unique_lock lock(turn_, std::try_to_lock);
  if (!lock.owns_lock()) return false;
  {
    // Others' work is not done here: it may want locks that this thread holds.
    const std::lock_guard posting(post_mutex_);
    if (!posted_.empty()) return false;
  }
  Turn turn(*this, std::move(lock));
  work();
  return true;
}

void EventLoop::Run(std::function<void()> work) {
  if (!RunHere(work)) Post(std::move(work));
}

void EventLoop::Call(const std::function<void()>& work) {
  if (InLoop()) return work();
  if (RunHere(work)) return;
  // Not by waiting for the turn: a loop that is never idle might take it again and again.
  const auto done = std::make_shared<std::promise<void>>();
  Post([done, &work] {
    work();
    done->set_value();
  });
  done->get_future().wait();
}

void EventLoop::Dispatch(std::span<const env::Poller::Event> events) {
  bool alarm = false;
  for (const env::Poller::Event& event : events) {
    alarm |= event.kind == env::Poller::Kind::kAlarm;
    if (event.kind != env::Poller::Kind::kDescriptor) continue;
    const auto found = watches_.find(event.name);
    if (found == watches_.end()) continue;  // Gone since the event was seen.
    const auto ready = found->second;
    (*ready)(event);
  }
  if (alarm) RunTimers();
  RunPosted();
}

void EventLoop::RunTimers() {
  alarm_nanos_ = 0;
  const int64_t now = env::Poller::MonotonicNanos();
  // Those that are started by these have their turn later, so that a timer of no time leaves room for others.
  const uint64_t started = next_timer_;
  for (auto next = timers_.begin(); next != timers_.end() && next->first.first <= now;) {
    if (next->first.second >= started) {
      ++next;
      continue;
    }
    const Work work = std::move(next->second);
    timers_.erase(next);
    work();
    next = timers_.begin();  // It may have started and cancelled others.
  }
  if (timers_.empty() || (alarm_nanos_ != 0 && alarm_nanos_ <= timers_.begin()->first.first)) return;
  alarm_nanos_ = timers_.begin()->first.first;
  poller_.SetAlarm(alarm_nanos_);
}

void EventLoop::RunPosted() {
  std::vector<Work> batch;
  {
    const std::lock_guard lock(post_mutex_);
    batch.swap(posted_);
  }
  for (Work& work : batch) {
    work();
    work = nullptr;  // What it holds goes in the order of the work.
  }
}

void Timer::Start(int64_t nanos, std::function<void()> work) {
  Cancel();
  key_ = {env::Poller::MonotonicNanos() + std::max<int64_t>(nanos, 0), loop_.next_timer_++};
  loop_.timers_.emplace(key_, std::move(work));
  if (loop_.alarm_nanos_ != 0 && loop_.alarm_nanos_ <= key_.first) return;
  loop_.alarm_nanos_ = key_.first;
  loop_.poller_.SetAlarm(key_.first);
}

void Timer::Cancel() {
  if (key_.second != 0) loop_.timers_.erase(std::exchange(key_, {}));
}

Watch::Watch(EventLoop& loop, int descriptor, env::Poller::Interest interest, Ready ready)
    : loop_(loop), descriptor_(descriptor), name_(loop.next_watch_++) {
  if (!loop_.poller_.Add(descriptor_, name_, interest)) {
    name_ = 0;
    return;
  }
  loop_.watches_.emplace(name_, std::make_shared<const Ready>(std::move(ready)));
}

Watch::~Watch() {
  if (name_ == 0) return;
  loop_.poller_.Remove(descriptor_);
  loop_.watches_.erase(name_);
}

}  // namespace glim::net
