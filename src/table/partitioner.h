// SPDX-License-Identifier: Apache-2.0
//
// The partitioners that this program has registered (glim/partitioner.h), as tables look for theirs.
//
// The list is the process's: children of local:N have what main registered before its first Session, and no Session
// would be there to ask.
//
// Thread: any.
#pragma once

#include <memory>

#include "glim/partitioner.h"
#include "glim/status.h"
#include "glim/table_spec.h"

namespace glim::table {

using SharedPartitionFunction = std::shared_ptr<const PartitionFunction>;

// Of a table that is made: sets the fingerprint, if its partitioner is a function. kInvalid when it is not registered.
// Expects: CheckTableSpec gave this spec, and spec->shards > 0.
Status TakePartitionPrint(TableSpec* spec);
// Of a table that is there: kInvalid when the function is not registered, or is another one. Expects: the same, and
// that its partitioner is a function.
Result<SharedPartitionFunction> FindPartitionFunction(const TableSpec& spec);

// What a function says of a key: its number, or why there is none. No exception comes out.
Result<uint32_t> AskPartitionFunction(const PartitionFunction& function, Key key, uint32_t shards);

}  // namespace glim::table
