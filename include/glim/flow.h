// SPDX-License-Identifier: Apache-2.0
//
// A Flow describes work on rows: sources, steps, sinks. It runs nothing; Run does, in the calling process unless a
// Session says otherwise.
//
//   glim::Flow flow("word count");
//   flow.TextFile("/etc/passwd")
//       .FlatMap(R"(function(line) return line:gmatch("%w+") end)")  // Lua source, or a C++ callable:
//       .Map([](std::string_view word) { return std::tuple(word, int64_t{1}); })
//       .ReduceBy(R"(function(x, y) return x + y end)")
//       .Fprintf(stdout, "%s,%d\n");
//   return glim::ExitCode(flow.Run());
//
// A Dataset is a handle to one vertex of the flow's graph; each step gives a new one, and several steps may read the
// same. Fields are numbered from 1; where none is named, field 1 is the key. Order is promised after Sort and Top;
// besides, rows keep the order of their source through steps that look at one row at a time.
//
// Partitions: a dataset has one unless Partition or RoundRobin made more. How many tasks work on it is the engine's
// business and cannot be seen: a Pipe after TextFile is one process that sees all lines in order; after Partition(3)
// there are three.
//
// Errors: mistakes in the description (a bad format, Lua that does not parse) are the first thing that Run returns.
//
// Thread: build a flow in one thread. Handles are cheap to copy.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "glim/batch.h"
#include "glim/folds.h"
#include "glim/native.h"
#include "glim/side_table.h"
#include "glim/sinks.h"
#include "glim/sources.h"
#include "glim/status.h"
#include "glim/udf.h"

namespace glim {

class Channel;  // glim/channel.h
class Session;
class Flow;
class TableClient;
using TableHandle = std::shared_ptr<TableClient>;  // glim/table.h
namespace flow {
class Graph;
struct FileSink;
struct Step;
}  // namespace flow

enum SortOrder { Ascending = 1, Descending = -1 };

// One field: its number, from 1, or its name. Names come from a CSV header, the columns of JSON lines, or As(); steps
// that take or leave fields keep them, functions and programs do not.
struct FieldRef {
  FieldRef(int number) : number(number) {}
  FieldRef(std::string name) : name(std::move(name)) {}
  FieldRef(const char* name) : name(name) {}
  int number = 0;  // 0: by name.
  std::string name;
};

// One key of an ordering: OrderBy(2, Descending), OrderBy("price").
struct OrderBy {
  OrderBy(int field, SortOrder order = Ascending) : field(field), order(order) {}
  OrderBy(const char* field, SortOrder order = Ascending) : field(field), order(order) {}
  OrderBy(FieldRef field, SortOrder order = Ascending) : field(std::move(field)), order(order) {}
  FieldRef field;
  SortOrder order;
};

// Fields by number or name: Field(1, 4), Field("city", "price").
class Fields {
 public:
  Fields() = default;
  Fields(int field) : fields_{field} {}
  Fields(const char* field) : fields_{field} {}
  Fields(std::string field) : fields_{std::move(field)} {}
  Fields(std::initializer_list<FieldRef> fields) : fields_(fields) {}
  explicit Fields(std::vector<FieldRef> fields) : fields_(std::move(fields)) {}
  const std::vector<FieldRef>& list() const { return fields_; }
  bool empty() const { return fields_.empty(); }

 private:
  std::vector<FieldRef> fields_;
};
template <class... F>
Fields Field(F... fields) {
  return Fields{FieldRef(fields)...};
}

// Where a flow runs: flow.Run(On("standalone://host:45326").SetKey("client.key")). It says what `--on` does:
// "embedded", "local:3", "slurm:nodes=4". The session of this run ends with it; a program that runs several flows makes
// a Session (session.h) and keeps it.
struct EngineChoice {
  std::string engine;
  std::string key_file{};  // The client.key of `glim init`.

