// SPDX-License-Identifier: Apache-2.0
//
// A partitioner of the program's own: which shard of a table has a key. For tables of sparse keys whose keys belong
// together (all features of a customer at one shard) or apart (a shard for the hot ones).
//
//   uint32_t ByCustomer(glim::Key key, uint32_t shards) { return uint32_t((key >> 32) % shards); }
//
//   int main(int argc, char** argv) {
//     if (Status status = glim::RegisterPartitioner("customer", ByCustomer); !status.ok()) return ...
//     glim::Session session(argc, argv);
//     glim::TableOptions options{.partition_by = "customer"};
//     ... session.CreateTable(glim::MakeTableSpec<float>("ctr", glim::SparseKeys(), glim::Ftrl{}, options)) ...
//
// The table's description has the function's name, not the function: whoever pushes, pulls or loads needs it in its own
// program, under that name, and is told so in one line when it is not there. Describe, scans, Save and Drop do
// without it. Register before the first Session: the children of --on local:N are the program, started again up to
// there, so steps of flows have it, too. Executors on agents are not this program, and have none.
//
// The function is pure: the same number for the same key, in each process and at each time; else rows are not found
// again. It is asked for any key, also for some that the program never uses, from any thread, twice for each key of a
// request. A number that is no shard's (or an exception) is kInvalid, and nothing of the request is done. To keep two
// programs with different functions of one name from writing to different shards, the description also has a
// fingerprint: what the function says of some hundred keys of all sizes. It is looked at, not proven.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "glim/status.h"
#include "glim/table_spec.h"

namespace glim {

// A number below `shards`. Exceptions are caught.
using PartitionFunction = std::function<uint32_t(Key key, uint32_t shards)>;

// For this process, until it ends. kInvalid when there is one of this name, when `name` cannot be one (see
// TableSpec::name), or when there is no function.
Status RegisterPartitioner(const std::string& name, PartitionFunction function);

}  // namespace glim
