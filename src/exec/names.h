// SPDX-License-Identifier: Apache-2.0
//
// Field names to numbers: follows the names of columns from the sources (a CSV header is read) through the steps, and
// replaces names in the steps by what they mean there.
//
// Thread: any; once per run.
#pragma once

#include <memory>

#include "env/env.h"
#include "flow/graph.h"

namespace glim::exec {

// `graph` itself when there is nothing to resolve. A name that is not there is an error with the names that are.
Result<std::shared_ptr<flow::Graph>> ResolveNames(env::Env& env, std::shared_ptr<flow::Graph> graph);

}  // namespace glim::exec
