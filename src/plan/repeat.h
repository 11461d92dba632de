// SPDX-License-Identifier: Apache-2.0
//
// Which rows a task gives when it is run again, and what that means for tasks that push to a table.
//
// A shard tells the pushes of a task apart by their numbers (param/task_table.h): push 17 of the second attempt is push
// 17 of the first. So each attempt must push the same things in the same order, whatever was lost meanwhile. Which rows
// a step gives again is known of most:
//
//   the same, in the same order    sources of files, row by row steps, sorts of what came in one order
//   the same, in another order     what keeps rows by key, and a join: it depends on what went to disk, and that on how
//                                  the rows were cut into batches
//   perhaps other ones             programs (Pipe), Lookup and functions that look into tables, functions that mention
//                                  random numbers, the time or files; what takes the first of rows in any order
//
// In front of a step that pushes, rows of the second kind are sorted in their task, by all columns. Rows of the third
// kind are kept and go to the driver, where nothing is lost, before the first is pushed: they are made once. A function
// that itself pushes other things when it is run again cannot be helped; its tasks are run once.
//
// A task is taken to compute the same of the same rows. A Lua function that finds a way around what is known here (a
// module with a random number generator of its own) has to have a Cache behind it.
//
// Thread: plain functions.
#pragma once

#include <string>
#include <vector>

#include "plan/plan.h"

namespace glim::plan {

// What the plan of a flow for several processes must know of a step's function.
struct FunctionFacts {
  bool has_table = false;    // It captured one, so it may push to it.
  bool other_rows = false;   // It may give other rows when it is run again.
  bool other_order = false;  // Or the same ones in another order.
  std::string once;          // With a table: why it cannot be run again; empty: it can.
};

enum class Again { kSame, kOtherOrder, kOther };

// Of a stage of a SpreadPlan.
struct Repeat {
  Again rows = Again::kSame;  // Of its tasks, as others read them.
  bool to_driver = false;     // Its rows go there, where they cannot be lost, before anybody reads them.
  bool pushes = false;        // To a table.
  std::string once;           // Why its tasks, which push, must not be run twice.
};

// The stages of a plan as they are made, each after those it reads.
class RepeatPlanner {
 public:
  // `facts`: of each step of the graph; without any, functions are taken to do nothing remarkable. All outlive this.
  RepeatPlanner(const flow::Graph& graph, const std::vector<FunctionFacts>& facts, std::vector<Stage>* stages,
                std::vector<Repeat>* repeats)
      : graph_(graph), facts_(facts), stages_(*stages), repeats_(*repeats) {}

  // Appends the stage, perhaps as two; the number of the last, which has its rows. Expects: all before it went this
  // way.
  int Add(Stage stage, bool at_driver);

 private:
  bool Pushes(const Operator& op) const;
  const FunctionFacts& FactsOf(const Operator& op) const;
  // What `op` gives of such rows. `before`: the operator in front of the exchange that it reads first, or null.
  Again After(const Operator& op, const Operator* before, Again rows) const;
  Again RowsOf(const Stage& stage) const;
  const Operator* Before(const Stage& stage) const;
  int Append(Stage stage, Repeat repeat);
  std::string WhyOnce(const Stage& stage) const;
  bool SeesBatches(const Operator& op) const;
  // Sees to it that what a pushing stage reads is the same each time, in any order.
  Again TakeInputs(Stage* stage);
  void TakeBuild(const Operator& op);
  Again Steady(Stage* stage, Repeat* repeat);
  Again WithBuild(const Operator& op, Again rows) const;
  // Splits off the first `count` operators of the stage, whose rows are kept.
  void CutOff(Stage* stage, size_t count, int pusher, const Repeat& repeat);
  bool NeedsSplits(const Stage& stage, size_t from) const;

  const flow::Graph& graph_;
  const std::vector<FunctionFacts>& facts_;
  std::vector<Stage>& stages_;
  std::vector<Repeat>& repeats_;
};

}  // namespace glim::plan
