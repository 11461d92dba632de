// SPDX-License-Identifier: Apache-2.0
//
// The threads of one process that run tasks. Each has its own language runtimes (udf::Hosts), which live as long as the
// pool, so that compiled Lua is used again by the next run.
//
// Tasks of a job are started in the order of their numbers; sinks that write in order rely on it. One job at a time.
//
// Thread: RunJob by one thread at a time. The threads start with the first job and end with the pool.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "env/thread.h"
#include "udf/hosts.h"

namespace glim::exec {

class WorkerPool {
 public:
  WorkerPool(int threads, udf::HostOptions hosts) : thread_count_(threads), host_options_(std::move(hosts)) {}
  WorkerPool(const WorkerPool&) = delete;
  ~WorkerPool();

  // Calls task(0) .. task(count - 1), several at once, and returns when all are done. `tick` is called by the waiting
  // thread about ten times a second.
  void RunJob(int count, const std::function<void(int task, udf::Hosts& hosts)>& task,
              const std::function<void()>& tick);

  int thread_count() const { return thread_count_; }

 private:
  void Work();

  const int thread_count_;
  const udf::HostOptions host_options_;
  std::vector<env::Thread> threads_;

  std::mutex mutex_;
  std::condition_variable work_ready_;
  std::condition_variable job_done_;
  const std::function<void(int, udf::Hosts&)>* task_ = nullptr;
  int next_ = 0;  // The task to start next.
  int count_ = 0;
  int running_ = 0;
  bool stopping_ = false;
};

}  // namespace glim::exec
