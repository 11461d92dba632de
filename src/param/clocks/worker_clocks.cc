// SPDX-License-Identifier: Apache-2.0
#include "param/clocks/worker_clocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "param/replication/mutant.h"

namespace glim::param {
namespace {

void Put(uint64_t number, std::string* to) { to->append(reinterpret_cast<const char*>(&number), 8); }

bool Take(std::span<const std::byte>* from, uint64_t* number) {
  if (from->size() < 8) return false;
  std::memcpy(number, from->data(), 8);
  *from = from->subspan(8);
  return true;
}

}  // namespace

Status WorkerClocks::Join(WorkerId id, uint32_t workers) {
  // What was begun with another number, and given up by all who had joined.
  if (!workers_.empty() && workers_.size() != workers &&
      std::all_of(workers_.begin(), workers_.end(), [](const Worker& w) { return w.left || w.attempt == 0; })) {
    Begin();
  }
  if (!workers_.empty() && workers_.size() != workers) {
    return Status::Invalid(
        fmt::format("its clock is that of {} workers, not of {}, until they have left", workers_.size(), workers));
  }
  workers_.resize(workers);
  Worker& worker = workers_[id.worker];
  if (id.attempt <= worker.attempt) {
    return id.attempt == worker.attempt ? Status::Ok() : Status::Stale("another process has become this worker");
  }
  attempt_max_ = std::max(attempt_max_, id.attempt);
  worker.attempt = id.attempt;
  if (std::exchange(worker.left, false) && worker.clock < min_clock_) {
    worker.clock = min_clock_;
    worker.pushes = 0;
  }
  return Status::Ok();
}

WorkerClocks::Worker* WorkerClocks::Find(WorkerId id) {
  if (id.worker >= workers_.size()) return nullptr;
  Worker& worker = workers_[id.worker];
  if (GLIM_MUTANT(kNoWorkerFence)) return &worker;
  return worker.attempt == id.attempt && !worker.left ? &worker : nullptr;
}

WorkerClocks::Taken WorkerClocks::Push(WorkerId id, uint64_t number, Held push) {
  Worker* worker = Find(id);
  if (worker == nullptr || push.clock != worker->clock) return Taken::kPassedOver;
  if (consistency_ == kBsp && !GLIM_MUTANT(kApplyAtOnce)) {
    held_bytes_ += push.op.bytes.size() + sizeof(Held);
    worker->held.push_back(std::move(push));
    return Taken::kHeld;
  }
  if (number < worker->pushes && !GLIM_MUTANT(kApplyAgainInClock)) return Taken::kPassedOver;
  worker->pushes = number + 1;
  return Taken::kApply;
}

void WorkerClocks::Redo(WorkerId id, uint64_t clock) {
  Worker* worker = Find(id);
  if (worker == nullptr || clock != worker->clock || GLIM_MUTANT(kKeepUnfinishedClock)) return;
  Drop(*worker, clock);
}

void WorkerClocks::Clock(WorkerId id, uint64_t clock) {
  Worker* worker = Find(id);
  if (worker == nullptr || clock != worker->clock) return;
  worker->ended = ++worker->clock;
  worker->pushes = 0;
  Settle();
}

void WorkerClocks::Leave(WorkerId id) {
  if (id.attempt == 0 && id.worker < workers_.size()) id.attempt = workers_[id.worker].attempt;
  Worker* worker = Find(id);
  if (worker == nullptr) return;
  worker->left = true;
  Drop(*worker, worker->clock);
  Settle();
}

void WorkerClocks::Drop(Worker& worker, uint64_t from_clock) {
  while (!worker.held.empty() && worker.held.back().clock >= from_clock) {
    held_bytes_ -= worker.held.back().op.bytes.size() + sizeof(Held);
    worker.held.pop_back();
  }
}

uint64_t WorkerClocks::SlowestClock() const {
  uint64_t living = ~uint64_t{0}, any = 0;
  for (const Worker& worker : workers_) {
    any = std::max(any, worker.clock);
    if (!worker.left) living = std::min(living, worker.clock);
  }
  return living == ~uint64_t{0} ? any : living;
}

void WorkerClocks::Settle() {
  // It never goes back: who comes again after leaving begins there.
  const uint64_t upto = std::max(min_clock_, SlowestClock());
  for (; min_clock_ < upto; ++min_clock_) {
    if (held_bytes_ == 0) continue;
    const auto combine = [&](Worker& worker) {
      while (!worker.held.empty() && worker.held.front().clock <= min_clock_) {
        const Held held = std::move(worker.held.front());
        worker.held.pop_front();
        held_bytes_ -= held.op.bytes.size() + sizeof(Held);
        combine_(held);
      }
    };
    for (size_t w = 0; w < workers_.size(); ++w) combine(workers_[w]);
  }
  if (std::all_of(workers_.begin(), workers_.end(), [](const Worker& worker) { return worker.left; })) Begin();
}

void WorkerClocks::Begin() {
  workers_.clear();
  min_clock_ = held_bytes_ = 0;
}

Status WorkerClocks::CheckIsCurrent(WorkerId id) const {
  if (id.worker >= workers_.size()) {
    return Status::Stale(fmt::format("worker {} has left, or was taken out", id.worker));
  }
  const Worker& worker = workers_[id.worker];
  if (worker.attempt != id.attempt) {
    return Status::Stale(fmt::format("another process has become worker {}", id.worker));
  }
  if (worker.left) {
    return Status::Stale(
        fmt::format("worker {} was taken out: it was not heard of, or somebody removed it", id.worker));
  }
  return Status::Ok();
}

bool WorkerClocks::MayPull(uint64_t clock) const {
  switch (consistency_.kind) {
    case Consistency::Kind::kAsync: return true;
    case Consistency::Kind::kStale:
      return min_clock_ + consistency_.staleness + (GLIM_MUTANT(kOneClockTooStale) ? 1 : 0) >= clock;
    case Consistency::Kind::kBsp: return min_clock_ >= clock || GLIM_MUTANT(kPullBeforeClock);
  }
  return true;
}

uint32_t WorkerClocks::slowest() const {
  uint32_t slowest = 0;
  for (uint32_t w = 0; w < workers_.size(); ++w) {
    if (workers_[w].left) continue;
    if (workers_[slowest].left || workers_[w].clock < workers_[slowest].clock) slowest = w;
  }
  return slowest;
}

// u64 attempt_max, min_clock, workers; of each: attempt, clock, ended, pushes, left, held; of each: clock, producer,
// bytes, then they.
void WorkerClocks::Save(std::string* to) const {
  for (const uint64_t number : {attempt_max_, min_clock_, uint64_t{workers_.size()}}) Put(number, to);
  for (const Worker& worker : workers_) {
    const bool without_held = GLIM_MUTANT(kSnapshotWithoutHeld);
    for (const uint64_t number : {worker.attempt, worker.clock, worker.ended, worker.pushes, uint64_t{worker.left},
                                  without_held ? uint64_t{0} : uint64_t{worker.held.size()}}) {
      Put(number, to);
    }
    for (const Held& held : worker.held) {
      if (without_held) break;
      for (const uint64_t number : {held.clock, held.producer.high, held.producer.low, held.op.bytes.size()}) {
        Put(number, to);
      }
      to->append(reinterpret_cast<const char*>(held.op.bytes.data()), held.op.bytes.size());
    }
  }
}

Status WorkerClocks::Restore(std::span<const std::byte>* from) {
  const auto broken = [] { return Status::Corrupt("a snapshot of a shard ends within the clocks of its workers"); };
  std::span<const std::byte> left = *from;
  uint64_t attempt_max, min_clock, count, held_bytes = 0;
  if (!Take(&left, &attempt_max) || !Take(&left, &min_clock) || !Take(&left, &count)) return broken();
  if (count > left.size() / 48) return broken();
  std::vector<Worker> workers(count);
  for (Worker& worker : workers) {
    uint64_t has_left, held_count;
    if (!Take(&left, &worker.attempt) || !Take(&left, &worker.clock) || !Take(&left, &worker.ended) ||
        !Take(&left, &worker.pushes) || !Take(&left, &has_left) || !Take(&left, &held_count)) {
      return broken();
    }
    worker.left = has_left != 0;
    for (; held_count > 0; --held_count) {
      uint64_t clock, size;
      Producer producer;
      if (!Take(&left, &clock) || !Take(&left, &producer.high) || !Take(&left, &producer.low) || !Take(&left, &size) ||
          size > left.size()) {
        return broken();
      }
      worker.held.push_back(
          {clock, producer, SharedBytes::Of(std::string(reinterpret_cast<const char*>(left.data()), size))});
      held_bytes += size + sizeof(Held);
      left = left.subspan(size);
    }
  }
  *from = left;
  attempt_max_ = attempt_max;
  min_clock_ = min_clock;
  workers_ = std::move(workers);
  held_bytes_ = held_bytes;
  return Status::Ok();
}

void WorkerClocks::Clear() {
  Begin();
  attempt_max_ = 0;
}

void WorkerClocks::TakeOver(WorkerClocks&& other) {
  workers_ = std::move(other.workers_);
  min_clock_ = other.min_clock_;
  attempt_max_ = other.attempt_max_;
  held_bytes_ = other.held_bytes_;
}

std::string Straggler(const WorkerClocks& clocks, double seconds) {
  const uint32_t slowest = clocks.slowest();
  const WorkerClocks::Worker& worker = clocks.workers()[slowest];
  std::string text = fmt::format("worker {} of {} ", slowest, clocks.workers().size());
  text += worker.attempt == 0 ? "has not joined" : fmt::format("has not ended clock {}", worker.clock);
  if (seconds >= 1) text += fmt::format(" for {:.0f} s", seconds);
  return text;
}

}  // namespace glim::param
