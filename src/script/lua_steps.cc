// SPDX-License-Identifier: Apache-2.0
//
// Steps of datasets: data:Map(f). See lua_dataset.h.
#include <fmt/core.h>

#include "base/try.h"
#include "script/lua_dataset.h"
#include "script/lua_formats.h"
#include "script/lua_functions.h"
#include "script/lua_table.h"
#include "udf/lua_side.h"

namespace glim::script {
namespace {

using FunctionStep = Dataset (Dataset::*)(FunctionSource) const;

template <StepName name, FunctionStep step>
Result<int> CallFunctionStep(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(FunctionSource function, ToFunctionWithOptions(L, name.text));
  return PushDataset(L, (self->*step)(std::move(function)));
}

template <StepName name, FunctionStep step>
Result<int> CallReduce(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(FunctionSource function, ToReducer(L, 2, name.text));
  return PushDataset(L, (self->*step)(std::move(function)));
}

Result<int> Select(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(Fields fields, ToFields(L, 2, "Select", Fields()));
  return PushDataset(L, self->Select(std::move(fields)));
}

template <StepName name, Dataset (Dataset::*step)(int64_t, int64_t) const>
Result<int> CallLimit(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(const int64_t count, ToInteger(L, 2, name.text));
  int64_t offset = 0;
  if (!lua_isnoneornil(L, 3)) {
    ASSIGN_OR_RETURN(offset, ToInteger(L, 3, name.text));
  }
  return PushDataset(L, (self->*step)(count, offset));
}

Result<int> SelectKV(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(Fields keys, ToFieldList(L, 2, "SelectKV"));
  ASSIGN_OR_RETURN(Fields values, ToFieldList(L, 3, "SelectKV"));
  return PushDataset(L, self->SelectKV(std::move(keys), std::move(values)));
}

Result<int> As(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  std::vector<std::string> names;
  for (int i = 2, last = CountArguments(L); i <= last; ++i) {
    ASSIGN_OR_RETURN(const std::vector<std::string> more, ToTexts(L, i, "As"));
    names.insert(names.end(), more.begin(), more.end());
  }
  return PushDataset(L, self->As(std::move(names)));
}

Result<int> Sample(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  if (lua_type(L, 2) != LUA_TNUMBER) {
    return Status::Invalid(fmt::format("Sample expects a fraction from 0 to 1, got {}", luaL_typename(L, 2)));
  }
  int64_t seed = 0;
  if (!lua_isnoneornil(L, 3)) {
    ASSIGN_OR_RETURN(seed, ToInteger(L, 3, "Sample"));
  }
  return PushDataset(L, self->Sample(lua_tonumber(L, 2), static_cast<uint64_t>(seed)));
}

Result<int> ZipWithIndex(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  int64_t first = 0;
  if (!lua_isnoneornil(L, 2)) {
    ASSIGN_OR_RETURN(first, ToInteger(L, 2, "ZipWithIndex"));
  }
  return PushDataset(L, self->ZipWithIndex(first));
}

Result<int> Union(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  std::vector<Dataset> others;
  if (lua_istable(L, 2)) {
    RETURN_IF_ERROR(IsList(L, 2, "Union"));
    for (size_t i = 1; i <= lua_objlen(L, 2); ++i) {
      lua_rawgeti(L, 2, static_cast<int>(i));
      ASSIGN_OR_RETURN(Dataset * other, ToObject<Dataset>(L, -1, kDataset, "Union"));
      others.push_back(*other);
      lua_pop(L, 1);
    }
  } else {
    // Gleam's last argument says whether to read side by side, which we always do.
    int last = CountArguments(L);
    if (lua_isboolean(L, last)) --last;
    for (int i = 2; i <= last; ++i) {
      ASSIGN_OR_RETURN(Dataset * other, ToObject<Dataset>(L, i, kDataset, "Union"));
      others.push_back(*other);
    }
  }
  return PushDataset(L, self->Union(others));
}

Result<int> Cache(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  return PushDataset(L, self->Cache());
}

// data:AsTable(), data:AsTable{memory = "64M"}.
Result<int> AsTable(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(const int64_t bytes_max, ToTableMemory(L, 2, "AsTable"));
  udf::LuaSide(self->AsTable(bytes_max).keyed_rows()).Push(L);
  return 1;
}

// data:Do(f): what f(data) gives.
Result<int> Do(lua_State* L) {
  RETURN_IF_ERROR(Self(L).status());
  if (!lua_isfunction(L, 2)) {
    return Status::Invalid(fmt::format("Do expects a function of a dataset, got {}", luaL_typename(L, 2)));
  }
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 1);
  if (lua_pcall(L, 1, 1, 0) != 0) {
    const char* message = lua_tostring(L, -1);
    return Status::UserCode(message != nullptr ? message : "an error that is not a string");
  }
  ASSIGN_OR_RETURN(Dataset * result, ToObject<Dataset>(L, -1, kDataset, "Do"));
  return PushDataset(L, *result);
}

// data:OnDisk("name"); of a function it is Do.
Result<int> OnDisk(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  if (lua_isfunction(L, 2)) return Do(L);
  ASSIGN_OR_RETURN(std::string name, ToText(L, 2, "OnDisk"));
  return PushDataset(L, self->OnDisk(std::move(name)));
}

Result<int> Hint(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  return PushDataset(L, *self);
}

Result<int> Partition(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(const int count, ToInt(L, 2, "Partition"));
  ASSIGN_OR_RETURN(Fields fields, ToFields(L, 3, "Partition", Fields(1)));
  return PushDataset(L, self->Partition(count, std::move(fields)));
}

template <StepName name, Dataset (Dataset::*step)(int) const>
Result<int> CallCount(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(const int count, ToInt(L, 2, name.text));
  return PushDataset(L, (self->*step)(count));
}

template <StepName name, Dataset (Dataset::*step)(FunctionSource, Fields) const>
Result<int> CallReduceBy(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(FunctionSource function, ToReducer(L, 2, name.text));
  ASSIGN_OR_RETURN(Fields keys, ToFields(L, 3, name.text, Fields(1)));
  return PushDataset(L, (self->*step)(std::move(function), std::move(keys)));
}

// Steps of fields, which are all those given or else field 1 (`all`: or else none).
template <StepName name, Dataset (Dataset::*step)(Fields) const, bool all = false>
Result<int> CallFields(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(Fields fields, ToFields(L, 2, name.text, all ? Fields() : Fields(1)));
  return PushDataset(L, (self->*step)(std::move(fields)));
}

template <StepName name, Dataset (Dataset::*step)(std::vector<OrderBy>) const>
Result<int> CallSortBy(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(std::vector<OrderBy> orders, ToOrders(L, 2, name.text));
  return PushDataset(L, (self->*step)(std::move(orders)));
}

template <StepName name, Dataset (Dataset::*step)(int64_t, std::vector<OrderBy>) const>
Result<int> CallTop(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(const int64_t count, ToInteger(L, 2, name.text));
  ASSIGN_OR_RETURN(std::vector<OrderBy> orders, ToOrders(L, 3, name.text));
  if (orders.empty()) orders.emplace_back(1, Descending);
  return PushDataset(L, (self->*step)(count, std::move(orders)));
}

Result<int> MergeSortedTo(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(const int count, ToInt(L, 2, "MergeSortedTo"));
  ASSIGN_OR_RETURN(std::vector<OrderBy> orders, ToOrders(L, 3, "MergeSortedTo"));
  if (orders.empty()) orders.emplace_back(1);
  return PushDataset(L, self->MergeSortedTo(count, std::move(orders)));
}

// data:Join(other), data:Join(other, fields), data:Join(other, glim.on(1), glim.on(2)). Two field lists are the keys of
// the two sides; numbers or names one after the other are one list.
template <StepName name, Dataset (Dataset::*step)(const Dataset&, Fields, Fields) const>
Result<int> CallJoin(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(Dataset * right, ToObject<Dataset>(L, 2, kDataset, name.text));
  if (CountArguments(L) != 4 || lua_isstring(L, 3)) {
    ASSIGN_OR_RETURN(const Fields keys, ToFields(L, 3, name.text, Fields(1)));
    return PushDataset(L, (self->*step)(*right, keys, keys));
  }
  ASSIGN_OR_RETURN(Fields left_keys, ToFieldList(L, 3, name.text));
  ASSIGN_OR_RETURN(Fields right_keys, ToFieldList(L, 4, name.text));
  return PushDataset(L, (self->*step)(*right, std::move(left_keys), std::move(right_keys)));
}

Result<int> Pipe(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(std::string command, ToText(L, 2, "Pipe"));
  ASSIGN_OR_RETURN(const PipeOptions options, ToPipeOptions(L, 3, "Pipe"));
  return PushDataset(L, self->Pipe(std::move(command), options));
}

Result<int> PipeAsArgs(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(std::string command, ToText(L, 2, "PipeAsArgs"));
  ASSIGN_OR_RETURN(const PipeAsArgsOptions options, ToPipeAsArgsOptions(L, 3, "PipeAsArgs"));
  return PushDataset(L, self->PipeAsArgs(std::move(command), options));
}

Result<int> Lookup(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(const TableHandle table, ToTable(L, 2, "Lookup"));
  FieldRef key = 1;
  if (!lua_isnoneornil(L, 3)) {
    ASSIGN_OR_RETURN(key, ToField(L, 3, "Lookup"));
  }
  return PushDataset(L, self->Lookup(table, key));
}

Result<int> PushTo(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(const TableHandle table, ToTable(L, 2, "PushTo"));
  return PushDataset(L, self->PushTo(table));
}

}  // namespace

