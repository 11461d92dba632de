// SPDX-License-Identifier: Apache-2.0
//
// Brings what many tasks write into the order of the tasks, on its way into a sink.
//
// The task whose turn it is writes through; later ones leave their output here and go on, until `pending_bytes_max` are
// left behind: then they wait for their turn. Tasks start in order, so the one whose turn it is always runs, and nobody
// waits for ever.
//
// Thread: any; the sink is called by one at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "io/sink.h"

namespace glim::exec {

class OrderedSink {
 public:
  // `sink` and `cancelled` outlive this. `encoded`: batches come as kEncode gives them.
  OrderedSink(io::Sink* sink, bool encoded, int64_t pending_bytes_max, const std::atomic<bool>* cancelled)
      : sink_(sink), encoded_(encoded), pending_bytes_max_(pending_bytes_max), cancelled_(cancelled) {}

  Status Write(int task, const Batch& batch);
  Status EndTask(int task);
  // The sink wants no more.
  bool full() const { return full_.load(std::memory_order_relaxed); }
  // Wakes those who wait, because the run was cancelled.
  void Wake() { turn_.notify_all(); }

 private:
  struct Chunk {
    std::string bytes;
    Batch batch;
    int64_t size = 0;
  };
  struct Pending {
    std::vector<Chunk> chunks;
    bool ended = false;
  };
  // What the sink takes of the batch, copied.
  Result<Chunk> MakeChunk(const Batch& batch) const;
  template <class Condition>
  Status WaitWhile(std::unique_lock<std::mutex>& lock, const Condition& condition);
  Status WriteThrough(const Chunk& chunk);
  Status WriteThrough(std::string_view bytes);

  io::Sink* const sink_;
  const bool encoded_;
  const int64_t pending_bytes_max_;
  const std::atomic<bool>* const cancelled_;
  std::atomic<bool> full_{false};
  std::mutex mutex_;
  std::condition_variable turn_;
  int current_ = 0;
  int64_t pending_bytes_ = 0;
  std::map<int, Pending> pending_;
};

}  // namespace glim::exec
