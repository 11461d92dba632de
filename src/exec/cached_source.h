// SPDX-License-Identifier: Apache-2.0
//
// What a Cache step kept from an earlier run, or a dataset with a name, read again: one split per partition, and so one
// task, as in the run that filled it.
#pragma once

#include <memory>

#include "flow/graph.h"
#include "io/source.h"

namespace glim::exec {

// Expects: rows->filled.
std::unique_ptr<io::Source> MakeCachedSource(std::shared_ptr<const flow::CachedRows> rows);

}  // namespace glim::exec
