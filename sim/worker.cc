// SPDX-License-Identifier: Apache-2.0
#include "worker.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace glim::sim {
namespace {

constexpr int64_t kMilli = 1'000'000;
constexpr int64_t kSecond = 1'000'000'000;

std::string Encode(const WorkerPush& push) {
  std::string text(24, '\0');
  const uint64_t numbers[3] = {push.clock, push.worker, push.number};
  std::memcpy(text.data(), numbers, 24);
  return text;
}

WorkerPush DecodePush(std::span<const std::byte> bytes) {
  uint64_t numbers[3];
  std::memcpy(numbers, bytes.data(), 24);
  return {numbers[0], numbers[1], numbers[2]};
}

}  // namespace

WorkerWeather DrawWorkerWeather(uint64_t seed) {
  Random dice(seed * 2654435761 + 1);
  WorkerWeather weather;
  if (dice.Chance(500)) return weather;
  weather.workers = 2 + dice.Below(2);
  weather.shards = 1 + dice.Below(2);
  weather.consistency = dice.Chance(500) ? kBsp : Staleness(static_cast<uint32_t>(dice.Below(3)));
  weather.clocks = 3 + dice.Below(12);
  weather.pushes = 1 + dice.Below(3);
  weather.may_die = dice.Chance(400);
  weather.lease_nanos = (weather.may_die ? 3 : 60) * kSecond;
  return weather;
}

// ------------------------------------------------------------------------------------------------------------- state

param::SharedBytes TraceState::Apply(const param::Record& record) {
  const WorkerPush push = DecodePush(record.op.bytes);
  const auto it = last_.find(push.worker);
  const auto wrong = [&](std::string_view what) {
    violation_(
        fmt::format("push {} of clock {} of worker {} is applied {}", push.number, push.clock, push.worker, what));
  };
  if (it != last_.end() && push <= it->second) wrong("again, or too late");
  if (push.number > 0 &&
      (it == last_.end() || it->second.clock != push.clock || it->second.number + 1 != push.number)) {
    wrong("without the one before it");
  }
  if (weather_.consistency == kBsp) {
    for (const auto& [worker, last] : last_) {
      if (push < last) wrong("after others that come later");
    }
    if (push.number == 0 && it != last_.end() && it->second.number + 1 != weather_.pushes)
      wrong("after a part of a clock");
  }
  last_[push.worker] = push;
  return {};
}

std::string TraceState::Save() const {
  std::string bytes;
  for (const auto& [worker, last] : last_) bytes += Encode(last);
  return bytes;
}

TraceState::Last TraceState::Decode(std::span<const std::byte> bytes) {
  Last last;
  for (; bytes.size() >= 24; bytes = bytes.subspan(24)) {
    const WorkerPush push = DecodePush(bytes);
    last[push.worker] = push;
  }
  return last;
}

Status TraceState::Restore(std::span<const std::byte> bytes) {
  last_ = Decode(bytes);
  return Status::Ok();
}

// ------------------------------------------------------------------------------------------------------------ worker

Worker::Worker(WorkerWorld& world, const WorkerWeather& weather, uint64_t table, uint32_t process, uint32_t number,
               uint32_t attempt)
    : world_(world),
      weather_(weather),
      table_(table),
      process_(process),
      number_(number),
      producer_{9, uint64_t{number} << 32 | attempt},
      session_(number, weather.workers, weather.shards, static_cast<uint32_t>(world.Dice().Next()), *this),
      shards_(weather.shards) {
  for (uint32_t s = 0; s < weather.shards; ++s) {
    shards_[s].session =
        std::make_unique<param::PushSession>(param::ShardId{table, s}, producer_, 0,
                                             param::PushSessionOptions{.in_flight_max = 16, .queued_max = 64}, *this);
  }
  session_.Join();
}

