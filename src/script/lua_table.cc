// SPDX-License-Identifier: Apache-2.0
#include "script/lua_table.h"

#include <fmt/core.h>

#include <functional>
#include <memory>
#include <utility>

#include "base/try.h"
#include "glim/session.h"
#include "param/doubles.h"
#include "script/lua_support.h"
#include "udf/lua_capture.h"
#include "udf/lua_state.h"
#include "udf/lua_values.h"

namespace glim::script {
namespace {

constexpr const char* kTable = "glim table";
constexpr const char* kFuture = "glim future";
constexpr const char* kWorker = "glim worker";
constexpr const char* kRule = "glim rule";
constexpr uint64_t kListMax = (1 << 27) - 1;  // LuaJIT's tables.

void RegisterTypes(lua_State* L);

// The object that travels.
class SharedTable : public udf::SharedObject {
 public:
  explicit SharedTable(TableHandle table) : table_(std::move(table)) {}
  void Push(lua_State* L) const override {
    RegisterTypes(L);
    udf::PushSharedObject(L, std::make_shared<SharedTable>(table_), kTable);
  }
  TableHandle table() const override { return table_; }

 private:
  TableHandle table_;
};

// What a Pull or a Push gives.
struct Future {
  Status status;
  std::vector<double> values;  // Of a Pull.
  // Of a Pull that is under way: waits for it. Null when the above are what became of it.
  std::function<Result<std::vector<double>>()> wait = nullptr;

