// SPDX-License-Identifier: Apache-2.0
//
// The clock of an embedded table: the clocks of its workers (worker_clocks.h) under a mutex. Who must wait sleeps in
// its call; who ends a clock last combines what was held, and wakes the others.
//
// Thread: any.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "env/env.h"
#include "glim/future.h"
#include "param/clocks/worker_clocks.h"

namespace glim::param {

// A push that is held, as it was made.
struct HeldPush {
  std::vector<Key> keys;
  std::vector<std::byte> values;
  std::vector<uint32_t> lengths;
  bool variable = false;
};

class EmbeddedClock {
 public:
  // `combine` is called with the clock locked, and must not call it.
  EmbeddedClock(env::Clock& clock, std::string table, Consistency consistency,
                std::function<void(const HeldPush&)> combine);

  // Where a worker is that has just joined.
  struct Joined {
    WorkerId id;
    uint64_t clock = 0;
  };
  Result<Joined> Join(uint32_t worker, uint32_t workers);
  // kApply: the caller is to make the push now.
  Result<WorkerClocks::Taken> Push(WorkerId id, uint64_t clock, uint64_t number, std::shared_ptr<const HeldPush> push);
  // Returns when a pull at `clock` may be answered, or when all have ended the clocks below it.
  Status WaitToPull(WorkerId id, uint64_t clock, Deadline deadline);
  Status WaitForAll(WorkerId id, uint64_t clock, Deadline deadline);
  Status Clock(WorkerId id, uint64_t clock);
  // attempt 0: whichever it is.
  Status Leave(WorkerId id);
  // The table is no more: nobody waits.
  void Close();

 private:
  template <class May>
  Status Wait(WorkerId id, Deadline deadline, May may);
  Status Closed() const;

  env::Clock& clock_;
  const std::string table_;
  std::mutex mutex_;
  std::condition_variable changed_;
  WorkerClocks clocks_;
  std::vector<int64_t> moved_at_;  // When each worker has ended a clock, or joined.
  bool closed_ = false;
};

}  // namespace glim::param
