// SPDX-License-Identifier: Apache-2.0
//
// What can be seen of a step's function without running it: whether it gives the same rows when its task is run again
// (plan/repeat.h). Of a function in Lua it is what it mentions; of one in C++ nothing.
//
// Thread: plain functions.
#pragma once

#include <vector>

#include "flow/graph.h"
#include "plan/plan.h"
#include "plan/repeat.h"

namespace glim::exec {

// Of each step of the graph; the same for a graph that has travelled (graph_codec.h).
std::vector<plan::FunctionFacts> FactsOfFunctions(const flow::Graph& graph);

// Its function is in Lua and has a table of servers among what it captured.
bool CapturesTable(const flow::Step& step);

// The stage, or a part of it, has a function that is called for what it does, and that is not to push.
bool HasEffects(const plan::Plan& plan, int stage);

}  // namespace glim::exec
