// SPDX-License-Identifier: Apache-2.0
//
// The functions of steps as bytes, and what they and other steps refer to: tables on servers, and the rows of AsTable.
// A part of graph_codec.h.
//
// Thread: plain functions.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "exec/archive.h"
#include "exec/graph_codec.h"

namespace glim::exec {

struct FlowWriting {
  const flow::Graph& graph;
  const flow::Step* step = nullptr;  // The one at hand.
};
struct FlowReading {
  const GraphDecoding& decoding;
  std::shared_ptr<flow::Graph> graph = {};         // As far as it is read.
  const flow::Step* step = nullptr;                // The one at hand, without its body.
  std::map<std::string, TableHandle> tables = {};  // Those that were opened.
};
using FlowWriter = Writer<FlowWriting>;
using FlowReader = Reader<FlowReading>;

void Travel(FlowWriter& archive, TableHandle& table);
void Travel(FlowReader& archive, TableHandle& table);
void Travel(FlowWriter& archive, FunctionSource& source);
void Travel(FlowReader& archive, FunctionSource& source);

// Of the step with that number; null when it is none of AsTable.
std::shared_ptr<batch::KeyedRows> RowsOfTable(const flow::Graph& graph, int step);

}  // namespace glim::exec
