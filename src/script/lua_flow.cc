// SPDX-License-Identifier: Apache-2.0
#include "script/lua_flow.h"

#include <fmt/core.h>

#include <optional>

#include "base/try.h"
#include "client/session_parts.h"
#include "glim/flow.h"
#include "glim/session.h"
#include "io/paths.h"
#include "script/lua_dataset.h"
#include "script/lua_formats.h"
#include "script/lua_support.h"
#include "script/lua_table.h"
#include "udf/lua_values.h"

namespace glim::script {
namespace {

Session* TheSession(lua_State* L) { return static_cast<Session*>(lua_touserdata(L, lua_upvalueindex(1))); }
UnrunFlows* TheUnrunFlows(lua_State* L) { return static_cast<UnrunFlows*>(lua_touserdata(L, lua_upvalueindex(2))); }

Result<int> RunDataset(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  TheUnrunFlows(L)->Remove(self->graph().get());
  RETURN_IF_ERROR(self->Run(*TheSession(L)));
  return 0;
}

// Runs at once.
Result<int> Show(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  int64_t count = 20;
  if (!lua_isnoneornil(L, 2)) {
    ASSIGN_OR_RETURN(count, ToInteger(L, 2, "Show"));
  }
  TheUnrunFlows(L)->Remove(self->graph().get());
  RETURN_IF_ERROR(self->Show(*TheSession(L), count));
  return 0;
}

Result<int> TableRows(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  if (lua_type(L, 2) == LUA_TSTRING) {
    Result<TableHandle> table = TheSession(L)->OpenTable(std::string(lua_tostring(L, 2)));
    if (!table.ok()) return std::move(table).status().With("Table");
    return PushDataset(L, flow->Table(*table));
  }
  ASSIGN_OR_RETURN(const TableHandle table, ToTable(L, 2, "Table"));
  return PushDataset(L, flow->Table(table));
}

Result<int> RunFlow(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  TheUnrunFlows(L)->Remove(flow->graph().get());
  RETURN_IF_ERROR(flow->Run(*TheSession(L)));
  return 0;
}

Result<int> NewFlow(lua_State* L) {
  std::string name = "flow";
  if (!lua_isnoneornil(L, 1)) {
    ASSIGN_OR_RETURN(name, ToText(L, 1, "glim.flow"));
  }
  Flow flow(std::move(name));
  luaL_where(L, 1);
  TheUnrunFlows(L)->Add(flow, lua_tostring(L, -1));
  PushObject(L, kFlow, std::move(flow));
  return 1;
}

Result<int> NewField(lua_State* L) {
  ASSIGN_OR_RETURN(Fields fields, ToFields(L, 1, "glim.field", Fields()));
  PushObject(L, kFields, std::move(fields));
  return 1;
}

Result<int> NewOrder(lua_State* L) {
  ASSIGN_OR_RETURN(FieldRef field, ToField(L, 1, "glim.order_by"));
  const auto order = lua_isnoneornil(L, 2) ? std::optional<int64_t>(Ascending) : udf::ReadInteger(L, 2);
  if (order != Ascending && order != Descending) {
    return WrongArgument(L, 2, "glim.order_by", "a field and glim.ascending or glim.descending");
  }
  PushObject(L, kOrder, OrderBy(std::move(field), static_cast<SortOrder>(*order)));
  return 1;
}

// The files that TextFile would read, in that order.
Result<int> Glob(lua_State* L) {
  ASSIGN_OR_RETURN(const std::vector<std::string> paths, ToTexts(L, 1, "glim.glob"));
  ASSIGN_OR_RETURN(const TextFileOptions options, ToTextOptions(L, 2, "glim.glob"));
  ASSIGN_OR_RETURN(const auto files, io::ExpandPaths(*TheSession(L)->parts().env, paths,
                                                     {options.recursive, options.pattern, options.per_host}));
  lua_createtable(L, static_cast<int>(files.size()), 0);
  for (size_t i = 0; i < files.size(); ++i) {
    lua_pushlstring(L, files[i].data(), files[i].size());
    lua_rawseti(L, -2, static_cast<int>(i) + 1);
  }
  return 1;
}

// What functions counted in all runs so far.
Result<int> Counter(lua_State* L) {
  ASSIGN_OR_RETURN(const std::string name, ToText(L, 1, "glim.counter"));
  udf::PushCell(L, Cell::Int64(TheSession(L)->counter(name)));
  return 1;
}

// These have the session and the flows that were not run in their upvalues.
constexpr Function kDatasetRuns[] = {{"Run", Call<RunDataset>, 0}, {"Show", Call<Show>, 1}, {}};
constexpr Function kFlowRuns[] = {{"Run", Call<RunFlow>, 0}, {"Table", Call<TableRows>, 1}, {}};
constexpr Function kModule[] = {{"flow", Call<NewFlow>, 1},
                                {"field", Call<NewField>},
                                {"on", Call<NewField>},
                                {"order_by", Call<NewOrder>, 2},
                                {"glob", Call<Glob>, 2},
                                {"counter", Call<Counter>, 1},
                                {}};

}  // namespace

void UnrunFlows::Add(const Flow& flow, std::string_view where) {
  flows_[flow.graph().get()] =
      fmt::format("{}the flow {} was never run; end it with :Run()", where, Cell::Bytes(flow.name()).ToDebugString());
}

std::vector<std::string> UnrunFlows::Describe() const {
  std::vector<std::string> all;
  for (const auto& [graph, text] : flows_) all.push_back(text);
  return all;
}

Result<PrintFormat> ParsePrintFormat(std::string_view text) {
  constexpr std::pair<std::string_view, PrintFormat> kFormats[] = {{"auto", PrintFormat::kAuto},
                                                                   {"table", PrintFormat::kTable},
                                                                   {"csv", PrintFormat::kCsv},
                                                                   {"tsv", PrintFormat::kTsv},
                                                                   {"json", PrintFormat::kJson}};
  for (const auto& [name, format] : kFormats) {
    if (text == name) return format;
  }
  return Status::Invalid(fmt::format("there is no format {}; there are auto, table, csv, tsv and json",
                                     Cell::Bytes(text).ToDebugString()));
}

Status FinishExpression(lua_State* L, int index, PrintFormat format, Session* session) {
  if (void* memory = TestObject(L, index, kDataset)) {
    const Dataset& dataset = *static_cast<Dataset*>(memory);
    return (dataset.ends_in_sink() ? dataset : dataset.Print(format)).Run(*session);
  }
  if (lua_isnil(L, index)) return Status::Ok();
  lua_getglobal(L, "print");
  lua_pushvalue(L, index);
  lua_call(L, 1, 0);
  return Status::Ok();
}

Status ShowValue(lua_State* L, int index, int64_t rows, Session* session) {
  if (void* memory = TestObject(L, index, kDataset)) {
    const Dataset& dataset = *static_cast<Dataset*>(memory);
    return dataset.ends_in_sink() ? dataset.Run(*session) : dataset.Show(*session, rows);
  }
  return FinishExpression(L, index, PrintFormat::kAuto, session);
}

void OpenFlow(lua_State* L, Session* session, UnrunFlows* unrun) {
  RegisterType(L, kDataset, kStepMethods, Collect<Dataset>);
  AddMethods(L, kDataset, kSinkMethods);
  RegisterType(L, kFlow, kSourceMethods, Collect<Flow>);
  RegisterType(L, kOrder, kNoFunctions, Collect<OrderBy>);
  RegisterType(L, kFields, kNoFunctions, Collect<Fields>);
  AddMethods(L, kDataset, kDatasetRuns, session, unrun);
  AddMethods(L, kFlow, kFlowRuns, session, unrun);
  RejectUnknownMethods(L, kDataset);
  RejectUnknownMethods(L, kFlow);

  SetFunctions(L, kModule, CalledWith::kDot, session, unrun);
  OpenFormats(L);
  lua_pushinteger(L, Ascending);
  lua_setfield(L, -2, "ascending");
  lua_pushinteger(L, Descending);
  lua_setfield(L, -2, "descending");
}

}  // namespace glim::script