  // Of a standalone cluster: "host:port".
  EngineChoice& SetMaster(const std::string& address) {
    engine = "standalone://" + address;
    return *this;
  }
  EngineChoice& SetKey(std::string path) {
    key_file = std::move(path);
    return *this;
  }
  operator Fields() const { return Fields(engine); }  // On("id") may also be the key of a join.
};

// Either the key fields of one side of a join, Join(other, On(1), On("id")), or an engine: Run(On("local:3")).
template <class... F>
Fields On(F... fields) {
  return Field(fields...);
}
inline EngineChoice On(const char* text) { return {.engine = text}; }
inline EngineChoice On(std::string text) { return {.engine = std::move(text)}; }

// For Dataset::Hint, in megabytes.
struct TotalSize {
  int64_t megabytes;
};
struct PartitionSize {
  int64_t megabytes;
};

// A step's function: Lua source, or a function made by native:: or by a script; of Reduce and its kin also known folds,
// one for all fields that are no keys, or one for each (glim/folds.h).
struct FunctionSource {
  FunctionSource(std::string_view lua) : lua(lua) {}
  FunctionSource(const char* lua) : lua(lua) {}
  FunctionSource(const std::string& lua) : lua(lua) {}
  FunctionSource(std::shared_ptr<const Function> function, std::vector<SideTable> tables = {})
      : function(std::move(function)), tables(std::move(tables)) {}
  FunctionSource(Fold fold) : folds{std::move(fold)} {}
  FunctionSource(const Min& fold) : folds{fold} {}
  FunctionSource(const Max& fold) : folds{fold} {}
  FunctionSource(std::initializer_list<Fold> folds) : folds(folds) {}
  explicit FunctionSource(std::vector<Fold> folds) : folds(std::move(folds)) {}
  std::string lua;
  std::shared_ptr<const Function> function;
  std::vector<SideTable> tables;  // Which the function reads.
  std::vector<Fold> folds;
};

template <class F>
concept NativeCallable = !std::convertible_to<F, FunctionSource> && !std::convertible_to<F, std::string_view> &&
                         !std::convertible_to<F, std::shared_ptr<const Function>>;

// Of Pipe.
struct PipeOptions {
  bool lines = false;  // What the program prints is rows of one field, its lines; they are not split at tabs.
};

// Of PipeAsArgs.
struct PipeAsArgsOptions {
  int parallel = 1;    // So many commands run side by side in each task. Their rows come in the order of the rows they
                       // are for all the same.
  bool lines = false;  // As in PipeOptions.
};

// Run(Explain()) prints the stages instead of running them.
struct Explain {
  FILE* out = stdout;
};

// Gleam's words: flow.Run(Distributed().SetMaster("host:45326")), flow.Run(Planner()).
inline EngineChoice Distributed() { return {.engine = "standalone://127.0.0.1:45326"}; }
inline Explain Planner() { return {}; }

class Dataset {
 public:
  // ---- One row at a time ----
  // A function in C++ names the side tables that it reads; one in Lua need not.
  Dataset Map(FunctionSource function) const;
  Dataset FlatMap(FunctionSource function) const;
  Dataset Filter(FunctionSource function) const;
  // For its effects; Lua may give rows with writeRow.
  Dataset ForEach(FunctionSource function) const;
  // Called with each batch; gives no rows.
  Dataset ForEachBatch(FunctionSource function) const;
  template <NativeCallable F>
  Dataset Map(F function, std::vector<SideTable> reads = {}) const {
    return Map(FunctionSource(native::MakeRowFunction(std::move(function)), std::move(reads)));
  }
  template <NativeCallable F>
  Dataset FlatMap(F function, std::vector<SideTable> reads = {}) const {
    return FlatMap(FunctionSource(native::MakeRowFunction(std::move(function)), std::move(reads)));
  }
  template <NativeCallable F>
  Dataset Filter(F function, std::vector<SideTable> reads = {}) const {
    return Filter(FunctionSource(native::MakeRowFunction(std::move(function)), std::move(reads)));
  }
  template <NativeCallable F>
  Dataset ForEach(F function, std::vector<SideTable> reads = {}) const {
    return ForEach(FunctionSource(native::MakeRowFunction(std::move(function)), std::move(reads)));
  }
  template <NativeCallable F>
  Dataset ForEachBatch(F function, std::vector<SideTable> reads = {}) const {
    return ForEachBatch(FunctionSource(native::MakeBatchFunction(std::move(function)), std::move(reads)));
  }
  // The named fields in that order; may repeat.
  Dataset Select(Fields fields) const;
  template <class... F>
  Dataset Select(FieldRef first, F... more) const {
    return Select(Field(first, more...));
  }
  // The same rows; their fields have these names from here on.
  Dataset As(std::vector<std::string> names) const;
  // Select of the keys, then the values.
  Dataset SelectKV(Fields keys, Fields values) const;
  // The first `count` rows after the first `offset`, in the dataset's order; stops its sources early.
  Dataset Limit(int64_t count, int64_t offset = 0) const;
  // About `fraction` (0 to 1) of the rows, equal rows independently of each other. The same rows for every number of
  // threads and partitions; others for another seed.
  Dataset Sample(double fraction, uint64_t seed = 0) const;
  // One more field at the end: the row's number in the dataset's order, beginning with `first`.
  Dataset ZipWithIndex(int64_t first = 0) const;

