// SPDX-License-Identifier: Apache-2.0
//
// What the tasks of a plan do in one process: its sources, exchanges, sinks and memory, and the chain of operators of
// each task. Which task runs when, and in which process, is decided elsewhere: by exec/runner.h in one process, by
// cluster/job/ over many.
//
// The life of a stage: Shape (how many tasks), Prepare (what its tasks share), RunTask for each of them, FinishStage.
// A stage that is a part of another one is shaped and prepared as it stands in the plan, before that one, and has no
// tasks of its own. The tasks of a source's stage are runs of neighbouring splits; how many depends on the size of the
// data only, never on the number of threads or processes, so that a result (down to the rounding of sums) is the same
// everywhere.
//
// Thread: RunTask from any, several at a time; the rest from one at a time, and not while tasks of the same stage run.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/memory_budget.h"
#include "env/env.h"
#include "exchange/exchange.h"
#include "exec/bindings.h"
#include "exec/cache_space.h"
#include "exec/ordered_sink.h"
#include "exec/progress.h"
#include "exec/run_env.h"
#include "exec/run_report.h"
#include "plan/plan.h"
#include "spill/spill_file.h"

namespace glim::exec {

struct PlanTasksOptions {
  int threads = 1;     // That run tasks here at a time.
  int partitions = 0;  // Tasks of a source's stage and partitions of a hash exchange; 0: by size.
  int64_t memory_bytes = 0;
  std::string tmp_folder;      // Where what does not fit into memory lies meanwhile.
  bool keeps_outputs = false;  // Until DropOutput: tasks may be run again.
  // The run's name, under which tasks push to tables so that those that are run again push once (param/task_table.h);
  // empty: they push as others do.
  std::string job = {};
  bool taps = false;             // Results of tasks tell what each step did.
  bool asks_hosts = false;       // Which files each machine has of its own is told by SetFiles.
  Progress* progress = nullptr;  // Told of what sources give; may be null.
  // For what Cache steps keep; null: each run has its own.
  std::shared_ptr<CacheSpace> caches = nullptr;
};

// How a stage is cut into tasks: the same in all processes of a run.
struct StageShape {
  int tasks = 0;
  int consumers = 0;  // Of its exchange.
  // Of a source:
  std::vector<io::Split> splits;
  std::vector<std::pair<uint64_t, uint64_t>> groups;  // The splits of each task.
  // Of its source, or of all its parts; and in the parts of the same stage before it.
  uint64_t split_count = 0;
  uint64_t splits_before = 0;
};

// What a source finds to read on a machine.
struct FoundFiles {
  std::vector<io::Split> splits;
  std::vector<std::string> columns;  // As the files name them.
};

// What the chain of a stage did in a task of it: that of the task's own stage, or of a part.
struct TaskWork {
  int stage = 0, task = 0;
  int64_t begin_nanos = 0, end_nanos = 0;  // Since the run began here.
  std::vector<StepReport> steps;           // Without names.
};

struct TaskResult {
  Counters counters;
  std::vector<TaskWork> works;  // With taps.
  int64_t rows_read = 0;        // From sources.
  int64_t bytes_read = 0;       // About.
};

class PlanTasks {
 public:
  // All outlive this.
  PlanTasks(env::Env* env, PlanTasksOptions options, const plan::Plan& plan);
  ~PlanTasks();
  PlanTasks(const PlanTasks&) = delete;

  // Everything that can be found wrong before work starts is found here: functions, sources and their splits, sinks.
  // Where only tasks run whose shapes come from somebody else, `tasks_only`: functions and sources.
  Status Open(bool tasks_only = false);

  // With `asks_hosts`: the stages that read what each machine has of its own (glim/sources.h), and what that is, before
  // anything is shaped. Each split has its host.
  std::vector<int> HostStages() const;
  void SetFiles(int stage, std::vector<io::Split> splits);
  // What such a stage finds here.
  Result<FoundFiles> FindFiles(int stage);
  // The splits that a task reads, and the stage whose source they are of: this one or a part. Expects: shaped, and not
  // one task for all parts.
  std::pair<int, std::span<const io::Split>> SplitsOf(int stage, int task) const;

  // Decides how a stage is cut, and makes its exchange. Its inputs have run.
  void Shape(int stage);
  // The same as it was decided in another process.
  Status SetShape(int stage, StageShape shape);
  const StageShape& shape(int stage) const;
  // The stage goes on in another one, which has the tasks.
  bool IsPart(int stage) const;
  // What tasks that run here share. Expects: shaped.
  Status Prepare(int stage);
  // `result` is filled when this is ok. Once the run failed: kCancelled. `attempt`: counts the tries of the task, in
  // all processes. `given_up`: becomes true when nobody wants its rows any more, which it notices at its next batch.
  Status RunTask(int stage, int task, udf::Hosts& hosts, TaskResult* result, int attempt = 0,
                 const std::atomic<bool>* given_up = nullptr);
  // After its last task: the sink has all rows, and nobody reads the stage's inputs for its sake again.
  Status FinishStage(int stage);
  // Nobody needs what the stage sent any more.
  void DropOutput(int stage);

