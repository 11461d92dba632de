// SPDX-License-Identifier: Apache-2.0
#include "exec/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <type_traits>

#include "base/try.h"
#include "exec/bindings.h"
#include "glim/table.h"

namespace glim::exec {
namespace {

// Of a dataset's columns: "" where one has none. Empty when nobody knows before a run how many there are.
using Names = std::vector<std::string>;

// All columns have names. Some names are no use to who wants a header.
bool Named(const Names& names) { return !names.empty() && std::find(names.begin(), names.end(), "") == names.end(); }

// Of a second column of the same name, as after a Join: price, price_1, price_2. Names that are there stay.
Names Distinct(Names names) {
  std::set<std::string> taken(names.begin(), names.end());
  std::set<std::string> seen;
  for (std::string& name : names) {
    if (name.empty() || seen.insert(name).second) continue;
    const std::string first = name;
    for (int i = 1; taken.count(name) > 0; ++i) name = fmt::format("{}_{}", first, i);
    taken.insert(name);
    seen.insert(name);
  }
  return names;
}

// Does the sink take the names of the fields?
bool WantsNames(const flow::FileSink& sink) {
  const auto* csv = std::get_if<CsvWriteOptions>(&sink.format);
  const auto* json = std::get_if<flow::JsonFormat>(&sink.format);
  return (csv != nullptr && csv->field_names && csv->header.empty()) || (json != nullptr && json->names.empty());
}

void SetNames(Names names, flow::FileSink* sink) {
  if (auto* csv = std::get_if<CsvWriteOptions>(&sink->format)) csv->header = std::move(names);
  if (auto* json = std::get_if<flow::JsonFormat>(&sink->format)) json->names = std::move(names);
}

class Resolver {
 public:
  Resolver(env::Env& env, const flow::Graph& graph) : env_(env), graph_(graph), steps_(graph.steps()) {}

  Result<std::vector<flow::Step>> Run() {
    const std::vector<bool> read = FindRead();
    for (flow::Step& step : steps_) {
      if (!read[names_.size()]) {
        names_.emplace_back();
        continue;
      }
      const Names none;
      const Names& left = step.inputs.empty() ? none : names_[step.inputs[0]];
      const Names& right = step.inputs.size() < 2 ? none : names_[step.inputs[1]];
      Result<Names> names = std::visit([&](auto& body) { return Follow(step, body, left, right); }, step.body);
      if (!names.ok()) return std::move(names).status().With(step.name);
      names_.push_back(Distinct(*std::move(names)));
    }
    return std::move(steps_);
  }

 private:
  // What stands before a dataset that is there already is not looked at: its files may be gone.
  std::vector<bool> FindRead() const {
    std::vector<bool> used(steps_.size()), read(steps_.size());
    for (size_t i = steps_.size(); i-- > 0;) {
      const flow::Step& step = steps_[i];
      read[i] = read[i] || !used[i];  // An end of the flow.
      for (const auto* before : {&step.inputs, &step.tables}) {
        for (const int input : *before) {
          used[input] = true;
          read[input] = read[input] || (read[i] && !IsThere(step));
        }
      }
    }
    return read;
  }
  static bool IsThere(const flow::Step& step) {
    const auto* cache = std::get_if<flow::CacheStep>(&step.body);
    return cache != nullptr && !cache->rows->name.empty() && cache->rows->filled;
  }

  // A column by name becomes its number.
  Status Resolve(int* column, const Names& names) const {
    if (*column >= 0) return Status::Ok();
    const std::string& name = graph_.NameOf(*column);
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end() || name.empty()) {
      Names known = names;
      known.erase(std::remove(known.begin(), known.end(), ""), known.end());
      return Status::Invalid(
          known.empty() ? fmt::format("there is no field \"{}\": the rows have no names here; name them with As", name)
                        : fmt::format("there is no field \"{}\"; there are {}", name, fmt::join(known, ", ")));
    }
    *column = static_cast<int>(found - names.begin());
    return Status::Ok();
  }
  Status Resolve(std::vector<int>* columns, const Names& names) const {
    for (int& column : *columns) RETURN_IF_ERROR(Resolve(&column, names));
    return Status::Ok();
  }
  Status Resolve(std::vector<batch::SortKey>* keys, const Names& names) const {
    for (batch::SortKey& key : *keys) {
      const std::string name = key.column < 0 ? graph_.NameOf(key.column) : "";
      Status status = Resolve(&key.column, names);
      if (status.ok()) continue;
      if (name != "desc" && name != "descending" && name != "asc" && name != "ascending") return status;
      return Status::Invalid(
          status.message() +
          "; for the last first write OrderBy(2, Descending), in Lua glim.order_by(2, glim.descending)");
    }
    return Status::Ok();
  }

