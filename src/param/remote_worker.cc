// SPDX-License-Identifier: Apache-2.0
#include "param/remote_worker.h"

#include <fmt/format.h>

#include <utility>

#include "base/try.h"
#include "param/after.h"

namespace glim::param {
namespace {

constexpr int64_t kBeatNanos = 1'000'000'000;

}  // namespace

RemoteWorkerCore::RemoteWorkerCore(std::shared_ptr<RemoteTable> table, const JoinOptions& options, uint32_t token)
    : table_(std::move(table)), session_(options.worker, options.workers, table_->spec().shards, token, *this) {}

Status RemoteWorkerCore::status() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void RemoteWorkerCore::Fail(Status status) {
  const std::lock_guard lock(mutex_);
  if (failure_.ok()) failure_ = std::move(status);
}

Status RemoteWorkerCore::Do(void (WorkerSession::*what)(), std::chrono::nanoseconds deadline) {
  RETURN_IF_ERROR(status());
  ClusterNetwork& network = table_->network();
  if (network.InNetworkThread()) return Status::Invalid("a callback cannot wait for a clock");
  auto running = std::make_shared<Promise<void>>(kNoDeadline, table_->network().shared_from_this());
  Future<void> future = running->GetFuture();
  const int64_t until = DeadlineOf({.deadline = deadline}, network.env().clock()).time_since_epoch().count();
  RETURN_IF_ERROR(network.Run([self = shared_from_this(), what, running, until] {
    self->deadline_ = until;
    self->Begin(what, running);
  }));
  running.reset();
  Status status = future.Wait();
  // Nobody knows which shards have heard of it.
  if (!status.ok()) Fail(status);
  return status;
}

void RemoteWorkerCore::End(bool leave) {
  Fail(Status::Stale("the worker has left"));
  (void)table_->network().Post([self = shared_from_this(), leave] {
    self->over_ = true;
    if (!leave) return;
    self->deadline_ = self->table_->network().now() + 30'000'000'000;
    self->Begin(&WorkerSession::Leave, std::make_shared<Promise<void>>());
  });
}

void RemoteWorkerCore::Begin(void (WorkerSession::*what)(), const Running& running) {
  running_ = running;
  (session_.*what)();
}

void RemoteWorkerCore::Push(uint32_t shard, SharedBytes op) {
  ShardLink::Push push;
  push.op = std::move(op);
  push.deadline = deadline_;
  push.done = [self = shared_from_this(), running = running_.lock(), shard](const Status& status) {
    self->session_.OnPushed(shard, status);
  };
  table_->link(shard).Start(std::move(push));
}

void RemoteWorkerCore::Read(uint32_t shard, SharedBytes request) {
  ShardLink::Pull pull;
  pull.op = std::move(request);
  pull.deadline = deadline_;
  auto answer = std::make_shared<std::string>();
  pull.answer.take = [answer](std::span<const std::byte> piece, uint64_t offset) {
    if (offset == 0) answer->clear();
    answer->append(reinterpret_cast<const char*>(piece.data()), piece.size());
  };
  pull.answer.done = [self = shared_from_this(), running = running_.lock(), shard, answer](const Status& status) {
    self->session_.OnRead(shard, status.ok() ? Result<SharedBytes>(SharedBytes::Of(std::move(*answer))) : status);
  };
  table_->link(shard).Start(std::move(pull));
}

void RemoteWorkerCore::Done(Status status) {
  if (status.ok() && !joined_) {
    joined_ = true;
    beat_ = session_.BeatOp();
  }
  if (const Running running = running_.lock()) running->Set(std::move(status));
}

void RemoteWorkerCore::Tick() {
  const int64_t now = table_->network().now();
  if (!joined_ || over_ || now - beat_at_ < kBeatNanos) return;
  beat_at_ = now;
  for (uint32_t s = 0; s < table_->spec().shards; ++s) {
    ShardLink::Pull pull;
    pull.op = beat_;
    pull.deadline = now + 2 * kBeatNanos;
    pull.answer.take = [](std::span<const std::byte>, uint64_t) {};
    // A refusal says that it is this worker no more. What is late is no word about it.
    pull.answer.done = [self = shared_from_this()](const Status& status) {
      if (status.code() == Code::kInvalid) self->Fail(Status::Stale(status.message()));
    };
    table_->link(s).Start(std::move(pull));
  }
}

// ------------------------------------------------------------------------------------------------------------ worker

Status RemoteWorker::MayBegin(const RequestOptions& options) {
  RETURN_IF_ERROR(core_->status());
  RETURN_IF_ERROR(WaitForOthers(options, table_->network().env().clock()));
  std::erase_if(pushes_, [](const Dependency& push) { return push.ready() && push.status().ok(); });
  std::erase_if(pulls_, [](const Dependency& pull) { return pull.ready(); });
  return Status::Ok();
}

template <class T>
Future<T> RemoteWorker::Remember(Future<T> request, std::vector<Dependency>* requests) {
  requests->push_back(request);
  return request;
}

Future<void> RemoteWorker::Push(std::span<const Key> keys, std::span<const std::byte> values,
                                const PushOptions& options) {
  RETURN_IF_ERROR(MayBegin(options));
  return Remember(table_->PushAs(&core_->session(), keys, values, {.deadline = options.deadline, .after = {}}),
                  &pushes_);
}

Future<void> RemoteWorker::VPush(std::span<const Key> keys, std::span<const std::byte> values,
                                 std::span<const uint32_t> lengths, const PushOptions& options) {
  RETURN_IF_ERROR(MayBegin(options));
  return Remember(
      table_->VPushAs(&core_->session(), keys, values, lengths, {.deadline = options.deadline, .after = {}}), &pushes_);
}

Future<void> RemoteWorker::Pull(std::span<const Key> keys, std::span<std::byte> out, const PullOptions& options) {
  RETURN_IF_ERROR(MayBegin(options));
  return Remember(table_->PullAs(&core_->session(), keys, out, {.deadline = options.deadline, .after = {}}), &pulls_);
}

Future<VariableBytes> RemoteWorker::VPull(std::span<const Key> keys, const PullOptions& options) {
  RETURN_IF_ERROR(MayBegin(options));
  return Remember(table_->VPullAs(&core_->session(), keys, {.deadline = options.deadline, .after = {}}), &pulls_);
}

Status RemoteWorker::Clock(std::chrono::nanoseconds deadline) {
  RETURN_IF_ERROR(core_->status());
  // A pull that comes after the end of its clock would see too much. Whether it fails does not matter here.
  Status done =
      WaitForOthers({.deadline = deadline, .after = std::exchange(pulls_, {})}, table_->network().env().clock());
  if (done.code() == Code::kCancelled) done = Status::Ok();
  if (done.ok()) {
    done = WaitForOthers({.deadline = deadline, .after = std::exchange(pushes_, {})}, table_->network().env().clock());
  }
  if (!done.ok()) core_->End(true);
  RETURN_IF_ERROR(std::move(done).With(fmt::format("worker {} cannot end clock {}", worker(), clock())));
  return core_->Do(&WorkerSession::Clock, deadline);
}

Status RemoteWorker::Barrier(std::chrono::nanoseconds deadline) {
  RETURN_IF_ERROR(Clock(deadline));
  return core_->Do(&WorkerSession::Wait, deadline);
}

Status RemoteWorker::Leave() {
  Status left = core_->Do(&WorkerSession::Leave, std::chrono::seconds(30));
  core_->End(false);
  return left;
}

}  // namespace glim::param
