// SPDX-License-Identifier: Apache-2.0
//
// What the driver of a run hears while the run goes on. Threads that wait for executors, or work here, add events; the
// one thread that decides what the run does takes them, in the order in which they came.
//
// Thread: Add from any, Wait from one.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>
#include <variant>
#include <vector>

#include "cluster/job/messages.h"
#include "cluster/job/schedule.h"
#include "glim/status.h"

namespace glim::cluster {

struct TaskEnded {
  Schedule::Step step;
  Result<TaskAnswer> answer;
  bool put_off = false;
};
struct TellEnded {
  Schedule::Step step;
  Status status;
  bool put_off = false;
};
struct RowsBrought {
  int stage, task, from;
  Status status;
};
struct PlaceLost {
  int place;
  Status why;
};
struct PlaceOpened {
  int place;
  Status status;
};
struct FilesFound {
  int place, stage;
  std::string host;
  Result<exec::FoundFiles> found;
};
struct Launched {
  Result<std::vector<int>> places;
};
using Event = std::variant<TaskEnded, TellEnded, RowsBrought, PlaceLost, PlaceOpened, FilesFound, Launched>;

class Events {
 public:
  void Add(Event event) {
    {
      const std::lock_guard lock(mutex_);
      events_.push_back(std::move(event));
    }
    added_.notify_one();
  }
  std::deque<Event> Wait(std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    added_.wait_for(lock, timeout, [this] { return !events_.empty(); });
    return std::exchange(events_, {});
  }

 private:
  std::mutex mutex_;
  std::condition_variable added_;
  std::deque<Event> events_;
};

}  // namespace glim::cluster
