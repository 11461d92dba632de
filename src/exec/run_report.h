// SPDX-License-Identifier: Apache-2.0
//
// What a run did: rows, bytes and time of every step (--stats), and when each task ran on which thread (--trace).
//
// Taps stand between the operators of a task's chain and count what passes. Times are of all tasks together, so two
// busy threads make two seconds a second; a step's time is its own, without the steps behind it. Bytes are those of
// the values, as they would stand in a text without separators (8 for a number).
//
// Thread: Add from any task; the rest after the run.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "env/env.h"
#include "glim/batch.h"
#include "glim/udf.h"

namespace glim::exec {

struct StepReport {
  std::string name;  // "Map(lua job.lua:5)"
  int64_t rows_in = 0, rows_out = 0;
  int64_t bytes_in = 0, bytes_out = 0;
  int64_t nanos = 0;
};

struct StageReport {
  std::string name;  // "stage 2"
  int tasks = 0;
  int tried_again = 0;                     // Tasks begun anew: what they ran on, or gave, was lost.
  int begun_beside = 0;                    // A second time, because they took much longer than others.
  int64_t begin_nanos = 0, end_nanos = 0;  // Since the run began.
  std::vector<StepReport> steps;           // What it reads, its operators, where its rows go.
};

struct TaskReport {
  int stage, task;
  int thread;  // From 0, in the order in which they first ran a task.
  int64_t begin_nanos, end_nanos;
};

// Counts the rows that go on to `next`, and the time until they are dealt with. `encoded`: they come as kEncode gives
// them.
class Tap : public BatchOutput {
 public:
  Tap(BatchOutput* next, bool encoded, env::Clock* clock) : next_(next), encoded_(encoded), clock_(clock) {}
  Status Push(Batch batch) override;
  bool full() const override { return next_->full(); }

  int64_t rows() const { return rows_; }
  int64_t bytes() const { return bytes_; }
  int64_t nanos() const { return nanos_; }

 private:
  BatchOutput* const next_;
  const bool encoded_;
  env::Clock* const clock_;
  int64_t rows_ = 0, bytes_ = 0, nanos_ = 0;
};

class RunReport {
 public:
  explicit RunReport(std::string flow) : flow_(std::move(flow)) {}

  // A stage, with the names of its steps.
  void AddStage(StageReport stage);
  void EndStage(int stage, int64_t end_nanos);
  // A task of the stage is begun that was begun before. `beside`: the attempt before is at work, too.
  void AddAttempt(int stage, bool beside);
  // `steps`: what one task adds to those of its stage; names are not looked at.
  void AddTask(int stage, int task, int64_t begin_nanos, int64_t end_nanos, const std::vector<StepReport>& steps);
  void Finish(int64_t nanos, int64_t peak_bytes, int64_t spilled_bytes);
  void SetCounters(Counters counters) { counters_ = std::move(counters); }

  // A table for people.
  std::string ToText() const;
  // {"flow":...,"seconds":...,"peak_memory_bytes":...,"spilled_bytes":...,"counters":{...},"stages":[{"steps":[...]}]};
  // times in seconds.
  std::string ToJson() const;
  // Events of the Trace Event Format, which ui.perfetto.dev opens, separated by commas; `run` numbers runs of a
  // session.
  std::string ToTraceEvents(int run, int64_t begin_nanos) const;

 private:
  const std::string flow_;
  std::mutex mutex_;
  std::vector<StageReport> stages_;
  std::vector<TaskReport> tasks_;
  std::vector<std::thread::id> threads_;
  Counters counters_;
  int64_t nanos_ = 0;
  int64_t peak_bytes_ = 0;
  int64_t spilled_bytes_ = 0;  // Written to disk, for want of memory.
};

}  // namespace glim::exec
