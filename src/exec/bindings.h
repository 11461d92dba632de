// SPDX-License-Identifier: Apache-2.0
//
// Makes the working parts that a plan only names: sources, sinks, functions, operators. To add a step: its struct in
// flow/graph.h, its lowering in plan/plan.cc, its operator in ops/, and a line here.
//
// Thread: MakeSource, MakeSink, MakeFunctions once per run; MakeOperator by every task.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/sink.h"
#include "io/source.h"
#include "ops/join.h"
#include "ops/operator.h"
#include "ops/row_steps.h"
#include "plan/plan.h"
#include "udf/hosts.h"

namespace glim::exec {

Result<std::unique_ptr<io::Source>> MakeSource(const flow::Step& step);
Result<std::unique_ptr<io::Sink>> MakeSink(const flow::Step& step, env::Env& env);

// Per step of the graph: its function, parsed and checked; null for steps without one.
using Functions = std::vector<std::shared_ptr<const Function>>;
Result<Functions> MakeFunctions(const flow::Graph& graph);

// For Explain, per step of the graph (Function::HowItRuns).
std::vector<std::string> HowFunctionsRun(const flow::Graph& graph, const Functions& functions,
                                         const udf::HostOptions& options);

// What some operators need of their stage.
struct OperatorInputs {
  ops::LimitProgress* progress = nullptr;  // kLimit; may be null.
  ops::RightSide right;                    // kJoin, kCoGroup; its keys are filled in.
  int left_width = 0;                      // kJoin: of the rows that will be pushed.
  ops::KeyKinds* key_kinds = nullptr;      // kJoin: of all its tasks.
  int64_t rows_before = 0;                 // kZipWithIndex, kSample by place: in the tasks before this one.
  const uint64_t* split = nullptr;         // kSample by split: the number of the one that is being read.
  int64_t runs_given_max = 0;              // kSort: so many runs may be given on as they are.
  uint64_t partition = 0;                  // kSample by copies: of the user's partitions; 0 without any.
  TableHandle table;                       // kPushTo: as a task that may be run again pushes to it, or null.
};
std::unique_ptr<ops::Operator> MakeOperator(const plan::Operator& op, const flow::Graph& graph,
                                            const Functions& functions, ops::OperatorContext context,
                                            OperatorInputs inputs);

// `FlatMap(lua function(line) ...)`, for messages.
std::string StepName(const flow::Step& step);

}  // namespace glim::exec