  // ---- Moving rows ----
  // Rows with equal fields come into the same of `count` partitions.
  Dataset Partition(int count, Fields fields = {1}) const;
  Dataset RoundRobin(int count) const;
  // Every row in each of `count` partitions.
  Dataset Broadcast(int count) const;
  // Neighbouring partitions joined to `count`, one after the other; with MergeSortedTo, each of them sorted already,
  // into sorted ones. A dataset with no more than `count` stays as it is.
  Dataset MergeTo(int count) const;
  Dataset MergeSortedTo(int count, std::vector<OrderBy> orders = {OrderBy(1)}) const;
  // The rows of this, then those of each of `others`; as many partitions as all have together. With `parallel` their
  // order does not matter to the caller.
  Dataset Union(const Dataset& other, bool parallel = false) const { return Union(std::vector{other}, parallel); }
  Dataset Union(const std::vector<Dataset>& others, bool parallel = false) const;

  // ---- All rows, or all rows of a key ----
  // One row: f(acc..., value...) over all rows; no row when there are none.
  Dataset Reduce(FunctionSource function) const;
  // One row per key: the key fields, then the other fields folded by f(acc..., value...).
  Dataset ReduceBy(FunctionSource function, Fields keys = {1}) const;
  template <NativeCallable F>
  Dataset Reduce(F function) const {
    return Reduce(FunctionSource(native::MakeReduceFunction(std::move(function))));
  }
  template <NativeCallable F>
  Dataset ReduceBy(F function, Fields keys = {1}) const {
    return ReduceBy(FunctionSource(native::MakeReduceFunction(std::move(function))), std::move(keys));
  }
  // One row per key: the key fields, then for each other field the list of its values.
  Dataset GroupBy(Fields keys = {1}) const;
  // The first row, in the dataset's order, of those that are equal in `fields`; by default, in all of them.
  Dataset Distinct(Fields fields = {}) const;
  Dataset Sort(Fields fields = {1}) const;
  Dataset SortBy(std::vector<OrderBy> orders) const;
  // The first `count` rows of SortBy(orders).
  Dataset Top(int64_t count, std::vector<OrderBy> orders = {OrderBy(1, Descending)}) const;
  // The same within each partition, with one result for each; on a dataset that has one partition, the same as without
  // Local.
  Dataset LocalReduce(FunctionSource function) const;
  Dataset LocalReduceBy(FunctionSource function, Fields keys = {1}) const;
  template <NativeCallable F>
  Dataset LocalReduce(F function) const {
    return LocalReduce(FunctionSource(native::MakeReduceFunction(std::move(function))));
  }
  template <NativeCallable F>
  Dataset LocalReduceBy(F function, Fields keys = {1}) const {
    return LocalReduceBy(FunctionSource(native::MakeReduceFunction(std::move(function))), std::move(keys));
  }
  Dataset LocalGroupBy(Fields keys = {1}) const;
  Dataset LocalDistinct(Fields fields = {}) const;
  Dataset LocalSort(Fields fields = {1}) const;
  Dataset LocalSortBy(std::vector<OrderBy> orders) const;
  Dataset LocalTop(int64_t count, std::vector<OrderBy> orders = {OrderBy(1, Descending)}) const;
  Dataset LocalLimit(int64_t count, int64_t offset = 0) const;

