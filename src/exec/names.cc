// SPDX-License-Identifier: Apache-2.0
#include "exec/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "base/try.h"
#include "exec/bindings.h"
#include "glim/table.h"

namespace glim::exec {
namespace {

// Of a dataset's columns; empty when they have none.
using Names = std::vector<std::string>;

class Resolver {
 public:
  Resolver(env::Env& env, const flow::Graph& graph) : env_(env), graph_(graph), steps_(graph.steps()) {}

  Result<std::vector<flow::Step>> Run() {
    for (flow::Step& step : steps_) {
      const Names none;
      const Names& left = step.inputs.empty() ? none : names_[step.inputs[0]];
      const Names& right = step.inputs.size() < 2 ? none : names_[step.inputs[1]];
      Result<Names> names = std::visit([&](auto& body) { return Follow(step, body, left, right); }, step.body);
      if (!names.ok()) return std::move(names).status().With(step.name);
      names_.push_back(*std::move(names));
    }
    return std::move(steps_);
  }

 private:
  // A column by name becomes its number.
  Status Resolve(int* column, const Names& names) const {
    if (*column >= 0) return Status::Ok();
    const std::string& name = graph_.NameOf(*column);
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      return Status::Invalid(
          names.empty() ? fmt::format("there is no field \"{}\": the rows have no names here; name them with As", name)
                        : fmt::format("there is no field \"{}\"; there are {}", name, fmt::join(names, ", ")));
    }
    *column = static_cast<int>(found - names.begin());
    return Status::Ok();
  }
  Status Resolve(std::vector<int>* columns, const Names& names) const {
    for (int& column : *columns) RETURN_IF_ERROR(Resolve(&column, names));
    return Status::Ok();
  }
  Status Resolve(std::vector<batch::SortKey>* keys, const Names& names) const {
    for (batch::SortKey& key : *keys) RETURN_IF_ERROR(Resolve(&key.column, names));
    return Status::Ok();
  }

  // The names of some columns; none when one of them has none.
  static Names Pick(const Names& names, const std::vector<int>& columns) {
    Names picked;
    for (const int column : columns) {
      if (column >= static_cast<int>(names.size())) return {};
      picked.push_back(names[column]);
    }
    return picked;
  }
  static Names Others(const Names& names, const std::vector<int>& keys) {
    Names others;
    for (int i = 0; i < static_cast<int>(names.size()); ++i) {
      if (std::find(keys.begin(), keys.end(), i) == keys.end()) others.push_back(names[i]);
    }
    return others;
  }
  static Names Joined(Names a, const Names& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }

