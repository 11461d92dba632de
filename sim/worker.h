// SPDX-License-Identifier: Apache-2.0
//
// Workers with clocks, and the state that shows whether their table keeps its word (docs/design/clocks.md).
//
// A worker joins, and for each clock pulls all shards, pushes to all, ends the clock; at the end it leaves. It may end
// at any moment and be run again by another process, or never.
//
// Looked at:
//   1  what a pull at clock c shows: of every worker that nobody has taken out all pushes of clocks below c - s; bulk-
//      synchronous: all of clocks below c, and nothing else
//   2  each clock counts once: pushes of a worker are applied in its order, none twice; bulk-synchronous: whole clocks,
//      clock by clock, worker by worker
//   3  nobody waits for ever: left in peace, all that live get to their end, whoever died
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "param/clocks/worker_session.h"
#include "param/replication/push_session.h"
#include "param/replication/shard_state.h"
#include "random.h"

namespace glim::sim {

// What workers of a run do.
struct WorkerWeather {
  uint32_t workers = 0;  // 0: there are none.
  uint32_t shards = 1;
  Consistency consistency;
  uint64_t clocks = 0;
  uint64_t pushes = 0;  // In a clock, to each shard.
  int64_t lease_nanos = 0;
  bool may_die = false;  // One that ends is perhaps not run again.
};
WorkerWeather DrawWorkerWeather(uint64_t seed);

// What a push says: the `number`th of the worker's clock.
struct WorkerPush {
  uint64_t clock = 0;
  uint64_t worker = 0;
  uint64_t number = 0;
  auto operator<=>(const WorkerPush&) const = default;
};

// The pushes that a shard has applied.
class TraceState final : public param::ShardState {
 public:
  TraceState(bool on_disk, const WorkerWeather& weather, std::function<void(std::string)> violation)
      : on_disk_(on_disk), weather_(weather), violation_(std::move(violation)) {}

  Status Check(const param::SharedBytes& op) const override { return Status::Ok(); }
  bool Fits(const param::SharedBytes& op, uint64_t reserved_bytes) const override { return true; }
  param::SharedBytes Apply(const param::Record& record) override;
  Result<param::SharedBytes> Read(const param::SharedBytes& request) const override {
    return param::SharedBytes::Of(Save());
  }
  std::string Save() const override;
  Status Restore(std::span<const std::byte> bytes) override;
  bool on_disk() const override { return on_disk_; }
  void Clear() override { last_.clear(); }

  // Of each worker the last one.
  using Last = std::map<uint64_t, WorkerPush>;
  static Last Decode(std::span<const std::byte> bytes);
  const Last& last() const { return last_; }

 private:
  const bool on_disk_;
  const WorkerWeather weather_;
  const std::function<void(std::string)> violation_;
  Last last_;
};

// The rest of the run, as a worker's process sees it.
class WorkerWorld {
 public:
  virtual ~WorkerWorld() = default;
  virtual int64_t Now() = 0;
  virtual Random& Dice() = 0;
  virtual void Send(uint32_t process, const param::Member& primary, param::PushRequest request) = 0;
  virtual void Send(uint32_t process, const param::Member& primary, param::PullRequest request) = 0;
  virtual void AskRoute(uint32_t process, const param::ShardId& shard) = 0;
  virtual void Violated(std::string what) = 0;
  // Nobody has taken this one out, at any shard.
  virtual bool IsWhole(uint32_t worker) = 0;
  // It leaves before its end.
  virtual void IsLeaving(uint32_t worker) = 0;
  // No other process was started for this worker after this one.
  virtual bool IsLatest(uint32_t worker, uint32_t process) = 0;
  // What the latest processes of this worker knew of it.
  struct WorkerProgress {
    uint64_t ended_clocks = 0;
    bool had_rival = false;  // One was started when the one before was still there.
  };
  virtual WorkerProgress& Progress(uint32_t worker) = 0;
  // At a shard all workers have left, so that its clocks have begun anew.
  virtual bool BegunAnew() = 0;
};

// A process that runs one worker, in one attempt.
class Worker final : public param::PushSessionOutput, public param::WorkerSessionOutput {
 public:
  // `attempt`: of all processes that ran this worker, which; another producer each.
  Worker(WorkerWorld& world, const WorkerWeather& weather, uint64_t table, uint32_t process, uint32_t number,
         uint32_t attempt);

  void Tick();
  void OnRoute(const param::ShardId& shard, const param::Member& primary);
  void OnPushReply(const param::PushReply& reply);
  void OnPullReply(const param::PullReply& reply);

  bool joined() const { return phase_ != Phase::kJoin; }
  bool finished() const { return phase_ == Phase::kFinished; }
  // It cannot go on: another one has become this worker, or it was taken out.
  bool failed() const { return phase_ == Phase::kFailed; }
  std::string Describe() const;

 private:
  enum class Phase { kJoin, kPull, kClock, kBarrier, kLeave, kFinished, kFailed };
  struct ToShard {
    std::unique_ptr<param::PushSession> session;
    std::optional<param::Member> primary;
    std::set<uint64_t> controls;  // Pushes of the worker's session.
  };
  struct Pull {
    uint32_t shard = 0;
    param::SharedBytes op;
    bool control = false;
    bool beat = false;
    uint64_t after_seq = 0;
  };

  void Send(const param::Member& primary, param::PushRequest request) override {
    world_.Send(process_, primary, std::move(request));
  }
  void WantRoute(const param::ShardId& shard) override { world_.AskRoute(process_, shard); }
  void Done(uint64_t push, param::PushResult result, const std::string& error) override;
  void Push(uint32_t shard, param::SharedBytes op) override { PushNow(shard, std::move(op), true); }
  void Read(uint32_t shard, param::SharedBytes request) override { Ask(shard, std::move(request), true, false); }
  void Done(Status status) override;

  void PushNow(uint32_t shard, param::SharedBytes op, bool control);
  void Ask(uint32_t shard, param::SharedBytes op, bool control, bool beat);
  void Send(uint64_t request, const Pull& pull);
  void BeginClock();
  void PushAll();
  void CheckPull(uint32_t shard, const param::SharedBytes& rows);
  // After what the sessions called back with.
  void Later();

  WorkerWorld& world_;
  const WorkerWeather& weather_;
  const uint64_t table_;
  const uint32_t process_;
  const uint32_t number_;
  const param::Producer producer_;
  param::WorkerSession session_;
  Phase phase_ = Phase::kJoin;
  uint32_t working_on_ = 0;
  std::vector<ToShard> shards_;
  std::map<uint64_t, Pull> pulls_;
  uint64_t next_pull_ = 1;
  size_t pulls_left_ = 0;  // Of this clock.
  int64_t asked_at_ = 0;
  int64_t beat_at_ = 0;
  // What the sessions said while they were called, which is told to the other session when they are done.
  std::vector<std::pair<uint32_t, Status>> pushed_;
  std::string waits_for_;
};

}  // namespace glim::sim