  static Names Pick(const Names& names, const std::vector<int>& columns) {
    Names picked;
    for (const int column : columns) picked.push_back(column < static_cast<int>(names.size()) ? names[column] : "");
    return picked;
  }
  static Names KeysFirst(const Names& names, const std::vector<int>& keys) {
    return names.empty() ? names : Joined(Pick(names, keys), Others(names, keys));
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

  // How many columns a source without names has; 0 where only its rows tell.
  template <class Body>
  static size_t WithoutNames(const Body& body) {
    if constexpr (std::is_same_v<Body, flow::TextFileSource>) {
      return 1 + (body.options.file_name ? 1 : 0) + (body.options.offset ? 1 : 0) + (body.options.host_name ? 1 : 0);
    } else if constexpr (std::is_same_v<Body, flow::ZipSource>) {
      return 2 + (body.options.file_name ? 1 : 0);
    } else if constexpr (std::is_same_v<Body, flow::CsvSource>) {
      return body.options.columns.size();
    } else if constexpr (std::is_same_v<Body, flow::FixedWidthSource>) {
      return body.format.widths.size();
    } else if constexpr (std::is_same_v<Body, flow::StringsSource> || std::is_same_v<Body, flow::IntsSource> ||
                         std::is_same_v<Body, flow::RangeSource> || std::is_same_v<Body, flow::JsonLinesSource>) {
      return 1;
    } else {
      return 0;
    }
  }

  // The names of the rows that the step gives. Steps that give rows as they get them come to the template.
  template <class Body>
  Result<Names> Follow(const flow::Step& step, Body& body, const Names& left, const Names&) {
    if constexpr (std::is_same_v<Body, flow::FunctionStep>) {
      return body.role == FunctionRole::kFilter ? left : Names();
    } else if constexpr (std::is_same_v<Body, flow::PipeStep>) {
      return Names();
    } else if constexpr (std::is_same_v<Body, flow::PrintSink> || std::is_same_v<Body, flow::SqlSink>) {
      body.names = Named(left) ? left : Names();
      return left;
    } else if constexpr (std::is_same_v<Body, flow::FileSink>) {
      if (!WantsNames(body)) return left;
      if (!Named(left)) return Status::Invalid("the fields have no names here; give some, or name the fields with As");
      SetNames(left, &body);
      return left;
    } else {
      if (!step.inputs.empty()) return left;
      ASSIGN_OR_RETURN(const auto source, MakeSource(step));
      ASSIGN_OR_RETURN(Names names, source->ColumnNames(env_));
      // In a header, say. Still a column like the others, and its file has names.
      for (size_t i = 0; i < names.size(); ++i) {
        if (names[i].empty()) names[i] = fmt::format("column{}", i + 1);
      }
      return names.empty() ? Names(WithoutNames(body), "") : names;
    }
  }
  Result<Names> Follow(const flow::Step&, flow::CacheStep& cache, const Names& left, const Names&) {
    flow::CachedRows& rows = *cache.rows;
    if (rows.name.empty()) return left;
    if (!rows.filled && std::any_of(left.begin(), left.end(), [](const std::string& name) { return !name.empty(); }))
      rows.names = left;
    return rows.names;
  }
  Result<Names> Follow(const flow::Step&, flow::AsStep& as, const Names& left, const Names&) {
    Names names = as.names;
    if (names.size() < left.size()) names.resize(left.size());
    return names;
  }
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
    Names folded = KeysFirst(left, reduce.keys);
    // The one fold that takes rows of keys alone.
    if (!left.empty() && folded.size() == reduce.keys.size()) folded.push_back("count");
    return folded;
  }
  Result<Names> Follow(const flow::Step&, flow::GroupStep& group, const Names& left, const Names&) {
    RETURN_IF_ERROR(Resolve(&group.keys, left));
    return KeysFirst(left, group.keys);
  }
  Result<Names> Follow(const flow::Step&, flow::ZipWithIndexStep&, const Names& left, const Names&) {
    return left.empty() ? left : Joined(left, {"index"});
  }
  Result<Names> Follow(const flow::Step& step, flow::UnionStep&, const Names& left, const Names&) {
    const bool alike = std::all_of(step.inputs.begin(), step.inputs.end(), [&](int i) { return names_[i] == left; });
    return alike ? left : Names();
  }
  Result<Names> Follow(const flow::Step&, flow::JoinStep& join, const Names& left, const Names& right) {
    RETURN_IF_ERROR(Resolve(&join.left_keys, left));
    RETURN_IF_ERROR(Resolve(&join.right_keys, right));
    if (join.kind == batch::JoinKind::kSemi || join.kind == batch::JoinKind::kAnti) return left;
    join.left_width = static_cast<int>(left.size());
    join.right_width = static_cast<int>(right.size());
    if (left.empty() || right.empty()) return Names();
    return Joined(KeysFirst(left, join.left_keys), Others(right, join.right_keys));
  }
  Result<Names> Follow(const flow::Step&, flow::CoGroupStep& group, const Names& left, const Names& right) {
    RETURN_IF_ERROR(Resolve(&group.left_keys, left));
    RETURN_IF_ERROR(Resolve(&group.right_keys, right));
    return Joined(Pick(left, group.left_keys), {"left", "right"});
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

// Does a sink want to know the names, or a join the number of columns?
bool WantsNames(const flow::Graph& graph) {
  return std::any_of(graph.steps().begin(), graph.steps().end(), [](const flow::Step& step) {
    const auto* sql = std::get_if<flow::SqlSink>(&step.body);
    const auto* join = std::get_if<flow::JoinStep>(&step.body);
    const auto* file = std::get_if<flow::FileSink>(&step.body);
    const auto* cache = std::get_if<flow::CacheStep>(&step.body);
    if (file != nullptr && WantsNames(*file)) return true;
    if (cache != nullptr && !cache->rows->name.empty() && !cache->rows->filled) return true;  // It keeps them.
    return std::holds_alternative<flow::PrintSink>(step.body) || (sql != nullptr && sql->options.columns.empty()) ||
           (join != nullptr && (batch::KeepsLeft(join->kind) || batch::KeepsRight(join->kind)));
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