  // Joins. Rows with equal keys (nil equals nil) make pairs: the keys, the other fields of this, the other fields of
  // `right`. Inner gives the pairs; left, right and full outer also the rows of that side that have no partner, with
  // nils for the other side's fields. The keys may be other fields on the right: Join(other, On(1), On(2)).
  Dataset Join(const Dataset& right, Fields keys = {1}) const { return Join(right, keys, keys); }
  Dataset Join(const Dataset& right, Fields left_keys, Fields right_keys) const;
  Dataset LeftOuterJoin(const Dataset& right, Fields keys = {1}) const { return LeftOuterJoin(right, keys, keys); }
  Dataset LeftOuterJoin(const Dataset& right, Fields left_keys, Fields right_keys) const;
  Dataset RightOuterJoin(const Dataset& right, Fields keys = {1}) const { return RightOuterJoin(right, keys, keys); }
  Dataset RightOuterJoin(const Dataset& right, Fields left_keys, Fields right_keys) const;
  Dataset FullOuterJoin(const Dataset& right, Fields keys = {1}) const { return FullOuterJoin(right, keys, keys); }
  Dataset FullOuterJoin(const Dataset& right, Fields left_keys, Fields right_keys) const;
  // The rows of this that have a partner (SemiJoin) or have none (AntiJoin), once each, as they are.
  Dataset SemiJoin(const Dataset& right, Fields keys = {1}) const { return SemiJoin(right, keys, keys); }
  Dataset SemiJoin(const Dataset& right, Fields left_keys, Fields right_keys) const;
  Dataset AntiJoin(const Dataset& right, Fields keys = {1}) const { return AntiJoin(right, keys, keys); }
  Dataset AntiJoin(const Dataset& right, Fields left_keys, Fields right_keys) const;
  // The same rows as Join, for a right side that fits into memory: this side is not moved, and keeps its order.
  Dataset HashJoin(const Dataset& smaller, Fields keys = {1}) const { return HashJoin(smaller, keys, keys); }
  Dataset HashJoin(const Dataset& smaller, Fields left_keys, Fields right_keys) const;
  // One row per key of either side: the keys, the list of this side's rows, the list of the right side's rows. A row in
  // a list is the list of its other fields.
  Dataset CoGroup(const Dataset& right, Fields keys = {1}) const { return CoGroup(right, keys, keys); }
  Dataset CoGroup(const Dataset& right, Fields left_keys, Fields right_keys) const;

  // ---- By field 1 ----
  template <class F>
  Dataset ReduceByKey(F function) const {
    return ReduceBy(std::move(function), Field(1));
  }
  Dataset GroupByKey() const { return GroupBy(Field(1)); }
  Dataset SortByKey() const { return Sort(Field(1)); }
  Dataset DistinctByKey() const { return Distinct(Field(1)); }
  Dataset PartitionByKey(int count) const { return Partition(count, Field(1)); }
  Dataset JoinByKey(const Dataset& right) const { return Join(right); }
  Dataset LeftOuterJoinByKey(const Dataset& right) const { return LeftOuterJoin(right); }
  Dataset RightOuterJoinByKey(const Dataset& right) const { return RightOuterJoin(right); }
  Dataset FullOuterJoinByKey(const Dataset& right) const { return FullOuterJoin(right); }
  Dataset CoGroupByKey(const Dataset& right) const { return CoGroup(right); }

