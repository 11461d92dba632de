// SPDX-License-Identifier: Apache-2.0
#include "plan/processes.h"

#include <algorithm>
#include <utility>

#include "base/hash.h"

namespace glim::plan {
namespace {

bool OfThisProcess(const std::string& path) { return path == "-" || path.starts_with("/dev/"); }

bool AnyOfThisProcess(const std::vector<std::string>& paths) {
  return std::any_of(paths.begin(), paths.end(), OfThisProcess);
}

bool LivesWithDriver(const flow::Step& source) {
  if (flow::ReadsPerHost(source)) return false;
  if (const auto* text = std::get_if<flow::TextFileSource>(&source.body)) return AnyOfThisProcess(text->paths);
  if (const auto* csv = std::get_if<flow::CsvSource>(&source.body)) return AnyOfThisProcess(csv->files);
  if (const auto* json = std::get_if<flow::JsonLinesSource>(&source.body)) return AnyOfThisProcess(json->format.files);
  if (const auto* fixed = std::get_if<flow::FixedWidthSource>(&source.body))
    return AnyOfThisProcess(fixed->format.files);
  return std::holds_alternative<flow::ReadSource>(source.body) ||
         std::holds_alternative<flow::ChannelSource>(source.body) ||
         std::holds_alternative<flow::ListenSource>(source.body) ||
         std::holds_alternative<flow::SqlSource>(source.body);
}

// Rows become its bytes one after the other, in whatever task. The parts of a folder are written by the tasks of their
// partitions, and heads and footers by the sink.
bool WritesBytes(const flow::Step& sink) {
  if (const auto* file = std::get_if<flow::FileSink>(&sink.body)) return !file->options.per_partition;
  return std::holds_alternative<flow::PrintfSink>(sink.body) || std::holds_alternative<flow::PipeOutSink>(sink.body);
}

}  // namespace

SpreadPlan SpreadOverProcesses(const Plan& plan, const std::vector<FunctionFacts>& facts) {
  const auto& steps = plan.graph->steps();
  SpreadPlan spread{.plan = {plan.graph, plan.ends, {}}, .at_driver = {}, .repeats = {}};
  RepeatPlanner repeat(*plan.graph, facts, &spread.plan.stages, &spread.repeats);
  std::vector<int> place;  // Of each stage of `plan`, the one that has its rows or its sink.
  const auto add = [&](Stage stage, bool at_driver) {
    const int last = repeat.Add(std::move(stage), at_driver);
    // What was made on the way is not.
    spread.at_driver.resize(last);
    spread.at_driver.push_back(at_driver);
    return last;
  };
  for (const Stage& original : plan.stages) {
    Stage stage = original;
    if (stage.input >= 0) stage.input = place[stage.input];
    bool at_driver = stage.source >= 0 && LivesWithDriver(steps[stage.source]);
    // The driver has what a cache holds.
    if (stage.source >= 0 && stage.sink >= 0 && stage.operators.empty())
      at_driver = at_driver || std::holds_alternative<flow::CacheStep>(steps[stage.source].body);
    for (int& part : stage.parts) {
      // A part that may have no end keeps all of it here.
      at_driver = at_driver || spread.at_driver[place[part]];
      part = place[part];
    }
    for (Operator& op : stage.operators) {
      if (op.build >= 0) op.build = place[op.build];
    }
    for (int& table : stage.tables) table = place[table];
    if (at_driver) {
      for (const int part : stage.parts) spread.at_driver[part] = true;
    }
    const bool works = stage.source >= 0 || !stage.parts.empty() || !stage.operators.empty();
    // The rows of a table that functions read go to all processes, so they must be kept before the table is filled.
    const bool table = stage.sink >= 0 && std::holds_alternative<flow::TableStep>(steps[stage.sink].body);
    if (stage.sink < 0 || (at_driver && !table) || !works) {
      place.push_back(add(stage, at_driver || stage.sink >= 0));
      continue;
    }
    Stage sink;
    sink.sink = std::exchange(stage.sink, -1);
    sink.user_partitions = stage.user_partitions;
    sink.in_order = stage.in_order;
    sink.encoded = WritesBytes(steps[sink.sink]);
    if (sink.encoded) stage.operators.push_back({OperatorKind::kEncode, sink.sink, {}});
    stage.output.kind = ExchangeKind::kKeep;
    stage.output_for = sink.sink;
    sink.input = add(std::move(stage), at_driver);
    place.push_back(add(std::move(sink), true));
  }
  return spread;
}

uint64_t Fingerprint(const Plan& plan) {
  uint64_t hash = base::HashBytes(
      ToText(plan, std::vector<Size>(plan.stages.size()), std::vector<std::string>(plan.graph->steps().size())));
  for (const int end : plan.ends) hash = base::HashInt(hash + static_cast<uint64_t>(end));
  return hash;
}

}  // namespace glim::plan
