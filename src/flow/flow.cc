// SPDX-License-Identifier: Apache-2.0
#include "glim/flow.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <istream>

#include "base/check.h"
#include "env/path.h"
#include "env/url.h"
#include "flow/graph.h"

namespace glim {
namespace flow {

int Graph::Add(Step step) {
  for (const int input : step.inputs) CHECK_LT(input, static_cast<int>(steps_.size()));
  steps_.push_back(std::move(step));
  return static_cast<int>(steps_.size()) - 1;
}

void Graph::Fail(Status status) {
  if (status_.ok()) status_ = std::move(status);
}

int Graph::NameColumn(std::string name) {
  names_.push_back(std::move(name));
  return -static_cast<int>(names_.size());
}

std::shared_ptr<Graph> Graph::WithSteps(std::vector<Step> steps) const {
  auto copy = std::make_shared<Graph>(*this);
  copy->steps_ = std::move(steps);
  return copy;
}

bool IsSink(const Step& step) {
  return std::holds_alternative<PrintfSink>(step.body) || std::holds_alternative<PrintSink>(step.body) ||
         std::holds_alternative<PipeOutSink>(step.body) || std::holds_alternative<OutputSink>(step.body) ||
         std::holds_alternative<CollectSink>(step.body) || std::holds_alternative<FirstRowSink>(step.body) ||
         std::holds_alternative<FileSink>(step.body) || std::holds_alternative<SqlSink>(step.body);
}

bool ReadsPerHost(const Step& step) {
  if (const auto* text = std::get_if<TextFileSource>(&step.body)) return text->options.per_host;
  if (const auto* zip = std::get_if<ZipSource>(&step.body)) return zip->options.per_host;
  if (const auto* csv = std::get_if<CsvSource>(&step.body)) return csv->options.per_host;
  if (const auto* json = std::get_if<JsonLinesSource>(&step.body)) return json->format.options.per_host;
  if (const auto* records = std::get_if<FixedWidthSource>(&step.body)) return records->format.options.per_host;
  return false;
}

Status CheckDatasetName(std::string_view name) {
  constexpr size_t kBytesMax = 64;
  const auto good = [](unsigned char c) {
    return c < 0x80 && (std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-');
  };
  if (!name.empty() && name.size() <= kBytesMax && name[0] != '.' && std::all_of(name.begin(), name.end(), good))
    return Status::Ok();
  return Status::Invalid(fmt::format("a dataset's name is 1 to {} of A-Z a-z 0-9 _ . -, the first no point, got {}",
                                     kBytesMax, Cell::Bytes(name).ToDebugString()));
}

namespace {

// Of a call that has run it already, or tried.
bool IsForOnce(const Step& step) {
  const auto* print = std::get_if<PrintSink>(&step.body);
  return print != nullptr && print->once;
}

}  // namespace

std::vector<int> Graph::Ends() const {
  std::vector<bool> read(steps_.size());
  for (const Step& step : steps_) {
    for (const int input : step.inputs) read[input] = true;
    for (const int table : step.tables) read[table] = true;
  }
  std::vector<int> ends;
  for (int i = 0; i < static_cast<int>(steps_.size()); ++i) {
    if (!read[i] || IsSink(steps_[i])) ends.push_back(i);
  }
  return ends;
}

std::vector<int> Graph::EndsToRun() const {
  std::vector<int> unfinished, all;
  for (const int end : Ends()) {
    if (IsForOnce(steps_[end])) continue;
    if (!IsFinished(end)) unfinished.push_back(end);
    all.push_back(end);
  }
  return unfinished.empty() ? all : unfinished;
}

std::vector<int> Graph::EndsFor(int own) const {
  const auto acts = [](const Step& step) {
    const auto* function = std::get_if<FunctionStep>(&step.body);
    return (IsSink(step) && !IsForOnce(step)) || std::holds_alternative<PushToStep>(step.body) ||
           (function != nullptr &&
            (function->role == FunctionRole::kForEach || function->role == FunctionRole::kForEachBatch));
  };
  std::vector<int> ends = {own};
  for (const int end : Ends()) {
    if (end != own && !IsFinished(end) && acts(steps_[end])) ends.push_back(end);
  }
  return ends;
}

void Graph::MarkFinished(const std::vector<int>& ends) {
  finished_.resize(steps_.size());
  for (const int end : ends) finished_[end] = true;
}

}  // namespace flow

namespace {

using flow::Step;

flow::CacheStep KeptAs(std::string name) {
  auto rows = std::make_shared<flow::CachedRows>();
  rows->name = std::move(name);
  return {std::move(rows)};
}

std::string Quoted(std::string_view text) { return Cell::Bytes(text).ToDebugString(); }

std::string Quoted(const std::vector<std::string>& texts) {
  if (texts.size() == 1) return Quoted(texts[0]);
  return texts.empty() ? "{}" : fmt::format("{{{}, ... {} in all}}", Quoted(texts[0]), texts.size());
}

std::string Text(const FieldRef& field) { return field.name.empty() ? std::to_string(field.number) : field.name; }

std::string List(const Fields& fields) {
  std::string text;
  for (const FieldRef& field : fields.list()) text += (text.empty() ? "" : ", ") + Text(field);
  return text;
}

// Columns from 0 out of fields from 1; a field below 1 is a mistake of the caller.
std::vector<int> Columns(const std::string& name, const Fields& fields, flow::Graph* graph) {
  std::vector<int> columns;
  for (const FieldRef& field : fields.list()) {
    if (!field.name.empty()) {
      columns.push_back(graph->NameColumn(field.name));
      continue;
    }
    if (field.number < 1) {
      graph->Fail(
          Status::Invalid(fmt::format("{}: field {} does not exist, fields are numbered from 1", name, field.number)));
    }
    columns.push_back(std::max(field.number, 1) - 1);
  }
  return columns;
}

// What Partition and RoundRobin take; each is a task and a buffer in every task before it.
void CheckPartitions(const std::string& name, int count, flow::Graph* graph) {
  constexpr int kMax = 65536;
  if (count >= 1 && count <= kMax) return;
  graph->Fail(Status::Invalid(fmt::format("{}({}): there can be 1 to {} partitions", name, count, kMax)));
}

std::vector<batch::SortKey> SortKeys(const std::string& name, const std::vector<OrderBy>& orders, flow::Graph* graph) {
  std::vector<batch::SortKey> keys;
  for (const OrderBy& order : orders) {
    keys.push_back({Columns(name, Fields{order.field}, graph)[0], order.order == Descending});
  }
  if (keys.empty()) graph->Fail(Status::Invalid(name + " needs at least one field to order by"));
  return keys;
}

std::string Describe(const std::vector<OrderBy>& orders) {
  std::vector<std::string> parts;
  for (const OrderBy& order : orders)
    parts.push_back(fmt::format("{}{}", Text(order.field), order.order == Descending ? " descending" : ""));
  return fmt::format("{}", fmt::join(parts, ", "));
}

// Shown by Explain: the first line of the source, cut.
std::string DescribeFunction(const FunctionSource& function) {
  if (!function.folds.empty()) {
    std::string text;
    for (const Fold& fold : function.folds) text += (text.empty() ? "" : ", ") + ToString(fold);
    return text;
  }
  if (function.function != nullptr) return function.function->Describe();
  std::string text = function.lua.substr(0, function.lua.find('\n', function.lua.find_first_not_of(" \n\t")));
  const size_t begin = text.find_first_not_of(" \n\t");
  if (begin != std::string::npos) text.erase(0, begin);
  constexpr size_t kShownMax = 60;
  if (text.size() > kShownMax || text.size() < function.lua.size()) text = text.substr(0, kShownMax) + "...";
  return "lua " + text;
}

// The steps that make the tables of the function.
std::vector<int> Tables(const std::string& name, const FunctionSource& function, flow::Graph* graph) {
  std::vector<int> steps;
  for (const SideTable& read : function.tables) {
    const auto made_by = std::find_if(graph->steps().begin(), graph->steps().end(), [&](const Step& step) {
      const auto* table = std::get_if<flow::TableStep>(&step.body);
      return table != nullptr && table->rows == read.keyed_rows();
    });
    if (made_by == graph->steps().end()) {
      graph->Fail(Status::Invalid(name + " reads a table that AsTable made of another flow; both must be of one flow"));
    } else {
      steps.push_back(static_cast<int>(made_by - graph->steps().begin()));
    }
  }
  return steps;
}

}  // namespace

Dataset Dataset::Then(Step step) const {
  step.inputs.insert(step.inputs.begin(), step_);
  return Dataset(graph_, graph_->Add(std::move(step)));
}

Dataset Dataset::WithFunction(std::string name, FunctionRole role, FunctionSource function) const {
  std::string arguments = DescribeFunction(function);
  if (!function.folds.empty())
    graph_->Fail(Status::Invalid(name + " takes a function, and " + arguments + " is a fold"));
  std::vector<int> tables = Tables(name, function, graph_.get());
  return Then({std::move(name),
               std::move(arguments),
               {},
               flow::FunctionStep{role, std::move(function), graph_->init},
               std::move(tables)});
}

Dataset Dataset::Map(FunctionSource function) const {
  return WithFunction("Map", FunctionRole::kMap, std::move(function));
}

Dataset Dataset::FlatMap(FunctionSource function) const {
  return WithFunction("FlatMap", FunctionRole::kFlatMap, std::move(function));
}

Dataset Dataset::Filter(FunctionSource function) const {
  return WithFunction("Filter", FunctionRole::kFilter, std::move(function));
}

Dataset Dataset::ForEach(FunctionSource function) const {
  return WithFunction("ForEach", FunctionRole::kForEach, std::move(function));
}

Dataset Dataset::ForEachBatch(FunctionSource function) const {
  return WithFunction("ForEachBatch", FunctionRole::kForEachBatch, std::move(function));
}

Dataset Dataset::Select(Fields fields) const {
  if (fields.empty()) graph_->Fail(Status::Invalid("Select needs at least one field"));
  return Then({"Select", List(fields), {}, flow::SelectStep{Columns("Select", fields, graph_.get())}});
}

Dataset Dataset::SelectKV(Fields keys, Fields values) const {
  std::vector<FieldRef> fields = keys.list();
  fields.insert(fields.end(), values.list().begin(), values.list().end());
  return Select(Fields(std::move(fields)));
}

Dataset Dataset::LimitStep(std::string name, int64_t count, int64_t offset, bool local) const {
  if (count < 0 || offset < 0) {
    graph_->Fail(Status::Invalid(fmt::format("{}({}, {}): neither may be negative", name, count, offset)));
  }
  std::string arguments = offset > 0 ? fmt::format("{}, {}", count, offset) : fmt::format("{}", count);
  return Then({std::move(name), std::move(arguments), {}, flow::LimitStep{count, offset, local}});
}

Dataset Dataset::Limit(int64_t count, int64_t offset) const { return LimitStep("Limit", count, offset, false); }

Dataset Dataset::LocalLimit(int64_t count, int64_t offset) const {
  return LimitStep("LocalLimit", count, offset, true);
}

Dataset Dataset::Sample(double fraction, uint64_t seed) const {
  if (!(fraction >= 0 && fraction <= 1)) {
    graph_->Fail(Status::Invalid(fmt::format("Sample({}): the fraction is a number from 0 to 1", fraction)));
  }
  return Then({"Sample", fmt::format("{}", fraction), {}, flow::SampleStep{fraction, seed}});
}

Dataset Dataset::ZipWithIndex(int64_t first) const {
  return Then({"ZipWithIndex", first == 0 ? "" : fmt::format("{}", first), {}, flow::ZipWithIndexStep{first}});
}

Dataset Dataset::Partition(int count, Fields fields) const {
  CheckPartitions("Partition", count, graph_.get());
  return Then({"Partition",
               fmt::format("{}, field {}", count, List(fields)),
               {},
               flow::PartitionStep{count, Columns("Partition", fields, graph_.get())}});
}

Dataset Dataset::RoundRobin(int count) const {
  CheckPartitions("RoundRobin", count, graph_.get());
  return Then({"RoundRobin", fmt::format("{}", count), {}, flow::RoundRobinStep{count}});
}

Dataset Dataset::Broadcast(int count) const {
  CheckPartitions("Broadcast", count, graph_.get());
  return Then({"Broadcast", fmt::format("{}", count), {}, flow::BroadcastStep{count}});
}

Dataset Dataset::MergeTo(int count) const {
  CheckPartitions("MergeTo", count, graph_.get());
  return Then({"MergeTo", fmt::format("{}", count), {}, flow::MergeToStep{count, {}}});
}

Dataset Dataset::MergeSortedTo(int count, std::vector<OrderBy> orders) const {
  CheckPartitions("MergeSortedTo", count, graph_.get());
  return Then({"MergeSortedTo",
               fmt::format("{}, {}", count, Describe(orders)),
               {},
               flow::MergeToStep{count, SortKeys("MergeSortedTo", orders, graph_.get())}});
}

Dataset Dataset::Union(const std::vector<Dataset>& others, bool) const {
  Step step{"Union", "", {}, flow::UnionStep{}};
  for (const Dataset& other : others) {
    if (other.graph_ != graph_) {
      graph_->Fail(Status::Invalid("Union: all datasets must belong to the same flow"));
      return *this;
    }
    step.inputs.push_back(other.step_);
  }
  return Then(std::move(step));
}

Dataset Dataset::Cache() const {
  return Then({"Cache", "", {}, flow::CacheStep{std::make_shared<flow::CachedRows>()}});
}

Dataset Dataset::OnDisk(std::string name) const {
  if (Status status = flow::CheckDatasetName(name); !status.ok()) graph_->Fail(std::move(status).With("OnDisk"));
  for (const Step& step : graph_->steps()) {
    const auto* cache = std::get_if<flow::CacheStep>(&step.body);
    if (cache != nullptr && !step.inputs.empty() && !name.empty() && cache->rows->name == name)
      graph_->Fail(Status::Invalid(fmt::format("OnDisk: the flow keeps two datasets as {}", Quoted(name))));
  }
  return Then({"OnDisk", Quoted(name), {}, KeptAs(std::move(name))});
}

SideTable Dataset::AsTable(int64_t bytes_max) const {
  if (bytes_max < 0) graph_->Fail(Status::Invalid(fmt::format("AsTable({}): a size is needed", bytes_max)));
  auto rows = std::make_shared<batch::KeyedRows>(bytes_max);
  Then({"AsTable", "", {}, flow::TableStep{rows}});
  return SideTable(std::move(rows));
}

Dataset Dataset::ReduceStep(std::string name, FunctionSource function, bool by_key, const Fields& keys,
                            bool local) const {
  std::string arguments = DescribeFunction(function);
  if (by_key) arguments = fmt::format("field {}, {}", List(keys), arguments);
  if (by_key && keys.empty()) graph_->Fail(Status::Invalid(name + " needs at least one key field"));
  for (const Fold& fold : function.folds) {
    if (fold.kind != Fold::Kind::kQuantiles) continue;
    const bool good = std::all_of(fold.at.begin(), fold.at.end(), [](double at) { return at >= 0 && at <= 1; });
    if (!good || fold.at.empty()) {
      graph_->Fail(Status::Invalid(name + ": quantiles wants numbers from 0 to 1, got " + ToString(fold)));
    }
  }
  std::vector<int> columns = Columns(name, keys, graph_.get());
  std::vector<int> tables = Tables(name, function, graph_.get());
  return Then({std::move(name),
               std::move(arguments),
               {},
               flow::ReduceStep{std::move(function), graph_->init, by_key, std::move(columns), local},
               std::move(tables)});
}

Dataset Dataset::Reduce(FunctionSource function) const {
  return ReduceStep("Reduce", std::move(function), false, {}, false);
}

Dataset Dataset::LocalReduce(FunctionSource function) const {
  return ReduceStep("LocalReduce", std::move(function), false, {}, true);
}

Dataset Dataset::ReduceBy(FunctionSource function, Fields keys) const {
  return ReduceStep("ReduceBy", std::move(function), true, keys, false);
}

Dataset Dataset::LocalReduceBy(FunctionSource function, Fields keys) const {
  return ReduceStep("LocalReduceBy", std::move(function), true, keys, true);
}

Dataset Dataset::GroupStep(std::string name, const Fields& keys, bool local) const {
  if (keys.empty()) graph_->Fail(Status::Invalid(name + " needs at least one key field"));
  std::vector<int> columns = Columns(name, keys, graph_.get());
  return Then({std::move(name), "field " + List(keys), {}, flow::GroupStep{std::move(columns), local}});
}

Dataset Dataset::GroupBy(Fields keys) const { return GroupStep("GroupBy", keys, false); }

Dataset Dataset::LocalGroupBy(Fields keys) const { return GroupStep("LocalGroupBy", keys, true); }

Dataset Dataset::DistinctStep(std::string name, const Fields& fields, bool local) const {
  std::vector<int> columns = Columns(name, fields, graph_.get());
  return Then({std::move(name),
               columns.empty() ? "" : "field " + List(fields),
               {},
               flow::DistinctStep{std::move(columns), local}});
}

Dataset Dataset::Distinct(Fields fields) const { return DistinctStep("Distinct", fields, false); }

Dataset Dataset::LocalDistinct(Fields fields) const { return DistinctStep("LocalDistinct", fields, true); }

Dataset Dataset::SortStep(std::string name, const std::vector<OrderBy>& orders, std::string arguments, bool local,
                          int64_t top) const {
  flow::SortStep step{SortKeys(name, orders, graph_.get()), top >= 0, std::max<int64_t>(top, 0), local};
  return Then({std::move(name), std::move(arguments), {}, std::move(step)});
}

namespace {
std::vector<OrderBy> AscendingBy(const Fields& fields) { return {fields.list().begin(), fields.list().end()}; }
}  // namespace

Dataset Dataset::Sort(Fields fields) const { return SortStep("Sort", AscendingBy(fields), List(fields), false); }

Dataset Dataset::LocalSort(Fields fields) const {
  return SortStep("LocalSort", AscendingBy(fields), List(fields), true);
}

Dataset Dataset::SortBy(std::vector<OrderBy> orders) const {
  return SortStep("SortBy", orders, Describe(orders), false);
}

Dataset Dataset::LocalSortBy(std::vector<OrderBy> orders) const {
  return SortStep("LocalSortBy", orders, Describe(orders), true);
}

Dataset Dataset::Top(int64_t count, std::vector<OrderBy> orders) const {
  if (count < 0) graph_->Fail(Status::Invalid(fmt::format("Top({}): the count may not be negative", count)));
  return SortStep("Top", orders, fmt::format("{}, {}", count, Describe(orders)), false, std::max<int64_t>(count, 0));
}

Dataset Dataset::LocalTop(int64_t count, std::vector<OrderBy> orders) const {
  if (count < 0) graph_->Fail(Status::Invalid(fmt::format("LocalTop({}): the count may not be negative", count)));
  return SortStep("LocalTop", orders, fmt::format("{}, {}", count, Describe(orders)), true,
                  std::max<int64_t>(count, 0));
}

template <class Body>
Dataset Dataset::WithRight(std::string name, const Dataset& right, const Fields& left_keys, const Fields& right_keys,
                           Body body) const {
  if (right.graph_ != graph_) {
    graph_->Fail(Status::Invalid(name + ": both datasets must belong to the same flow"));
    return *this;
  }
  if (left_keys.empty() || left_keys.list().size() != right_keys.list().size()) {
    graph_->Fail(
        Status::Invalid(fmt::format("{} needs as many key fields on the left as on the right, at least one", name)));
  }
  const std::string left = List(left_keys), other = List(right_keys);
  std::string arguments = left == other ? "field " + left : fmt::format("field {} on field {}", left, other);
  body.left_keys = Columns(name, left_keys, graph_.get());
  body.right_keys = Columns(name, right_keys, graph_.get());
  return Then({std::move(name), std::move(arguments), {right.step_}, std::move(body)});
}

Dataset Dataset::Join(const Dataset& right, Fields left_keys, Fields right_keys) const {
  return WithRight("Join", right, left_keys, right_keys, flow::JoinStep{batch::JoinKind::kInner, false, {}, {}});
}

Dataset Dataset::LeftOuterJoin(const Dataset& right, Fields left_keys, Fields right_keys) const {
  return WithRight("LeftOuterJoin", right, left_keys, right_keys,
                   flow::JoinStep{batch::JoinKind::kLeft, false, {}, {}});
}

Dataset Dataset::RightOuterJoin(const Dataset& right, Fields left_keys, Fields right_keys) const {
  return WithRight("RightOuterJoin", right, left_keys, right_keys,
                   flow::JoinStep{batch::JoinKind::kRight, false, {}, {}});
}

Dataset Dataset::FullOuterJoin(const Dataset& right, Fields left_keys, Fields right_keys) const {
  return WithRight("FullOuterJoin", right, left_keys, right_keys,
                   flow::JoinStep{batch::JoinKind::kFull, false, {}, {}});
}

Dataset Dataset::SemiJoin(const Dataset& right, Fields left_keys, Fields right_keys) const {
  return WithRight("SemiJoin", right, left_keys, right_keys, flow::JoinStep{batch::JoinKind::kSemi, false, {}, {}});
}

Dataset Dataset::AntiJoin(const Dataset& right, Fields left_keys, Fields right_keys) const {
  return WithRight("AntiJoin", right, left_keys, right_keys, flow::JoinStep{batch::JoinKind::kAnti, false, {}, {}});
}

Dataset Dataset::HashJoin(const Dataset& smaller, Fields left_keys, Fields right_keys) const {
  return WithRight("HashJoin", smaller, left_keys, right_keys, flow::JoinStep{batch::JoinKind::kInner, true, {}, {}});
}

Dataset Dataset::CoGroup(const Dataset& right, Fields left_keys, Fields right_keys) const {
  return WithRight("CoGroup", right, left_keys, right_keys, flow::CoGroupStep{});
}

Dataset Dataset::Pipe(std::string command, PipeOptions options) const {
  std::string arguments = Quoted(command);
  if (command.empty()) graph_->Fail(Status::Invalid("Pipe needs a command"));
  return Then({"Pipe", std::move(arguments), {}, flow::PipeStep{std::move(command), false, options.lines}});
}

Dataset Dataset::PipeAsArgs(std::string command, PipeAsArgsOptions options) const {
  constexpr int kParallelMax = 1000;
  std::string arguments = Quoted(command);
  if (command.empty()) graph_->Fail(Status::Invalid("PipeAsArgs needs a command"));
  if (options.parallel < 1 || options.parallel > kParallelMax) {
    graph_->Fail(Status::Invalid(
        fmt::format("PipeAsArgs: 1 to {} commands run side by side, not {}", kParallelMax, options.parallel)));
  }
  if (options.parallel > 1) arguments += fmt::format(", {} in parallel", options.parallel);
  return Then({"PipeAsArgs",
               std::move(arguments),
               {},
               flow::PipeStep{std::move(command), true, options.lines, options.parallel}});
}

Dataset Dataset::As(std::vector<std::string> names) const {
  std::string arguments = fmt::format("{}", fmt::join(names, ", "));
  return Then({"As", std::move(arguments), {}, flow::AsStep{std::move(names)}});
}

Dataset Dataset::Lookup(const TableHandle& table, FieldRef key) const {
  if (table == nullptr) graph_->Fail(Status::Invalid("Lookup: there is no table"));
  return Then(
      {"Lookup", "field " + Text(key), {}, flow::LookupStep{table, Columns("Lookup", Fields{key}, graph_.get())[0]}});
}

Dataset Dataset::PushTo(const TableHandle& table) const {
  if (table == nullptr) graph_->Fail(Status::Invalid("PushTo: there is no table"));
  return Then({"PushTo", "", {}, flow::PushToStep{table}});
}

Dataset Dataset::Fprintf(FILE* file, std::string format) const {
  std::string arguments = Quoted(format);
  return Then(
      {file == stdout ? "Printf" : "Fprintf", std::move(arguments), {}, flow::PrintfSink{file, std::move(format)}});
}

bool Dataset::ends_in_sink() const { return flow::IsSink(graph_->steps()[step_]); }

Dataset Dataset::Print(PrintFormat format) const { return Then({"Print", "", {}, flow::PrintSink{.format = format}}); }

Dataset Dataset::Shown(int64_t count) const {
  return Limit(count).Then({"Print", "", {}, flow::PrintSink{.format = PrintFormat::kTable, .once = true}});
}

Dataset Dataset::PipeOut(FILE* file) const { return Then({"PipeOut", "", {}, flow::PipeOutSink{file, {}}}); }

Dataset Dataset::PipeOut(std::function<Status(std::string_view)> writer) const {
  return Then({"PipeOut", "", {}, flow::PipeOutSink{nullptr, std::move(writer)}});
}

Dataset Dataset::OutputRow(std::function<Status(const Row&)> function, OutputOptions options) const {
  const auto rows = [function = std::move(function)](const Batch& batch) -> Status {
    for (int64_t row = 0; row < batch.row_count(); ++row) {
      if (Status status = function(batch.RowAt(row)); !status.ok()) return status;
    }
    return Status::Ok();
  };
  return Output(rows, options);
}

Dataset Dataset::Output(std::function<Status(const Batch&)> function, OutputOptions options) const {
  return Then(
      {"Output", options.parallel ? "parallel" : "", {}, flow::OutputSink{std::move(function), options.parallel}});
}

Dataset Dataset::Collect(std::vector<Row>* rows) const { return Then({"Collect", "", {}, flow::CollectSink{rows}}); }

Dataset Dataset::FirstRow(std::function<Status(const Row&)> save) const {
  return Then({"SaveFirstRowTo", "", {}, flow::FirstRowSink{std::move(save)}});
}

Dataset Dataset::WriteFile(std::string name, flow::FileSink sink) const {
  std::string arguments = Quoted(sink.path);
  if (sink.path.empty()) graph_->Fail(Status::Invalid(name + " needs the name of a file"));
  return Then({std::move(name), std::move(arguments), {}, std::move(sink)});
}

Dataset Dataset::WriteText(std::string path, WriteOptions options) const {
  return WriteFile("WriteText", {std::move(path), flow::TextFormat(), std::move(options)});
}

Dataset Dataset::WriteCsv(std::string path, CsvWriteOptions options) const {
  return WriteFile(options.delimiter == '\t' ? "WriteTsv" : "WriteCsv",
                   {std::move(path), options, {options.per_partition, options.compression}});
}

Dataset Dataset::WriteTsv(std::string path, CsvWriteOptions options) const {
  options.delimiter = '\t';
  return WriteCsv(std::move(path), std::move(options));
}

Dataset Dataset::WriteJsonLines(std::string path, std::vector<std::string> names, WriteOptions options) const {
  return WriteFile("WriteJsonLines", {std::move(path), flow::JsonFormat{std::move(names)}, std::move(options)});
}

Dataset Dataset::WriteBinary(std::string path, WriteOptions options) const {
  return WriteFile("WriteBinary", {std::move(path), flow::BinaryFormat(), std::move(options)});
}

Dataset Dataset::WriteSql(std::string database, std::string table, SqlWriteOptions options) const {
  std::string arguments = Quoted(env::HidePassword(database)) + ", " + Quoted(table);
  const auto same_table = [&](const Step& step) {
    const auto* other = std::get_if<flow::SqlSink>(&step.body);
    return other != nullptr && other->database == database && other->table == table;
  };
  if (std::any_of(graph_->steps().begin(), graph_->steps().end(), same_table)) {
    graph_->Fail(Status::Invalid(fmt::format("WriteSql({}): this flow writes that table already", arguments)));
  }
  return Then(
      {"WriteSql", std::move(arguments), {}, flow::SqlSink{std::move(database), std::move(table), std::move(options)}});
}

namespace {

flow::Step OfFiles(std::string name, std::string arguments, flow::StepBody body) {
  flow::Step step{std::move(name), std::move(arguments), {}, std::move(body)};
  if (flow::ReadsPerHost(step)) step.arguments += " of each host";
  return step;
}

}  // namespace

Flow::Flow(std::string name) : graph_(std::make_shared<flow::Graph>(std::move(name))) {}

const std::string& Flow::name() const { return graph_->name(); }

Flow& Flow::Init(std::string lua) {
  graph_->init = std::move(lua);
  return *this;
}

Dataset Flow::TextFile(std::string path, TextFileOptions options) {
  return TextFile(std::vector<std::string>{std::move(path)}, std::move(options));
}

Dataset Flow::TextFile(std::vector<std::string> paths, TextFileOptions options) {
  std::string arguments = Quoted(paths);
  if (paths.empty()) graph_->Fail(Status::Invalid("TextFile needs the name of a file"));
  return Dataset(graph_, graph_->Add(OfFiles("TextFile", std::move(arguments),
                                             flow::TextFileSource{std::move(paths), std::move(options)})));
}

Dataset Flow::ZipFile(std::string path, ZipFileOptions options) {
  return ZipFile(std::vector<std::string>{std::move(path)}, std::move(options));
}

Dataset Flow::ZipFile(std::vector<std::string> paths, ZipFileOptions options) {
  std::string arguments = Quoted(paths);
  if (paths.empty()) graph_->Fail(Status::Invalid("ZipFile needs the name of a file"));
  return Dataset(graph_,
                 graph_->Add(OfFiles("ZipFile", std::move(arguments), flow::ZipSource{std::move(paths), options})));
}

Dataset Flow::Stdin() { return Dataset(graph_, graph_->Add({"Stdin", "", {}, flow::TextFileSource{{"-"}, {}}})); }

Dataset Flow::Strings(std::vector<std::string> values) {
  std::string arguments = fmt::format("{} values", values.size());
  return Dataset(graph_, graph_->Add({"Strings", std::move(arguments), {}, flow::StringsSource{std::move(values)}}));
}

Dataset Flow::Ints(std::vector<int64_t> values) {
  std::string arguments = fmt::format("{} values", values.size());
  return Dataset(graph_, graph_->Add({"Ints", std::move(arguments), {}, flow::IntsSource{std::move(values)}}));
}

Dataset Flow::Range(int64_t begin, int64_t end) {
  return Dataset(graph_, graph_->Add({"Range", fmt::format("{}, {}", begin, end), {}, flow::RangeSource{begin, end}}));
}

Dataset Flow::Rows(std::vector<Row> rows) {
  std::string arguments = fmt::format("{} rows", rows.size());
  return Dataset(graph_, graph_->Add({"Rows", std::move(arguments), {}, flow::RowsSource{std::move(rows)}}));
}

Dataset Flow::Input(Csv csv) {
  std::string arguments = (csv.options.delimiter == '\t' ? "tsv " : "csv ") + Quoted(csv.files);
  if (csv.files.empty()) graph_->Fail(Status::Invalid("Input: the CSV needs the name of a file"));
  return Dataset(
      graph_, graph_->Add(OfFiles("Input", std::move(arguments), flow::CsvSource{std::move(csv.files), csv.options})));
}

Dataset Flow::Input(JsonLines json) {
  std::string arguments = "json lines " + Quoted(json.files);
  if (json.files.empty()) graph_->Fail(Status::Invalid("Input: the JSON lines need the name of a file"));
  return Dataset(graph_, graph_->Add(OfFiles("Input", std::move(arguments), flow::JsonLinesSource{std::move(json)})));
}

Dataset Flow::Input(FixedWidth records) {
  std::string arguments = "fixed width " + Quoted(records.files);
  if (records.files.empty()) graph_->Fail(Status::Invalid("Input: the records need the name of a file"));
  return Dataset(graph_,
                 graph_->Add(OfFiles("Input", std::move(arguments), flow::FixedWidthSource{std::move(records)})));
}

Dataset Flow::Sql(std::string database, std::string query, SqlOptions options) {
  std::string arguments = Quoted(env::HidePassword(database)) + ", " + Quoted(query);
  if (!options.split_by.empty()) arguments += fmt::format(", {} ranges of {}", options.splits, options.split_by);
  return Dataset(graph_, graph_->Add({"Sql",
                                      std::move(arguments),
                                      {},
                                      flow::SqlSource{std::move(database), std::move(query), std::move(options)}}));
}

Dataset Flow::FromDisk(std::string name) {
  if (Status status = flow::CheckDatasetName(name); !status.ok()) graph_->Fail(std::move(status).With("FromDisk"));
  return Dataset(graph_, graph_->Add({"FromDisk", Quoted(name), {}, KeptAs(std::move(name))}));
}

Dataset Flow::Generate(FunctionSource function, int parts) {
  if (parts < 1) {
    graph_->Fail(Status::Invalid(fmt::format("Generate: {} parts; there must be at least one", parts)));
    parts = 1;
  }
  Dataset numbers = Range(0, parts);
  if (parts > 1) numbers = numbers.RoundRobin(parts);
  return numbers.WithFunction("Generate", FunctionRole::kFlatMap, std::move(function));
}

Dataset Flow::Read(FILE* file) {
  if (file == nullptr) graph_->Fail(Status::Invalid("Read: there is no file"));
  return Read([file](std::span<char> out) -> Result<size_t> {
    const size_t size = std::fread(out.data(), 1, out.size(), file);
    if (size == 0 && std::ferror(file) != 0) return Status::Unavailable("the file cannot be read");
    return size;
  });
}

Dataset Flow::Read(std::istream& stream) {
  return Read([stream = &stream](std::span<char> out) -> Result<size_t> {
    stream->read(out.data(), static_cast<std::streamsize>(out.size()));
    if (stream->bad()) return Status::Unavailable("the stream cannot be read");
    return static_cast<size_t>(stream->gcount());
  });
}

Dataset Flow::Read(std::function<Result<size_t>(std::span<char>)> read) {
  if (read == nullptr) graph_->Fail(Status::Invalid("Read: there is no function"));
  return Dataset(graph_, graph_->Add({"Read", "", {}, flow::ReadSource{std::move(read)}}));
}

Dataset Flow::Channel(std::shared_ptr<glim::Channel> channel) {
  if (channel == nullptr) {
    graph_->Fail(Status::Invalid("Channel: there is no channel"));
  } else if (!channel->Claim()) {
    graph_->Fail(Status::Invalid("Channel: another source reads this channel"));
  }
  return Dataset(graph_, graph_->Add({"Channel", "", {}, flow::ChannelSource{std::move(channel)}}));
}

Dataset Flow::Listen(std::string network, std::string address, ListenOptions options) {
  std::string arguments = network + ", " + Quoted(address);
  return Dataset(
      graph_,
      graph_->Add(
          {"Listen", std::move(arguments), {}, flow::ListenSource{std::move(network), std::move(address), options}}));
}

Dataset Flow::Table(const TableHandle& table) {
  if (table == nullptr) graph_->Fail(Status::Invalid("Table: there is no table"));
  return Dataset(graph_, graph_->Add({"Table", "", {}, flow::TableSource{table}}));
}

}  // namespace glim
