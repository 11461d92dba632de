// SPDX-License-Identifier: Apache-2.0
//
// One thread that does one thing after the other, for work that would hold up an event loop.
//
// Thread: any.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

namespace glim::cluster {

class Line {
 public:
  using Work = std::function<void()>;
  Line() : thread_([this] { WorkOff(); }) {}
  ~Line() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }
  Line(const Line&) = delete;

  // What waits is bounded by who adds: peers may ask only so much at once (Peer::kUnansweredMax). What waits when this
  // is destroyed is not done.
  void Add(Work work) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(work));
    }
    changed_.notify_one();
  }

  // Waits until it is done.
  void Call(const Work& work) {
    std::promise<void> done;
    Add([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }

 private:
  void WorkOff() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      if (ending_) return;
      const Work work = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      work();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> waiting_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace glim::cluster
