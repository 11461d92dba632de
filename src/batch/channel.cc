// SPDX-License-Identifier: Apache-2.0
#include "glim/channel.h"

#include <chrono>

namespace glim {
namespace {

// Waits until `ready`, or so long. False: it is not.
template <class Ready>
bool WaitFor(std::condition_variable& condition, std::unique_lock<std::mutex>& lock, int64_t timeout_nanos,
             Ready ready) {
  if (timeout_nanos >= 0) return condition.wait_for(lock, std::chrono::nanoseconds(timeout_nanos), ready);
  condition.wait(lock, ready);
  return true;
}

}  // namespace

Status Channel::Push(Row row, int64_t timeout_nanos) {
  std::unique_lock lock(mutex_);
  const bool ready = WaitFor(room_, lock, timeout_nanos,
                             [this] { return closed_ || ended_ || static_cast<int64_t>(rows_.size()) < rows_max_; });
  if (closed_) return Status::Invalid("the channel was closed");
  if (ended_) return Status::Cancelled("the run that read the channel is over");
  if (!ready) return Status::Timeout("the channel is full");
  const bool first = rows_.empty();
  rows_.push_back(std::move(row));
  lock.unlock();
  if (first) news_.notify_one();
  return Status::Ok();
}

void Channel::Close(Status reason) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = true;
    reason_ = std::move(reason);
  }
  news_.notify_all();
  room_.notify_all();
}

bool Channel::Claim() {
  std::lock_guard lock(mutex_);
  return !std::exchange(claimed_, true);
}

Status Channel::StartRun() {
  std::lock_guard lock(mutex_);
  if (ended_ || std::exchange(started_, true)) return Status::Invalid("an earlier run has read the channel");
  return Status::Ok();
}

void Channel::EndRun(bool always) {
  {
    std::lock_guard lock(mutex_);
    if (!started_ && !always) return;
    ended_ = true;
    rows_.clear();
  }
  room_.notify_all();
}

Result<std::optional<bool>> Channel::Take(int64_t timeout_nanos, std::vector<Row>* rows) {
  {
    std::unique_lock lock(mutex_);
    if (!WaitFor(news_, lock, timeout_nanos, [this] { return closed_ || !rows_.empty(); })) {
      return std::optional<bool>();
    }
    if (rows_.empty()) {
      if (!reason_.ok()) return reason_;
      return std::optional<bool>(false);
    }
    rows->clear();
    rows_.swap(*rows);
  }
  room_.notify_all();
  return std::optional<bool>(true);
}

}  // namespace glim
