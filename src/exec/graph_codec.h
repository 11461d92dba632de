// SPDX-License-Identifier: Apache-2.0
//
// A flow's graph as bytes: what a driver sends to its executors, who make the same plan of it.
//
// All steps keep their places. What can only be with the driver is empty on the other side: the function of Read and of
// Output, channels, FILE pointers, where Collect and SaveFirstRowTo put their rows, the rows that a Cache holds (that
// it holds some travels, because plans differ by it). Tasks with such ends are the driver's.
//
//   functions in Lua     their source, or what was captured with them (udf/lua_capture.h), which includes bytecode
//   folds                their description
//   functions in C++     nothing: an executor that runs the driver's program has built the same flow, and step k's
//                        function there is step k's here (GraphDecoding::own)
//   tables of servers    their handle (TableClient::Handle); a table of the driver's process cannot travel
//   AsTable              one empty KeyedRows, which its step and the functions that read it share. With `own` it is the
//                        program's, for its functions hold it.
//
// Security: a process can be made to do anything by bytecode, so decode only what came from a peer with the key of the
// cluster (net::Role::kNode). No other bytes do harm: they are refused.
//
// Both sides are of one build. A change of a struct in flow/graph.h that the codec misses does not compile.
//
// Thread: plain functions; the graph is not changed meanwhile.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "flow/graph.h"
#include "glim/status.h"
#include "glim/table.h"
#include "udf/lua_capture.h"

namespace glim::exec {

// The graph's first mistake, if it has one; kInvalid with the step's name when something of it cannot travel.
Result<std::string> EncodeGraph(const flow::Graph& graph);

// A function in C++: only a process that runs the same program can have it.
bool HasNativeFunctions(const flow::Graph& graph);

struct GraphDecoding {
  // Opens the table of a handle, param::ParseTableAddress: its place is the master as the driver calls it, or that of
  // another cluster. Called once for each table. Null: a step with a table is refused.
  std::function<Result<TableHandle>(const std::string& handle)> open_table;
  // A table as Lua functions capture it: script::MakeTableObject. Null: a function that captures one is refused.
  std::function<std::shared_ptr<const udf::SharedObject>(TableHandle table)> table_object;
  // The same flow as this process built it itself. Null: a function in C++ is refused.
  const flow::Graph* own = nullptr;
};
// kCorrupt: no encoder wrote these bytes. kInvalid: the program has built another flow here, or has none.
Result<std::shared_ptr<flow::Graph>> DecodeGraph(std::string_view bytes, const GraphDecoding& decoding);

}  // namespace glim::exec
