// SPDX-License-Identifier: Apache-2.0
//
// A worker of a table on servers: its requests are the table's with the worker's name before them, and its clock is a
// session (clocks/worker_session.h) in the network thread. As long as it lives it beats, so that shards do not take it
// for dead.
//
// Thread: one at a time; what is marked so belongs to the network thread.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "param/clocks/worker_session.h"
#include "param/clocks/worker_table.h"
#include "param/remote_table.h"

namespace glim::param {

// What outlives the handle: callbacks hold it.
class RemoteWorkerCore final : private WorkerSessionOutput, public std::enable_shared_from_this<RemoteWorkerCore> {
 public:
  RemoteWorkerCore(std::shared_ptr<RemoteTable> table, const JoinOptions& options, uint32_t token);

  // Begins something in the network thread, and waits for its end.
  Status Do(void (WorkerSession::*what)(), std::chrono::nanoseconds deadline);
  // No call works any more; with `leave`, it leaves without waiting.
  void End(bool leave);
  // Not ok: another process is this worker, or it was taken out, or a clock could not be ended.
  Status status() const;
  WorkerSession& session() { return session_; }

  // Network thread.
  void Tick();
  bool over() const { return over_; }

 private:
  using Running = std::shared_ptr<Promise<void>>;

  void Begin(void (WorkerSession::*what)(), const Running& running);
  void Push(uint32_t shard, SharedBytes op) override;
  void Read(uint32_t shard, SharedBytes request) override;
  void Done(Status status) override;
  void Fail(Status status);

  const std::shared_ptr<RemoteTable> table_;
  WorkerSession session_;  // Of the network thread while something runs, of the worker's otherwise.
  mutable std::mutex mutex_;
  Status failure_;
  // The network thread's.
  std::weak_ptr<Promise<void>> running_;  // Held by what is to complete it, so that it is dropped with that.
  int64_t deadline_ = 0;
  SharedBytes beat_;
  int64_t beat_at_ = 0;
  bool joined_ = false;
  bool over_ = false;
};

class RemoteWorker final : public WorkerTable {
 public:
  RemoteWorker(std::shared_ptr<RemoteTable> table, std::shared_ptr<RemoteWorkerCore> core, const JoinOptions& options)
      : WorkerTable(table, options), table_(std::move(table)), core_(std::move(core)) {}
  ~RemoteWorker() override { core_->End(core_->status().ok()); }

  uint64_t clock() const override { return core_->session().clock(); }
  Future<void> Push(std::span<const Key> keys, std::span<const std::byte> values, const PushOptions& options) override;
  Future<void> VPush(std::span<const Key> keys, std::span<const std::byte> values, std::span<const uint32_t> lengths,
                     const PushOptions& options) override;
  Future<void> Pull(std::span<const Key> keys, std::span<std::byte> out, const PullOptions& options) override;
  Future<VariableBytes> VPull(std::span<const Key> keys, const PullOptions& options) override;
  Status Clock(std::chrono::nanoseconds deadline) override;
  Status Barrier(std::chrono::nanoseconds deadline) override;
  Status Leave() override;

 private:
  // Before a request: it may be made, and those that it follows are done.
  Status MayBegin(const RequestOptions& options);
  template <class T>
  Future<T> Remember(Future<T> request, std::vector<Dependency>* requests);

  const std::shared_ptr<RemoteTable> table_;
  const std::shared_ptr<RemoteWorkerCore> core_;
  // Of this clock, those that may still be under way, and pushes that failed.
  std::vector<Dependency> pushes_;
  std::vector<Dependency> pulls_;
};

}  // namespace glim::param
