// SPDX-License-Identifier: Apache-2.0
//
// glim.flow and its datasets in job scripts: every method of glim/flow.h under the same name.
//
// Thread: the driver's, except callbacks of sinks, which come one at a time while the driver waits in Run.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "glim/sinks.h"
#include "glim/status.h"

struct lua_State;

namespace glim {
class Flow;
class Session;
namespace flow {
class Graph;
}
}  // namespace glim

namespace glim::script {

// The flows that a script made and did not run: forgotten, most likely. Holds no flow alive.
class UnrunFlows {
 public:
  // `where` is the script's line, as luaL_where says it.
  void Add(const Flow& flow, std::string_view where);
  void Remove(const flow::Graph* graph) { flows_.erase(graph); }
  // One sentence each.
  std::vector<std::string> Describe() const;

 private:
  std::map<const flow::Graph*, std::string> flows_;
};

// "auto", "table", "csv", "tsv", "json".
Result<PrintFormat> ParsePrintFormat(std::string_view text);

// The value of a one-liner, at `index`: a dataset is printed, unless it ends in a sink already, and run; other values
// but nil are printed as they are.
Status FinishExpression(lua_State* L, int index, PrintFormat format, Session* session);

// The same at a prompt: of a dataset without a sink, the first `rows` are shown.
Status ShowValue(lua_State* L, int index, int64_t rows, Session* session);

// Adds flow, field, order_by, ascending, descending, csv, explain and glob to the module table on top of the stack.
// `session` and `unrun` outlive the state.
void OpenFlow(lua_State* L, Session* session, UnrunFlows* unrun);

}  // namespace glim::script
