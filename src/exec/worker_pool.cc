// SPDX-License-Identifier: Apache-2.0
#include "exec/worker_pool.h"

#include <chrono>

#include "base/check.h"

namespace glim::exec {

WorkerPool::~WorkerPool() {
  {
    std::lock_guard lock(mutex_);
    CHECK(task_ == nullptr);
    stopping_ = true;
  }
  work_ready_.notify_all();
  for (env::Thread& thread : threads_) thread.Join();
}

void WorkerPool::RunJob(int count, const std::function<void(int, udf::Hosts&)>& task,
                        const std::function<void()>& tick) {
  constexpr auto kTick = std::chrono::milliseconds(100);
  if (count == 0) return;
  std::unique_lock lock(mutex_);
  CHECK(task_ == nullptr);
  while (static_cast<int>(threads_.size()) < std::min(thread_count_, count)) {
    threads_.emplace_back(udf::kStackBytes, [this] { Work(); });
  }
  task_ = &task;
  next_ = 0;
  count_ = count;
  work_ready_.notify_all();
  while (!job_done_.wait_for(lock, kTick, [this] { return next_ == count_ && running_ == 0; })) {
    lock.unlock();
    tick();
    lock.lock();
  }
  task_ = nullptr;
}

void WorkerPool::Work() {
  const char stack_top = 0;
  udf::HostOptions options = host_options_;
  options.stack_top = &stack_top;
  udf::Hosts hosts(std::move(options));
  std::unique_lock lock(mutex_);
  while (true) {
    work_ready_.wait(lock, [this] { return stopping_ || (task_ != nullptr && next_ < count_); });
    if (stopping_) return;
    const int number = next_++;
    ++running_;
    const auto* task = task_;
    lock.unlock();
    (*task)(number, hosts);
    lock.lock();
    --running_;
    if (next_ == count_ && running_ == 0) job_done_.notify_one();
  }
}

}  // namespace glim::exec
