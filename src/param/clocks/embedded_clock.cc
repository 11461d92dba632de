// SPDX-License-Identifier: Apache-2.0
#include "param/clocks/embedded_clock.h"

#include <fmt/format.h>

#include <utility>

#include "base/try.h"

namespace glim::param {

EmbeddedClock::EmbeddedClock(env::Clock& clock, std::string table, Consistency consistency,
                             std::function<void(const HeldPush&)> combine)
    : clock_(clock),
      table_(std::move(table)),
      clocks_(consistency, [combine = std::move(combine)](const WorkerClocks::Held& held) {
        combine(*static_cast<const HeldPush*>(held.op.owner.get()));
      }) {}

Status EmbeddedClock::Closed() const {
  return closed_ ? Status::NotFound(fmt::format("table \"{}\" was dropped", table_)) : Status::Ok();
}

Result<EmbeddedClock::Joined> EmbeddedClock::Join(uint32_t worker, uint32_t workers) {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(Closed());
  const WorkerId id{worker, clocks_.attempt_max() + 1};
  if (Status status = clocks_.Join(id, workers); !status.ok()) {
    return std::move(status).With(fmt::format("table \"{}\": worker {} of {} cannot join", table_, worker, workers));
  }
  clocks_.Redo(id, clocks_.workers()[worker].clock);
  moved_at_.resize(workers, clock_.MonotonicNanos());
  moved_at_[worker] = clock_.MonotonicNanos();
  changed_.notify_all();  // The one that was this worker waits in vain.
  return Joined{id, clocks_.workers()[worker].clock};
}

Result<WorkerClocks::Taken> EmbeddedClock::Push(WorkerId id, uint64_t clock, uint64_t number,
                                                std::shared_ptr<const HeldPush> push) {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(Closed());
  RETURN_IF_ERROR(clocks_.CheckIsCurrent(id));
  SharedBytes op;
  if (push) op.bytes = push->values;
  op.owner = std::move(push);
  return clocks_.Push(id, number, {clock, {}, std::move(op)});
}

template <class May>
Status EmbeddedClock::Wait(WorkerId id, Deadline deadline, May may) {
  std::unique_lock lock(mutex_);
  Status status;
  const auto over = [&] {
    status = Closed();
    if (status.ok()) status = clocks_.CheckIsCurrent(id);
    return !status.ok() || may();
  };
  if (changed_.wait_until(lock, deadline, over)) return status;
  const double seconds = static_cast<double>(clock_.MonotonicNanos() - moved_at_[clocks_.slowest()]) / 1e9;
  return Status::Timeout(
      fmt::format("table \"{}\": worker {} waits in vain: {}", table_, id.worker, Straggler(clocks_, seconds)));
}

Status EmbeddedClock::WaitToPull(WorkerId id, uint64_t clock, Deadline deadline) {
  return Wait(id, deadline, [&] { return clocks_.MayPull(clock); });
}

Status EmbeddedClock::WaitForAll(WorkerId id, uint64_t clock, Deadline deadline) {
  return Wait(id, deadline, [&] { return clocks_.AllReached(clock); });
}

Status EmbeddedClock::Clock(WorkerId id, uint64_t clock) {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(Closed());
  RETURN_IF_ERROR(clocks_.CheckIsCurrent(id));
  moved_at_[id.worker] = clock_.MonotonicNanos();
  clocks_.Clock(id, clock);
  changed_.notify_all();
  return Status::Ok();
}

Status EmbeddedClock::Leave(WorkerId id) {
  const std::lock_guard lock(mutex_);
  clocks_.Leave(id);
  changed_.notify_all();
  return Status::Ok();
}

void EmbeddedClock::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

}  // namespace glim::param