  // ---- How it is worked out ----
  // Several steps as one call: data.Do(TopWords).
  template <class F>
  Dataset Do(F steps) const {
    return steps(*this);
  }
  // Kept on this machine's disk (--dataset-dir) under a name, until `glim dataset drop`: the first run works the rows
  // out, and later ones, of other programs too, read them. What stands before this step then does not run. The name
  // alone says which dataset it is, so drop it when those steps have changed; other kinds of steps than those that made
  // it fail the run.
  Dataset OnDisk(std::string name) const;
  Dataset OnDisk(const char* name) const { return OnDisk(std::string(name)); }
  // Advice of the original, taken and not needed: what is kept goes by the memory budget (--memory).
  template <class F>
    requires(!std::convertible_to<F, std::string>)
  Dataset OnDisk(F steps) const {
    return steps(*this);
  }
  template <class... Hints>
  Dataset Hint(Hints...) const {
    return *this;
  }
  // Worked out once and kept in memory while the flow lives: later runs, and other steps of this flow, read what is
  // kept. Counts in every run's memory budget.
  Dataset Cache() const;
  // For functions of later steps of this flow, which find a row by its key (glim/side_table.h): all rows are worked out
  // before the first of those functions runs, and kept once for all tasks while it does. More than `bytes_max` fail the
  // run; 0: what the memory budget allows.
  SideTable AsTable(int64_t bytes_max = 0) const;

  // ---- Unix programs ----
  // One `sh -c command` per partition: rows as tab separated lines into its stdin, its lines, split at tabs, out. A
  // non-zero exit fails the run.
  Dataset Pipe(std::string command, PipeOptions options = {}) const;
  // One `sh -c command` per row; $1, $2, ... are the row's fields, given as arguments and never parsed by the shell.
  Dataset PipeAsArgs(std::string command, PipeAsArgsOptions options = {}) const;

  // ---- Tables (glim/table.h) ----
  // Adds the table's row for the key in field `key`: `width` more columns.
  Dataset Lookup(const TableHandle& table, FieldRef key = 1) const;
  // Pushes every row: the key in field 1, the values in the following fields.
  Dataset PushTo(const TableHandle& table) const;

  // ---- Ends ----
  // Go's verbs (%s %d %v %q %f ...), checked before the run starts. A row needs as many fields as the format takes.
  Dataset Fprintf(FILE* file, std::string format) const;
  Dataset Printf(std::string format) const { return Fprintf(stdout, std::move(format)); }
  // With a newline behind each row.
  Dataset Fprintlnf(FILE* file, std::string format) const { return Fprintf(file, std::move(format) + "\n"); }
  Dataset Printlnf(std::string format) const { return Fprintf(stdout, std::move(format) + "\n"); }
  // Rows as tab separated lines, nil as nothing, as Pipe hands them to a program.
  Dataset PipeOut(FILE* file) const;
  Dataset PipeOut(std::function<Status(std::string_view bytes)> writer) const;
  // Rows to stdout, for people or for the next program.
  Dataset Print(PrintFormat format = PrintFormat::kAuto) const;
  // Runs at once, and prints the first `count` rows as a table. No later run of the flow prints them again.
  Status Show(int64_t count = 20) const;
  Status Show(Session& session, int64_t count = 20) const;
  // Rows as they come, in order, one call at a time; with `parallel` by many threads at once and in no order, as
  // ForEach and ForEachBatch are called.
  Dataset Output(std::function<Status(const Batch&)> function, OutputOptions options = {}) const;
  Dataset OutputRow(std::function<Status(const Row&)> function, OutputOptions options = {}) const;
  // Appends all rows to *rows, which must live until Run returns.
  Dataset Collect(std::vector<Row>* rows) const;
  // The first row's fields, converted; the variables stay as they are when there is no row. Supported: int, int64_t,
  // double, bool, std::string, Value.
  template <class... T>
  Dataset SaveFirstRowTo(T*... variables) const {
    return FirstRow([variables...](const Row& row) -> Status { return SaveRow(row, variables...); });
  }
  // One row per line, fields separated by tabs. The file appears under its name only when all is written.
  Dataset WriteText(std::string path, WriteOptions options = {}) const;
  // CSV as RFC 4180 has it, and the same with tabs for commas.
  Dataset WriteCsv(std::string path, CsvWriteOptions options = {}) const;
  Dataset WriteTsv(std::string path, CsvWriteOptions options = {}) const;
  // One JSON object per row and line, a name for each column; without `names`, those of the fields. nil is null; bytes
  // must be UTF-8.
  Dataset WriteJsonLines(std::string path, std::vector<std::string> names = {}, WriteOptions options = {}) const;
  // The fields, which must be bytes, one after the other with nothing between them: records of fixed width, for one.
  Dataset WriteBinary(std::string path, WriteOptions options = {}) const;
  // Into a table of a database ("sqlite:shop.db", "postgresql://ann@host/shop"), with a column for each field.
  Dataset WriteSql(std::string database, std::string table, SqlWriteOptions options = {}) const;

