// SPDX-License-Identifier: Apache-2.0
#include "script/lua_training.h"

#include <fmt/core.h>

#include <chrono>
#include <memory>
#include <utility>

#include "base/try.h"
#include "glim/session.h"
#include "glim/training.h"
#include "script/lua_dataset.h"
#include "script/lua_flow.h"
#include "script/lua_support.h"
#include "script/lua_table.h"

namespace glim::script {
namespace {

constexpr const char* kTraining = "glim training";
using TrainingHandle = std::unique_ptr<Training>;

Session* TheSession(lua_State* L) { return static_cast<Session*>(lua_touserdata(L, lua_upvalueindex(1))); }
UnrunFlows* TheUnrunFlows(lua_State* L) { return static_cast<UnrunFlows*>(lua_touserdata(L, lua_upvalueindex(2))); }

Result<Training*> SelfTraining(lua_State* L) {
  if (void* memory = TestObject(L, 1, kTraining)) return static_cast<TrainingHandle*>(memory)->get();
  return Status::Invalid("call the methods of a training with a colon, like training:Run(flow)");
}

Result<int> NewTraining(lua_State* L) {
  if (!lua_istable(L, 1))
    return Status::Invalid("glim.training expects a table of options, like glim.training{folder = \"ctr.training\"}");
  RETURN_IF_ERROR(AllowOnly(L, 1, "glim.training", {"folder", "passes", "every"}));
  TrainingOptions options;
  RETURN_IF_ERROR(ReadField(L, 1, "folder", &options.folder));
  RETURN_IF_ERROR(ReadField(L, 1, "passes", &options.passes));
  double seconds = std::chrono::duration<double>(options.every).count();
  RETURN_IF_ERROR(ReadField(L, 1, "every", &seconds));
  constexpr double kSecondsMax = 1e9;
  if (!(seconds >= 0 && seconds <= kSecondsMax))
    return Status::Invalid(fmt::format("glim.training: every is a number of seconds, got {}", seconds));
  options.every = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
  PushObject(L, kTraining, std::make_unique<Training>(*TheSession(L), std::move(options)));
  return 1;
}

Result<int> MakeTable(lua_State* L) {
  ASSIGN_OR_RETURN(Training * self, SelfTraining(L));
  // The options stand first, as in glim.table; the training stays on the stack.
  lua_pushvalue(L, 1);
  lua_remove(L, 1);
  ASSIGN_OR_RETURN(TableSpec spec, ToTableSpec(L));
  ASSIGN_OR_RETURN(TableHandle table, self->CreateTable(std::move(spec)));
  PushTable(L, std::move(table));
  return 1;
}

// Of a flow, or a dataset of it.
Result<std::shared_ptr<flow::Graph>> ToGraph(lua_State* L, int index) {
  if (void* flow = TestObject(L, index, kFlow)) return static_cast<Flow*>(flow)->graph();
  if (void* dataset = TestObject(L, index, kDataset)) return static_cast<Dataset*>(dataset)->graph();
  return WrongArgument(L, index, "Run of a training", "a flow, or a function that gives one");
}

Result<int> Run(lua_State* L) {
  ASSIGN_OR_RETURN(Training * self, SelfTraining(L));
  const bool function = lua_isfunction(L, 2);
  const auto graph_of = [&](int64_t pass) -> Result<std::shared_ptr<flow::Graph>> {
    lua_settop(L, 2);
    if (function) {
      lua_pushvalue(L, 2);
      lua_pushnumber(L, static_cast<lua_Number>(pass + 1));
      if (lua_pcall(L, 1, 1, 0) != 0) {
        const char* message = lua_tostring(L, -1);
        return Status::UserCode(message != nullptr ? message : "an error that is not a string");
      }
    }
    // Stays on the stack while it runs.
    ASSIGN_OR_RETURN(std::shared_ptr<flow::Graph> graph, ToGraph(L, lua_gettop(L)));
    TheUnrunFlows(L)->Remove(graph.get());
    return graph;
  };
  if (!function) RETURN_IF_ERROR(graph_of(0).status());  // Also when no pass is left.
  RETURN_IF_ERROR(self->RunGraphs(graph_of));
  return 0;
}

Result<int> PassesDone(lua_State* L) {
  ASSIGN_OR_RETURN(Training * self, SelfTraining(L));
  lua_pushnumber(L, static_cast<lua_Number>(self->passes_done()));
  return 1;
}

constexpr Function kMethods[] = {
    {"Table", Call<MakeTable>, 1}, {"Run", Call<Run>, 1}, {"PassesDone", Call<PassesDone>, 0}, {}};
constexpr Function kModule[] = {{"training", Call<NewTraining>, 1}, {}};

}  // namespace

void OpenTraining(lua_State* L, Session* session, UnrunFlows* unrun) {
  RegisterType(L, kTraining, kNoFunctions, Collect<TrainingHandle>);
  AddMethods(L, kTraining, kMethods, session, unrun);
  RejectUnknownMethods(L, kTraining);
  SetFunctions(L, kModule, CalledWith::kDot, session, unrun);
}

}  // namespace glim::script
