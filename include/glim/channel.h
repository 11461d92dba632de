// SPDX-License-Identifier: Apache-2.0
//
// A queue with a bound, through which another thread of the program hands rows to a flow while it runs.
//
//   auto channel = std::make_shared<glim::Channel>();
//   std::thread pusher([channel] {
//     for (int64_t i = 0; channel->Push({i, "text"}).ok(); ++i) { ... }
//     channel->Close();
//   });
//   flow.Channel(channel).Map(...).Printf("%v\n");
//   glim::Status status = flow.Run();
//   pusher.join();
//
// Push waits while the queue is full, so a slow flow slows the pusher down. When the run is over, whether it failed,
// was cancelled or had rows enough (Limit), Push says so from then on: nobody waits for a flow that is gone. A run ends
// only when the channel was closed, so close it. One source reads a channel, in one run.
//
// Thread: any; several may push.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "glim/batch.h"
#include "glim/status.h"

namespace glim {

class Channel {
 public:
  // `rows_max` may wait in the queue.
  explicit Channel(int64_t rows_max = 4096) : rows_max_(rows_max < 1 ? 1 : rows_max) {}
  Channel(const Channel&) = delete;

  // kCancelled once the run is over, kInvalid once the channel was closed, kTimeout when the queue was full for so long
  // (negative: wait for ever); then the row was not taken.
  Status Push(Row row, int64_t timeout_nanos = -1);
  // No more rows come: the flow goes on with what is in the queue, and ends.
  void Close() { Close(Status::Ok()); }
  // The same, and the run fails with this when it has read what is in the queue.
  void Close(Status reason);

  // ---- For the engine ----
  // False when another source has it.
  bool Claim();
  // A run begins to read; fails when an earlier one did.
  Status StartRun();
  // After StartRun, or with `always`: nobody reads any more.
  void EndRun(bool always);
  // Moves the rows that wait to `rows`, at least one; waits for the first. False: there will be no more. nullopt: none
  // came in time.
  Result<std::optional<bool>> Take(int64_t timeout_nanos, std::vector<Row>* rows);

 private:
  const int64_t rows_max_;
  std::mutex mutex_;  // Guards all below.
  std::condition_variable room_, news_;
  std::vector<Row> rows_;
  bool claimed_ = false;
  bool started_ = false;
  bool ended_ = false;
  bool closed_ = false;
  Status reason_;  // Of Close.
};

}  // namespace glim
