// SPDX-License-Identifier: Apache-2.0
#include "exec/graph_codec.h"

#include <utility>

#include "base/try.h"
#include "exec/bindings.h"
#include "exec/function_codec.h"
#include "exec/value_codec.h"

namespace glim::exec {

// Of a new kind of step all fields travel by themselves. Is there one that only the driver has, or one that a reader
// must look at? Tell it below, and enter the step in graph_codec_test.cc.
static_assert(std::variant_size_v<flow::StepBody> == 44);

template <>
inline constexpr FunctionRole kLastOf<FunctionRole> = FunctionRole::kForEachBatch;
template <>
inline constexpr batch::JoinKind kLastOf<batch::JoinKind> = batch::JoinKind::kAnti;
template <>
inline constexpr PrintFormat kLastOf<PrintFormat> = PrintFormat::kJson;
template <>
inline constexpr SqlMode kLastOf<SqlMode> = SqlMode::kReplace;

template <>
CsvColumn Blank<CsvColumn>() {
  return CsvColumn(0);
}
template <>
flow::JsonLinesSource Blank<flow::JsonLinesSource>() {
  return {JsonLines(std::vector<std::string>())};
}
template <>
flow::FunctionStep Blank<flow::FunctionStep>() {
  return {FunctionRole::kMap, FunctionSource(std::string_view()), {}};
}
template <>
flow::ReduceStep Blank<flow::ReduceStep>() {
  return {FunctionSource(std::string_view()), {}, false, {}, false};
}

namespace {

constexpr uint8_t kVersion = 1;
constexpr int kPartitionsMax = 65536;
constexpr int kParallelMax = 1000;

}  // namespace

// Only the driver has it.
template <class A, class F>
void Travel(A&, std::function<F>&) {}
template <class A>
void Travel(A&, std::shared_ptr<Channel>&) {}
template <class A>
void Travel(A&, FILE*&) {}
template <class A>
void Travel(A&, std::vector<Row>*&) {}

// What plans differ by.
template <class A>
void Travel(A& archive, flow::CacheStep& step) {
  if constexpr (A::kReads) step.rows = std::make_shared<flow::CachedRows>();
  auto& [filled, user_partitions, in_order, partition_count, row_count, bytes, id, kept, read, name, names, made_by] =
      *step.rows;
  archive(filled, user_partitions, in_order);
}
void Check(FlowReader& in, const flow::CacheStep& step) {
  in.Require(step.rows->user_partitions >= 0 && step.rows->user_partitions <= kPartitionsMax, "partitions of a cache");
}

void Travel(FlowWriter& out, flow::TableStep& step) {
  int64_t bytes_max = step.rows->bytes_max();
  out(bytes_max);
}
void Travel(FlowReader& in, flow::TableStep& step) {
  int64_t bytes_max = 0;
  in(bytes_max);
  in.Require(bytes_max >= 0, "a size");
  const flow::Graph* own = in.context.decoding.own;
  const int place = static_cast<int>(in.context.graph->steps().size());
  // The process's own step is of this kind, or we would not be here.
  step.rows = own != nullptr ? RowsOfTable(*own, place) : std::make_shared<batch::KeyedRows>(bytes_max);
}

// With constructors, so they are no plain structs.
template <class A>
void Travel(A& archive, CsvColumn& column) {
  auto& [number, name] = column;
  archive(number, name);
}
template <class A>
void Travel(A& archive, JsonLines& lines) {
  auto& [files, options] = lines;
  archive(files, options);
}
template <class A>
void Travel(A& archive, FixedWidth& records) {
  auto& [files, widths, options] = records;
  archive(files, widths, options);
}

// ---- What the calls of Flow and Dataset have looked at, and steps rely on ----

namespace {

// Below 0 it is a name of the graph's.
void CheckColumn(FlowReader& in, int column) {
  in.Require(column >= -static_cast<int64_t>(in.context.graph->names().size()), "a column");
}
void CheckColumns(FlowReader& in, const std::vector<int>& columns) {
  for (const int column : columns) CheckColumn(in, column);
}
void CheckKeys(FlowReader& in, const std::vector<int>& keys) {
  in.Require(!keys.empty(), "no keys");
  CheckColumns(in, keys);
}
void CheckPartitions(FlowReader& in, int count) {
  in.Require(count >= 1 && count <= kPartitionsMax, "a number of partitions");
}

}  // namespace

void Check(FlowReader& in, const batch::SortKey& key) { CheckColumn(in, key.column); }
void Check(FlowReader& in, const flow::FunctionStep& step) {
  in.Require(step.function.folds.empty(), "a fold in the place of a function");
}
void Check(FlowReader& in, const flow::SelectStep& step) { CheckKeys(in, step.columns); }
void Check(FlowReader& in, const flow::LimitStep& step) { in.Require(step.count >= 0 && step.offset >= 0, "a limit"); }
void Check(FlowReader& in, const flow::SampleStep& step) {
  in.Require(step.fraction >= 0 && step.fraction <= 1, "a fraction");
}
void Check(FlowReader& in, const flow::PartitionStep& step) {
  CheckPartitions(in, step.count);
  CheckColumns(in, step.columns);
}
void Check(FlowReader& in, const flow::RoundRobinStep& step) { CheckPartitions(in, step.count); }
void Check(FlowReader& in, const flow::BroadcastStep& step) { CheckPartitions(in, step.count); }
void Check(FlowReader& in, const flow::MergeToStep& step) { CheckPartitions(in, step.count); }
void Check(FlowReader& in, const flow::ReduceStep& step) {
  in.Require(step.by_key != step.keys.empty(), "keys of a reduction");
  CheckColumns(in, step.keys);
}
void Check(FlowReader& in, const flow::GroupStep& step) { CheckKeys(in, step.keys); }
void Check(FlowReader& in, const flow::DistinctStep& step) { CheckColumns(in, step.columns); }
void Check(FlowReader& in, const flow::SortStep& step) {
  in.Require(!step.keys.empty() && step.count >= 0, "an order");
}
void Check(FlowReader& in, const flow::JoinStep& step) {
  CheckKeys(in, step.left_keys);
  CheckKeys(in, step.right_keys);
  in.Require(step.left_keys.size() == step.right_keys.size() && step.left_width >= 0 && step.right_width >= 0,
             "a join");
}
void Check(FlowReader& in, const flow::CoGroupStep& step) {
  CheckKeys(in, step.left_keys);
  CheckKeys(in, step.right_keys);
  in.Require(step.left_keys.size() == step.right_keys.size(), "a join");
}
void Check(FlowReader& in, const flow::PipeStep& step) {
  in.Require(step.parallel >= 1 && step.parallel <= kParallelMax, "a number of commands");
}
void Check(FlowReader& in, const flow::LookupStep& step) { CheckColumn(in, step.key); }

namespace {

bool ReadsTwo(const flow::StepBody& body) {
  return std::holds_alternative<flow::JoinStep>(body) || std::holds_alternative<flow::CoGroupStep>(body);
}

// Sources are the first kinds, up to TableSource.
bool IsSource(const flow::StepBody& body) { return body.index() <= flow::StepBody(flow::TableSource{}).index(); }

// Does the step read what it can read? Those before it are in the graph.
void CheckInputs(FlowReader& in, const flow::Step& step) {
  const flow::Graph& graph = *in.context.graph;
  const size_t inputs = step.inputs.size();
  if (std::holds_alternative<flow::UnionStep>(step.body)) {
    in.Require(inputs >= 1, "a union of nothing");
  } else if (const auto* cache = std::get_if<flow::CacheStep>(&step.body)) {
    in.Require(inputs == 1 || (inputs == 0 && cache->rows->filled), "what a cache reads");
  } else {
    in.Require(inputs == (IsSource(step.body) ? 0 : ReadsTwo(step.body) ? 2 : 1), "what a step reads");
  }
  for (const int input : step.inputs) {
    in.Require(input >= 0 && static_cast<size_t>(input) < graph.steps().size() && RowsOfTable(graph, input) == nullptr,
               "a step reads one that is not before it");
  }
}

std::string Place(const std::string& step, size_t number) { return fmt::format("step {}, {}", number + 1, step); }

// The program has built the same flow here?
void CheckOwn(FlowReader& in, const flow::Step& step, uint8_t kind) {
  const flow::Graph* own = in.context.decoding.own;
  if (own == nullptr || !in.ok()) return;
  const size_t place = in.context.graph->steps().size();
  const flow::Step* here = place < own->steps().size() ? &own->steps()[place] : nullptr;
  if (here != nullptr && here->name == step.name && here->body.index() == kind) return;
  in.Fail(Status::Invalid(
      fmt::format("the program built another flow here than where it was started: step {} is {} here and {} there",
                  place + 1, here != nullptr ? StepName(*here) : "none", StepName(step))));
}

// Without the body, what a step is.
template <class A>
void Head(A& archive, flow::Step& step, uint8_t& kind) {
  auto& [name, arguments, inputs, body, tables] = step;
  archive(name, arguments, inputs, tables, kind);
}

}  // namespace

Result<std::string> EncodeGraph(const flow::Graph& graph) {
  RETURN_IF_ERROR(graph.status());
  FlowWriter out({.graph = graph});
  uint8_t version = kVersion;
  std::string name = graph.name(), init = graph.init;
  std::vector<std::string> names = graph.names();
  auto count = static_cast<uint32_t>(graph.steps().size());
  out(version, name, init, names, count);
  for (size_t i = 0; i < graph.steps().size() && out.status().ok(); ++i) {
    auto& step = const_cast<flow::Step&>(graph.steps()[i]);  // A writer only looks.
    auto kind = static_cast<uint8_t>(step.body.index());
    out.context.step = &step;
    Head(out, step, kind);
    out(step.body);
    if (!out.status().ok()) return Status(out.status()).With(Place(StepName(step), i));
  }
  return out.TakeBytes();
}

Result<std::shared_ptr<flow::Graph>> DecodeGraph(std::string_view bytes, const GraphDecoding& decoding) {
  FlowReader in(bytes, {.decoding = decoding});
  uint8_t version = 0;
  std::string name, init;
  std::vector<std::string> names;
  uint32_t count = 0;
  in(version);
  if (in.ok() && version != kVersion) {
    return Status::Invalid(
        fmt::format("a flow in version {}, this process knows {}: they are of two builds", version, kVersion));
  }
  in(name, init, names, count);
  auto graph = std::make_shared<flow::Graph>(std::move(name));
  graph->init = std::move(init);
  for (std::string& column : names) graph->NameColumn(std::move(column));
  in.context.graph = graph;
  for (uint32_t i = 0; i < count && in.ok(); ++i) {
    flow::Step step;
    uint8_t kind = 0;
    Head(in, step, kind);
    for (const int table : step.tables) {
      in.Require(table >= 0 && static_cast<uint32_t>(table) < i && RowsOfTable(*graph, table) != nullptr,
                 "a step reads a table that is not before it");
    }
    CheckOwn(in, step, kind);
    in.context.step = &step;
    in(step.body);
    in.Require(step.body.index() == kind, "a step is of two kinds");
    if (in.ok()) CheckInputs(in, step);
    if (!in.ok()) return Status(in.status()).With(Place(StepName(step), i));
    graph->Add(std::move(step));
  }
  in.Require(in.left() == 0, "bytes behind it");
  RETURN_IF_ERROR(in.status());
  if (decoding.own != nullptr && decoding.own->steps().size() > count) {
    return Status::Invalid(
        fmt::format("the program built another flow here than where it was started: step {} is {} here and none there",
                    count + 1, StepName(decoding.own->steps()[count])));
  }
  return graph;
}

}  // namespace glim::exec
