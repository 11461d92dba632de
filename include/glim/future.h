// SPDX-License-Identifier: Apache-2.0
//
// The answer to a request that may still be on its way: Future<T> for the one who asked, Promise<T> for the one who
// answers.
//
// An embedded table answers before the call returns. Such a future holds its outcome itself: no allocation, no lock.
// One that is still pending shares a small state with its promise; the promise completes it once, from any thread,
// first come. Waiting sleeps.
//
// Who waits for an answer of servers works for it meanwhile (internal::Helper): callbacks may run in his thread.
//
// A pending request carries the deadline it was made with. Whoever waits past it completes the future with kTimeout,
// and a later answer is dropped: so all who ask get one and the same outcome, and nobody hangs.
//
// Callbacks (`Then`) run in the order in which they were given, on the thread that completes the future (at once when
// it is ready), and before anybody's Wait returns. They should be short and must not throw.
//
// Thread: ready, Wait, Get() const&, Then and Dependency may be called from any thread at once; moving a Future from or
// assigning to it may not. Promise: Set and Abandoned from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "glim/status.h"

namespace glim {

// A point on the monotonic clock, which is env::Clock's.
using Deadline = std::chrono::steady_clock::time_point;
inline constexpr Deadline kNoDeadline = Deadline::max();

namespace internal {

Deadline DeadlineAfter(std::chrono::nanoseconds from_now);

// Lets the thread that waits for an answer do the work that brings it. Nobody is woken for it then.
class Helper {
 public:
  virtual ~Helper() = default;
  // Until `done`, which becomes true in that work, or until the deadline. May return before, when others do the work.
  virtual void HelpUntil(const std::function<bool()>& done, Deadline until) = 0;
};

// What a pending future and its promise share, without the value.
class FutureState {
 public:
  explicit FutureState(Deadline deadline, std::shared_ptr<Helper> helper = nullptr)
      : deadline_(deadline), helper_(std::move(helper)) {}
  virtual ~FutureState() = default;
  FutureState(const FutureState&) = delete;

  bool ready() const { return ready_.load(std::memory_order_acquire); }
  Deadline deadline() const { return deadline_; }
  const std::shared_ptr<Helper>& helper() const { return helper_; }
  // Ok or the failure once ready; kTimeout when `until` passes first (the request goes on), or its own deadline (it is
  // over).
  Status Wait(Deadline until);
  // Runs at once when ready.
  void Then(std::function<void()> callback);
  // Claims the right to complete: true for one caller, who then stores the value and calls Complete.
  bool Claim() { return !claimed_.exchange(true, std::memory_order_acq_rel); }
  bool claimed() const { return claimed_.load(std::memory_order_acquire); }
  void Complete(Status status);
  // Valid once ready, and in callbacks.
  const Status& status() const { return status_; }

 private:
  bool Answered() const { return ready() || completer_.load(std::memory_order_relaxed) == std::this_thread::get_id(); }

  const Deadline deadline_;
  const std::shared_ptr<Helper> helper_;  // Or null.
  std::atomic<bool> claimed_{false};
  std::atomic<bool> ready_{false};
  std::atomic<std::thread::id> completer_{};  // While callbacks run: they may look at the outcome, others still wait.
  std::mutex mutex_;
  std::condition_variable completed_;
  std::vector<std::function<void()>> callbacks_;
  Status status_;
};

template <class T>
class ValueState : public FutureState {
 public:
  using FutureState::FutureState;
  std::optional<T> value;
};
template <>
class ValueState<void> : public FutureState {
 public:
  using FutureState::FutureState;
};

}  // namespace internal

// That a request is done, whatever it answers: what `after` of another request's options holds. Made from any future.
class Dependency {
 public:
  Dependency(std::shared_ptr<internal::FutureState> state, Status status)
      : state_(std::move(state)), status_(std::move(status)) {}

  bool ready() const { return !state_ || state_->ready(); }
  // Waits as long as the request's deadline allows.
  Status Wait() const { return state_ ? state_->Wait(kNoDeadline) : status_; }
  // Expects: ready().
  const Status& status() const { return state_ ? state_->status() : status_; }
  void Then(std::function<void()> callback) const {
    if (!state_) return callback();
    state_->Then(std::move(callback));
  }

 private:
  std::shared_ptr<internal::FutureState> state_;  // Null when the future was ready.
  Status status_;
};

template <class T>
class Promise;

template <class T>
class [[nodiscard]] Future {
 public:
  // Ready.
  Future(T value) : value_(std::move(value)) {}
  // Ready and failed. Expects: !status.ok().
  Future(Status status) : status_(std::move(status)) {}
  Future(Result<T> result) {
    if (result.has_value()) {
      value_ = *std::move(result);
    } else {
      status_ = std::move(result).status();
    }
  }
  Future(Future&&) noexcept = default;
  Future& operator=(Future&&) noexcept = default;

  bool ready() const { return !state_ || state_->ready(); }
  // Waits as long as the request's deadline allows.
  Status Wait() const { return state_ ? state_->Wait(kNoDeadline) : status_; }
  // kTimeout when `until` comes first; the request goes on.
  Status Wait(Deadline until) const { return state_ ? state_->Wait(until) : status_; }
  Status Wait(std::chrono::nanoseconds at_most) const {
    return state_ ? state_->Wait(internal::DeadlineAfter(at_most)) : status_;
  }
  // Waits, and gives the value.
  Result<T> Get() const& {
    if (Status status = Wait(); !status.ok()) return status;
    return state_ ? *state_->value : *value_;
  }
  Result<T> Get() && {
    if (Status status = Wait(); !status.ok()) return status;
    return state_ ? *std::move(state_->value) : *std::move(value_);
  }
  // `callback(const Status&, const T*)`; the pointer is null when the status is not ok.
  template <class F>
  void Then(F callback) const {
    if (!state_) return callback(status_, value_ ? &*value_ : nullptr);
    state_->Then([state = state_.get(), callback = std::move(callback)]() mutable {
      callback(state->status(), state->value ? &*state->value : nullptr);
    });
  }
  operator Dependency() const { return Dependency(state_, status_); }

