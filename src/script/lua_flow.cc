// SPDX-License-Identifier: Apache-2.0
#include "script/lua_flow.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/try.h"
#include "client/session_parts.h"
#include "glim/flow.h"
#include "glim/session.h"
#include "io/paths.h"
#include "io/row_format.h"
#include "script/lua_formats.h"
#include "script/lua_functions.h"
#include "script/lua_support.h"
#include "script/lua_table.h"
#include "udf/lua_side.h"
#include "udf/lua_values.h"

namespace glim::script {
namespace {

constexpr const char* kFlow = "glim flow";
constexpr const char* kDataset = "glim dataset";
constexpr const char* kOrder = "glim order";
constexpr const char* kFields = "glim field";

Session* TheSession(lua_State* L) { return static_cast<Session*>(lua_touserdata(L, lua_upvalueindex(1))); }
UnrunFlows* TheUnrunFlows(lua_State* L) { return static_cast<UnrunFlows*>(lua_touserdata(L, lua_upvalueindex(2))); }

Result<int> PushDataset(lua_State* L, Dataset dataset) {
  PushObject(L, kDataset, std::move(dataset));
  return 1;
}

Result<Dataset*> Self(lua_State* L) {
  if (void* memory = TestObject(L, 1, kDataset)) return static_cast<Dataset*>(memory);
  return Status::Invalid("call the steps of a dataset with a colon, like data:Map(f)");
}

Result<Flow*> SelfFlow(lua_State* L) {
  if (void* memory = TestObject(L, 1, kFlow)) return static_cast<Flow*>(memory);
  return Status::Invalid("call the sources of a flow with a colon, like flow:TextFile(name)");
}

Result<FieldRef> ToField(lua_State* L, int index, const char* what) {
  if (lua_type(L, index) == LUA_TSTRING) {
    size_t size = 0;
    const char* text = lua_tolstring(L, index, &size);
    return FieldRef(std::string(text, size));
  }
  ASSIGN_OR_RETURN(const int number, ToInt(L, index, what));
  return FieldRef(number);
}

// One argument: a number or a name, a list of them, or glim.field(...).
Result<Fields> ToFieldList(lua_State* L, int index, const char* what) {
  if (void* memory = TestObject(L, index, kFields)) return *static_cast<Fields*>(memory);
  std::vector<FieldRef> fields;
  if (!lua_istable(L, index)) {
    ASSIGN_OR_RETURN(FieldRef field, ToField(L, index, what));
    fields.push_back(std::move(field));
    return Fields(std::move(fields));
  }
  for (size_t i = 1; i <= lua_objlen(L, index); ++i) {
    lua_rawgeti(L, index, static_cast<int>(i));
    ASSIGN_OR_RETURN(FieldRef field, ToField(L, lua_gettop(L), what));
    fields.push_back(std::move(field));
    lua_pop(L, 1);
  }
  return Fields(std::move(fields));
}

// Fields from `index` on, as ToFieldList takes them. None: `otherwise`.
Result<Fields> ToFields(lua_State* L, int index, const char* what, Fields otherwise) {
  if (lua_isnoneornil(L, index)) return otherwise;
  std::vector<FieldRef> fields;
  for (; index <= lua_gettop(L) && !lua_isnil(L, index); ++index) {
    ASSIGN_OR_RETURN(const Fields more, ToFieldList(L, index, what));
    fields.insert(fields.end(), more.list().begin(), more.list().end());
  }
  return Fields(std::move(fields));
}

Result<std::vector<OrderBy>> ToOrders(lua_State* L, int index, const char* what) {
  std::vector<OrderBy> orders;
  for (; index <= lua_gettop(L); ++index) {
    if (void* memory = TestObject(L, index, kOrder)) {
      orders.push_back(*static_cast<OrderBy*>(memory));
      continue;
    }
    ASSIGN_OR_RETURN(const Fields fields, ToFieldList(L, index, what));
    for (const FieldRef& field : fields.list()) orders.emplace_back(field);
  }
  return orders;
}

// ---- Steps ----

// The step's name as a template argument: CallJoin<"Join", &Dataset::Join>.
template <size_t size>
struct StepName {
  constexpr StepName(const char (&literal)[size]) { std::copy_n(literal, size, text); }
  char text[size];
};

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
  ASSIGN_OR_RETURN(FunctionSource function, ToFunction(L, 2, name.text));
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
  for (int i = 2; i <= lua_gettop(L); ++i) {
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
  if (lua_istable(L, 2) && TestObject(L, 2, kDataset) == nullptr) {
    for (size_t i = 1; i <= lua_objlen(L, 2); ++i) {
      lua_rawgeti(L, 2, static_cast<int>(i));
      ASSIGN_OR_RETURN(Dataset * other, ToObject<Dataset>(L, -1, kDataset, "Union"));
      others.push_back(*other);
      lua_pop(L, 1);
    }
  } else {
    for (int i = 2; i <= lua_gettop(L) && !lua_isboolean(L, i); ++i) {
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

// data:Do(f), data:OnDisk(f): what f(data) gives.
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
  ASSIGN_OR_RETURN(FunctionSource function, ToFunction(L, 2, name.text));
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
  if (lua_gettop(L) > 4 || lua_isnoneornil(L, 4) || lua_isstring(L, 3)) {
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
  return PushDataset(L, self->Pipe(std::move(command)));
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

// ---- Ends ----

// A mistake in the format is told where the script calls, not when it runs.
Result<std::string> ToFormat(lua_State* L, int index, const char* what) {
  ASSIGN_OR_RETURN(std::string format, ToText(L, index, what));
  if (auto parsed = io::RowFormat::Parse(format); !parsed.ok()) return std::move(parsed).status().With(what);
  return format;
}

Result<FILE*> ToFile(lua_State* L, int index, const char* what) {
  auto* file = static_cast<FILE**>(TestObject(L, index, LUA_FILEHANDLE));
  if (file == nullptr) return WrongArgument(L, index, what, "an open file such as io.stdout");
  if (*file == nullptr) return Status::Invalid(std::string(what) + ": the file is closed");
  return *file;
}

template <StepName name, Dataset (Dataset::*step)(std::string) const>
Result<int> CallPrintf(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(std::string format, ToFormat(L, 2, name.text));
  return PushDataset(L, (self->*step)(std::move(format)));
}

template <StepName name, Dataset (Dataset::*step)(FILE*, std::string) const>
Result<int> CallFprintf(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(FILE * file, ToFile(L, 2, name.text));
  ASSIGN_OR_RETURN(std::string format, ToFormat(L, 3, name.text));
  return PushDataset(L, (self->*step)(file, std::move(format)));
}

Result<int> PipeOut(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(FILE * file, ToFile(L, 2, "PipeOut"));
  return PushDataset(L, self->PipeOut(file));
}

template <StepName name, Dataset (Dataset::*step)(std::string, WriteOptions) const>
Result<int> CallWrite(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(std::string path, ToText(L, 2, name.text));
  ASSIGN_OR_RETURN(WriteOptions options, ToWriteOptions(L, 3, name.text));
  return PushDataset(L, (self->*step)(std::move(path), std::move(options)));
}

template <StepName name, Dataset (Dataset::*step)(std::string, CsvWriteOptions) const>
Result<int> CallWriteCsv(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(std::string path, ToText(L, 2, name.text));
  ASSIGN_OR_RETURN(CsvWriteOptions options, ToCsvWriteOptions(L, 3, name.text));
  return PushDataset(L, (self->*step)(std::move(path), std::move(options)));
}

Result<int> WriteJsonLines(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(std::string path, ToText(L, 2, "WriteJsonLines"));
  ASSIGN_OR_RETURN(std::vector<std::string> names, ToTexts(L, 3, "WriteJsonLines"));
  ASSIGN_OR_RETURN(WriteOptions options, ToWriteOptions(L, 4, "WriteJsonLines"));
  return PushDataset(L, self->WriteJsonLines(std::move(path), std::move(names), std::move(options)));
}

Result<int> WriteSql(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(std::string database, ToText(L, 2, "WriteSql"));
  ASSIGN_OR_RETURN(std::string table, ToText(L, 3, "WriteSql"));
  ASSIGN_OR_RETURN(SqlWriteOptions options, ToSqlWriteOptions(L, 4, "WriteSql"));
  return PushDataset(L, self->WriteSql(std::move(database), std::move(table), std::move(options)));
}

// A value of the script's state, kept alive for a sink.
class Kept {
 public:
  Kept(lua_State* L, int index) : L_(L) {
    lua_pushvalue(L, index);
    reference_ = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  Kept(const Kept&) = delete;
  ~Kept() { luaL_unref(L_, LUA_REGISTRYINDEX, reference_); }
  void Push() const { lua_rawgeti(L_, LUA_REGISTRYINDEX, reference_); }
  lua_State* state() const { return L_; }

 private:
  lua_State* L_;
  int reference_;
};

// `as_list`: the function gets each row as a list, not its fields as arguments.
template <bool as_list>
Result<int> Output(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  if (!lua_isfunction(L, 2)) return WrongArgument(L, 2, as_list ? "OutputRow" : "Output", "a function");
  auto function = std::make_shared<const Kept>(L, 2);
  return PushDataset(L, self->Output([function](const Batch& batch) -> Status {
    lua_State* state = function->state();
    luaL_checkstack(state, batch.column_count() + 8, "Output");
    for (int64_t row = 0; row < batch.row_count(); ++row) {
      function->Push();
      if (as_list) {
        udf::PushList(state, batch.column_count(), [&](int64_t c) { return batch.At(row, static_cast<int>(c)); });
      } else {
        for (int c = 0; c < batch.column_count(); ++c) udf::PushCell(state, batch.At(row, c));
      }
      if (lua_pcall(state, as_list ? 1 : batch.column_count(), 0, 0) != 0) {
        const char* message = lua_tostring(state, -1);
        Status status = Status::UserCode(fmt::format(
            "{}, row {}", message != nullptr ? message : "an error that is not a string", batch.RowToDebugString(row)));
        lua_pop(state, 1);
        return status;
      }
    }
    return Status::Ok();
  }));
}

// Appends every row to the list, as a list of its fields.
Result<int> CollectRows(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  if (!lua_istable(L, 2)) return WrongArgument(L, 2, "Collect", "a table to fill");
  auto list = std::make_shared<const Kept>(L, 2);
  return PushDataset(L, self->Output([list](const Batch& batch) -> Status {
    lua_State* state = list->state();
    luaL_checkstack(state, 8, "Collect");
    list->Push();
    auto next = static_cast<int>(lua_objlen(state, -1));
    for (int64_t row = 0; row < batch.row_count(); ++row) {
      udf::PushList(state, batch.column_count(), [&](int64_t c) { return batch.At(row, static_cast<int>(c)); });
      lua_rawseti(state, -2, ++next);
    }
    lua_pop(state, 1);
    return Status::Ok();
  }));
}

Result<int> SaveFirstRowTo(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  if (!lua_istable(L, 2)) return WrongArgument(L, 2, "SaveFirstRowTo", "a table to fill");
  auto row_table = std::make_shared<const Kept>(L, 2);
  return PushDataset(L, self->Limit(1).Output([row_table](const Batch& batch) -> Status {
    lua_State* state = row_table->state();
    row_table->Push();
    for (int c = 0; c < batch.column_count(); ++c) {
      udf::PushCell(state, batch.At(0, c));
      lua_rawseti(state, -2, c + 1);
    }
    lua_pop(state, 1);
    return Status::Ok();
  }));
}

Result<int> Print(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  PrintFormat format = PrintFormat::kAuto;
  if (!lua_isnoneornil(L, 2)) {
    ASSIGN_OR_RETURN(const std::string name, ToText(L, 2, "Print"));
    ASSIGN_OR_RETURN(format, ParsePrintFormat(name));
  }
  return PushDataset(L, self->Print(format));
}

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
  const Dataset shown = self->Limit(count).Print(PrintFormat::kTable);
  TheUnrunFlows(L)->Remove(shown.graph().get());
  RETURN_IF_ERROR(shown.Run(*TheSession(L)));
  return 0;
}

// ---- Sources ----

Result<int> TextFile(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(std::vector<std::string> paths, ToTexts(L, 2, "TextFile"));
  ASSIGN_OR_RETURN(TextFileOptions options, ToTextOptions(L, 3, "TextFile"));
  return PushDataset(L, flow->TextFile(std::move(paths), std::move(options)));
}

Result<int> ZipFile(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(std::vector<std::string> paths, ToTexts(L, 2, "ZipFile"));
  ASSIGN_OR_RETURN(ZipFileOptions options, ToZipOptions(L, 3, "ZipFile"));
  return PushDataset(L, flow->ZipFile(std::move(paths), std::move(options)));
}

Result<int> Stdin(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  return PushDataset(L, flow->Stdin());
}

Result<int> Strings(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(std::vector<std::string> values, ToTexts(L, 2, "Strings"));
  return PushDataset(L, flow->Strings(std::move(values)));
}

Result<int> Ints(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(std::vector<int64_t> values, ToIntegers(L, 2, "Ints"));
  return PushDataset(L, flow->Ints(std::move(values)));
}

Result<int> Range(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(const int64_t begin, ToInteger(L, 2, "Range"));
  ASSIGN_OR_RETURN(const int64_t end, ToInteger(L, 3, "Range"));
  return PushDataset(L, flow->Range(begin, end));
}

// The largest whole key of the table on top of the stack: nils within a row count, and `n` says so where they end it.
int RowWidth(lua_State* L) {
  lua_getfield(L, -1, "n");
  auto width = static_cast<int>(lua_tointeger(L, -1));
  lua_pop(L, 1);
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) == LUA_TNUMBER) width = std::max(width, static_cast<int>(lua_tonumber(L, -2)));
  }
  return width;
}

// A list of rows, each a list of values.
Result<int> Rows(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  if (!lua_istable(L, 2)) return WrongArgument(L, 2, "Rows", "a list of lists");
  std::vector<Row> rows;
  for (int r = 1; r <= static_cast<int>(lua_objlen(L, 2)); ++r) {
    lua_rawgeti(L, 2, r);
    if (!lua_istable(L, -1)) {
      return WrongArgument(L, lua_gettop(L), "Rows", fmt::format("a list as row {}", r).c_str());
    }
    BatchBuilder builder(RowWidth(L));
    for (int c = 0; c < builder.column_count(); ++c) {
      lua_rawgeti(L, -1, c + 1);
      std::string error;
      if (!udf::AppendLuaValue(L, lua_gettop(L), &builder.column(c), &error)) {
        return Status::Invalid(fmt::format("Rows: row {}: {}", r, error));
      }
      lua_pop(L, 1);
    }
    builder.EndRow();
    rows.push_back(builder.Finish().RowAt(0));
    lua_pop(L, 1);
  }
  return PushDataset(L, flow->Rows(std::move(rows)));
}

Result<int> Input(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(Dataset data, InputFormat(L, 2, flow));
  return PushDataset(L, std::move(data));
}

Result<int> Sql(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(std::string database, ToText(L, 2, "Sql"));
  ASSIGN_OR_RETURN(std::string query, ToText(L, 3, "Sql"));
  ASSIGN_OR_RETURN(SqlOptions options, ToSqlOptions(L, 4, "Sql"));
  return PushDataset(L, flow->Sql(std::move(database), std::move(query), std::move(options)));
}

Result<int> Generate(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(FunctionSource function, ToFunction(L, 2, "Generate"));
  int parts = 1;
  if (!lua_isnoneornil(L, 3)) {
    ASSIGN_OR_RETURN(parts, ToInt(L, 3, "Generate"));
  }
  return PushDataset(L, flow->Generate(std::move(function), parts));
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

// flow:Read(file), of an open file or io.popen. The script may close it before the flow runs.
Result<int> Read(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  RETURN_IF_ERROR(ToFile(L, 2, "Read").status());
  auto kept = std::make_shared<const Kept>(L, 2);
  auto* const file = static_cast<FILE* const*>(lua_touserdata(L, 2));
  return PushDataset(L, flow->Read([kept, file](std::span<char> out) -> Result<size_t> {
    if (*file == nullptr) return Status::Invalid("the file is closed");
    const size_t size = std::fread(out.data(), 1, out.size(), *file);
    if (size == 0 && std::ferror(*file) != 0) return Status::Unavailable("the file cannot be read");
    return size;
  }));
}

Result<int> Listen(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(std::string network, ToText(L, 2, "Listen"));
  ASSIGN_OR_RETURN(std::string address, ToText(L, 3, "Listen"));
  ASSIGN_OR_RETURN(ListenOptions options, ToListenOptions(L, 4, "Listen"));
  return PushDataset(L, flow->Listen(std::move(network), std::move(address), options));
}

Result<int> Source(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(FunctionSource function, ToFunction(L, 2, "Source"));
  return PushDataset(L, flow->Source(std::move(function)));
}

Result<int> Init(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(std::string code, ToText(L, 2, "Init"));
  flow->Init(std::move(code));
  lua_settop(L, 1);
  return 1;
}

Result<int> RunFlow(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  TheUnrunFlows(L)->Remove(flow->graph().get());
  RETURN_IF_ERROR(flow->Run(*TheSession(L)));
  return 0;
}

// ---- The module ----

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
  int64_t order = Ascending;
  if (!lua_isnoneornil(L, 2)) {
    ASSIGN_OR_RETURN(order, ToInteger(L, 2, "glim.order_by"));
  }
  if (order != Ascending && order != Descending)
    return Status::Invalid("glim.order_by: the order is glim.ascending or glim.descending");
  PushObject(L, kOrder, OrderBy(std::move(field), static_cast<SortOrder>(order)));
  return 1;
}

// The files that TextFile would read, in that order.
Result<int> Glob(lua_State* L) {
  ASSIGN_OR_RETURN(const std::vector<std::string> paths, ToTexts(L, 1, "glim.glob"));
  ASSIGN_OR_RETURN(const TextFileOptions options, ToTextOptions(L, 2, "glim.glob"));
  ASSIGN_OR_RETURN(const auto files,
                   io::ExpandPaths(*TheSession(L)->parts().env, paths, {options.recursive, options.pattern}));
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

constexpr luaL_Reg kDatasetMethods[] = {
    {"Map", Call<CallFunctionStep<"Map", &Dataset::Map>>},
    {"FlatMap", Call<CallFunctionStep<"FlatMap", &Dataset::FlatMap>>},
    {"Filter", Call<CallFunctionStep<"Filter", &Dataset::Filter>>},
    {"ForEach", Call<CallFunctionStep<"ForEach", &Dataset::ForEach>>},
    {"ForEachBatch", Call<CallFunctionStep<"ForEachBatch", &Dataset::ForEachBatch>>},
    {"Reduce", Call<CallReduce<"Reduce", &Dataset::Reduce>>},
    {"Select", Call<Select>},
    {"Partition", Call<Partition>},
    {"SelectKV", Call<SelectKV>},
    {"As", Call<As>},
    {"Limit", Call<CallLimit<"Limit", &Dataset::Limit>>},
    {"LocalLimit", Call<CallLimit<"LocalLimit", &Dataset::LocalLimit>>},
    {"Sample", Call<Sample>},
    {"ZipWithIndex", Call<ZipWithIndex>},
    {"RoundRobin", Call<CallCount<"RoundRobin", &Dataset::RoundRobin>>},
    {"Broadcast", Call<CallCount<"Broadcast", &Dataset::Broadcast>>},
    {"MergeTo", Call<CallCount<"MergeTo", &Dataset::MergeTo>>},
    {"MergeSortedTo", Call<MergeSortedTo>},
    {"PartitionByKey", Call<Partition>},
    {"Union", Call<Union>},
    {"LocalReduce", Call<CallReduce<"LocalReduce", &Dataset::LocalReduce>>},
    {"ReduceBy", Call<CallReduceBy<"ReduceBy", &Dataset::ReduceBy>>},
    {"ReduceByKey", Call<CallReduceBy<"ReduceByKey", &Dataset::ReduceBy>>},
    {"LocalReduceBy", Call<CallReduceBy<"LocalReduceBy", &Dataset::LocalReduceBy>>},
    {"GroupBy", Call<CallFields<"GroupBy", &Dataset::GroupBy>>},
    {"GroupByKey", Call<CallFields<"GroupByKey", &Dataset::GroupBy>>},
    {"LocalGroupBy", Call<CallFields<"LocalGroupBy", &Dataset::LocalGroupBy>>},
    {"Distinct", Call<CallFields<"Distinct", &Dataset::Distinct, true>>},
    {"DistinctByKey", Call<CallFields<"DistinctByKey", &Dataset::Distinct>>},
    {"LocalDistinct", Call<CallFields<"LocalDistinct", &Dataset::LocalDistinct, true>>},
    {"Sort", Call<CallFields<"Sort", &Dataset::Sort>>},
    {"SortByKey", Call<CallFields<"SortByKey", &Dataset::Sort>>},
    {"LocalSort", Call<CallFields<"LocalSort", &Dataset::LocalSort>>},
    {"SortBy", Call<CallSortBy<"SortBy", &Dataset::SortBy>>},
    {"LocalSortBy", Call<CallSortBy<"LocalSortBy", &Dataset::LocalSortBy>>},
    {"Top", Call<CallTop<"Top", &Dataset::Top>>},
    {"LocalTop", Call<CallTop<"LocalTop", &Dataset::LocalTop>>},
    {"Cache", Call<Cache>},
    {"AsTable", Call<AsTable>},
    {"Do", Call<Do>},
    {"OnDisk", Call<Do>},
    {"Hint", Call<Hint>},
    {"Join", Call<CallJoin<"Join", &Dataset::Join>>},
    {"LeftOuterJoin", Call<CallJoin<"LeftOuterJoin", &Dataset::LeftOuterJoin>>},
    {"RightOuterJoin", Call<CallJoin<"RightOuterJoin", &Dataset::RightOuterJoin>>},
    {"FullOuterJoin", Call<CallJoin<"FullOuterJoin", &Dataset::FullOuterJoin>>},
    {"SemiJoin", Call<CallJoin<"SemiJoin", &Dataset::SemiJoin>>},
    {"AntiJoin", Call<CallJoin<"AntiJoin", &Dataset::AntiJoin>>},
    {"HashJoin", Call<CallJoin<"HashJoin", &Dataset::HashJoin>>},
    {"CoGroup", Call<CallJoin<"CoGroup", &Dataset::CoGroup>>},
    {"JoinByKey", Call<CallJoin<"JoinByKey", &Dataset::Join>>},
    {"LeftOuterJoinByKey", Call<CallJoin<"LeftOuterJoinByKey", &Dataset::LeftOuterJoin>>},
    {"RightOuterJoinByKey", Call<CallJoin<"RightOuterJoinByKey", &Dataset::RightOuterJoin>>},
    {"FullOuterJoinByKey", Call<CallJoin<"FullOuterJoinByKey", &Dataset::FullOuterJoin>>},
    {"CoGroupByKey", Call<CallJoin<"CoGroupByKey", &Dataset::CoGroup>>},
    {"Pipe", Call<Pipe>},
    {"PipeAsArgs", Call<PipeAsArgs>},
    {"Lookup", Call<Lookup>},
    {"PushTo", Call<PushTo>},
    {"Print", Call<Print>},
    {"Printf", Call<CallPrintf<"Printf", &Dataset::Printf>>},
    {"Fprintf", Call<CallFprintf<"Fprintf", &Dataset::Fprintf>>},
    {"Printlnf", Call<CallPrintf<"Printlnf", &Dataset::Printlnf>>},
    {"Fprintlnf", Call<CallFprintf<"Fprintlnf", &Dataset::Fprintlnf>>},
    {"PipeOut", Call<PipeOut>},
    {"WriteText", Call<CallWrite<"WriteText", &Dataset::WriteText>>},
    {"WriteBinary", Call<CallWrite<"WriteBinary", &Dataset::WriteBinary>>},
    {"WriteCsv", Call<CallWriteCsv<"WriteCsv", &Dataset::WriteCsv>>},
    {"WriteTsv", Call<CallWriteCsv<"WriteTsv", &Dataset::WriteTsv>>},
    {"WriteJsonLines", Call<WriteJsonLines>},
    {"WriteSql", Call<WriteSql>},
    {"Output", Call<Output<false>>},
    {"OutputRow", Call<Output<true>>},
    {"Collect", Call<CollectRows>},
    {"SaveFirstRowTo", Call<SaveFirstRowTo>},
    {nullptr, nullptr},
};

constexpr luaL_Reg kFlowMethods[] = {
    {"TextFile", Call<TextFile>}, {"Stdin", Call<Stdin>},       {"Strings", Call<Strings>}, {"Lines", Call<Strings>},
    {"Ints", Call<Ints>},         {"Range", Call<Range>},       {"Rows", Call<Rows>},       {"Input", Call<Input>},
    {"Sql", Call<Sql>},           {"Generate", Call<Generate>}, {"Init", Call<Init>},       {"ZipFile", Call<ZipFile>},
    {"Read", Call<Read>},         {"Listen", Call<Listen>},     {"Source", Call<Source>},   {nullptr, nullptr},
};

constexpr luaL_Reg kNothing[] = {{nullptr, nullptr}};

// What a function of the module finds in its upvalues.
struct Driver {
  Session* session;
  UnrunFlows* unrun;
};

void SetFunction(lua_State* L, const Driver& driver, const char* name, lua_CFunction function) {
  lua_pushlightuserdata(L, driver.session);
  lua_pushlightuserdata(L, driver.unrun);
  lua_pushcclosure(L, function, 2);
  lua_setfield(L, -2, name);
}

void AddMethod(lua_State* L, const Driver& driver, const char* type, const char* name, lua_CFunction function) {
  luaL_getmetatable(L, type);
  lua_getfield(L, -1, "__index");
  SetFunction(L, driver, name, function);
  lua_pop(L, 2);
}

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
  const Driver driver{session, unrun};
  RegisterType(L, kDataset, kDatasetMethods, Collect<Dataset>);
  RegisterType(L, kFlow, kFlowMethods, Collect<Flow>);
  RegisterType(L, kOrder, kNothing, Collect<OrderBy>);
  RegisterType(L, kFields, kNothing, Collect<Fields>);
  AddMethod(L, driver, kDataset, "Run", Call<RunDataset>);
  AddMethod(L, driver, kDataset, "Show", Call<Show>);
  AddMethod(L, driver, kFlow, "Run", Call<RunFlow>);
  AddMethod(L, driver, kFlow, "Table", Call<TableRows>);
  RejectUnknownMethods(L, kDataset);
  RejectUnknownMethods(L, kFlow);

  SetFunction(L, driver, "flow", Call<NewFlow>);
  lua_pushcfunction(L, Call<NewField>);
  lua_setfield(L, -2, "field");
  lua_pushcfunction(L, Call<NewField>);
  lua_setfield(L, -2, "on");
  lua_pushcfunction(L, Call<NewOrder>);
  lua_setfield(L, -2, "order_by");
  OpenFormats(L);
  SetFunction(L, driver, "glob", Call<Glob>);
  SetFunction(L, driver, "counter", Call<Counter>);
  lua_pushinteger(L, Ascending);
  lua_setfield(L, -2, "ascending");
  lua_pushinteger(L, Descending);
  lua_setfield(L, -2, "descending");
}

}  // namespace glim::script
