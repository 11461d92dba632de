// SPDX-License-Identifier: Apache-2.0
//
// The logical graph behind a Flow: plain data, one Step per call that the user made. The planner (plan/) reads it;
// nothing here runs.
//
// Steps are numbered in the order of the calls, so inputs always have smaller numbers and the graph has no cycle.
//
// Thread: built by one thread; read by any once a run has started.
#pragma once

#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "batch/join_kind.h"
#include "batch/keyed_rows.h"
#include "batch/row_ops.h"
#include "glim/channel.h"
#include "glim/flow.h"

namespace glim::flow {

// ---- Sources ----
struct TextFileSource {
  std::vector<std::string> paths;
  TextFileOptions options;
};
struct ZipSource {
  std::vector<std::string> paths;
  ZipFileOptions options;
};
struct CsvSource {
  std::vector<std::string> files;
  CsvOptions options;
};
struct JsonLinesSource {
  JsonLines format;
};
struct FixedWidthSource {
  FixedWidth format;
};
struct SqlSource {
  std::string database;
  std::string query;
  SqlOptions options;
};
struct StringsSource {
  std::vector<std::string> values;
};
struct IntsSource {
  std::vector<int64_t> values;
};
struct ReadSource {
  std::function<Result<size_t>(std::span<char>)> read;
};
struct ChannelSource {
  std::shared_ptr<Channel> channel;
};
struct ListenSource {
  std::string network, address;
  ListenOptions options;
};
struct RangeSource {
  int64_t begin, end;
};
struct RowsSource {
  std::vector<Row> rows;
};
struct TableSource {
  TableHandle table;
};

// ---- Steps ----
struct FunctionStep {  // Map, FlatMap, Filter, ForEach, ForEachBatch
  FunctionRole role;
  FunctionSource function;
  std::string init;
};
struct SelectStep {
  std::vector<int> columns;  // From 0, as all below; below 0 a name, until it is resolved (Graph::NameColumn).
};
struct LimitStep {
  int64_t count, offset;
  bool local = false;  // Here and below: within each partition.
};
struct AsStep {
  std::vector<std::string> names;
};
struct SampleStep {
  double fraction;
  uint64_t seed;
};
struct ZipWithIndexStep {
  int64_t first;
};
struct PartitionStep {
  int count;
  std::vector<int> columns;
};
struct RoundRobinStep {
  int count;
};
struct BroadcastStep {
  int count;
};
struct MergeToStep {
  int count;
  std::vector<batch::SortKey> keys;  // Empty: one after the other.
};
struct UnionStep {};  // Of all inputs.
// The rows themselves, as whoever runs flows keeps them.
class KeptPartitions {
 public:
  virtual ~KeptPartitions() = default;
};
// What a cache keeps between runs. A graph is run by one thread at a time.
struct CachedRows {
  bool filled = false;
  int user_partitions = 0;  // As the user asked for; 0: the engine's.
  bool in_order = false;
  int partition_count = 0;
  int64_t row_count = 0;
  int64_t bytes = 0;  // About.
  uint64_t id = 0;    // Of these rows, once they are there: no others of the process have it.
  std::shared_ptr<const KeptPartitions> kept = nullptr;  // Not in an executor.
  // The batches of a partition, one after the other, nullopt at the end. Any thread, each reader one at a time.
  using Reader = std::function<Result<std::optional<Batch>>()>;
  std::function<Reader(size_t partition)> read = nullptr;
  // Of OnDisk and FromDisk (exec/dataset_store.h); not in an executor.
  std::string name{};                // Empty: a Cache.
  std::vector<std::string> names{};  // Of the columns, as far as they are known; set when names are resolved.
  std::string made_by{};             // The steps before it; set when a run begins.
};
struct CacheStep {  // Cache, OnDisk; without inputs FromDisk.
  std::shared_ptr<CachedRows> rows;
};
struct TableStep {  // AsTable: an end that other steps wait for (Step::tables).
  std::shared_ptr<batch::KeyedRows> rows;
};
struct ReduceStep {  // Reduce has no keys.
  FunctionSource function;
  std::string init;
  bool by_key;
  std::vector<int> keys;
  bool local = false;
};
struct GroupStep {
  std::vector<int> keys;
  bool local = false;
};
struct DistinctStep {
  std::vector<int> columns;  // Empty: whole rows.
  bool local = false;
};
struct SortStep {
  std::vector<batch::SortKey> keys;
  bool top = false;
  int64_t count = 0;  // Of Top.
  bool local = false;
};
struct JoinStep {
  batch::JoinKind kind;
  bool broadcast;  // HashJoin: the right side goes to every task whole.
  std::vector<int> left_keys, right_keys;
  int left_width = 0, right_width = 0;  // As far as they are known without any row; filled when names are resolved.
};
struct CoGroupStep {
  std::vector<int> left_keys, right_keys;
};
struct PipeStep {
  std::string command;
  bool as_arguments;
  bool lines;
  int parallel = 1;  // Of PipeAsArgs.
};
struct LookupStep {
  TableHandle table;
  int key;
};
struct PushToStep {
  TableHandle table;
};

// ---- Sinks ----
struct PrintfSink {
  FILE* file;
  std::string format;
};
struct PrintSink {
  PrintFormat format;
  bool once = false;                 // Of Show: not for a later run of the flow.
  std::vector<std::string> names{};  // Of the columns, where they are known; filled when names are resolved.
};
struct PipeOutSink {
  FILE* file;  // Or, when it is null:
  std::function<Status(std::string_view)> writer;
};
struct OutputSink {
  std::function<Status(const Batch&)> function;
  bool parallel = false;
};
struct CollectSink {
  std::vector<Row>* rows;
};
struct FirstRowSink {
  std::function<Status(const Row&)> save;
};
struct TextFormat {};  // Of WriteText.
struct BinaryFormat {};
struct JsonFormat {
  std::vector<std::string> names;  // Empty: those of the fields; filled when names are resolved.
};
using FileFormat = std::variant<TextFormat, CsvWriteOptions, JsonFormat, BinaryFormat>;
struct FileSink {
  std::string path;
  FileFormat format;
  WriteOptions options;
};

struct SqlSink {
  std::string database;
  std::string table;
  SqlWriteOptions options;
  std::vector<std::string> names{};  // As PrintSink's.
};

using StepBody =
    std::variant<TextFileSource, ZipSource, ReadSource, ChannelSource, ListenSource, CsvSource, JsonLinesSource,
                 FixedWidthSource, SqlSource, StringsSource, IntsSource, RangeSource, RowsSource, TableSource,
                 FunctionStep, SelectStep, LimitStep, PartitionStep, RoundRobinStep, ReduceStep, GroupStep, SortStep,
                 JoinStep, CoGroupStep, SampleStep, ZipWithIndexStep, BroadcastStep, MergeToStep, UnionStep, CacheStep,
                 DistinctStep, PipeStep, LookupStep, AsStep, PushToStep, TableStep, PrintfSink, PrintSink, PipeOutSink,
                 OutputSink, CollectSink, FirstRowSink, FileSink, SqlSink>;

struct Step {
  std::string name;         // "FlatMap", as the user wrote it.
  std::string arguments;    // As Explain shows them; may be empty.
  std::vector<int> inputs;  // Step numbers; none for a source, two for Join.
  StepBody body;
  std::vector<int> tables{};  // Step numbers of the TableSteps that its function reads.
};

bool IsSink(const Step& step);
// A source of files that each machine has for itself (glim/sources.h).
bool ReadsPerHost(const Step& step);
// 1 to 64 of A-Z a-z 0-9 _ . -, the first no point: it is a folder's name, too.
Status CheckDatasetName(std::string_view name);

class Graph {
 public:
  explicit Graph(std::string name) : name_(std::move(name)) {}

