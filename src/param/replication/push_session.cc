// SPDX-License-Identifier: Apache-2.0
#include "param/replication/push_session.h"

#include <algorithm>
#include <utility>

namespace glim::param {

PushSession::PushSession(ShardId shard, Producer producer, uint64_t attempt, const PushSessionOptions& options,
                         PushSessionOutput& out)
    : shard_(shard), producer_(producer), options_(options), out_(out), attempt_(attempt) {}

Result<uint64_t> PushSession::Push(SharedBytes op, int64_t deadline, int64_t now) {
  if (!status_.ok()) return status_;
  if (queue_.size() >= options_.queued_max) {
    return Status::Exhausted("too many pushes to one shard wait for their acknowledgement");
  }
  if (queue_.empty()) heard_at_ = now;
  used_at_ = now;
  queue_.push_back({++pushes_, std::move(op), deadline, false});
  if (primary_) {
    SendFrom(sent_seq_ + 1, now);
  } else {
    out_.WantRoute(shard_);
  }
  return pushes_;
}

// From `seq` on, as many as may be under way.
void PushSession::SendFrom(uint64_t seq, int64_t now) {
  if (!primary_ || queue_.empty()) return;
  if (options_.opens && session_ == 0) return SendOpen();
  for (; seq <= last_seq() && seq < first_seq_ + options_.in_flight_max; ++seq) {
    out_.Send(*primary_,
              PushRequest{shard_, producer_, attempt_, seq, RecordKind::kPush, queue_[seq - first_seq_].op, session_});
    sent_seq_ = std::max(sent_seq_, seq);
  }
}

void PushSession::SendOpen() {
  if (std::exchange(opening_, true)) return;
  out_.Send(*primary_, PushRequest{shard_, producer_, attempt_, 0, RecordKind::kOpen, {}, 0});
}

bool PushSession::IsIdle(int64_t now) const {
  return session_ != 0 && queue_.empty() && status_.ok() && now - used_at_ >= options_.idle_nanos;
}

bool PushSession::Close() {
  if (!primary_ || session_ == 0 || !queue_.empty() || !status_.ok()) return false;
  out_.Send(*primary_, PushRequest{shard_, producer_, attempt_, last_seq() + 1, RecordKind::kClose, {}, session_});
  status_ = Status::Cancelled("the session was closed");
  return true;
}

// Every message behind a hole is answered; one of the answers is enough.
void PushSession::SendAgain(uint64_t seq, int64_t now) {
  if (now - sent_again_at_ < options_.resend_nanos / 16) return;
  sent_again_at_ = now;
  SendFrom(seq, now);
}

void PushSession::Tell(Item& item, PushResult result, const std::string& error) {
  if (std::exchange(item.told, true)) return;
  out_.Done(item.push, result, error);
}

void PushSession::OnApplied(uint64_t seq, int64_t now) {
  if (seq < first_seq_) return;
  heard_at_ = used_at_ = now;
  no_room_.reset();
  while (!queue_.empty() && first_seq_ <= std::min(seq, sent_seq_)) {
    Tell(queue_.front(), PushResult::kApplied, "");
    queue_.pop_front();
    ++first_seq_;
  }
  SendFrom(sent_seq_ + 1, now);
}

void PushSession::OnReply(const PushReply& reply, int64_t now) {
  if (reply.outcome == PushOutcome::kApplied) {
    acknowledged_view_ = std::max(acknowledged_view_, reply.view);
    return OnApplied(reply.seq, now);
  }
  switch (reply.outcome) {
    case PushOutcome::kApplied: return;
    case PushOutcome::kOpened:
      if (!options_.opens || session_ != 0 || !status_.ok()) return;
      session_ = reply.seq;
      acknowledged_view_ = std::max(acknowledged_view_, reply.view);
      heard_at_ = now;
      return SendFrom(first_seq_, now);
    case PushOutcome::kGap:
      if (reply.seq + 1 < first_seq_) {
        if (reply.view <= acknowledged_view_) return;  // A late answer.
        return End(first_seq_, PushResult::kUnknown,
                   Status::Unavailable("the shard has lost what it had acknowledged"));
      }
      return SendAgain(reply.seq + 1, now);
    case PushOutcome::kRefused:
      if (reply.seq >= first_seq_) End(reply.seq, PushResult::kRefused, Status::Invalid(reply.error));
      return;
    case PushOutcome::kBusy:  // OnTick tries again.
      no_room_ = reply.error.empty() ? "the servers have no room for it" : reply.error;
      return;
    case PushOutcome::kNotPrimary: return out_.WantRoute(shard_);
    case PushOutcome::kFenced:
      return End(first_seq_, PushResult::kUnknown, Status::Stale("a later attempt of this producer is at work"));
    case PushOutcome::kNoSession:
      if (options_.opens) {
        // Of a session that was opened only a primary of an earlier view does not know.
        if (session_ == 0 || reply.view < acknowledged_view_) return;
      } else {
        if (first_seq_ == 1) return SendAgain(1, now);  // It has not seen the first yet.
        if (reply.view <= acknowledged_view_) return;
      }
      return End(first_seq_, PushResult::kUnknown,
                 Status::Unavailable("the shard does not know this producer any more"));
  }
}

void PushSession::End(uint64_t seq, PushResult result, Status status) {
  status_ = std::move(status);
  while (!queue_.empty() && last_seq() >= seq) {
    Tell(queue_.back(), result, status_.message());
    queue_.pop_back();
  }
  sent_seq_ = std::min(sent_seq_, last_seq());
}

void PushSession::OnRoute(const Member& primary, int64_t now) {
  if (primary_ == primary) return;
  primary_ = primary;
  heard_at_ = now;
  opening_ = false;
  SendFrom(first_seq_, now);
}

void PushSession::OnTick(int64_t now) {
  for (Item& item : queue_) {
    if (now >= item.deadline)
      Tell(item, PushResult::kUnknown, no_room_.value_or("no acknowledgement came before the deadline"));
  }
  if (queue_.empty() || now - heard_at_ < options_.resend_nanos) return;
  heard_at_ = now;
  opening_ = false;
  out_.WantRoute(shard_);
  SendFrom(first_seq_, now);
}

}  // namespace glim::param
