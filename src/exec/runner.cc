// SPDX-License-Identifier: Apache-2.0
#include "exec/runner.h"

#include <atomic>
#include <cstdio>
#include <functional>
#include <optional>
#include <vector>

#include "base/try.h"
#include "exec/plan_tasks.h"
#include "exec/progress.h"

namespace glim::exec {
namespace {

class PlanRun {
 public:
  PlanRun(env::Env* env, WorkerPool* pool, const RunnerOptions& options, const plan::Plan& plan)
      : env_(env),
        pool_(pool),
        options_(options),
        plan_(plan),
        progress_(env, options.progress),
        tasks_(env,
               {.threads = pool->thread_count(),
                .partitions = options.partitions,
                .memory_bytes = options.memory_bytes,
                .tmp_folder = options.tmp_folder,
                .taps = options.report != nullptr,
                .progress = &progress_,
                .caches = options.caches},
               plan) {}

  Status Run() {
    Status status = RunStages();
    progress_.Clear();
    if (options_.report != nullptr) options_.report->Finish(tasks_.Now(), tasks_.peak_bytes(), tasks_.spilled_bytes());
    if (status.ok() && options_.counters != nullptr) *options_.counters = std::move(counters_);
    if (status.ok()) return status;
    tasks_.Abort();
    // Whoever noticed first: a wait for a command, a read.
    return status.code() == Code::kCancelled && env_->interrupted() ? Status::Cancelled("interrupted") : status;
  }

 private:
  Status RunStages() {
    // A program that caught the interrupt of an earlier run.
    if (env_->interrupted()) return Status::Cancelled("interrupted");
    RETURN_IF_ERROR(tasks_.Open());
    for (size_t i = 0; i < plan_.stages.size(); ++i) RETURN_IF_ERROR(RunStage(static_cast<int>(i)));
    return Status::Ok();
  }

  Status RunStage(int stage) {
    tasks_.Shape(stage);
    RETURN_IF_ERROR(tasks_.Prepare(stage));
    if (options_.report != nullptr) options_.report->AddStage(tasks_.Report(stage));
    if (tasks_.IsPart(stage)) return Status::Ok();
    progress_.StartStage(stage + 1, static_cast<int>(plan_.stages.size()), tasks_.source_bytes());
    if (options_.checkpoints != nullptr && Trains(plan_, stage)) {
      RETURN_IF_ERROR(RunTraining(stage));
    } else {
      RunJob(stage, tasks_.shape(stage).tasks, [&](int task, udf::Hosts& hosts) { RunTask(stage, task, hosts); });
    }
    if (options_.report != nullptr) ReportEnd(stage);
    RETURN_IF_ERROR(Failure());
    return tasks_.FinishStage(stage);
  }

  Status Failure() {
    if (env_->interrupted()) tasks_.Fail(Status::Cancelled("interrupted"));
    return tasks_.failure();
  }

  // With a pause whenever a snapshot is due, in which no task is at work.
  Status RunTraining(int stage) {
    Checkpoints& checkpoints = *options_.checkpoints;
    ASSIGN_OR_RETURN(std::vector<bool> done, checkpoints.Begin(PartsOf(plan_, tasks_, stage)));
    while (true) {
      std::vector<int> left;
      for (size_t task = 0; task < done.size(); ++task) {
        if (!done[task]) left.push_back(static_cast<int>(task));
      }
      if (left.empty()) break;
      std::vector<char> ran(left.size());  // Each is written by one thread.
      std::atomic<bool> pause{false};
      RunJob(stage, static_cast<int>(left.size()), [&](int i, udf::Hosts& hosts) {
        if (i > 0 && checkpoints.Due()) pause = true;
        if (i > 0 && pause) return;
        RunTask(stage, left[i], hosts);
        ran[i] = 1;
      });
      RETURN_IF_ERROR(Failure());
      for (size_t i = 0; i < left.size(); ++i) done[left[i]] = ran[i] != 0;
      if (pause) RETURN_IF_ERROR(checkpoints.Take(done));
    }
    checkpoints.End();
    return Status::Ok();
  }

  void RunJob(int stage, int count, const std::function<void(int, udf::Hosts&)>& task) {
    pool_->RunJob(count, task, [&] {
      if (env_->interrupted()) {
        tasks_.Fail(Status::Cancelled("interrupted"));
        EndIfStuck();
      }
      if (tasks_.cancelled()) tasks_.Wake(stage);
      progress_.Draw();
    });
  }

  void ReportEnd(int stage) {
    for (const int part : plan_.stages[stage].parts) ReportEnd(part);
    options_.report->EndStage(stage, tasks_.Now());
  }

  void RunTask(int stage, int task, udf::Hosts& hosts) {
    TaskResult result;
    if (Status status = tasks_.RunTask(stage, task, hosts, &result); !status.ok()) {
      tasks_.Fail(std::move(status));
      return;
    }
    for (const TaskWork& work : result.works) {
      options_.report->AddTask(work.stage, work.task, work.begin_nanos, work.end_nanos, work.steps);
    }
    const std::lock_guard lock(counters_mutex_);
    counters_.Add(result.counters);
  }

  // Nothing stops a Lua function that has no end, once it is machine code. Who asked to stop has waited long enough
  // then: what is half written is taken away, and the process ends.
  void EndIfStuck() {
    constexpr int64_t kGraceNanos = 600'000'000;
    if (!interrupted_at_.has_value()) interrupted_at_ = tasks_.Now();
    if (tasks_.Now() - *interrupted_at_ < kGraceNanos) return;
    tasks_.Abort();
    progress_.Clear();
    static_cast<void>(env_->standard_error().Append("glim: interrupted\n"));
    env::ExitNow(128 + env::InterruptSignal());
  }

  env::Env* const env_;
  WorkerPool* const pool_;
  const RunnerOptions options_;
  const plan::Plan& plan_;
  Progress progress_;
  PlanTasks tasks_;
  std::optional<int64_t> interrupted_at_;  // Of the driver's thread.
  std::mutex counters_mutex_;
  Counters counters_;
};

}  // namespace

Status Runner::Run(const plan::Plan& plan) {
  std::fflush(stdout);
  return PlanRun(env_, pool_, options_, plan).Run();
}

}  // namespace glim::exec
