// SPDX-License-Identifier: Apache-2.0
//
// The client's half of exactly once: the pushes of one producer to one shard. Each gets the next number; it is sent,
// and sent again under the same number, until the shard says that it has it. What the caller is told of a push is one
// of
//
//   applied   once, and it survives what the view's members survive
//   refused   not, and it never will be. It made no sense, which callers look for before they push (a push without a
//   number
//             leaves no hole); so nothing behind it can be applied either, and the session takes no more
//   unknown   not heard in time; it may be applied later, but not twice: the session goes on sending it, because those
//             behind it need the number, and tells nobody
//
// A session that is not of a task is opened at the shard first, with its first push, and closed when it is done. The
// shard forgets one that is silent for long (R16 in replica.h); so one that was idle is closed and followed by another
// one before that may have happened (IsIdle), and only one that could not speak for long ends with what is unknown.
//
// A state machine without I/O, clock or threads, like replica.h. Thread: that of its owner.
#pragma once

#include <deque>
#include <optional>
#include <string>

#include "param/replication/messages.h"
#include "param/replication/mutant.h"

namespace glim::param {

enum class PushResult { kApplied, kRefused, kUnknown };

// What a session makes happen. Calls do not come back into the session.
class PushSessionOutput {
 public:
  virtual ~PushSessionOutput() = default;
  virtual void Send(const Member& primary, PushRequest request) = 0;
  // OnRoute is wanted: it is not known, or not true any more, who the primary is.
  virtual void WantRoute(const ShardId& shard) = 0;
  virtual void Done(uint64_t push, PushResult result, const std::string& error) = 0;
};

struct PushSessionOptions {
  size_t in_flight_max = 64;
  size_t queued_max = 1024;
  int64_t resend_nanos = 300'000'000;
  bool opens = false;                    // It is no task's.
  int64_t idle_nanos = 300'000'000'000;  // Well below an era of the shards.
};

class PushSession {
 public:
  // `out` must live as long. A producer that is started again gives a larger attempt, and pushes the same things.
  PushSession(ShardId shard, Producer producer, uint64_t attempt, const PushSessionOptions& options,
              PushSessionOutput& out);

  // The push's number in this session, from 1 on, under which Done is called. kExhausted: too many are waiting.
  // The session's status: it is over.
  Result<uint64_t> Push(SharedBytes op, int64_t deadline, int64_t now);
  void OnReply(const PushReply& reply, int64_t now);
  void OnRoute(const Member& primary, int64_t now);
  // What was sent is still on its way out: no answer can have come.
  void OnSending(int64_t now) { heard_at_ = now; }
  // Now and then, at least every resend_nanos.
  void OnTick(int64_t now);

  // Open, and without anything to do for long.
  bool IsIdle(int64_t now) const;
  // Says that it is done, once, if all that was pushed is acknowledged. True: that was sent.
  bool Close();

  // What a pull must see to see all pushes made so far: their last seq.
  uint64_t last_seq() const { return first_seq_ + queue_.size() - 1; }
  size_t queued() const { return queue_.size(); }
  // Why the session is over: a push was refused, a later attempt is at work, or the shard forgot it.
  const Status& status() const { return status_; }

 private:
  struct Item {
    uint64_t push = 0;
    SharedBytes op;
    int64_t deadline = 0;
    bool told = false;
  };

  void Tell(Item& item, PushResult result, const std::string& error);
  void SendFrom(uint64_t seq, int64_t now);
  void SendOpen();
  void SendAgain(uint64_t seq, int64_t now);
  void OnApplied(uint64_t seq, int64_t now);
  // Nothing from `seq` on will be applied, or nobody knows.
  void End(uint64_t seq, PushResult result, Status status);

  const ShardId shard_;
  const Producer producer_;
  const PushSessionOptions options_;
  PushSessionOutput& out_;

  const uint64_t attempt_;
  uint64_t session_ = 0;  // As the shard numbered it.
  bool opening_ = false;  // It was asked to.
  int64_t used_at_ = 0;   // The last push, or word of one.
  std::optional<Member> primary_;
  std::deque<Item> queue_;  // Seq first_seq_ and on.
  uint64_t first_seq_ = 1;
  uint64_t sent_seq_ = 0;  // Sent at least once.
  uint64_t pushes_ = 0;
  uint64_t acknowledged_view_ = 0;  // A primary of a later one has all that was acknowledged, or something is lost.
  int64_t heard_at_ = 0;            // Progress, or the last try.
  int64_t sent_again_at_ = 0;
  std::optional<std::string> no_room_;  // Since the last progress: what a primary said.
  Status status_;
};

}  // namespace glim::param