void Worker::PushNow(uint32_t shard, param::SharedBytes op, bool control) {
  const auto push = shards_[shard].session->Push(std::move(op), world_.Now() + 1000 * kSecond, world_.Now());
  if (!push.ok()) {
    phase_ = Phase::kFailed;
  } else if (control) {
    shards_[shard].controls.insert(*push);
  }
}

void Worker::Done(uint64_t push, param::PushResult result, const std::string& error) {
  ToShard& to = shards_[working_on_];
  if (result == param::PushResult::kRefused) {
    return world_.Violated(fmt::format("a push of worker {} is refused: {}", number_, error));
  }
  // Its own session is called when that of the shard is not at work.
  const Status status = result == param::PushResult::kApplied ? Status::Ok() : Status::Timeout(error);
  if (to.controls.erase(push) > 0) {
    pushed_.emplace_back(working_on_, status);
  } else if (!status.ok()) {
    phase_ = Phase::kFailed;
  }
}

void Worker::Later() {
  for (const auto& [shard, status] : std::exchange(pushed_, {})) session_.OnPushed(shard, status);
}

void Worker::Done(Status status) {
  if (!status.ok()) {
    phase_ = Phase::kFailed;
    return;
  }
  auto& [ended, had_rival] = world_.Progress(number_);
  if (session_.clock() < ended && !had_rival && world_.IsWhole(number_) && !world_.BegunAnew()) {
    world_.Violated(fmt::format("worker {} is at clock {} and had ended {}", number_, session_.clock(), ended));
  }
  // All had left before it came: here that is the end.
  const bool late = phase_ == Phase::kJoin && world_.BegunAnew();
  // Of two at a time one may be told that what it did is done, when the other one is to do it again.
  if (world_.IsLatest(number_, process_)) ended = std::max(ended, session_.clock());
  if (phase_ == Phase::kLeave) {
    phase_ = Phase::kFinished;
  } else if (phase_ == Phase::kBarrier || late) {
    if (late) world_.IsLeaving(number_);
    phase_ = Phase::kLeave;
    session_.Leave();
  } else if (session_.clock() < weather_.clocks) {
    BeginClock();
  } else {
    phase_ = Phase::kBarrier;
    session_.Wait();
  }
}

void Worker::BeginClock() {
  phase_ = Phase::kPull;
  pulls_left_ = weather_.shards;
  for (uint32_t s = 0; s < weather_.shards; ++s) Ask(s, session_.PullOp({}), false, false);
}

void Worker::PushAll() {
  phase_ = Phase::kClock;
  for (uint64_t i = 0; i < weather_.pushes; ++i) {
    for (uint32_t s = 0; s < weather_.shards; ++s) {
      const std::string push = Encode({session_.clock(), number_, i});
      PushNow(s, session_.PushOp(s, std::as_bytes(std::span(push))), false);
    }
  }
  if (phase_ == Phase::kClock) session_.Clock();
}

void Worker::Ask(uint32_t shard, param::SharedBytes op, bool control, bool beat) {
  const uint64_t request = next_pull_++;
  const Pull& pull = pulls_[request] = {shard, std::move(op), control, beat, shards_[shard].session->last_seq()};
  if (beat) pulls_[request].after_seq = 0;
  Send(request, pull);
}

void Worker::Send(uint64_t request, const Pull& pull) {
  if (!shards_[pull.shard].primary) return WantRoute({table_, pull.shard});
  world_.Send(process_, *shards_[pull.shard].primary,
              param::PullRequest{{table_, pull.shard}, request, producer_, pull.after_seq, 0, pull.op});
}

