// SPDX-License-Identifier: Apache-2.0
//
// User functions as the engine sees them: a Function is what a step of a flow holds (Lua source, a C++ callable); each
// task makes its own instance of it and calls that a batch at a time, so that the border between the engine and a
// language is crossed once per batch.
//
// Most programs never name these types: `flow.Map(...)` takes a string of Lua or a callable and wraps it. Implement
// Function yourself to bring in another language.
//
// Thread: a Function is immutable and shared by all tasks; an instance belongs to one task.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "glim/batch.h"
#include "glim/status.h"

namespace glim {

namespace udf {
class Hosts;
}
class TableClient;

// Sums by name, which stop at the largest and smallest int64.
class Counters {
 public:
  void Add(std::string_view name, int64_t more);
  void Add(const Counters& others);
  // 0 when nobody has counted under that name.
  int64_t Get(std::string_view name) const;
  const std::map<std::string, int64_t, std::less<>>& all() const { return sums_; }

 private:
  std::map<std::string, int64_t, std::less<>> sums_;
};

// The tables of a step in a task that may be run again (param/task_table.h).
class TablesOfTask {
 public:
  virtual ~TablesOfTask() = default;
  // The table as the task has to use it.
  virtual Result<std::shared_ptr<TableClient>> Of(const std::shared_ptr<TableClient>& table) = 0;
};

// What a function may know of the task that runs it. Lives as long as the task.
class TaskContext {
 public:
  TaskContext(int partition, int partition_count, int attempt, udf::Hosts* hosts)
      : partition_(partition), partition_count_(partition_count), attempt_(attempt), hosts_(hosts) {}
  TaskContext(const TaskContext&) = delete;

  // From 0; the task works on this slice of the dataset.
  int partition() const { return partition_; }
  int partition_count() const { return partition_count_; }
  // From 0; counts the tries of this task.
  int attempt() const { return attempt_; }
  // How a host hands a captured table to its function; null: as it is.
  TablesOfTask* tables() const { return tables_; }
  void set_tables(TablesOfTask* tables) { tables_ = tables; }
  // The language runtimes of the thread, such as its Lua state. For Functions that need one.
  udf::Hosts& hosts() const { return *hosts_; }

  // Adds to the run's counter of that name: Count("bad rows"). The sums over all tasks are shown at the end of a run
  // that succeeds, and Session::counter() tells them.
  void Count(std::string_view name, int64_t more = 1) { counters_.Add(name, more); }
  const Counters& counters() const { return counters_; }

 private:
  int partition_;
  int partition_count_;
  int attempt_;
  udf::Hosts* hosts_;
  TablesOfTask* tables_ = nullptr;
  Counters counters_;
};

// Takes the batches that a step gives.
class BatchOutput {
 public:
  virtual ~BatchOutput() = default;
  // Empty batches are allowed and ignored.
  virtual Status Push(Batch batch) = 0;
  // True when nobody wants more rows; pushing more is allowed, and useless.
  virtual bool full() const = 0;
};

// One step's function at work in one task.
class BatchFunction {
 public:
  virtual ~BatchFunction() = default;
  virtual Status Run(const Batch& in, BatchOutput& out) = 0;
  // After the last batch.
  virtual Status Finish(BatchOutput& out) { return Status::Ok(); }
};

// Folds rows into one accumulator row per group with a user's associative function.
class Reducer {
 public:
  virtual ~Reducer() = default;
  // Row i of `values` belongs to group `groups[i]`. Groups are numbered in the order of their first row: a number not
  // seen before is the number of groups so far, and its row becomes the accumulator. `group_count` counts all groups
  // after this call. Columns must be as many in each call.
  virtual Status Update(const Batch& values, std::span<const uint32_t> groups, uint32_t group_count) = 0;
  // Roughly.
  virtual int64_t memory_bytes() const = 0;
  // The accumulators: one row per group, in the order of their numbers; as many columns as the values had. The reducer
  // is not used afterwards.
  virtual Result<Batch> Finish() = 0;
  // The accumulators for a merger of the same Function, likewise. Other than Finish where a result is less than what
  // must be known to go on: a mean, which needs sum and count.
  virtual Result<Batch> FinishStates() { return Finish(); }
  // After a failed Update the row, after a failed Finish the group that the failure is about: the message then names
  // its key. -1: none.
  virtual int64_t failed() const { return -1; }
};

// How a step calls its function:
//   kMap:          results are one row; nothing returned = no row.
//   kFlatMap:      an iterator (Lua) or an emitter (C++) gives rows.
//   kFilter:       a truth value keeps the row.
//   kForEach:      results are ignored; Lua may call writeRow.
//   kForEachBatch: called once per batch, gives no rows by itself.
//   kReduce:       two values of a key become one; through a Reducer only.
enum class FunctionRole { kMap, kFlatMap, kFilter, kForEach, kForEachBatch, kReduce };

class Function {
 public:
  virtual ~Function() = default;
  // For Explain and error messages: `lua job.lua:12`, `C++`.
  virtual std::string Describe() const = 0;
  // `context` outlives the instance. An error here (a syntax error in Lua, say) fails the run.
  virtual Result<std::unique_ptr<BatchFunction>> Instantiate(FunctionRole role, TaskContext& context) const = 0;
  virtual Result<std::unique_ptr<Reducer>> InstantiateReducer(TaskContext& context) const = 0;
  // A reducer of what FinishStates of others gave.
  virtual Result<std::unique_ptr<Reducer>> InstantiateMerger(TaskContext& context) const {
    return InstantiateReducer(context);
  }
  // Whether its reducers take rows without values, too.
  virtual bool counts_rows() const { return false; }
  // For Explain: which way it is run and why, "kernel" or "plain Lua: line 3: a loop"; empty: there is but one way.
  virtual std::string HowItRuns(FunctionRole role, TaskContext& context) const { return ""; }
  // Finds mistakes that do not need data (Lua syntax, a C++ callable in the wrong place) before a run starts.
  virtual Status Check(FunctionRole role) const { return Status::Ok(); }
};

}  // namespace glim
