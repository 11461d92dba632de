// SPDX-License-Identifier: Apache-2.0
//
// A worker's half of its clock on servers: how it joins at all shards, ends its clocks and leaves, so that each clock
// counts once whatever became of the attempts before (docs/design/clocks.md).
//
//   join    look at all shards; be the attempt after the largest; look again: the furthest clock of this worker is its
//           clock; where a shard is behind, the end of the clocks between is sent again; the clock begins anew
//   clock   when all shards have said that they have the pushes, and that no later attempt was there before, it is
//   ended
//           at all
//
// A state machine without I/O, clock or threads: what it asks for is answered by OnPushed and OnRead, in any order.
// Thread: that of its owner, one call at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "param/clocks/clocked_state.h"
#include "param/replication/messages.h"
#include "param/replication/mutant.h"

namespace glim::param {

class WorkerSessionOutput {
 public:
  virtual ~WorkerSessionOutput() = default;
  // In the order of the producer's other pushes to this shard; until it is answered, or nobody knows.
  virtual void Push(uint32_t shard, SharedBytes op) = 0;
  // Sees what was pushed before.
  virtual void Read(uint32_t shard, SharedBytes request) = 0;
  // What was begun last is done. Nothing else is under way then.
  virtual void Done(Status status) = 0;
};

class WorkerSession {
 public:
  // `token`: random, to tell two that join at the same time. `out` must live as long.
  WorkerSession(uint32_t worker, uint32_t workers, uint32_t shards, uint32_t token, WorkerSessionOutput& out);

  // One at a time, each ends with Done.
  void Join();
  void Clock();
  // Until all living workers have ended the clocks that this one has.
  void Wait();
  void Leave();
  void OnPushed(uint32_t shard, const Status& status);
  void OnRead(uint32_t shard, const Result<SharedBytes>& answer);

  // Expects: joined. The next push of this clock to this shard.
  SharedBytes PushOp(uint32_t shard, std::span<const std::byte> rows_op);
  SharedBytes PullOp(std::span<const std::byte> rows_request) const;
  SharedBytes BeatOp() const { return EncodeClockRequest(ClockCall::kBeat, id_, clock_, 0); }

  uint64_t clock() const { return clock_; }
  WorkerId id() const { return id_; }
  uint32_t workers() const { return workers_; }

 private:
  enum class Doing { kNothing, kLook, kJoin, kLookAgain, kCatchUp, kConfirm, kClock, kWait, kLeave };

  void Begin(Doing doing);
  void ReadAll(ClockCall call);
  void PushAll(ClockCall call, uint64_t number = 0);
  void Part(const Status& status);
  void Finished();
  void CatchUp();

  const uint32_t workers_;
  const uint32_t shard_count_;
  const uint32_t token_;
  WorkerSessionOutput& out_;

  WorkerId id_;
  uint64_t clock_ = 0;
  std::vector<uint64_t> pushes_;  // Of this clock, by shard.
  Doing doing_ = Doing::kNothing;
  size_t left_ = 0;  // Answers that have not come.
  Status failure_;
  std::vector<ClockStatus> seen_;
};

}  // namespace glim::param