  // Runs this dataset, and every other end of its flow that does something (a sink, ForEach, PushTo) and that no run
  // has finished yet. So the last line of a program runs all of it, and a program that goes on with a dataset does not
  // print twice.
  Status Run() const;
  Status Run(Session& session) const;
  Status Run(const EngineChoice& on) const;
  Status Run(Explain explain) const;

  // For the engine.
  const std::shared_ptr<flow::Graph>& graph() const { return graph_; }
  bool ends_in_sink() const;

 private:
  friend class Flow;
  Dataset(std::shared_ptr<flow::Graph> graph, int step) : graph_(std::move(graph)), step_(step) {}
  Dataset Then(flow::Step step) const;
  Dataset WriteFile(std::string name, flow::FileSink sink) const;
  Dataset WithFunction(std::string name, FunctionRole role, FunctionSource function) const;
  Dataset ReduceStep(std::string name, FunctionSource function, bool by_key, const Fields& keys, bool local) const;
  Dataset SortStep(std::string name, const std::vector<OrderBy>& orders, std::string arguments, bool local,
                   int64_t top = -1) const;
  Dataset LimitStep(std::string name, int64_t count, int64_t offset, bool local) const;
  Dataset GroupStep(std::string name, const Fields& keys, bool local) const;
  Dataset DistinctStep(std::string name, const Fields& fields, bool local) const;
  Dataset Shown(int64_t count) const;
  Dataset FirstRow(std::function<Status(const Row&)> save) const;
  template <class Body>
  Dataset WithRight(std::string name, const Dataset& right, const Fields& left_keys, const Fields& right_keys,
                    Body body) const;
  template <class... T>
  static Status SaveRow(const Row& row, T*... variables) {
    if (row.size() < sizeof...(T)) {
      return Status::Invalid("SaveFirstRowTo got " + std::to_string(sizeof...(T)) + " variables, the row has " +
                             std::to_string(row.size()) + " fields");
    }
    size_t i = 0;
    Status status;
    (void)(((native::Read(row[i].cell(), variables) ||
             (status = Status::Invalid("SaveFirstRowTo: field " + std::to_string(i + 1) + " is " +
                                       row[i].cell().ToDebugString() + ", the variable wants " + native::Wanted<T>()),
              false)) &&
            (++i, true)) &&
           ...);
    return status;
  }

  std::shared_ptr<flow::Graph> graph_;
  int step_;
};

class Flow {
 public:
  explicit Flow(std::string name = "flow");

