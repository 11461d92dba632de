// SPDX-License-Identifier: Apache-2.0
//
// The clocks of the workers of a table, and the pushes that bulk-synchronous workers made in clocks that not all have
// ended (docs/design/clocks.md). On servers every shard has one, as a part of its replicated state; an embedded table
// has one for all.
//
//   worker   one of a fixed number, joined, ended clocks 0 .. clock - 1; living until it leaves
//   attempt  the larger one of two that claim to be a worker is it; what the other does is passed over
//   held     pushes of a bsp table, by worker, in its order; combined when all living workers have ended their clock
//
// A pure function of the calls: no time, no dice. Thread: that of its owner.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "glim/status.h"
#include "glim/table_spec.h"
#include "param/replication/messages.h"

namespace glim::param {

inline constexpr uint32_t kWorkersMax = 1 << 16;

// Who speaks: a worker in one of its attempts.
struct WorkerId {
  uint32_t worker = 0;
  uint64_t attempt = 0;
};

class WorkerClocks {
 public:
  struct Held {
    uint64_t clock = 0;
    Producer producer;
    SharedBytes op;
  };
  struct Worker {
    uint64_t attempt = 0;  // 0: nobody has joined.
    uint64_t clock = 0;    // Clocks ended, or missed because it had left.
    uint64_t ended = 0;    // The clock after the last that it has ended itself.
    uint64_t pushes = 0;   // Made in the clock that it is in.
    bool left = false;
    std::deque<Held> held;
  };
  // Carries out a push that was held.
  using Combine = std::function<void(const Held& held)>;

  WorkerClocks(Consistency consistency, Combine combine) : consistency_(consistency), combine_(std::move(combine)) {}

  // kInvalid when others have joined for another number of workers; kStale when a larger attempt is there.
  Status Join(WorkerId id, uint32_t workers);

  enum class Taken { kApply, kHeld, kPassedOver };
  // The `number`th push that the worker makes in its clock, from 0 on. What is held keeps `op`; what is to be applied
  // is the caller's to apply, now.
  Taken Push(WorkerId id, uint64_t number, Held push);
  // The worker makes this clock again, which it has not ended: what is held of it goes. Where pushes are applied at
  // once, those that are there are known by their number.
  void Redo(WorkerId id, uint64_t clock);
  // The worker has ended this clock. Passed over when it is another than the one it is in.
  void Clock(WorkerId id, uint64_t clock);
  // attempt 0: whichever it is.
  void Leave(WorkerId id);

  // Is it who it says? kStale: another attempt is at work, or it has left.
  Status CheckIsCurrent(WorkerId id) const;
  // May a pull of a worker that is at `clock` be answered?
  bool MayPull(uint64_t clock) const;
  // Have all living workers ended the clocks below this one?
  bool AllReached(uint64_t clock) const { return min_clock() >= clock; }
  // The slowest living worker, and how many are as slow. Expects: somebody lives.
  uint32_t slowest() const;
  uint64_t min_clock() const { return min_clock_; }

  // Empty as long as nobody has joined.
  const std::vector<Worker>& workers() const { return workers_; }
  uint64_t attempt_max() const { return attempt_max_; }
  uint64_t held_bytes() const { return held_bytes_; }
  const Consistency& consistency() const { return consistency_; }

  // Bytes, and back. Restore leaves everything as it was when it fails.
  void Save(std::string* to) const;
  Status Restore(std::span<const std::byte>* from);
  void Clear();
  // What the other holds, but for its consistency.
  void TakeOver(WorkerClocks&& other);

 private:
  // Not null when it is this attempt of a living worker.
  Worker* Find(WorkerId id);
  // What all have ended, bsp is to apply; and when nobody is left, everything begins anew.
  void Settle();
  void Begin();
  void Drop(Worker& worker, uint64_t from_clock);
  uint64_t SlowestClock() const;

  const Consistency consistency_;
  const Combine combine_;
  std::vector<Worker> workers_;
  uint64_t min_clock_ = 0;  // Clocks that all have ended. Bsp: those that are combined.
  uint64_t attempt_max_ = 0;
  uint64_t held_bytes_ = 0;
};

// "worker 3 of 8 has not ended clock 17", as a program tells it. `seconds` < 0: it is not known for how long.
std::string Straggler(const WorkerClocks& clocks, double seconds);

}  // namespace glim::param