  int Add(Step step);
  // A mistake in a call; the first one is what Run returns.
  void Fail(Status status);

  const std::string& name() const { return name_; }
  const std::vector<Step>& steps() const { return steps_; }
  const Status& status() const { return status_; }

  // Sinks, and steps whose rows nobody reads.
  std::vector<int> Ends() const;
  // What a run of the whole flow is for: the ends that no run has finished, or else all of them again.
  std::vector<int> EndsToRun() const;
  // `own`, and the ends that do something (sinks, ForEach, PushTo) and that no run has finished.
  std::vector<int> EndsFor(int own) const;
  void MarkFinished(const std::vector<int>& ends);

  // A number below 0 that stands for the column of this name, and the name that it stands for.
  int NameColumn(std::string name);
  const std::string& NameOf(int column) const { return names_[-1 - column]; }
  const std::vector<std::string>& names() const { return names_; }
  bool has_names() const { return !names_.empty(); }
  // For the resolver: a copy of the graph with other steps.
  std::shared_ptr<Graph> WithSteps(std::vector<Step> steps) const;

  bool IsFinished(int end) const { return end < static_cast<int>(finished_.size()) && finished_[end]; }

  // The Lua prelude for steps added from now on.
  std::string init;

 private:
  std::string name_;
  std::vector<Step> steps_;
  std::vector<std::string> names_;
  std::vector<bool> finished_;  // Per step; shorter than steps_ when none of the later ones is.
  Status status_;
};

}  // namespace glim::flow
