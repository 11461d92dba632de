// SPDX-License-Identifier: Apache-2.0
#include "exec/function_codec.h"

#include <algorithm>
#include <cmath>

#include "param/table_address.h"
#include "udf/lua_function.h"
#include "udf/lua_side.h"

namespace glim::exec {

template <>
inline constexpr Fold::Kind kLastOf<Fold::Kind> = Fold::Kind::kQuantiles;
template <>
inline constexpr udf::CapturedValue::Kind kLastOf<udf::CapturedValue::Kind> = udf::CapturedValue::Kind::kShared;

namespace {

// What the function of a step is.
enum class FunctionKind : uint8_t { kNone, kCaptured, kNative };
// What an object is that a Lua function captures.
enum class ObjectKind : uint8_t { kTable, kSideTable };

}  // namespace

template <>
inline constexpr FunctionKind kLastOf<FunctionKind> = FunctionKind::kNative;
template <>
inline constexpr ObjectKind kLastOf<ObjectKind> = ObjectKind::kSideTable;

template <>
Fold Blank<Fold>() {
  return Fold(Fold::Kind::kSum);
}

namespace {

using Kind = udf::CapturedValue::Kind;
using SharedPointer = std::shared_ptr<const udf::SharedObject>;

// What the values of one captured function may refer to.
struct Objects {
  const std::vector<SharedPointer>& shared;
  size_t tables;
  size_t functions;
};

}  // namespace

template <class A>
void Travel(A& archive, Fold& fold) {
  auto& [kind, at] = fold;
  archive(kind, at);
}

// Which of the tables that the step says it reads.
void Travel(FlowWriter& archive, std::shared_ptr<batch::KeyedRows>& rows) {
  const std::vector<int>& tables = archive.context.step->tables;
  const auto found = std::find_if(tables.begin(), tables.end(),
                                  [&](int table) { return RowsOfTable(archive.context.graph, table) == rows; });
  if (found == tables.end()) archive.Fail(Status::Invalid("it captures a table of AsTable that is none of this flow"));
  auto number = static_cast<uint32_t>(found - tables.begin());
  archive(number);
}
void Travel(FlowReader& archive, std::shared_ptr<batch::KeyedRows>& rows) {
  const std::vector<int>& tables = archive.context.step->tables;
  uint32_t number = 0;
  archive(number);
  archive.Require(number < tables.size(), "a function reads a table that its step does not");
  if (archive.ok()) rows = RowsOfTable(*archive.context.graph, tables[number]);
}

void Travel(FlowWriter& archive, SharedPointer& object) {
  ObjectKind kind = ObjectKind::kTable;
  if (const auto* side = dynamic_cast<const udf::LuaSide*>(object.get())) {
    kind = ObjectKind::kSideTable;
    auto rows = side->rows();
    return archive(kind, rows);
  }
  TableHandle table = object->table();
  if (table == nullptr) return archive.Fail(Status::Invalid("it captures an object that cannot go to other processes"));
  archive(kind, table);
}
void Travel(FlowReader& archive, SharedPointer& object) {
  ObjectKind kind{};
  archive(kind);
  if (kind == ObjectKind::kSideTable) {
    std::shared_ptr<batch::KeyedRows> rows;
    archive(rows);
    if (archive.ok()) object = std::make_shared<udf::LuaSide>(std::move(rows));
    return;
  }
  TableHandle table;
  archive(table);
  const auto& make = archive.context.decoding.table_object;
  if (archive.ok() && make == nullptr) archive.Fail(Status::Invalid("it captures a table, and here are none"));
  if (archive.ok()) object = make(std::move(table));
}

namespace {

// Only what the kind has.
template <class A>
void OneValue(A& archive, udf::CapturedValue& value, const Objects& objects) {
  auto& [kind, boolean, number, integer, text, object, shared] = value;
  archive(kind);
  switch (kind) {
    case Kind::kNil: return;
    case Kind::kBool: return archive(boolean);
    case Kind::kNumber: return archive(number);
    case Kind::kString:
    case Kind::kName: return archive(text);
    case Kind::kInt64:
    case Kind::kUint64: return archive(integer);
    case Kind::kTable:
    case Kind::kFunction: {
      archive(object);
      if constexpr (A::kReads) {
        const size_t count = kind == Kind::kTable ? objects.tables : objects.functions;
        archive.Require(object >= 0 && static_cast<size_t>(object) < count, "a value that is not there");
      }
      return;
    }
    case Kind::kShared: {
      uint32_t place = 0;
      if constexpr (!A::kReads) {
        const auto found = std::find(objects.shared.begin(), objects.shared.end(), shared);
        place = static_cast<uint32_t>(found - objects.shared.begin());
      }
      archive(place);
      if constexpr (A::kReads) {
        archive.Require(place < objects.shared.size(), "an object that is not there");
        if (archive.ok()) shared = objects.shared[place];
      }
      return;
    }
  }
}

// Lua takes no other keys.
bool IsKey(const udf::CapturedValue& value) {
  return value.kind != Kind::kNil && !(value.kind == Kind::kNumber && std::isnan(value.number));
}

// A list of what `item` takes; sizes are bounded as those of all lists.
template <class A, class T, class Item>
void List(A& archive, std::vector<T>& list, const Item& item) {
  auto count = static_cast<uint32_t>(list.size());
  archive(count);
  if constexpr (A::kReads) {
    archive.Require(count <= archive.left(), "a list is longer than what is left");
    for (uint32_t i = 0; i < count && archive.ok(); ++i) item(list.emplace_back());
  } else {
    for (T& value : list) item(value);
  }
}

template <class A>
void OneTable(A& archive, udf::CapturedTable& table, const Objects& objects) {
  auto& [entries, metatable] = table;
  List(archive, entries, [&](auto& entry) {
    auto& [key, value] = entry;
    OneValue(archive, key, objects);
    OneValue(archive, value, objects);
    if constexpr (A::kReads) archive.Require(IsKey(key), "a key of a Lua table");
  });
  OneValue(archive, metatable, objects);
  if constexpr (A::kReads) {
    archive.Require(metatable.kind == Kind::kNil || metatable.kind == Kind::kTable || metatable.kind == Kind::kName,
                    "a metatable");
  }
}

}  // namespace

// Objects first, and how many tables and functions there are: values refer to them.
template <class A>
void Travel(A& archive, udf::Captured& captured) {
  auto& [root, setup, teardown, tables, functions, variables, globals, additions, shared, path, where] = captured;
  archive(path, where, shared, functions);
  auto table_count = static_cast<uint32_t>(tables.size());
  archive(table_count);
  const Objects objects{shared, table_count, functions.size()};
  const auto value = [&](udf::CapturedValue& value) { OneValue(archive, value, objects); };
  List(archive, variables, value);
  List(archive, tables, [&](udf::CapturedTable& table) { OneTable(archive, table, objects); });
  List(archive, globals, [&](auto& global) {
    archive(global.first);
    value(global.second);
  });
  List(archive, additions, [&](udf::CapturedField& addition) {
    auto& [module, name, added] = addition;
    archive(module, name);
    value(added);
  });
  for (udf::CapturedValue* part : {&root, &setup, &teardown}) value(*part);
  if constexpr (A::kReads) {
    archive.Require(tables.size() == table_count, "another number of Lua tables");
    for (const udf::CapturedFunction& function : functions) {
      for (const int variable : function.upvalues) {
        archive.Require(variable >= 0 && static_cast<size_t>(variable) < variables.size(), "a variable");
      }
    }
  }
}

namespace {

bool IsNative(const FunctionSource& source) {
  return source.function != nullptr && udf::CapturedOf(*source.function) == nullptr;
}

// Of the step at the same place in the flow that this process has built; null when there is none.
std::shared_ptr<const Function> OwnFunction(const FlowReading& reading) {
  const flow::Graph* own = reading.decoding.own;
  const size_t place = reading.graph->steps().size();
  if (own == nullptr || place >= own->steps().size()) return nullptr;
  const flow::StepBody& body = own->steps()[place].body;
  const FunctionSource* source = nullptr;
  if (const auto* step = std::get_if<flow::FunctionStep>(&body)) source = &step->function;
  if (const auto* step = std::get_if<flow::ReduceStep>(&body)) source = &step->function;
  return source != nullptr && IsNative(*source) ? source->function : nullptr;
}

}  // namespace

namespace {

const FunctionSource* FunctionOf(const flow::Step& step) {
  if (const auto* function = std::get_if<flow::FunctionStep>(&step.body)) return &function->function;
  if (const auto* reduce = std::get_if<flow::ReduceStep>(&step.body)) return &reduce->function;
  return nullptr;
}

}  // namespace

bool HasNativeFunctions(const flow::Graph& graph) {
  return std::any_of(graph.steps().begin(), graph.steps().end(), [](const flow::Step& step) {
    const FunctionSource* source = FunctionOf(step);
    return source != nullptr && IsNative(*source);
  });
}

void Travel(FlowWriter& archive, FunctionSource& source) {
  auto& [lua, function, tables, folds] = source;
  archive(lua, folds);
  auto kind = function == nullptr ? FunctionKind::kNone
              : IsNative(source)  ? FunctionKind::kNative
                                  : FunctionKind::kCaptured;
  archive(kind);
  // A writer only looks.
  if (kind == FunctionKind::kCaptured) archive(const_cast<udf::Captured&>(*udf::CapturedOf(*function)));
  // Which tables the function reads is known from its step.
  const std::vector<int>& steps = archive.context.step->tables;
  const bool same = std::equal(
      tables.begin(), tables.end(), steps.begin(), steps.end(),
      [&](const SideTable& table, int step) { return RowsOfTable(archive.context.graph, step) == table.keyed_rows(); });
  if (!same) archive.Fail(Status::Internal("it reads other tables than its step"));
}

void Travel(FlowReader& archive, FunctionSource& source) {
  auto& [lua, function, tables, folds] = source;
  FunctionKind kind{};
  archive(lua, folds, kind);
  for (const Fold& fold : folds) {
    const bool good = std::all_of(fold.at.begin(), fold.at.end(), [](double at) { return at >= 0 && at <= 1; });
    archive.Require(good && fold.at.empty() == (fold.kind != Fold::Kind::kQuantiles), "a fold");
  }
  if (kind == FunctionKind::kCaptured) {
    udf::Captured captured;
    archive(captured);
    if (archive.ok()) function = udf::MakeLuaFunction(std::move(captured));
  } else if (kind == FunctionKind::kNative && archive.ok()) {
    function = OwnFunction(archive.context);
    if (function == nullptr)
      archive.Fail(Status::Invalid("its function is in C++, and the program that has it does not run here"));
  }
  for (const int table : archive.context.step->tables) {
    tables.emplace_back(RowsOfTable(*archive.context.graph, table));
  }
}

void Travel(FlowWriter& archive, TableHandle& table) {
  if (table == nullptr) return archive.Fail(Status::Invalid("there is no table"));
  if (dynamic_cast<const WorkerClient*>(table.get()) != nullptr) {
    return archive.Fail(Status::Invalid(
        fmt::format("a worker of table \"{}\" is of the program's own process; tasks join the table themselves",
                    table->spec().name)));
  }
  auto handle = table->Handle();
  if (!handle.ok()) return archive.Fail(std::move(handle).status());
  const auto address = param::ParseTableAddress(*handle);
  if (address.ok() && address->place == param::kEmbeddedPlace) {
    return archive.Fail(Status::Invalid(
        fmt::format("table \"{}\" is in the program's own process, where others cannot reach it; make it on servers",
                    address->name)));
  }
  archive(*handle);
}
void Travel(FlowReader& archive, TableHandle& table) {
  std::string handle;
  archive(handle);
  if (!archive.ok()) return;
  const auto [known, is_new] = archive.context.tables.try_emplace(handle);
  if (is_new) {
    const auto& open = archive.context.decoding.open_table;
    auto opened = open != nullptr ? open(handle) : Status::Invalid("there are no tables here");
    if (!opened.ok()) return archive.Fail(std::move(opened).status());
    known->second = *std::move(opened);
  }
  table = known->second;
}

std::shared_ptr<batch::KeyedRows> RowsOfTable(const flow::Graph& graph, int step) {
  const auto* table = std::get_if<flow::TableStep>(&graph.steps()[step].body);
  return table != nullptr ? table->rows : nullptr;
}

}  // namespace glim::exec