  void Settle() {
    if (wait == nullptr) return;
    auto pulled = std::exchange(wait, nullptr)();
    if (pulled.ok()) {
      values = *std::move(pulled);
    } else {
      status = std::move(pulled).status();
    }
  }
};

Result<TableHandle> Self(lua_State* L) {
  auto table = ToTable(L, 1, "a method of a table");
  if (!table.ok()) return Status::Invalid("call the methods of a table with a colon, like model:Pull(keys)");
  const TaskContext* task = udf::TaskAtWork(L);
  if (task == nullptr || task->tables() == nullptr) return table;
  return task->tables()->Of(*table);
}

// A number, or a 64-bit integer of the FFI.
Result<Key> ToKey(lua_State* L, int i) {
  if (const auto integer = udf::ReadInteger(L, -1)) return static_cast<Key>(*integer);
  if (const auto wide = udf::ReadFfiInteger(L, -1); wide.is_integer) return static_cast<Key>(wide.value);
  if (lua_type(L, -1) == LUA_TNUMBER) {
    return Status::Invalid(fmt::format("key {} is {}, not a whole number below 2^53", i, lua_tonumber(L, -1)));
  }
  return Status::Invalid(fmt::format("key {} is a {}, not a number", i, luaL_typename(L, -1)));
}

Result<std::vector<Key>> ToKeys(lua_State* L, int index) {
  if (!lua_istable(L, index))
    return Status::Invalid(fmt::format("keys are a list of numbers, got {}", luaL_typename(L, index)));
  std::vector<Key> keys(lua_objlen(L, index));
  for (size_t i = 0; i < keys.size(); ++i) {
    lua_rawgeti(L, index, static_cast<int>(i) + 1);
    auto key = ToKey(L, static_cast<int>(i) + 1);
    lua_pop(L, 1);
    if (!key.ok()) return std::move(key).status();
    keys[i] = *key;
  }
  return keys;
}

Result<std::vector<double>> ToValues(lua_State* L, int index) {
  if (!lua_istable(L, index))
    return Status::Invalid(fmt::format("values are a list of numbers, got {}", luaL_typename(L, index)));
  std::vector<double> values(lua_objlen(L, index));
  for (size_t i = 0; i < values.size(); ++i) {
    lua_rawgeti(L, index, static_cast<int>(i) + 1);
    if (lua_type(L, -1) != LUA_TNUMBER) {
      Status status = Status::Invalid(fmt::format("value {} is a {}, not a number", i + 1, luaL_typename(L, -1)));
      lua_pop(L, 1);
      return status;
    }
    values[i] = lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
  return values;
}

Result<int> PushFuture(lua_State* L, Future future) {
  PushObject(L, kFuture, std::move(future));
  return 1;
}

// A task whose tables wait for its pushes at its end goes on meanwhile. Scripts often do not wait for theirs, so what
// they do next finds them made.
Result<int> PushMade(lua_State* L, glim::Future<void> push) {
  const TaskContext* task = udf::TaskAtWork(L);
  if (push.ready() || task == nullptr || task->tables() == nullptr) return PushFuture(L, {push.Wait(), {}});
  const auto shared = std::make_shared<glim::Future<void>>(std::move(push));
  return PushFuture(L, {.wait = [shared]() -> Result<std::vector<double>> {
                      RETURN_IF_ERROR(shared->Wait());
                      return std::vector<double>();
                    }});
}

Result<int> Push(lua_State* L) {
  ASSIGN_OR_RETURN(const TableHandle table, Self(L));
  ASSIGN_OR_RETURN(const std::vector<Key> keys, ToKeys(L, 2));
  ASSIGN_OR_RETURN(const std::vector<double> values, ToValues(L, 3));
  return PushMade(L, table->PushDoubles(keys, values));
}

Result<int> PushPulled(lua_State* L, Result<std::vector<double>> values) {
  if (!values.ok()) return PushFuture(L, {std::move(values).status(), {}});
  return PushFuture(L, {Status::Ok(), *std::move(values)});
}

// The script goes on while servers answer.
Result<int> PushPulled(lua_State* L, glim::Future<std::vector<double>> values) {
  if (values.ready()) return PushPulled(L, std::move(values).Get());
  const auto shared = std::make_shared<glim::Future<std::vector<double>>>(std::move(values));
  return PushFuture(L, {.wait = [shared] { return std::move(*shared).Get(); }});
}

Result<int> Pull(lua_State* L) {
  ASSIGN_OR_RETURN(const TableHandle table, Self(L));
  ASSIGN_OR_RETURN(const std::vector<Key> keys, ToKeys(L, 2));
  return PushPulled(L, table->PullDoubles(keys));
}

Result<int> PushPull(lua_State* L) {
  ASSIGN_OR_RETURN(const TableHandle table, Self(L));
  ASSIGN_OR_RETURN(const std::vector<Key> keys, ToKeys(L, 2));
  ASSIGN_OR_RETURN(const std::vector<double> values, ToValues(L, 3));
  return PushPulled(L, table->PushPullDoubles(keys, values).Get());
}

// What `request` fills of `values` numbers. More than a list of Lua holds is refused before there is room for it.
template <class Request>
Result<int> PullNumbers(lua_State* L, const TableHandle& table, const char* what, uint64_t values, Request request) {
  RETURN_IF_ERROR(table->status());
  if (values > kListMax) {
    return Status::Invalid(fmt::format("{}: {} values are more than a list may have ({})", what, values, kListMax));
  }
  const ValueType type = table->spec().value_type;
  std::vector<std::byte> bytes(values * ValueBytes(type));
  const std::span<std::byte> out(bytes);
  return PushPulled(L, request(out).With(std::move(bytes)).Map([type](const std::vector<std::byte>& got) {
    return param::DoublesOfBytes(type, got);
  }));
}

// Hands the list at `index` to `request` as the table's values.
template <class Request>
Result<int> PushNumbers(lua_State* L, const TableHandle& table, int index, Request request) {
  ASSIGN_OR_RETURN(const std::vector<double> values, ToValues(L, index));
  auto bytes = param::BytesOfDoubles(table->spec(), values);
  if (!bytes.ok()) return PushFuture(L, {std::move(bytes).status(), {}});
  return PushMade(L, request(std::span<const std::byte>(*bytes)));
}

uint64_t WidthOf(const TableHandle& table) { return table->spec().is_variable() ? 0 : table->spec().width; }

Result<Key> ToFirstKey(lua_State* L, int index) {
  lua_pushvalue(L, index);
  auto key = ToKey(L, 1);
  lua_pop(L, 1);
  return key;
}

Result<int> PullRange(lua_State* L) {
  ASSIGN_OR_RETURN(const TableHandle table, Self(L));
  ASSIGN_OR_RETURN(const Key first, ToFirstKey(L, 2));
  ASSIGN_OR_RETURN(const int64_t count, ToInteger(L, 3, "PullRange"));
  if (count < 0) return Status::Invalid(fmt::format("PullRange: a range has no {} keys", count));
  const KeyRange keys{first, static_cast<uint64_t>(count)};
  return PullNumbers(L, table, "PullRange", keys.count > kListMax ? keys.count : keys.count * WidthOf(table),
                     [&](std::span<std::byte> out) { return table->PullRange(keys, out); });
}

Result<int> PushRange(lua_State* L) {
  ASSIGN_OR_RETURN(const TableHandle table, Self(L));
  ASSIGN_OR_RETURN(const Key first, ToFirstKey(L, 2));
  return PushNumbers(L, table, 3, [&](std::span<const std::byte> values) {
    const uint64_t row = table->spec().is_variable() ? 1 : RowBytes(table->spec());
    return table->PushRange({first, values.size() / row}, values);
  });
}

// Rows or columns of a matrix.
uint64_t LengthOfRow(const TableSpec& spec) { return spec.keys.cols; }
uint64_t LengthOfColumn(const TableSpec& spec) {
  return spec.keys.cols == 0 ? 0 : spec.keys.key_count / spec.keys.cols;
}

template <auto pull, auto length, const char* const& what>
Result<int> PullOfMatrix(lua_State* L) {
  ASSIGN_OR_RETURN(const TableHandle table, Self(L));
  ASSIGN_OR_RETURN(const std::vector<Key> numbers, ToKeys(L, 2));
  const uint64_t each = length(table->spec());
  const uint64_t values = each > kListMax ? each : numbers.size() * each;
  return PullNumbers(L, table, what, values,
                     [&](std::span<std::byte> out) { return ((*table).*pull)(numbers, out, {}); });
}

template <auto push>
Result<int> PushOfMatrix(lua_State* L) {
  ASSIGN_OR_RETURN(const TableHandle table, Self(L));
  ASSIGN_OR_RETURN(const std::vector<Key> numbers, ToKeys(L, 2));
  return PushNumbers(L, table, 3,
                     [&](std::span<const std::byte> values) { return ((*table).*push)(numbers, values, {}); });
}

constexpr const char* kPullRows = "PullRows";
constexpr const char* kPullColumns = "PullColumns";

Result<int> Wait(lua_State* L) {
  ASSIGN_OR_RETURN(Future * future, ToObject<Future>(L, 1, kFuture, "a method of a future"));
  future->Settle();
  RETURN_IF_ERROR(future->status);
  lua_settop(L, 1);
  return 1;
}

Result<int> Get(lua_State* L) {
  ASSIGN_OR_RETURN(Future * future, ToObject<Future>(L, 1, kFuture, "a method of a future"));
  future->Settle();
  RETURN_IF_ERROR(future->status);
  lua_createtable(L, static_cast<int>(future->values.size()), 0);
  for (size_t i = 0; i < future->values.size(); ++i) {
    lua_pushnumber(L, future->values[i]);
    lua_rawseti(L, -2, static_cast<int>(i) + 1);
  }
  return 1;
}

Result<int> Save(lua_State* L) {
  ASSIGN_OR_RETURN(const TableHandle table, Self(L));
  ASSIGN_OR_RETURN(const std::string folder, ToText(L, 2, "Save"));
  SaveOptions options;
  if (!lua_isnoneornil(L, 3)) {
    if (!lua_istable(L, 3)) return WrongArgument(L, 3, "Save", "a table of options");
    RETURN_IF_ERROR(AllowOnly(L, 3, "Save", {"rule_state"}));
    RETURN_IF_ERROR(ReadField(L, 3, "rule_state", &options.rule_state));
  }
  RETURN_IF_ERROR(table->Save(folder, options));
  return 0;
}

Result<int> Drop(lua_State* L) {
  ASSIGN_OR_RETURN(const TableHandle table, Self(L));
  RETURN_IF_ERROR(table->Drop());
  return 0;
}

void SetNumber(lua_State* L, const char* name, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, name);
}

void PushInfo(lua_State* L, const TableInfo& info) {
  lua_newtable(L);
  lua_pushstring(L, info.spec.name.c_str());
  lua_setfield(L, -2, "name");
  lua_pushstring(L, std::string(ValueTypeName(info.spec.value_type)).c_str());
  lua_setfield(L, -2, "type");
  SetNumber(L, "keys", static_cast<double>(info.keys_stored));
  SetNumber(L, "memory_bytes", static_cast<double>(info.memory_bytes));
  SetNumber(L, "width", info.spec.width);
  SetNumber(L, "shards", info.spec.shards);
  lua_pushstring(L, ToString(info.spec.consistency).c_str());
  lua_setfield(L, -2, "consistency");
  lua_pushstring(L, std::string(ToString(info.spec.durability)).c_str());
  lua_setfield(L, -2, "durability");
  SetNumber(L, "replicas", info.spec.replicas);
}

Result<int> Describe(lua_State* L) {
  ASSIGN_OR_RETURN(const TableHandle table, Self(L));
  ASSIGN_OR_RETURN(const TableInfo info, table->Describe());
  ASSIGN_OR_RETURN(const uint64_t non_zero, table->CountNonZero());
  PushInfo(L, info);
  SetNumber(L, "non_zero", static_cast<double>(non_zero));
  return 1;
}

Result<int> Handle(lua_State* L) {
  ASSIGN_OR_RETURN(const TableHandle table, Self(L));
  ASSIGN_OR_RETURN(const std::string handle, table->Handle());
  lua_pushstring(L, handle.c_str());
  return 1;
}

// A worker of a table: it is alive until it is collected, or leaves.
Result<WorkerHandle> SelfWorker(lua_State* L) {
  ASSIGN_OR_RETURN(WorkerHandle * worker, ToObject<WorkerHandle>(L, 1, kWorker, "a method of a worker"));
  return *worker;
}

// The worker, and the clock that it is at: not 0 when it goes on for one that ended.
Result<int> Join(lua_State* L) {
  ASSIGN_OR_RETURN(const TableHandle table, Self(L));
  if (!lua_istable(L, 2)) return WrongArgument(L, 2, "Join", "a table like {worker = 0, workers = 4}");
  RETURN_IF_ERROR(AllowOnly(L, 2, "Join", {"worker", "workers"}));
  int64_t worker = 0, workers = 1;
  RETURN_IF_ERROR(ReadField(L, 2, "worker", &worker));
  RETURN_IF_ERROR(ReadField(L, 2, "workers", &workers));
  if (worker < 0 || workers < 1 || workers > 1 << 16 || worker >= workers) {
    return Status::Invalid(fmt::format("Join: worker is from 0 to workers - 1, got {} of {}", worker, workers));
  }
  ASSIGN_OR_RETURN(WorkerHandle handle,
                   table->Join({.worker = static_cast<uint32_t>(worker), .workers = static_cast<uint32_t>(workers)}));
  const uint64_t clock = handle->clock();
  PushObject(L, kWorker, std::move(handle));
  lua_pushnumber(L, static_cast<double>(clock));
  return 2;
}

Result<int> RemoveWorker(lua_State* L) {
  ASSIGN_OR_RETURN(const TableHandle table, Self(L));
  ASSIGN_OR_RETURN(const int64_t worker, ToInteger(L, 2, "RemoveWorker"));
  RETURN_IF_ERROR(table->RemoveWorker(static_cast<uint32_t>(worker)));
  return 0;
}

Result<int> WorkerPush(lua_State* L) {
  ASSIGN_OR_RETURN(const WorkerHandle worker, SelfWorker(L));
  ASSIGN_OR_RETURN(const std::vector<Key> keys, ToKeys(L, 2));
  ASSIGN_OR_RETURN(const std::vector<double> values, ToValues(L, 3));
  return PushFuture(L, {worker->PushDoubles(keys, values).Wait(), {}});
}

Result<int> WorkerPull(lua_State* L) {
  ASSIGN_OR_RETURN(const WorkerHandle worker, SelfWorker(L));
  ASSIGN_OR_RETURN(const std::vector<Key> keys, ToKeys(L, 2));
  return PushPulled(L, worker->PullDoubles(keys).Get());
}

// The number of clocks that the worker has ended.
Result<int> PushClock(lua_State* L, const WorkerHandle& worker) {
  lua_pushnumber(L, static_cast<double>(worker->clock()));
  return 1;
}

Result<int> WorkerClock(lua_State* L) {
  ASSIGN_OR_RETURN(const WorkerHandle worker, SelfWorker(L));
  RETURN_IF_ERROR(worker->Clock());
  return PushClock(L, worker);
}

Result<int> WorkerBarrier(lua_State* L) {
  ASSIGN_OR_RETURN(const WorkerHandle worker, SelfWorker(L));
  RETURN_IF_ERROR(worker->Barrier());
  return PushClock(L, worker);
}

Result<int> WorkerLeave(lua_State* L) {
  ASSIGN_OR_RETURN(const WorkerHandle worker, SelfWorker(L));
  RETURN_IF_ERROR(worker->Leave());
  return 0;
}

constexpr Function kTableMethods[] = {
    {"Push", Call<Push>, 2},
    {"Pull", Call<Pull>, 1},
    {"PushPull", Call<PushPull>, 2},
    {"PullRange", Call<PullRange>, 2},
    {"PushRange", Call<PushRange>, 2},
    {"PullRows", Call<PullOfMatrix<&TableClient::PullRows, &LengthOfRow, kPullRows>>, 1},
    {"PushRows", Call<PushOfMatrix<&TableClient::PushRows>>, 2},
    {"PullColumns", Call<PullOfMatrix<&TableClient::PullColumns, &LengthOfColumn, kPullColumns>>, 1},
    {"PushColumns", Call<PushOfMatrix<&TableClient::PushColumns>>, 2},
    {"Save", Call<Save>, 2},
    {"Drop", Call<Drop>, 0},
    {"Describe", Call<Describe>, 0},
    {"Handle", Call<Handle>, 0},
    {"Join", Call<Join>, 1},
    {"RemoveWorker", Call<RemoveWorker>, 1},
    {},
};
constexpr Function kWorkerMethods[] = {
    {"Push", Call<WorkerPush>, 2},       {"Pull", Call<WorkerPull>, 1},   {"Clock", Call<WorkerClock>, 0},
    {"Barrier", Call<WorkerBarrier>, 0}, {"Leave", Call<WorkerLeave>, 0}, {},
};
constexpr Function kFutureMethods[] = {{"Wait", Call<Wait>, 0}, {"Get", Call<Get>, 0}, {}};

// In any state, once.
void RegisterTypes(lua_State* L) {
  luaL_getmetatable(L, kFuture);
  const bool known = !lua_isnil(L, -1);
  lua_pop(L, 1);
  if (known) return;
  RegisterType(L, kFuture, kFutureMethods, Collect<Future>);
  RegisterType(L, kWorker, kWorkerMethods, Collect<WorkerHandle>);
  // PushSharedObject gives the metatable its __gc; the methods are ours.
  luaL_newmetatable(L, kTable);
  lua_newtable(L);
  SetFunctions(L, kTableMethods, CalledWith::kColon);
  RejectUnknown(L, "a glim table");
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

// ---- Rules: glim.ftrl{alpha = 0.1} ----

// The options of a rule; none is fine.
Status Options(lua_State* L, const char* rule, std::initializer_list<std::pair<const char*, double*>> options) {
  if (lua_isnoneornil(L, 1)) return Status::Ok();
  if (!lua_istable(L, 1)) return Status::Invalid(fmt::format("the options of glim.{} are a table", rule));
  lua_pushnil(L);
  while (lua_next(L, 1) != 0) {
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING)
      return Status::Invalid(
          fmt::format("glim.{}: options have names, like {{{} = ...}}", rule, options.begin()->first));
    const std::string key = lua_tostring(L, -1);
    bool known = false;
    for (const auto& option : options) known = known || key == option.first;
    if (!known) return Status::Invalid(fmt::format("glim.{} has no option \"{}\"", rule, key));
  }
  for (const auto& [name, value] : options) RETURN_IF_ERROR(ReadField(L, 1, name, value));
  return Status::Ok();
}

Result<int> PushRule(lua_State* L, UpdateRule rule) {
  PushObject(L, kRule, std::move(rule));
  return 1;
}

template <class Rule>
Result<int> NewPlainRule(lua_State* L) {
  return PushRule(L, Rule());
}

Result<int> NewSgd(lua_State* L) {
  Sgd rule;
  RETURN_IF_ERROR(Options(L, "sgd", {{"rate", &rule.rate}}));
  return PushRule(L, rule);
}

Result<int> NewAdaGrad(lua_State* L) {
  AdaGrad rule;
  RETURN_IF_ERROR(Options(L, "adagrad", {{"rate", &rule.rate}, {"epsilon", &rule.epsilon}}));
  return PushRule(L, rule);
}

Result<int> NewAdam(lua_State* L) {
  Adam rule;
  RETURN_IF_ERROR(Options(
      L, "adam", {{"rate", &rule.rate}, {"beta1", &rule.beta1}, {"beta2", &rule.beta2}, {"epsilon", &rule.epsilon}}));
  return PushRule(L, rule);
}

Result<int> NewFtrl(lua_State* L) {
  Ftrl rule;
  RETURN_IF_ERROR(
      Options(L, "ftrl", {{"alpha", &rule.alpha}, {"beta", &rule.beta}, {"l1", &rule.l1}, {"l2", &rule.l2}}));
  return PushRule(L, rule);
}

// ---- The module ----

Session* TheSession(lua_State* L) { return static_cast<Session*>(lua_touserdata(L, lua_upvalueindex(1))); }

// keys = "sparse", keys = 1000 (dense), rows = 1000 with cols = 16 (a matrix), and by = "column".
Result<KeySpace> ToKeySpace(lua_State* L) {
  int64_t rows = 0, cols = 0;
  RETURN_IF_ERROR(ReadField(L, 1, "rows", &rows));
  RETURN_IF_ERROR(ReadField(L, 1, "cols", &cols));
  std::string by = "row";
  RETURN_IF_ERROR(ReadField(L, 1, "by", &by));
  if (by != "row" && by != "column") return Status::Invalid("glim.table: by is \"row\" or \"column\"");
  if (cols > (int64_t{1} << 31)) return Status::Invalid("glim.table: cols is at most 2147483648");
  if (rows > 0 && cols > 0) {
    return by == "column" ? ColumnMatrixKeys(static_cast<uint64_t>(rows), static_cast<uint32_t>(cols))
                          : MatrixKeys(static_cast<uint64_t>(rows), static_cast<uint32_t>(cols));
  }
  if (by == "column") return Status::Invalid("glim.table: by = \"column\" is for a matrix, which has rows and cols");
  lua_getfield(L, 1, "keys");
  if (lua_type(L, -1) == LUA_TNUMBER) {
    ASSIGN_OR_RETURN(const int64_t count, ToInteger(L, lua_gettop(L), "keys"));
    lua_pop(L, 1);
    if (count < 1) return Status::Invalid("glim.table: there must be at least one key");
    return DenseKeys(static_cast<uint64_t>(count));
  }
  const std::string kind = lua_isnil(L, -1) ? "sparse" : lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  lua_pop(L, 1);
  if (kind == "sparse") return SparseKeys();
  return Status::Invalid("glim.table: keys is \"sparse\" or a number of dense keys; a matrix has rows and cols");
}

Result<int> NewTable(lua_State* L) {
  ASSIGN_OR_RETURN(TableSpec spec, ToTableSpec(L));
  ASSIGN_OR_RETURN(TableHandle table, TheSession(L)->CreateTable(std::move(spec)));
  PushTable(L, std::move(table));
  return 1;
}

Result<int> OpenTable(lua_State* L) {
  ASSIGN_OR_RETURN(const std::string name, ToText(L, 1, "glim.open_table"));
  ASSIGN_OR_RETURN(TableHandle table, TheSession(L)->OpenTable(name));
  PushTable(L, std::move(table));
  return 1;
}

Result<int> LoadTable(lua_State* L) {
  ASSIGN_OR_RETURN(const std::string folder, ToText(L, 1, "glim.load_table"));
  std::string name;
  if (!lua_isnoneornil(L, 2)) {
    ASSIGN_OR_RETURN(name, ToText(L, 2, "glim.load_table"));
  }
  ASSIGN_OR_RETURN(TableHandle table, TheSession(L)->LoadTable(folder, name));
  PushTable(L, std::move(table));
  return 1;
}

Result<int> ListTables(lua_State* L) {
  ASSIGN_OR_RETURN(const std::vector<TableInfo> tables, TheSession(L)->ListTables());
  lua_newtable(L);
  for (size_t i = 0; i < tables.size(); ++i) {
    PushInfo(L, tables[i]);
    lua_rawseti(L, -2, static_cast<int>(i) + 1);
  }
  return 1;
}

constexpr Function kModule[] = {
    {"add", Call<NewPlainRule<Add>>, 0},
    {"assign", Call<NewPlainRule<Assign>>, 0},
    {"min", Call<NewPlainRule<Min>>, 0},
    {"max", Call<NewPlainRule<Max>>, 0},
    {"sgd", Call<NewSgd>, 1},
    {"adagrad", Call<NewAdaGrad>, 1},
    {"adam", Call<NewAdam>, 1},
    {"ftrl", Call<NewFtrl>, 1},
    {"table", Call<NewTable>, 1},
    {"open_table", Call<OpenTable>, 1},
    {"load_table", Call<LoadTable>, 2},
    {"list_tables", Call<ListTables>, 0},
    {},
};

}  // namespace

Result<TableSpec> ToTableSpec(lua_State* L) {
  if (!lua_istable(L, 1))
    return Status::Invalid("glim.table expects a table of options, like glim.table{name = \"ctr\"}");
  RETURN_IF_ERROR(AllowOnly(L, 1, "glim.table",
                            {"name", "keys", "rows", "cols", "by", "type", "width", "rule", "initial", "shards",
                             "replicas", "durability", "consistency", "partitioner"}));
  TableSpec spec;
  RETURN_IF_ERROR(ReadField(L, 1, "name", &spec.name));
  ASSIGN_OR_RETURN(spec.keys, ToKeySpace(L));
  std::string type = "f32";
  RETURN_IF_ERROR(ReadField(L, 1, "type", &type));
  ASSIGN_OR_RETURN(spec.value_type, ParseValueType(type));
  std::string partitioner = "default";
  RETURN_IF_ERROR(ReadField(L, 1, "partitioner", &partitioner));
  ASSIGN_OR_RETURN(spec.partitioner, ParsePartitioner(partitioner));
  std::string durability = "memory";
  RETURN_IF_ERROR(ReadField(L, 1, "durability", &durability));
  ASSIGN_OR_RETURN(spec.durability, ParseDurability(durability));
  int64_t width = 1, shards = 0, replicas = 1;
  double initial = 0;
  RETURN_IF_ERROR(ReadField(L, 1, "width", &width));
  RETURN_IF_ERROR(ReadField(L, 1, "shards", &shards));
  RETURN_IF_ERROR(ReadField(L, 1, "replicas", &replicas));
  RETURN_IF_ERROR(ReadField(L, 1, "initial", &initial));
  if (width < 1 || width > (int64_t{1} << 20)) return Status::Invalid("glim.table: width is from 1 to 1048576");
  if (shards < 0 || shards > 65536) return Status::Invalid("glim.table: shards is from 0 (chosen) to 65536");
  spec.width = static_cast<uint32_t>(width);
  spec.shards = static_cast<uint32_t>(shards);
  if (replicas < 1 || replicas > 3) return Status::Invalid("glim.table: replicas is from 1 to 3");
  spec.replicas = static_cast<uint32_t>(replicas);
  if (IsInteger(spec.value_type)) {
    spec.initial = Constant(static_cast<int64_t>(initial));
  } else {
    spec.initial = Constant(initial);
  }
  lua_getfield(L, 1, "consistency");
  if (!lua_isnil(L, -1)) {
    // A number is a text, too.
    const char* text = lua_tostring(L, -1);
    ASSIGN_OR_RETURN(spec.consistency, ParseConsistency(text == nullptr ? luaL_typename(L, -1) : text));
  }
  lua_pop(L, 1);
  lua_getfield(L, 1, "rule");
  if (void* rule = TestObject(L, lua_gettop(L), kRule)) {
    spec.rule = *static_cast<UpdateRule*>(rule);
  } else if (lua_type(L, -1) == LUA_TSTRING) {
    ASSIGN_OR_RETURN(spec.rule, ParseUpdateRule(lua_tostring(L, -1)));
  } else if (!lua_isnil(L, -1)) {
    return Status::Invalid("glim.table: rule must be a rule such as glim.ftrl{alpha = 0.1} or \"ftrl alpha=0.1\"");
  }
  lua_pop(L, 1);
  return spec;
}

void PushTable(lua_State* L, TableHandle table) { SharedTable(std::move(table)).Push(L); }

std::shared_ptr<const udf::SharedObject> MakeTableObject(TableHandle table) {
  return std::make_shared<SharedTable>(std::move(table));
}

Result<TableHandle> ToTable(lua_State* L, int index, const char* what) {
  if (const auto shared = std::dynamic_pointer_cast<SharedTable>(udf::ToSharedObject(L, index))) return shared->table();
  return WrongArgument(L, index, what, "a table made by glim.table");
}

void OpenTables(lua_State* L, Session* session) {
  RegisterTypes(L);
  RegisterType(L, kRule, kNoFunctions, Collect<UpdateRule>);
  SetFunctions(L, kModule, CalledWith::kDot, session);
}

}  // namespace glim::script