  // This future with its value turned by `function(T) -> U`, which runs where a callback would. Uses this future up.
  template <class F, class U = std::invoke_result_t<F, T>>
  Future<U> Map(F function) &&;

 private:
  friend class Promise<T>;
  explicit Future(std::shared_ptr<internal::ValueState<T>> state) : state_(std::move(state)) {}

  Status status_;           // The outcome, when state_ is null.
  std::optional<T> value_;  // So is the value.
  std::shared_ptr<internal::ValueState<T>> state_;
};

template <>
class [[nodiscard]] Future<void> {
 public:
  // Ready and well.
  Future() = default;
  Future(Status status) : status_(std::move(status)) {}
  Future(Future&&) noexcept = default;
  Future& operator=(Future&&) noexcept = default;

  bool ready() const { return !state_ || state_->ready(); }
  // As above.
  Status Wait() const { return state_ ? state_->Wait(kNoDeadline) : status_; }
  Status Wait(Deadline until) const { return state_ ? state_->Wait(until) : status_; }
  Status Wait(std::chrono::nanoseconds at_most) const {
    return state_ ? state_->Wait(internal::DeadlineAfter(at_most)) : status_;
  }
  // `callback(const Status&)`
  template <class F>
  void Then(F callback) const {
    if (!state_) return callback(status_);
    state_->Then([state = state_.get(), callback = std::move(callback)]() mutable { callback(state->status()); });
  }
  operator Dependency() const { return Dependency(state_, status_); }

  // This future's outcome with `value` as its value: for a buffer that the request fills. Uses this future up.
  template <class T>
  Future<T> With(T value) &&;

 private:
  friend class Promise<void>;
  explicit Future(std::shared_ptr<internal::ValueState<void>> state) : state_(std::move(state)) {}

  Status status_;
  std::shared_ptr<internal::ValueState<void>> state_;
};

// The other end. Whoever drops it without an answer answers kCancelled.
template <class T>
class Promise {
 public:
  // `helper`: brings the answer, or null. Then it is answered in the helper's work, or given up at its deadline.
  explicit Promise(Deadline deadline = kNoDeadline, std::shared_ptr<internal::Helper> helper = nullptr)
      : state_(std::make_shared<internal::ValueState<T>>(deadline, std::move(helper))) {}
  Promise(Promise&&) noexcept = default;
  Promise& operator=(Promise&& other) noexcept {
    Drop();
    state_ = std::move(other.state_);
    return *this;
  }
  ~Promise() { Drop(); }

  // Expects: called once.
  Future<T> GetFuture() { return Future<T>(state_); }
  // True when the answer is not wanted any more: the deadline passed while somebody waited, or it was given.
  bool Abandoned() const { return state_->claimed(); }

  // A Status, or a value or the Status that says why there is none. False when the future was complete already; then
  // nothing changes.
  using Outcome = std::conditional_t<std::is_void_v<T>, Status, Result<T>>;
  bool Set(Outcome outcome) {
    if (!state_->Claim()) return false;
    if constexpr (std::is_void_v<T>) {
      state_->Complete(std::move(outcome));
    } else {
      if (outcome.has_value()) state_->value = *std::move(outcome);
      state_->Complete(std::move(outcome).status());
    }
    return true;
  }
  // For requests that write to the caller's memory: `fill` runs only when the answer is still wanted, and nobody's Wait
  // returns before it is done. It gives the outcome.
  template <class F>
  bool Fill(F fill)
    requires(std::is_void_v<T>)
  {
    if (!state_->Claim()) return false;
    state_->Complete(fill());
    return true;
  }

 private:
  void Drop() {
    if (!state_ || !state_->Claim()) return;
    state_->Complete(Status::Cancelled("the request was dropped without an answer"));
  }

  std::shared_ptr<internal::ValueState<T>> state_;
};

template <class T>
template <class F, class U>
Future<U> Future<T>::Map(F function) && {
  if (!state_) {
    if (!status_.ok()) return std::move(status_);
    return Future<U>(function(*std::move(value_)));
  }
  // In a shared_ptr because std::function wants something that can be copied.
  auto promise = std::make_shared<Promise<U>>(state_->deadline(), state_->helper());
  Future<U> mapped = promise->GetFuture();
  state_->Then([state = state_.get(), promise, function = std::move(function)]() mutable {
    promise->Set(state->status().ok() ? Result<U>(function(*std::move(state->value))) : Result<U>(state->status()));
  });
  return mapped;
}

template <class T>
Future<T> Future<void>::With(T value) && {
  if (!state_) {
    if (!status_.ok()) return std::move(status_);
    return Future<T>(std::move(value));
  }
  auto promise = std::make_shared<Promise<T>>(state_->deadline(), state_->helper());
  Future<T> future = promise->GetFuture();
  // The value's memory stays until the request is over, even when `future` times out before.
  auto kept = std::make_shared<T>(std::move(value));
  state_->Then([state = state_.get(), promise, kept] {
    promise->Set(state->status().ok() ? Result<T>(std::move(*kept)) : Result<T>(state->status()));
  });
  return future;
}

}  // namespace glim
