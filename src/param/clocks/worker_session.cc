// SPDX-License-Identifier: Apache-2.0
#include "param/clocks/worker_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace glim::param {

WorkerSession::WorkerSession(uint32_t worker, uint32_t workers, uint32_t shards, uint32_t token,
                             WorkerSessionOutput& out)
    : workers_(workers), shard_count_(shards), token_(token), out_(out), id_{worker, 0}, pushes_(shards) {}

void WorkerSession::Begin(Doing doing) {
  doing_ = doing;
  left_ = shard_count_;
  failure_ = Status::Ok();
}

void WorkerSession::ReadAll(ClockCall call) {
  for (uint32_t s = 0; s < shard_count_; ++s) out_.Read(s, EncodeClockRequest(call, id_, clock_, 0));
}

void WorkerSession::PushAll(ClockCall call, uint64_t number) {
  for (uint32_t s = 0; s < shard_count_; ++s) out_.Push(s, EncodeClockRequest(call, id_, clock_, number));
}

void WorkerSession::Join() {
  seen_.assign(shard_count_, {});
  Begin(Doing::kLook);
  ReadAll(ClockCall::kStatus);
}

void WorkerSession::Clock() {
  // Without this, pushes that a shard has passed over for a later attempt would pass for made, when that attempt finds
  // the end of the clock at another shard.
  Begin(Doing::kConfirm);
  if (GLIM_MUTANT(kClockBeforePushes)) {
    left_ = 1;
    return Part(Status::Ok());
  }
  ReadAll(ClockCall::kBeat);
}

void WorkerSession::Wait() {
  Begin(Doing::kWait);
  ReadAll(ClockCall::kWait);
}

void WorkerSession::Leave() {
  Begin(Doing::kLeave);
  PushAll(ClockCall::kLeave);
}

void WorkerSession::OnPushed(uint32_t shard, const Status& status) { Part(status); }

void WorkerSession::OnRead(uint32_t shard, const Result<SharedBytes>& answer) {
  if (!answer.ok()) return Part(answer.status());
  if (doing_ != Doing::kLook && doing_ != Doing::kLookAgain) return Part(Status::Ok());
  auto status = DecodeClockStatus(*answer);
  if (status.ok()) seen_[shard] = *std::move(status);
  Part(status.ok() ? Status::Ok() : status.status());
}

void WorkerSession::Part(const Status& status) {
  CHECK_GT(left_, 0U);
  if (!status.ok() && failure_.ok()) failure_ = status;
  if (--left_ == 0) Finished();
}

void WorkerSession::Finished() {
  const Doing done = std::exchange(doing_, Doing::kNothing);
  if (!failure_.ok()) return out_.Done(failure_);
  switch (done) {
    case Doing::kLook: {
      uint64_t attempt = 0;
      for (const ClockStatus& status : seen_) attempt = std::max(attempt, status.attempt_max);
      id_.attempt = ((attempt >> 32) + 1) << 32 | token_;
      Begin(Doing::kJoin);
      return PushAll(ClockCall::kJoin, workers_);
    }
    case Doing::kJoin: Begin(Doing::kLookAgain); return ReadAll(ClockCall::kStatus);
    case Doing::kLookAgain: return CatchUp();
    case Doing::kConfirm: Begin(Doing::kClock); return PushAll(ClockCall::kClock);
    case Doing::kClock:
      ++clock_;
      std::fill(pushes_.begin(), pushes_.end(), 0);
      return out_.Done(Status::Ok());
    default: return out_.Done(Status::Ok());
  }
}

void WorkerSession::CatchUp() {
  uint64_t ended = 0;
  for (const ClockStatus& status : seen_) {
    if (status.workers.size() != workers_) {
      return out_.Done(Status::Invalid(fmt::format(
          "worker {} of {} cannot join: {} workers have joined this table's clock, or are to, and have not left",
          id_.worker, workers_, status.workers.size())));
    }
    const ClockStatus::Worker& worker = status.workers[id_.worker];
    if (worker.attempt != id_.attempt || worker.left) {
      return out_.Done(Status::Stale(fmt::format("another process has become worker {}", id_.worker)));
    }
    clock_ = std::max(clock_, worker.clock);
    ended = std::max(ended, worker.ended);
  }
  // A clock whose end has come to one shard has all its pushes at all. One that was missed, because a shard had taken
  // this worker out, may have a part of them elsewhere.
  Begin(Doing::kCatchUp);
  for (uint32_t s = 0; s < shard_count_; ++s) {
    for (uint64_t clock = seen_[s].workers[id_.worker].clock; clock < clock_; ++clock) {
      if (clock >= ended) {
        ++left_;
        out_.Push(s, EncodeClockRequest(ClockCall::kRedo, id_, clock, 0));
      }
      ++left_;
      out_.Push(s, EncodeClockRequest(ClockCall::kClock, id_, clock, 0));
    }
  }
  PushAll(ClockCall::kRedo);
}

SharedBytes WorkerSession::PushOp(uint32_t shard, std::span<const std::byte> rows_op) {
  return EncodeClockRequest(ClockCall::kPush, id_, clock_, pushes_[shard]++, rows_op);
}

SharedBytes WorkerSession::PullOp(std::span<const std::byte> rows_request) const {
  return EncodeClockRequest(ClockCall::kPull, id_, clock_, 0, rows_request);
}

}  // namespace glim::param