void Worker::Tick() {
  if (finished() || failed()) return;
  for (working_on_ = 0; working_on_ < shards_.size(); ++working_on_) {
    shards_[working_on_].session->OnTick(world_.Now());
    if (!shards_[working_on_].session->status().ok()) phase_ = Phase::kFailed;
  }
  if (world_.Now() - beat_at_ >= kSecond / 2) {
    beat_at_ = world_.Now();
    std::erase_if(pulls_, [](const auto& entry) { return entry.second.beat; });
    for (uint32_t s = 0; session_.id().attempt != 0 && phase_ != Phase::kJoin && s < shards_.size(); ++s) {
      Ask(s, session_.BeatOp(), false, true);
    }
  }
  if (world_.Now() - asked_at_ >= 300 * kMilli) {
    asked_at_ = world_.Now();
    for (const auto& [request, pull] : pulls_) {
      WantRoute({table_, pull.shard});
      Send(request, pull);
    }
  }
  Later();
}

void Worker::OnRoute(const param::ShardId& shard, const param::Member& primary) {
  working_on_ = shard.shard;
  const bool other = shards_[working_on_].primary != primary;
  shards_[working_on_].primary = primary;
  shards_[working_on_].session->OnRoute(primary, world_.Now());
  for (const auto& [request, pull] : pulls_) {
    if (other && pull.shard == shard.shard) Send(request, pull);
  }
  Later();
}

void Worker::OnPushReply(const param::PushReply& reply) {
  if (reply.producer != producer_ || finished() || failed()) return;
  working_on_ = reply.shard.shard;
  shards_[working_on_].session->OnReply(reply, world_.Now());
  Later();
}

void Worker::OnPullReply(const param::PullReply& reply) {
  const auto it = pulls_.find(reply.request);
  if (it == pulls_.end() || finished() || failed()) return;
  const Pull& asked = it->second;
  using enum param::PullOutcome;
  if (reply.outcome == kNotPrimary) return WantRoute({table_, asked.shard});
  if (reply.outcome == kBusy) return;
  if (reply.outcome == kWaiting) {
    waits_for_ = reply.error;
    if (waits_for_.empty()) world_.Violated("a worker waits, and is not told for what");
    return;
  }
  const Pull pull = std::move(it->second);
  pulls_.erase(it);
  if (reply.outcome == kRefused) {
    // Leaving, it may be told that it has left.
    if (pull.beat && phase_ == Phase::kLeave) return;
    phase_ = Phase::kFailed;
    return;
  }
  if (pull.beat) return;
  if (pull.control) {
    session_.OnRead(pull.shard, reply.rows);
  } else {
    CheckPull(pull.shard, reply.rows);
    if (--pulls_left_ == 0) PushAll();
  }
  Later();
}

void Worker::CheckPull(uint32_t shard, const param::SharedBytes& rows) {
  const TraceState::Last last = TraceState::Decode(rows.bytes);
  const uint64_t clock = session_.clock();
  for (uint32_t worker = 0; worker < weather_.workers; ++worker) {
    const auto it = last.find(worker);
    // So many clocks are there, to the last push.
    const uint64_t ended = it == last.end() ? 0 : it->second.clock + (it->second.number + 1 == weather_.pushes ? 1 : 0);
    const bool bsp = weather_.consistency == kBsp;
    const uint64_t staleness = bsp ? 0 : weather_.consistency.staleness;
    if (world_.IsWhole(worker) && ended + staleness < clock) {
      world_.Violated(
          fmt::format("a pull of worker {} at clock {} shows {} clocks of worker {}", number_, clock, ended, worker));
    }
    if (bsp && it != last.end() && it->second.clock >= clock) {
      world_.Violated(fmt::format("a pull of worker {} at clock {} shows pushes of clock {} of worker {}", number_,
                                  clock, it->second.clock, worker));
    }
  }
}

std::string Worker::Describe() const {
  static constexpr const char* kPhases[] = {"joins",  "pulls",       "ends",      "meets the others",
                                            "leaves", "is finished", "has failed"};
  return fmt::format("worker {} {} at clock {} of {}, waits for \"{}\"", number_, kPhases[static_cast<int>(phase_)],
                     session_.clock(), weather_.clocks, waits_for_);
}

}  // namespace glim::sim