  // Lines without their newline. `path` is a file, a glob (`*` `?` `[a-z]` `**`), a folder, or "-" for stdin; large
  // files are read by all cores.
  Dataset TextFile(std::string path, TextFileOptions options = {});
  Dataset TextFile(std::vector<std::string> paths, TextFileOptions options = {});
  Dataset Stdin();
  // A row for each member of zip archives, in the archive's order: its name and its bytes. Folders are no members. The
  // path is a file, a glob, or a folder, of which all .zip files are read.
  Dataset ZipFile(std::string path, ZipFileOptions options = {});
  Dataset ZipFile(std::vector<std::string> paths, ZipFileOptions options = {});
  Dataset Strings(std::vector<std::string> values);
  Dataset Lines(std::vector<std::string> values) { return Strings(std::move(values)); }
  Dataset Ints(std::vector<int64_t> values);
  // begin, begin + 1, ... end - 1.
  Dataset Range(int64_t begin, int64_t end);
  Dataset Rows(std::vector<Row> rows);
  // What glim/sources.h describes: Input(Csv("a.csv", {.header = true})).
  Dataset Input(Csv csv);
  Dataset Input(JsonLines json);
  Dataset Input(FixedWidth records);
  // The rows of a query, or of a table by its name (one word, or "schema.table"). Columns have the names that the
  // database gives them.
  Dataset Sql(std::string database, std::string query, SqlOptions options = {});
  // What OnDisk has kept under this name, in the same partitions and with the same names of columns.
  Dataset FromDisk(std::string name);
  // Rows that a function makes. It is called once for each of `parts` parts, side by side, with the part's number from
  // 0, and gives rows as FlatMap's do: [](int64_t part, Emitter& out) { ... }, or an iterator in Lua. It ends early
  // when nobody wants more rows.
  Dataset Generate(FunctionSource function, int parts = 1);
  template <NativeCallable F>
  Dataset Generate(F function, int parts = 1) {
    return Generate(FunctionSource(native::MakeRowFunction(std::move(function))), parts);
  }
  // All stored rows of a table: the key, then the row's values.
  Dataset Table(const TableHandle& table);

  // The same with one part.
  Dataset Source(FunctionSource function) { return Generate(std::move(function)); }
  template <NativeCallable F>
  Dataset Source(F function) {
    return Generate(std::move(function));
  }
  // Lines of what is open already, as rows of the fields between tabs; or of what a function gives that fills some of a
  // span and says how much, 0 at the end. They outlive the run, and can be read once. (A descriptor is a file, too:
  // TextFile("/dev/fd/7").)
  Dataset Read(FILE* file);
  Dataset Read(std::istream& stream);
  Dataset Read(std::function<Result<size_t>(std::span<char> out)> read);
  // Rows that another thread of the program pushes while the flow runs (glim/channel.h).
  Dataset Channel(std::shared_ptr<glim::Channel> channel);
  // Lines that others send to a socket, as rows of the fields between tabs: `network` "tcp" (tcp4, tcp6) and an address
  // like ":7000" or "0.0.0.0:7000", or "unix" and a path. Without a host only this machine can connect; with port 0 a
  // free one is taken. Where it listens is said on stderr.
  Dataset Listen(std::string network, std::string address, ListenOptions options = {});

  // Lua run once in each task before its functions; what it defines, they may use. For the steps added afterwards.
  Flow& Init(std::string lua);

  const std::string& name() const;

  // Runs all ends that no run has finished yet; when there are none left, all of them anew. Embedded: with all cores of
  // this machine.
  Status Run();
  Status Run(Session& session);
  Status Run(const EngineChoice& on);
  Status Run(Explain explain);

  // For the engine.
  const std::shared_ptr<flow::Graph>& graph() const { return graph_; }

 private:
  std::shared_ptr<flow::Graph> graph_;
};

// 0 for ok; 2 when the session was given a wrong option; 3 when its cluster cannot be reached; when a signal cancelled
// the run, 128 + its number (130 for Ctrl-C); else 1. Prints a failure on stderr as `glim: ...`.
int ExitCode(const Status& status);

}  // namespace glim