const Function kStepMethods[] = {
    {"Map", Call<CallFunctionStep<"Map", &Dataset::Map>>, 2},
    {"FlatMap", Call<CallFunctionStep<"FlatMap", &Dataset::FlatMap>>, 2},
    {"Filter", Call<CallFunctionStep<"Filter", &Dataset::Filter>>, 2},
    {"ForEach", Call<CallFunctionStep<"ForEach", &Dataset::ForEach>>, 2},
    {"ForEachBatch", Call<CallFunctionStep<"ForEachBatch", &Dataset::ForEachBatch>>, 2},
    {"Reduce", Call<CallReduce<"Reduce", &Dataset::Reduce>>, 1},
    {"Select", Call<Select>},
    {"Partition", Call<Partition>},
    {"SelectKV", Call<SelectKV>, 2},
    {"As", Call<As>},
    {"Limit", Call<CallLimit<"Limit", &Dataset::Limit>>, 2},
    {"LocalLimit", Call<CallLimit<"LocalLimit", &Dataset::LocalLimit>>, 2},
    {"Sample", Call<Sample>, 2},
    {"ZipWithIndex", Call<ZipWithIndex>, 1},
    {"RoundRobin", Call<CallCount<"RoundRobin", &Dataset::RoundRobin>>, 1},
    {"Broadcast", Call<CallCount<"Broadcast", &Dataset::Broadcast>>, 1},
    {"MergeTo", Call<CallCount<"MergeTo", &Dataset::MergeTo>>, 1},
    {"MergeSortedTo", Call<MergeSortedTo>},
    {"PartitionByKey", Call<Partition>, 1},
    {"Union", Call<Union>},
    {"LocalReduce", Call<CallReduce<"LocalReduce", &Dataset::LocalReduce>>, 1},
    {"ReduceBy", Call<CallReduceBy<"ReduceBy", &Dataset::ReduceBy>>},
    {"ReduceByKey", Call<CallReduceBy<"ReduceByKey", &Dataset::ReduceBy>>, 1},
    {"LocalReduceBy", Call<CallReduceBy<"LocalReduceBy", &Dataset::LocalReduceBy>>},
    {"GroupBy", Call<CallFields<"GroupBy", &Dataset::GroupBy>>},
    {"GroupByKey", Call<CallFields<"GroupByKey", &Dataset::GroupBy>>, 0},
    {"LocalGroupBy", Call<CallFields<"LocalGroupBy", &Dataset::LocalGroupBy>>},
    {"Distinct", Call<CallFields<"Distinct", &Dataset::Distinct, true>>},
    {"DistinctByKey", Call<CallFields<"DistinctByKey", &Dataset::Distinct>>, 0},
    {"LocalDistinct", Call<CallFields<"LocalDistinct", &Dataset::LocalDistinct, true>>},
    {"Sort", Call<CallFields<"Sort", &Dataset::Sort>>},
    {"SortByKey", Call<CallFields<"SortByKey", &Dataset::Sort>>, 0},
    {"LocalSort", Call<CallFields<"LocalSort", &Dataset::LocalSort>>},
    {"SortBy", Call<CallSortBy<"SortBy", &Dataset::SortBy>>},
    {"LocalSortBy", Call<CallSortBy<"LocalSortBy", &Dataset::LocalSortBy>>},
    {"Top", Call<CallTop<"Top", &Dataset::Top>>},
    {"LocalTop", Call<CallTop<"LocalTop", &Dataset::LocalTop>>},
    {"Cache", Call<Cache>, 0},
    {"AsTable", Call<AsTable>, 1},
    {"Do", Call<Do>, 1},
    {"OnDisk", Call<OnDisk>, 1},
    {"Hint", Call<Hint>},
    {"Join", Call<CallJoin<"Join", &Dataset::Join>>},
    {"LeftOuterJoin", Call<CallJoin<"LeftOuterJoin", &Dataset::LeftOuterJoin>>},
    {"RightOuterJoin", Call<CallJoin<"RightOuterJoin", &Dataset::RightOuterJoin>>},
    {"FullOuterJoin", Call<CallJoin<"FullOuterJoin", &Dataset::FullOuterJoin>>},
    {"SemiJoin", Call<CallJoin<"SemiJoin", &Dataset::SemiJoin>>},
    {"AntiJoin", Call<CallJoin<"AntiJoin", &Dataset::AntiJoin>>},
    {"HashJoin", Call<CallJoin<"HashJoin", &Dataset::HashJoin>>},
    {"CoGroup", Call<CallJoin<"CoGroup", &Dataset::CoGroup>>},
    {"JoinByKey", Call<CallJoin<"JoinByKey", &Dataset::Join>>, 1},
    {"LeftOuterJoinByKey", Call<CallJoin<"LeftOuterJoinByKey", &Dataset::LeftOuterJoin>>, 1},
    {"RightOuterJoinByKey", Call<CallJoin<"RightOuterJoinByKey", &Dataset::RightOuterJoin>>, 1},
    {"FullOuterJoinByKey", Call<CallJoin<"FullOuterJoinByKey", &Dataset::FullOuterJoin>>, 1},
    {"CoGroupByKey", Call<CallJoin<"CoGroupByKey", &Dataset::CoGroup>>, 1},
    {"Pipe", Call<Pipe>, 2},
    {"PipeAsArgs", Call<PipeAsArgs>, 2},
    {"Lookup", Call<Lookup>, 2},
    {"PushTo", Call<PushTo>, 1},
    {},
};

}  // namespace glim::script
