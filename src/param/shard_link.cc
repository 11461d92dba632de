// SPDX-License-Identifier: Apache-2.0
#include "param/shard_link.h"

#include <fmt/format.h>

#include <utility>

namespace glim::param {
namespace {

// A pull is asked again when it was turned down, or its server is silent, for so long; or when others are answered and
// it is not, for longer: it may wait behind them.
constexpr int64_t kAgainNanos = 300'000'000;
constexpr int64_t kLostNanos = 2'000'000'000;
PushSessionOptions SessionOptions(bool of_task) { return {.in_flight_max = 64, .queued_max = 256, .opens = !of_task}; }

}  // namespace

ShardLink::ShardLink(std::shared_ptr<ClusterNetwork> network, ShardId shard, std::string table,
                     const std::optional<TaskProducer>& task)
    : network_(std::move(network)),
      shard_(shard),
      table_(std::move(table)),
      of_task_(task && task->is_task),
      attempt_(task ? task->attempt : 1),
      producer_(task ? task->producer : network_->producer()),
      next_pull_(task ? task->first_pull : 1) {
  NewSession();
}

void ShardLink::NewSession() {
  PushSessionOutput& out = *this;
  session_.emplace(shard_, producer_, attempt_, SessionOptions(of_task_), out);
  if (primary_) session_->OnRoute(*primary_, network_->now());
}

// Before the shard may have forgotten it.
void ShardLink::RenewIfIdle() {
  if (!session_->IsIdle(network_->now()) || !asked_.empty() || !sent_.empty()) return;
  (void)session_->Close();
  ++attempt_;
  NewSession();
}

// When all that can still be heard of it is heard: pushes before a refused one are on their way, and their answers are
// lost with the session.
void ShardLink::FollowIfOver() {
  if (of_task_ || session_->status().ok() || session_->queued() > 0 || !answers_wanted_.empty()) return;
  ++attempt_;
  NewSession();
  // What they were to see is applied, or never will be.
  std::vector<uint64_t> waiting;
  for (auto& [number, asked] : asked_) {
    if (std::exchange(asked.request.after_seq, 0) > 0) waiting.push_back(number);
  }
  for (const uint64_t number : waiting) AskAgain(number);
}

bool ShardLink::Close(std::function<void()> sent) {
  closed_ = std::move(sent);
  return !of_task_ && session_->Close();
}

void ShardLink::Start(Push push) {
  RenewIfIdle();
  if (backlog_.empty() && Begin(&push)) return;
  backlog_.push_back({std::move(push), std::nullopt});
}

void ShardLink::Start(Pull pull) {
  RenewIfIdle();
  if (backlog_.empty()) return Begin(&pull);
  backlog_.push_back({std::nullopt, std::move(pull)});
}

// False: not yet.
bool ShardLink::Begin(Push* push) {
  if (!over_.ok()) {
    push->done(over_);
    if (push->answer) push->answer->done(over_);
    return true;
  }
  const uint64_t seq = session_->last_seq() + 1;
  if (!answers_wanted_.empty() && seq >= *answers_wanted_.begin() + kAnswersKept) return false;
  const auto number = session_->Push(push->op, push->deadline, network_->now());
  if (!number.ok()) return false;
  Sent& sent = sent_[*number];
  sent.done = std::move(push->done);
  if (!push->answer) return true;
  answers_wanted_.insert(seq);
  sent.answer = next_pull_;
  Asked asked;
  asked.request.answer_seq = seq;
  asked.deadline = push->deadline;
  asked.answer = *std::move(push->answer);
  Ask(std::move(asked));
  return true;
}

void ShardLink::Begin(Pull* pull) {
  if (!over_.ok()) return pull->answer.done(over_);
  Asked asked;
  asked.request.op = std::move(pull->op);
  asked.request.after_seq = session_->last_seq();
  asked.deadline = pull->deadline;
  asked.answer = std::move(pull->answer);
  asked.room = std::move(pull->room);
  Ask(std::move(asked));
}

void ShardLink::GoOn() {
  FollowIfOver();
  while (!backlog_.empty()) {
    Waiting& next = backlog_.front();
    if (next.push) {
      if (!Begin(&*next.push)) return;
    } else {
      Begin(&*next.pull);
    }
    backlog_.pop_front();
  }
}

void ShardLink::Ask(Asked asked) {
  const uint64_t number = next_pull_++;
  asked.request.shard = shard_;
  asked.request.producer = producer_;
  asked.request.request = number;
  asked.heard_at = network_->now();
  asked.busy = false;
  asked.waits_for.clear();
  asked.received = 0;
  if (address_.empty()) {
    WantRoute(shard_);
  } else {
    (void)network_->Send(address_, asked.request);
  }
  asked_.emplace(number, std::move(asked));
}

// Under another number, so that what is left of the first answer is not taken for the second.
void ShardLink::AskAgain(uint64_t number) {
  auto node = asked_.extract(number);
  const uint64_t next = next_pull_;
  for (auto& [push, sent] : sent_) {
    if (sent.answer == number) sent.answer = next;
  }
  Ask(std::move(node.mapped()));
}

void ShardLink::Finish(uint64_t number, Status status) {
  auto node = asked_.extract(number);
  if (node.empty()) return;
  const Asked asked = std::move(node.mapped());
  if (asked.request.answer_seq > 0) {
    if (const auto it = answers_wanted_.find(asked.request.answer_seq); it != answers_wanted_.end()) {
      answers_wanted_.erase(it);
    }
  }
  asked.answer.done(std::move(status));
}

void ShardLink::Send(const Member& primary, PushRequest request) {
  if (request.kind == RecordKind::kClose) {
    (void)network_->Send(address_, request, closed_ ? std::exchange(closed_, nullptr) : nullptr);
    return;
  }
  if (address_.empty()) return;
  ++unsent_;
  (void)network_->Send(address_, request, [self = shared_from_this()] { --self->unsent_; });
}

void ShardLink::Done(uint64_t push, PushResult result, const std::string& error) {
  auto node = sent_.extract(push);
  if (node.empty()) return;
  Sent sent = std::move(node.mapped());
  Status status;
  if (result == PushResult::kRefused) status = Status::Invalid(error);
  if (result == PushResult::kUnknown) {
    const std::string why = fmt::format("table \"{}\": it is not known whether the push is applied: {}", table_, error);
    // Only a task has others beside it that do the same.
    status = of_task_ && !session_->status().ok() ? Status(session_->status().code(), why) : Status::Timeout(why);
  }
  if (!status.ok() && sent.answer > 0) Finish(sent.answer, status);
  sent.done(std::move(status));
}

void ShardLink::OnReply(const PushReply& reply) {
  if (reply.producer != producer_ || reply.attempt != attempt_) return;
  session_->OnReply(reply, network_->now());
  const Status& status = session_->status();
  if (of_task_ && !status.ok()) {
    return End(Status(status.code(), fmt::format("table \"{}\": {}", table_, status.message())));
  }
  GoOn();
}

void ShardLink::OnReply(const PullReply& reply) {
  const auto it = asked_.find(reply.request);
  if (it == asked_.end()) return;  // Answered before, or asked again.
  Asked& asked = it->second;
  asked.heard_at = network_->now();
  switch (reply.outcome) {
    case PullOutcome::kNotPrimary: asked.busy = true; return WantRoute(shard_);
    case PullOutcome::kBusy: asked.busy = true; return;
    case PullOutcome::kWaiting: asked.waits_for = reply.error; return;
    case PullOutcome::kRefused: Finish(reply.request, Status::Invalid(reply.error)); return GoOn();
    case PullOutcome::kOk: break;
  }
  const uint64_t bytes = reply.rows.bytes.size();
  if (reply.offset != asked.received || reply.size - reply.offset < bytes ||
      (asked.answer.bytes != ~uint64_t{0} && asked.answer.bytes != reply.size)) {
    Finish(reply.request, Status::Corrupt(fmt::format("table \"{}\": a server answered with other rows", table_)));
    return GoOn();
  }
  asked.answer.take(reply.rows.bytes, reply.offset);
  asked.received += bytes;
  if (asked.received < reply.size) return;
  Finish(reply.request, Status::Ok());
  GoOn();
}

void ShardLink::OnRoute(const ShardRoute& route) {
  if (!route.active || route.address.empty() || !over_.ok()) return;
  const bool other = address_ != route.address;
  address_ = route.address;
  primary_ = route.view.primary;
  session_->OnRoute(*primary_, network_->now());
  if (!other) return;
  std::vector<uint64_t> numbers;
  for (const auto& [number, asked] : asked_) numbers.push_back(number);
  for (const uint64_t number : numbers) AskAgain(number);
}

void ShardLink::TakeRoute(const ShardLink& other) {
  address_ = other.address_;
  primary_ = other.primary_;
  if (primary_) session_->OnRoute(*primary_, network_->now());
}

void ShardLink::Tick() {
  const int64_t now = network_->now();
  // What is not even sent need not be sent again.
  if (unsent_ > 0) session_->OnSending(now);
  RenewIfIdle();
  session_->OnTick(now);
  // Those behind one that is late may be in time.
  for (auto it = backlog_.begin(); it != backlog_.end();) {
    const int64_t deadline = it->push ? it->push->deadline : it->pull->deadline;
    if (now < deadline) {
      ++it;
      continue;
    }
    const Waiting late = std::move(*it);
    it = backlog_.erase(it);
    const Status status =
        Status::Timeout(fmt::format("table \"{}\": the requests before it took too long; it was not made", table_));
    if (late.pull) late.pull->answer.done(status);
    if (late.push) late.push->done(status);
    if (late.push && late.push->answer) late.push->answer->done(status);
    if (late.push && of_task_) return End(status);
  }
  const bool waits = session_->queued() > 0 || !asked_.empty() || !backlog_.empty();
  if (address_.empty() && waits) WantRoute(shard_);
  const bool silent = now - network_->heard_at(address_) >= kAgainNanos;
  std::vector<uint64_t> late, lost;
  for (auto& [number, asked] : asked_) {
    if (now >= asked.deadline) {
      late.push_back(number);
    } else if (!asked.waits_for.empty() && !silent) {
      // It lies there; what it waits for may be another by now.
      if (now - asked.heard_at < kLostNanos) continue;
      asked.heard_at = now;
      (void)network_->Send(address_, asked.request);
    } else if (now - asked.heard_at >= (asked.busy || silent ? kAgainNanos : kLostNanos)) {
      lost.push_back(number);
    }
  }
  for (const uint64_t number : late) {
    const std::string& why = asked_.at(number).waits_for;
    Finish(number,
           Status::Timeout(why.empty() ? fmt::format("table \"{}\": no answer to a pull before its deadline", table_)
                                       : fmt::format("table \"{}\": a worker waits in vain: {}", table_, why)));
  }
  if (!lost.empty()) WantRoute(shard_);
  for (const uint64_t number : lost) AskAgain(number);
  GoOn();
}

void ShardLink::End(const Status& status) {
  over_ = status;
  for (auto& [number, sent] : std::exchange(sent_, {})) sent.done(status);
  for (auto& [number, asked] : std::exchange(asked_, {})) asked.answer.done(status);
  answers_wanted_.clear();
  NewSession();
  GoOn();
}

void ShardLink::Cancel() {
  over_ = Status::Cancelled("the connection to the cluster was given up");
  backlog_.clear();
  sent_.clear();
  asked_.clear();
  NewSession();
}

}  // namespace glim::param