  // The names of the rows that the step gives. Steps that give rows as they get them come to the template.
  template <class Body>
  Result<Names> Follow(const flow::Step& step, Body& body, const Names& left, const Names&) {
    if constexpr (std::is_same_v<Body, flow::FunctionStep>) {
      return body.role == FunctionRole::kFilter ? left : Names();
    } else if constexpr (std::is_same_v<Body, flow::PipeStep>) {
      return Names();
    } else if constexpr (std::is_same_v<Body, flow::PrintSink> || std::is_same_v<Body, flow::SqlSink>) {
      body.names = left;
      return left;
    } else {
      if (!step.inputs.empty()) return left;
      ASSIGN_OR_RETURN(const auto source, MakeSource(step));
      return source->ColumnNames(env_);
    }
  }
  Result<Names> Follow(const flow::Step&, flow::AsStep& as, const Names&, const Names&) { return as.names; }
  Result<Names> Follow(const flow::Step&, flow::SelectStep& select, const Names& left, const Names&) {
    RETURN_IF_ERROR(Resolve(&select.columns, left));
    return Pick(left, select.columns);
  }
  Result<Names> Follow(const flow::Step&, flow::PartitionStep& partition, const Names& left, const Names&) {
    RETURN_IF_ERROR(Resolve(&partition.columns, left));
    return left;
  }
  Result<Names> Follow(const flow::Step&, flow::DistinctStep& distinct, const Names& left, const Names&) {
    RETURN_IF_ERROR(Resolve(&distinct.columns, left));
    return left;
  }
  Result<Names> Follow(const flow::Step&, flow::SortStep& sort, const Names& left, const Names&) {
    RETURN_IF_ERROR(Resolve(&sort.keys, left));
    return left;
  }
  Result<Names> Follow(const flow::Step&, flow::MergeToStep& merge, const Names& left, const Names&) {
    RETURN_IF_ERROR(Resolve(&merge.keys, left));
    return left;
  }
  Result<Names> Follow(const flow::Step&, flow::ReduceStep& reduce, const Names& left, const Names&) {
    RETURN_IF_ERROR(Resolve(&reduce.keys, left));
    Names others = Others(left, reduce.keys);
    if (others.empty() && !left.empty()) others = {"count"};  // The one fold that takes rows of keys alone.
    return Joined(Pick(left, reduce.keys), others);
  }
  Result<Names> Follow(const flow::Step&, flow::GroupStep& group, const Names& left, const Names&) {
    RETURN_IF_ERROR(Resolve(&group.keys, left));
    return Joined(Pick(left, group.keys), Others(left, group.keys));
  }
  Result<Names> Follow(const flow::Step&, flow::ZipWithIndexStep&, const Names& left, const Names&) {
    return left.empty() ? left : Joined(left, {"index"});
  }
  Result<Names> Follow(const flow::Step&, flow::UnionStep&, const Names& left, const Names& right) {
    return left == right ? left : Names();
  }
  Result<Names> Follow(const flow::Step&, flow::JoinStep& join, const Names& left, const Names& right) {
    RETURN_IF_ERROR(Resolve(&join.left_keys, left));
    RETURN_IF_ERROR(Resolve(&join.right_keys, right));
    if (join.kind == batch::JoinKind::kSemi || join.kind == batch::JoinKind::kAnti) return left;
    if (left.empty() || right.empty()) return Names();
    return Joined(Joined(Pick(left, join.left_keys), Others(left, join.left_keys)), Others(right, join.right_keys));
  }
  Result<Names> Follow(const flow::Step&, flow::CoGroupStep& group, const Names& left, const Names& right) {
    RETURN_IF_ERROR(Resolve(&group.left_keys, left));
    RETURN_IF_ERROR(Resolve(&group.right_keys, right));
    const Names keys = Pick(left, group.left_keys);
    return keys.empty() ? keys : Joined(keys, {"left", "right"});
  }
  Result<Names> Follow(const flow::Step&, flow::LookupStep& lookup, const Names& left, const Names&) {
    RETURN_IF_ERROR(Resolve(&lookup.key, left));
    if (left.empty()) return left;
    Names names = left;
    const uint32_t width = lookup.table->spec().width;
    for (uint32_t i = 1; i <= width; ++i) names.push_back(width == 1 ? "value" : fmt::format("value{}", i));
    return names;
  }

  env::Env& env_;
  const flow::Graph& graph_;
  std::vector<flow::Step> steps_;
  std::vector<Names> names_;  // Per step.
};

// Does a sink want to know the names?
bool WantsNames(const flow::Graph& graph) {
  return std::any_of(graph.steps().begin(), graph.steps().end(), [](const flow::Step& step) {
    const auto* sql = std::get_if<flow::SqlSink>(&step.body);
    return std::holds_alternative<flow::PrintSink>(step.body) || (sql != nullptr && sql->options.columns.empty());
  });
}

}  // namespace

Result<std::shared_ptr<flow::Graph>> ResolveNames(env::Env& env, std::shared_ptr<flow::Graph> graph) {
  RETURN_IF_ERROR(graph->status());
  if (!graph->has_names() && !WantsNames(*graph)) return graph;
  ASSIGN_OR_RETURN(std::vector<flow::Step> steps, Resolver(env, *graph).Run());
  return graph->WithSteps(std::move(steps));
}

}  // namespace glim::exec
