// SPDX-License-Identifier: Apache-2.0
//
// From what the user wrote (flow/graph.h) to what will run: stages of fused operators, joined by exchanges.
//
// A stage reads a source or an exchange, runs its operators batch by batch in every task, and ends in an exchange or a
// sink. The stages under a Union are parts of the one behind it: nothing is kept between them. Steps that look at one
// row at a time are fused into one stage. Rewrites done here: ReduceBy and Reduce combine before their exchange; Top
// and Limit cut each partition before theirs; a dataset read by several steps is kept once and read by all. Steps that
// no wanted end needs are left out; what a cache holds already is read from there.
//
// The number of tasks of a stage is the engine's choice and must not be seen in the result, so a step that would see it
// (Pipe) makes its stage run as one task unless the user asked for partitions.
//
// The plan is data: MakePlan has no side effects, and Explain prints it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "batch/exchange_spec.h"
#include "flow/graph.h"

namespace glim::plan {

enum class OperatorKind {
  kFunction,
  kSelect,
  kAs,  // Looks whether there are as many columns as names.
  kLimit,
  kSample,
  kZipWithIndex,
  kDistinct,
  kCombine,  // ReduceBy, Reduce: folds what one task has; keys first in its output.
  kMerge,    // Folds what kCombine gave.
  kGroup,
  kSort,     // Sorts what one task has.
  kTop,      // The first rows of that.
  kJoin,     // The left side streams by; `build` is the right one.
  kCoGroup,  // The same.
  kPipe,
  kPipeAsArgs,
  kLookup,
  kPushTo,
  // In plans for several processes, in front of steps that push (plan/repeat.h):
  kOrder,  // Sorts what one task has by all columns.
  kCut,    // Cuts rows into batches by what they are, however they came.
  // And before rows go to a sink that is in another process:
  kEncode,  // The bytes that the sink writes of them; `step` is the sink.
};

// What a Sample draws a row by, such that the same rows are drawn for any number of tasks (docs/design/partitions.md).
enum class Draw {
  kBySplit,   // Its place in its split of the source.
  kByPlace,   // Its place among all rows.
  kByCopies,  // Its value, and how many rows equal to it came before in its task.
};

struct Operator {
  OperatorKind kind;
  int step;                  // In the graph.
  std::vector<int> keys;     // Of kCombine, kMerge, kGroup.
  int64_t count = 0;         // Of kLimit and kTop.
  int64_t offset = 0;        // Of kLimit.
  bool local = false;        // Of kLimit: counts for its task alone. Of kMerge: folds rows, nothing was combined.
  Draw draw{};               // Of kSample.
  int build = -1;            // A stage whose rows an operator needs before the first of its own:
  bool build_whole = false;  // all of them in every task, or else the task's partition.
};

using batch::Deal;
using batch::ExchangeKind;
using batch::ExchangeSpec;

struct Stage {
  int source = -1;         // A step, or
  int input = -1;          // the stage whose exchange it reads, or
  std::vector<int> parts;  // the stages whose tasks it goes on with, one after the other.
  std::vector<Operator> operators;
  std::vector<int> tables;  // Stages that fill the tables that its functions read.
  ExchangeSpec output;
  int output_for = -1;      // The step that made us send them; for messages.
  int sink = -1;            // A step, when output is kNone.
  bool encoded = false;     // The sink gets what kEncode gives.
  int cache = -1;           // A step: what this stage keeps (kKeep) is for later runs too.
  bool one_task = false;    // All rows must pass through one task, in order.
  int user_partitions = 0;  // As asked for by Partition or RoundRobin; 0: none.
  bool in_order = false;    // Its rows come in an order that does not depend on the number of tasks.
};

struct Plan {
  std::shared_ptr<flow::Graph> graph;
  std::vector<int> ends;      // What it is for: steps.
  std::vector<Stage> stages;  // A stage's input and parts, and what its operators build from, stand before it.
};

// For these ends of the graph; fails with the graph's own first mistake.
Result<Plan> MakePlan(std::shared_ptr<flow::Graph> graph, std::vector<int> ends);

// `ReduceBy combine(field 1, lua function(x, y) ...)`.
std::string OperatorText(const Operator& op, const flow::Step& step);
// What is known before a run of the rows that a source will give.
struct Size {
  std::optional<int64_t> rows;
  std::optional<int64_t> bytes;  // About.
  bool rows_exact = true;
};
// The text of `Run(Explain())` and `glim explain`. `sources`: one for each stage; how many rows the steps after them
// see is shown where it follows. `how`: which way the function of each step of the graph is run; empty where there is
// nothing to say.
std::string ToText(const Plan& plan, const std::vector<Size>& sources, const std::vector<std::string>& how);

}  // namespace glim::plan
