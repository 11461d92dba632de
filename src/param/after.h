// SPDX-License-Identifier: Apache-2.0
//
// Requests that wait for others: `after` in the options. They are made on the thread that completes the last of those.
//
// Thread: any.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "env/env.h"
#include "glim/future.h"
#include "glim/table.h"

namespace glim::param {

inline Deadline DeadlineOf(const RequestOptions& options, env::Clock& clock) {
  const auto now = Deadline(std::chrono::nanoseconds(clock.MonotonicNanos()));
  return options.deadline < kNoDeadline - now ? now + options.deadline : kNoDeadline;
}

inline bool AllReady(const std::vector<Dependency>& after) {
  for (const Dependency& dependency : after) {
    if (!dependency.ready()) return false;
  }
  return true;
}

// Why a request that was to follow these is not made. Expects: AllReady(after).
inline Status FailureOf(const std::vector<Dependency>& after) {
  for (const Dependency& dependency : after) {
    if (!dependency.status().ok()) {
      return Status::Cancelled("a request that this one was to follow failed: " + dependency.status().message());
    }
  }
  return Status::Ok();
}

// Waits in the call until the requests that this one follows are done; why it may not be made, or Ok.
inline Status WaitForOthers(const RequestOptions& options, env::Clock& clock) {
  const Deadline deadline = DeadlineOf(options, clock);
  for (const Dependency& dependency : options.after) {
    if (dependency.ready()) continue;
    auto done = std::make_shared<Promise<void>>(deadline);
    Future<void> future = done->GetFuture();
    dependency.Then([done] { done->Set(Status::Ok()); });
    if (Status status = future.Wait(); !status.ok()) return status;
  }
  return FailureOf(options.after);
}

// Runs `request`, which gives a Status, when all of options.after are done and none has failed; its status is the
// future's.
template <class Request>
Future<void> RunAfter(const RequestOptions& options, env::Clock& clock, Request request) {
  struct Waiting {
    Waiting(const RequestOptions& options, Deadline deadline, env::Clock& clock, Request request)
        : after(options.after),
          deadline(deadline),
          clock(clock),
          request(std::move(request)),
          promise(deadline),
          left(after.size()) {}

    // One dependency is done.
    void Done() {
      if (left.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
      promise.Fill([this]() -> Status {
        if (Status failure = FailureOf(after); !failure.ok()) return failure;
        if (clock.MonotonicNanos() >= deadline.time_since_epoch().count()) {
          return Status::Timeout(
              "the requests that this one was to follow took longer than its deadline allowed; it was not made");
        }
        return request();
      });
    }

    const std::vector<Dependency> after;
    const Deadline deadline;
    env::Clock& clock;
    Request request;
    Promise<void> promise;
    std::atomic<size_t> left;
  };
  auto waiting = std::make_shared<Waiting>(options, DeadlineOf(options, clock), clock, std::move(request));
  Future<void> future = waiting->promise.GetFuture();
  for (const Dependency& dependency : waiting->after) dependency.Then([waiting] { waiting->Done(); });
  return future;
}

}  // namespace glim::param
