// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/task_queue.h"

#include <utility>

namespace glim::cluster {

TaskQueue::~TaskQueue() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (runner_.joinable()) runner_.join();
}

void TaskQueue::Add(Work work) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(work));
    if (!runner_.joinable()) {
      runner_ = std::thread(
          [this] { pool_->RunJob(pool_->thread_count(), [this](int, udf::Hosts& hosts) { WorkOff(hosts); }, [] {}); });
    }
  }
  changed_.notify_one();
}

void TaskQueue::WorkOff(udf::Hosts& hosts) {
  while (true) {
    Work work;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    work(hosts);
  }
}

}  // namespace glim::cluster