  // The first failure is kept, and ends all tasks: they notice at their next batch.
  void Fail(Status status);
  const Status& failure() const { return first_failure_; }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  // Wakes tasks of the stage that wait for others, to notice.
  void Wake(int stage);
  // When the run failed: sinks take back what they wrote.
  void Abort();

  // What the stage's joins have seen of keys here, and in tasks that ran elsewhere: to warn when nothing can match.
  std::vector<std::string> KeysSeen(int stage) const;
  void AddKeysSeen(int stage, const std::vector<std::string>& seen);

  // Its exchange; null when it has none, or nobody needs it any more.
  exchange::Exchange* output(int stage) const;
  // The stages whose exchanges `stage` reads.
  static std::vector<int> Reads(const plan::Stage& stage);
  // Of sources, about.
  int64_t source_bytes() const { return source_bytes_; }
  int64_t peak_bytes() const { return budget_.peak_bytes(); }
  int64_t spilled_bytes() const {
    return spill_.bytes_written() + cache_space_->spill.bytes_written() - caches_spilled_before_;
  }
  // Nanoseconds since the run began.
  int64_t Now() const { return env_->clock().MonotonicNanos() - started_; }
  // A stage and its steps by name, as RunReport wants them.
  StageReport Report(int stage) const;

 private:
  struct StageRun;
  struct Reading;
  struct TaskRun;
  using Chain = std::vector<std::unique_ptr<ops::Operator>>;

  Status CountCaches();
  Status OpenSources(bool tasks_only);
  Status OpenSinks(bool tasks_only);
  void CountSplits();
  void CountTasks(StageRun* run);
  int Consumers(const StageRun& run) const;
  void MakeOutput(StageRun* run);
  std::string OutputName(const StageRun& run) const;
  Status FillCache(const StageRun& run) const;
  bool LastReader(int stage) const;
  Result<std::shared_ptr<const ops::JoinTable>> BuildTable(const plan::Operator& op, ops::KeyKinds* kinds) const;
  void WarnOfKeys(const StageRun& run) const;
  // Those of its joins, and of its parts' joins.
  std::vector<ops::KeyKinds*> KeyKindsOf(const StageRun& run) const;
  void MakeKeyKinds(StageRun* run);
  void LetGo(StageRun* run);
  Status RunToEnd(StageRun* run, int task, const TaskRun& of);
  Status RunChain(StageRun* run, int task, const TaskRun& of, Reading* reading, BatchOutput* end,
                  exchange::PartitionWriter* writer);
  template <class FeedInto>
  static Status FeedThrough(const Chain& chain, const FeedInto& feed, BatchOutput* end,
                            exchange::PartitionWriter* writer);
  static int64_t CountKeepers(const StageRun& run);
  int64_t MemoryShare(const StageRun& run) const;
  bool GivesRuns(const StageRun& run) const;
  struct Pushing;
  Status MakeChain(const StageRun& run, int task, TaskContext* context, const uint64_t* split, Pushing* pushing,
                   Chain* chain);
  Status PushAsTask(const StageRun& run, int task, const plan::Operator& op, Pushing* pushing, TaskContext** context,
                    OperatorInputs* inputs);
  template <class FeedInto>
  Status RunTapped(const StageRun* run, int task, const Chain& chain, const FeedInto& feed, BatchOutput* end,
                   exchange::PartitionWriter* writer, TaskResult* result);
  static std::pair<int, int> Partitions(const StageRun& run, const exchange::Exchange& input, int task);
  bool NothingToDo(const StageRun& run, int task) const;
  Status Feed(StageRun* run, int task, const TaskRun& of, Reading* reading, BatchOutput* head);
  Status FeedParts(const StageRun& run, int task, const TaskRun& of, Reading* reading, BatchOutput* head);
  Status FeedSplits(StageRun* run, int task, const TaskRun& of, Reading* reading, BatchOutput* head);
  // Before each batch.
  Status GoOn(const TaskRun& of);
  Status Continue(const TaskRun& of) const;
  Status Continue() const { return cancelled() ? Status::Cancelled("cancelled") : Status::Ok(); }

  env::Env* const env_;
  const PlanTasksOptions options_;
  const plan::Plan& plan_;
  mutable base::MemoryBudget budget_;
  spill::Space spill_;
  const std::shared_ptr<CacheSpace> cache_space_;
  const int64_t caches_spilled_before_;
  base::Reservation caches_;  // Memory that caches have, or will have.
  std::mutex lua_mutex_;
  std::map<const udf::Hosts*, base::Reservation> lua_;  // What the Lua states of threads have grown to.
  bool tasks_only_ = false;
  const int64_t started_;
  Functions functions_;
  std::vector<int> readers_;
  int64_t source_bytes_ = 0;
  std::atomic<bool> cancelled_{false};
  RunEnv run_env_{env_, &cancelled_};
  std::vector<StageRun> stages_;

  std::mutex failure_mutex_;
  Status first_failure_;
};

}  // namespace glim::exec
