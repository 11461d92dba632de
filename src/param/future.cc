// SPDX-License-Identifier: Apache-2.0
#include "glim/future.h"

#include <algorithm>

namespace glim::internal {

Deadline DeadlineAfter(std::chrono::nanoseconds from_now) {
  // A thread that waits does so in real time, whatever clock the rest was given; a simulation never waits.
  // allow(system): see above.
  Deadline now = std::chrono::steady_clock::now();
  return from_now < kNoDeadline - now ? now + std::chrono::duration_cast<Deadline::duration>(from_now) : kNoDeadline;
}

Status FutureState::Wait(Deadline until) {
  if (Answered()) return status_;
  const Deadline first = std::min(until, deadline_);
  if (helper_ != nullptr) helper_->HelpUntil([this] { return ready(); }, first);
  std::unique_lock lock(mutex_);
  while (!ready()) {
    if (first == kNoDeadline) {
      completed_.wait(lock);
      continue;
    }
    if (completed_.wait_until(lock, first) != std::cv_status::timeout || ready()) continue;
    if (until < deadline_) return Status::Timeout("the request is not done yet");
    // Its own deadline: one of those who wait ends it for all, unless the answer is being written at this moment.
    if (Claim()) {
      lock.unlock();
      Complete(Status::Timeout("the request was not answered before its deadline"));
      return status_;
    }
    completed_.wait(lock, [this] { return ready(); });
  }
  return status_;
}

void FutureState::Then(std::function<void()> callback) {
  {
    std::lock_guard lock(mutex_);
    if (!ready()) {
      callbacks_.push_back(std::move(callback));
      return;
    }
  }
  callback();
}

void FutureState::Complete(Status status) {
  status_ = std::move(status);
  completer_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  std::unique_lock lock(mutex_);
  // A callback may add another one to this future.
  while (!callbacks_.empty()) {
    auto callbacks = std::move(callbacks_);
    callbacks_.clear();
    lock.unlock();
    for (auto& callback : callbacks) callback();
    callbacks.clear();
    lock.lock();
  }
  ready_.store(true, std::memory_order_release);
  completed_.notify_all();
}

}  // namespace glim::internal
