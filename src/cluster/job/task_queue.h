// SPDX-License-Identifier: Apache-2.0
//
// Work for the threads of a pool that comes one piece after the other, instead of as a job of known size. The threads
// begin with the first piece and end with the queue, when all that was added is done.
//
// Thread: any.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "exec/worker_pool.h"

namespace glim::cluster {

class TaskQueue {
 public:
  using Work = std::function<void(udf::Hosts&)>;
  // The pool outlives this, and has no other job meanwhile.
  explicit TaskQueue(exec::WorkerPool* pool) : pool_(pool) {}
  ~TaskQueue();
  TaskQueue(const TaskQueue&) = delete;

  // Pieces are begun in the order in which they were added. What waits is bounded by who adds: a schedule gives a place
  // as many tasks as it has slots.
  void Add(Work work);

 private:
  void WorkOff(udf::Hosts& hosts);

  exec::WorkerPool* const pool_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> waiting_;
  bool ending_ = false;
  std::thread runner_;
};

}  // namespace glim::cluster
