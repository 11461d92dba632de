// SPDX-License-Identifier: Apache-2.0
//
// A table read as a dataset: one split per shard; a row is the key and the table's values.
#pragma once

#include <memory>

#include "glim/table.h"
#include "io/source.h"

namespace glim::exec {

std::unique_ptr<io::Source> MakeTableSource(TableHandle table);

}  // namespace glim::exec
