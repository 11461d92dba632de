// SPDX-License-Identifier: Apache-2.0
#include "plan/plan.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <set>

#include "base/check.h"
#include "base/memory_budget.h"
#include "base/try.h"
#include "env/path.h"

namespace glim::plan {
namespace {

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

std::vector<int> FirstColumns(size_t count) {
  std::vector<int> columns(count);
  std::iota(columns.begin(), columns.end(), 0);
  return columns;
}

class Planner {
 public:
  Planner(std::shared_ptr<flow::Graph> graph, std::vector<int> ends)
      : graph_(std::move(graph)), ends_(std::move(ends)) {}

  Plan Make() {
    FindNeeded();
    CountReaders();
    for (int i = 0; i < static_cast<int>(steps().size()); ++i) {
      if (needed_[i]) AddStep(i);
    }
    FindTables();
    return Plan{graph_, ends_, InOrder()};
  }

 private:
  const std::vector<flow::Step>& steps() const { return graph_->steps(); }
  bool IsEnd(int step) const { return std::find(ends_.begin(), ends_.end(), step) != ends_.end(); }

  // The dataset after a sink is the dataset before it.
  int ThroughSinks(int step) const {
    while (flow::IsSink(steps()[step])) step = steps()[step].inputs[0];
    return step;
  }

  static flow::CachedRows* Cached(const flow::Step& step) {
    const auto* cache = std::get_if<flow::CacheStep>(&step.body);
    return cache != nullptr ? cache->rows.get() : nullptr;
  }

  // Inputs have smaller numbers, so one walk back from the ends finds all.
  void FindNeeded() {
    needed_.assign(steps().size(), false);
    filled_.assign(steps().size(), false);
    for (const int end : ends_) needed_[end] = true;
    for (int i = static_cast<int>(steps().size()) - 1; i >= 0; --i) {
      if (!needed_[i]) continue;
      const flow::CachedRows* rows = Cached(steps()[i]);
      filled_[i] = rows != nullptr && rows->filled;
      if (filled_[i]) continue;
      for (const int input : steps()[i].inputs) needed_[input] = true;
      for (const int table : steps()[i].tables) needed_[table] = true;
    }
  }

  void CountReaders() {
    readers_.assign(steps().size(), 0);
    stage_of_.assign(steps().size(), -1);
    for (int i = 0; i < static_cast<int>(steps().size()); ++i) {
      if (!needed_[i] || filled_[i] || (flow::IsSink(steps()[i]) && !IsEnd(i))) continue;
      for (const int input : steps()[i].inputs) ++readers_[ThroughSinks(input)];
    }
  }

  int NewStage(Stage stage) {
    stages_.push_back(std::move(stage));
    return static_cast<int>(stages_.size()) - 1;
  }

  // The stage in which the rows of `step` may be worked on further.
  int Continue(int step) {
    step = ThroughSinks(step);
    const bool fills_cache = Cached(steps()[step]) != nullptr && !filled_[step];
    if (readers_[step] == 1 && !fills_cache) return stage_of_[step];
    return Reader(Kept(step));
  }

  // The stage that ends with the rows of `step`, which it keeps, partition by partition, for any number of readers.
  int Kept(int step) {
    const int stage = stage_of_[ThroughSinks(step)];
    stages_[stage].output.kind = ExchangeKind::kKeep;
    return stage;
  }

  // A stage that reads what `kept` keeps.
  int Reader(int kept) {
    const Stage& rows = stages_[kept];
    Stage reader;
    reader.input = kept;
    reader.one_task = rows.one_task;
    reader.user_partitions = rows.user_partitions;
    reader.in_order = rows.in_order;
    return NewStage(std::move(reader));
  }

  // A new stage that reads what `stage` sends through `exchange`.
  int Cut(int stage, ExchangeSpec exchange) {
    Stage next;
    next.input = stage;
    next.one_task = exchange.kind == ExchangeKind::kGather || exchange.kind == ExchangeKind::kMergeSorted;
    const Stage& rows = stages_[stage];
    const bool to_engines_partitions = exchange.kind == ExchangeKind::kHash && exchange.partitions == 0;
    next.in_order = rows.in_order && !to_engines_partitions;
    stages_[stage].output = std::move(exchange);
    stages_[stage].output_for = lowered_;
    return NewStage(std::move(next));
  }

  int Append(int stage, Operator op) {
    // What is kept by key comes in another order when it did not fit into memory.
    constexpr OperatorKind kByKey[] = {OperatorKind::kDistinct, OperatorKind::kCombine, OperatorKind::kMerge,
                                       OperatorKind::kGroup};
    if (std::find(std::begin(kByKey), std::end(kByKey), op.kind) != std::end(kByKey)) stages_[stage].in_order = false;
    stages_[stage].operators.push_back(std::move(op));
    return stage;
  }

  void AddStep(int i) {
    lowered_ = i;
    const flow::Step& step = steps()[i];
    if (std::holds_alternative<flow::TableStep>(step.body)) {
      stage_of_[i] = Continue(step.inputs[0]);
      stages_[stage_of_[i]].sink = i;
    } else if (flow::IsSink(step)) {
      if (IsEnd(i)) stages_[Continue(step.inputs[0])].sink = i;
    } else if (step.inputs.empty() || filled_[i]) {
      Stage stage;
      stage.source = i;
      stage.in_order = !std::holds_alternative<flow::SqlSource>(step.body) &&  // The order is the server's choice,
                       !std::holds_alternative<flow::TableSource>(step.body);  // or that of the pushes.
      if (filled_[i]) {
        stage.user_partitions = Cached(step)->user_partitions;
        stage.in_order = Cached(step)->in_order;
      }
      stage_of_[i] = NewStage(std::move(stage));
    } else {
      stage_of_[i] = Lower(i, step);
    }
  }

  // Steps of one stage may read tables, each once.
  void FindTables() {
    for (Stage& stage : stages_) {
      for (const Operator& op : stage.operators) {
        for (const int table : steps()[op.step].tables) {
          if (std::find(stage.tables.begin(), stage.tables.end(), stage_of_[table]) == stage.tables.end())
            stage.tables.push_back(stage_of_[table]);
        }
      }
    }
  }

  // A new stage that reads what `stage` sends through `exchange` to as many partitions as the user asked for.
  int CutTo(int partitions, int stage, ExchangeSpec exchange) {
    exchange.partitions = partitions;
    const int next = Cut(stage, std::move(exchange));
    stages_[next].user_partitions = partitions;
    stages_[next].one_task = false;
    return next;
  }

  // Do its tasks read files of several machines?
  bool HasPerHost(int stage) const {
    const Stage& s = stages_[stage];
    return (s.source >= 0 && flow::ReadsPerHost(steps()[s.source])) ||
           std::any_of(s.parts.begin(), s.parts.end(), [this](int part) { return HasPerHost(part); });
  }

  // Does a Local step mean less than all rows here?
  bool HasPartitions(int stage) const { return stages_[stage].user_partitions > 0; }

  int Lower(int i, const flow::Step& step) {
    return std::visit(
        Overloaded{
            [&](const flow::FunctionStep&) {
              return Append(Continue(step.inputs[0]), {OperatorKind::kFunction, i, {}});
            },
            [&](const flow::SelectStep&) { return Append(Continue(step.inputs[0]), {OperatorKind::kSelect, i, {}}); },
            [&](const flow::LookupStep&) { return Append(Continue(step.inputs[0]), {OperatorKind::kLookup, i, {}}); },
            [&](const flow::PushToStep&) { return Append(Continue(step.inputs[0]), {OperatorKind::kPushTo, i, {}}); },
            [&](const flow::LimitStep& limit) {
              int stage = Continue(step.inputs[0]);
              if (limit.local && HasPartitions(stage)) {
                Append(stage, {OperatorKind::kLimit, i, {}, limit.count, limit.offset});
                stages_[stage].operators.back().local = true;
                return stage;
              }
              if (!stages_[stage].one_task) {
                Append(stage, {OperatorKind::kLimit, i, {}, limit.count + limit.offset, 0});
                stage = Cut(stage, {ExchangeKind::kGather, 1, {}, {}});
              }
              return Append(stage, {OperatorKind::kLimit, i, {}, limit.count, limit.offset});
            },
            [&](const flow::AsStep&) { return Append(Continue(step.inputs[0]), {OperatorKind::kAs, i, {}}); },
            [&](const flow::SampleStep&) { return LowerSample(i, Continue(step.inputs[0])); },
            // Kept first, because a task numbers its rows after all rows of the tasks before it.
            [&](const flow::ZipWithIndexStep&) {
              return Append(Reader(Kept(step.inputs[0])), {OperatorKind::kZipWithIndex, i, {}});
            },
            [&](const flow::PartitionStep& partition) {
              return CutTo(partition.count, Continue(step.inputs[0]), {ExchangeKind::kHash, 0, partition.columns, {}});
            },
            [&](const flow::RoundRobinStep& robin) { return LowerRoundRobin(robin.count, Continue(step.inputs[0])); },
            [&](const flow::BroadcastStep& broadcast) {
              return CutTo(broadcast.count, Continue(step.inputs[0]), {ExchangeKind::kBroadcast, 0, {}, {}});
            },
            [&](const flow::MergeToStep& merge) {
              const int stage = Continue(step.inputs[0]);
              if (stages_[stage].user_partitions <= merge.count) return stage;
              return CutTo(
                  merge.count, stage,
                  {merge.keys.empty() ? ExchangeKind::kGather : ExchangeKind::kMergeSorted, 0, {}, merge.keys});
            },
            [&](const flow::UnionStep&) { return LowerUnion(step); },
            [&](const flow::CacheStep&) {
              const int stage = Continue(step.inputs[0]);
              stages_[stage].output.kind = ExchangeKind::kKeep;
              stages_[stage].cache = i;
              return stage;
            },
            [&](const flow::ReduceStep& reduce) {
              int stage = Continue(step.inputs[0]);
              if (reduce.local && HasPartitions(stage)) {
                Append(stage, {OperatorKind::kMerge, i, reduce.keys});
                stages_[stage].operators.back().local = true;
                return stage;
              }
              Append(stage, {OperatorKind::kCombine, i, reduce.keys});
              const std::vector<int> keys = FirstColumns(reduce.keys.size());
              stage = reduce.by_key ? Cut(stage, {ExchangeKind::kHash, 0, keys, {}})
                                    : Cut(stage, {ExchangeKind::kGather, 1, {}, {}});
              return Append(stage, {OperatorKind::kMerge, i, keys});
            },
            [&](const flow::GroupStep& group) {
              int stage = Continue(step.inputs[0]);
              if (!group.local || !HasPartitions(stage)) stage = Cut(stage, {ExchangeKind::kHash, 0, group.keys, {}});
              return Append(stage, {OperatorKind::kGroup, i, group.keys});
            },
            [&](const flow::DistinctStep& distinct) {
              int stage = Append(Continue(step.inputs[0]), {OperatorKind::kDistinct, i, {}});
              if (distinct.local && HasPartitions(stage)) return stage;
              stage = Cut(stage, {ExchangeKind::kHash, 0, distinct.columns, {}});
              return Append(stage, {OperatorKind::kDistinct, i, {}});
            },
            [&](const flow::SortStep& sort) {
              const OperatorKind kind = sort.top ? OperatorKind::kTop : OperatorKind::kSort;
              int stage = Append(Continue(step.inputs[0]), {kind, i, {}, sort.count});
              if (sort.local && HasPartitions(stage)) return stage;
              stage = Cut(stage, {ExchangeKind::kMergeSorted, 1, {}, sort.keys});
              if (sort.top) Append(stage, {OperatorKind::kLimit, i, {}, sort.count, 0});
              return stage;
            },
            [&](const flow::JoinStep& join) {
              if (!join.broadcast) {
                return LowerTwoSides(i, step, {OperatorKind::kJoin, i, {}}, join.left_keys, join.right_keys);
              }
              const int right = Continue(step.inputs[1]);
              stages_[right].output = {ExchangeKind::kGather, 1, {}, {}};
              stages_[right].output_for = i;
              const int left = Append(Continue(step.inputs[0]), {OperatorKind::kJoin, i, {}});
              stages_[left].operators.back().build = right;
              stages_[left].operators.back().build_whole = true;
              stages_[left].in_order &= stages_[right].in_order;
              return left;
            },
            [&](const flow::CoGroupStep& group) {
              return LowerTwoSides(i, step, {OperatorKind::kCoGroup, i, {}}, group.left_keys, group.right_keys);
            },
            [&](const flow::PipeStep& pipe) {
              int stage = Continue(step.inputs[0]);
              if (pipe.as_arguments) return Append(stage, {OperatorKind::kPipeAsArgs, i, {}});
              // One program sees all rows; those of other machines are brought to it.
              if (HasPerHost(stage)) stage = Cut(stage, {ExchangeKind::kGather, 1, {}, {}});
              if (stages_[stage].user_partitions == 0) stages_[stage].one_task = true;
              return Append(stage, {OperatorKind::kPipe, i, {}});
            },
            [&](const auto&) {
              CHECK(false);
              return -1;
            },
        },
        step.body);
  }

  // Are the rows of a split at the end of the stage its own, in the order of the source?
  bool KeepsSplits(const Stage& stage) const {
    constexpr OperatorKind kRowByRow[] = {OperatorKind::kFunction, OperatorKind::kSelect, OperatorKind::kAs,
                                          OperatorKind::kSample,   OperatorKind::kJoin,   OperatorKind::kLookup,
                                          OperatorKind::kPushTo};
    const bool has_splits = stage.parts.empty() ? stage.source >= 0 && !filled_[stage.source]
                                                : std::all_of(stage.parts.begin(), stage.parts.end(),
                                                              [&](int part) { return KeepsSplits(stages_[part]); });
    return has_splits && stage.in_order &&
           std::all_of(stage.operators.begin(), stage.operators.end(), [&](const Operator& op) {
             return std::find(std::begin(kRowByRow), std::end(kRowByRow), op.kind) != std::end(kRowByRow);
           });
  }

  // A stage with the rows of `stage`, whose tasks know the number of rows before their own, as ZipWithIndex needs it.
  int WithPlaces(int stage) {
    const Stage& rows = stages_[stage];
    if (rows.one_task || (rows.input >= 0 && rows.operators.empty())) return stage;
    stages_[stage].output.kind = ExchangeKind::kKeep;
    return Reader(stage);
  }

  int LowerRoundRobin(int count, int stage) {
    const Stage& rows = stages_[stage];
    // Their order is the engine's choice, so only what is in a row can tell where it goes.
    if (!rows.in_order) return CutTo(count, stage, {ExchangeKind::kHash, 0, {}, {}});
    ExchangeSpec exchange{ExchangeKind::kRoundRobin, 0, {}, {}};
    if (KeepsSplits(rows)) {
      exchange.deal = Deal::kBySplit;
    } else if (!rows.one_task && rows.user_partitions == 0) {
      exchange.deal = Deal::kByPlace;
      stage = WithPlaces(stage);
    }
    return CutTo(count, stage, std::move(exchange));
  }

  int LowerSample(int i, int stage) {
    Operator sample{OperatorKind::kSample, i, {}};
    if (KeepsSplits(stages_[stage])) {
      sample.draw = Draw::kBySplit;
      return Append(stage, std::move(sample));
    }
    const Stage& rows = stages_[stage];
    if (rows.in_order) {
      sample.draw = Draw::kByPlace;
      return Append(WithPlaces(stage), std::move(sample));
    }
    sample.draw = Draw::kByCopies;
    if (!rows.one_task && rows.user_partitions == 0) stage = Cut(stage, {ExchangeKind::kHash, 0, {}, {}});
    return Append(stage, std::move(sample));
  }

  // A dataset without partitions of the user's joins those that have some as one.
  int LowerUnion(const flow::Step& step) {
    bool partitions = false;
    for (const int input : step.inputs) partitions |= stages_[stage_of_[ThroughSinks(input)]].user_partitions > 0;
    Stage all;
    all.in_order = true;
    for (const int input : step.inputs) {
      int part = Continue(input);
      if (partitions && stages_[part].user_partitions == 0) part = CutTo(1, part, {ExchangeKind::kGather, 0, {}, {}});
      all.parts.push_back(part);
      all.user_partitions += stages_[part].user_partitions;
      all.in_order &= stages_[part].in_order;
    }
    return NewStage(std::move(all));
  }

  // A stage that gets rows with equal keys of both sides into the same task. It has as many partitions as the user gave
  // the left side.
  int LowerTwoSides(int i, const flow::Step& step, Operator op, const std::vector<int>& left_keys,
                    const std::vector<int>& right_keys) {
    const int left = Continue(step.inputs[0]), right = Continue(step.inputs[1]);
    const int partitions = stages_[left].user_partitions;
    stages_[left].output = {ExchangeKind::kHash, partitions, left_keys, {}};
    stages_[right].output = {ExchangeKind::kHash, partitions, right_keys, {}};
    stages_[left].output_for = stages_[right].output_for = i;
    op.build = right;
    Stage stage;
    stage.input = left;
    stage.user_partitions = partitions;
    stage.operators.push_back(std::move(op));
    return NewStage(std::move(stage));
  }

  // Stages were numbered as the user's steps came; HashJoin or a table may have made an early one wait for a later one.
  std::vector<Stage> InOrder() {
    std::vector<int> place(stages_.size(), -1);
    std::vector<Stage> sorted;
    const std::function<void(int)> put = [&](int s) {
      if (place[s] >= 0) return;
      if (stages_[s].input >= 0) put(stages_[s].input);
      for (const int part : stages_[s].parts) put(part);
      for (const int table : stages_[s].tables) put(table);
      for (const Operator& op : stages_[s].operators) {
        if (op.build >= 0) put(op.build);
      }
      place[s] = static_cast<int>(sorted.size());
      sorted.push_back(std::move(stages_[s]));
      if (sorted.back().input >= 0) sorted.back().input = place[sorted.back().input];
      for (int& part : sorted.back().parts) part = place[part];
      for (int& table : sorted.back().tables) table = place[table];
      for (Operator& op : sorted.back().operators) {
        if (op.build >= 0) op.build = place[op.build];
      }
    };
    for (int s = 0; s < static_cast<int>(stages_.size()); ++s) put(s);
    return sorted;
  }

  std::shared_ptr<flow::Graph> graph_;
  const std::vector<int> ends_;
  std::vector<bool> needed_;   // Per step: an end needs it.
  std::vector<bool> filled_;   // Per step: a cache that has its rows.
  std::vector<int> readers_;   // Per step.
  std::vector<int> stage_of_;  // Per step: the stage that has its rows at the end of its operators.
  std::vector<Stage> stages_;
  int lowered_ = -1;  // The step at hand.
};

std::string_view Suffix(OperatorKind kind, bool last) {
  switch (kind) {
    case OperatorKind::kCombine: return " combine";
    case OperatorKind::kMerge: return " merge";
    case OperatorKind::kLimit: return last ? "" : " limit";
    case OperatorKind::kOrder: return " in order";
    case OperatorKind::kCut: return " batches";
    case OperatorKind::kEncode: return " bytes";
    default: return "";
  }
}

std::string StepText(const flow::Step& step) {
  return step.name + (step.arguments.empty() ? "" : "(" + step.arguments + ")");
}

std::string FieldList(const std::vector<int>& columns) {
  std::string text;
  for (const int column : columns) text += (text.empty() ? "" : ", ") + std::to_string(column + 1);
  return text;
}

std::string ExchangeText(const ExchangeSpec& exchange) {
  const std::string to = exchange.partitions > 0 ? " to " + std::to_string(exchange.partitions) +
                                                       (exchange.partitions > 1 ? " partitions" : " partition")
                                                 : "";
  switch (exchange.kind) {
    case ExchangeKind::kNone: return "";
    case ExchangeKind::kKeep: return "keep for several readers";
    case ExchangeKind::kGather: return "gather in order" + to;
    case ExchangeKind::kBroadcast: return "broadcast" + to;
    case ExchangeKind::kMergeSorted: return "merge sorted" + to;
    case ExchangeKind::kHash:
      return "hash of " + (exchange.columns.empty() ? "the row" : "field " + FieldList(exchange.columns)) + to;
    case ExchangeKind::kRoundRobin: return "round robin" + to;
  }
  return "";
}

// One run writes a file once; a later run may write it anew.
Status CheckFiles(const flow::Graph& graph, const std::vector<int>& ends) {
  std::set<int> in_order(ends.begin(), ends.end());
  std::set<std::string> paths;
  for (const int end : in_order) {
    const flow::Step& step = graph.steps()[end];
    const auto* file = std::get_if<flow::FileSink>(&step.body);
    if (file == nullptr || paths.insert(env::PlainPath(file->path)).second) continue;
    return Status::Invalid(StepText(step) + ": this flow writes that file already");
  }
  return Status::Ok();
}

}  // namespace

Result<Plan> MakePlan(std::shared_ptr<flow::Graph> graph, std::vector<int> ends) {
  RETURN_IF_ERROR(graph->status());
  RETURN_IF_ERROR(CheckFiles(*graph, ends));
  return Planner(std::move(graph), std::move(ends)).Make();
}

std::string OperatorText(const Operator& op, const flow::Step& step) {
  const bool own = std::holds_alternative<flow::LimitStep>(step.body);
  return step.name + std::string(Suffix(op.kind, own)) + (step.arguments.empty() ? "" : "(" + step.arguments + ")");
}

namespace {

// How many rows there are at some place; nullopt: nobody knows.
struct RowCount {
  std::optional<int64_t> most;
  bool exact = false;
};

std::string CountText(const RowCount& count) {
  if (!count.most.has_value()) return "";
  return (count.exact ? "" : "at most ") + std::to_string(*count.most) + (*count.most == 1 ? " row" : " rows");
}

std::string Note(const std::string& text) { return text.empty() ? "" : "  (" + text + ")"; }

std::string Joined(const std::string& a, const std::string& b) { return a + (a.empty() || b.empty() ? "" : ", ") + b; }

std::string SizeText(const Size& size) {
  std::string rows = CountText({size.rows, true});
  if (!rows.empty() && !size.rows_exact) rows = "about " + rows;
  if (!size.bytes.has_value()) return rows;
  return Joined(rows, "about " + base::FormatBytes(*size.bytes));
}

RowCount AtMost(const RowCount& in) { return {in.most, in.exact && in.most == 0}; }

// Behind `op`. `one_task`: it sees all rows.
RowCount After(const Operator& op, const flow::Step& step, bool one_task, const RowCount& in) {
  switch (op.kind) {
    case OperatorKind::kSelect:
    case OperatorKind::kAs:
    case OperatorKind::kZipWithIndex:
    case OperatorKind::kSort:
    case OperatorKind::kLookup:
    case OperatorKind::kOrder:
    case OperatorKind::kCut:
    case OperatorKind::kEncode: return in;
    case OperatorKind::kSample:
    case OperatorKind::kDistinct:
    case OperatorKind::kGroup: return AtMost(in);
    case OperatorKind::kCombine:
    case OperatorKind::kMerge:
      if (op.keys.empty() && one_task) return {std::min<int64_t>(in.most.value_or(1), 1), in.most == 0};
      return AtMost(in);
    case OperatorKind::kFunction: {
      const FunctionRole role = std::get<flow::FunctionStep>(step.body).role;
      if (role == FunctionRole::kMap || role == FunctionRole::kFilter) return AtMost(in);
      return {};
    }
    case OperatorKind::kLimit:
      if (!one_task || op.local) return AtMost(in);
      if (!in.most.has_value()) return {op.count, false};
      return {std::clamp<int64_t>(*in.most - op.offset, 0, op.count), in.exact};
    case OperatorKind::kTop:
      return one_task && in.most.has_value() ? RowCount{std::min(*in.most, op.count), in.exact} : AtMost(in);
    case OperatorKind::kJoin:
    case OperatorKind::kCoGroup:
    case OperatorKind::kPipe:
    case OperatorKind::kPipeAsArgs:
    case OperatorKind::kPushTo: return {};
  }
  return {};
}

}  // namespace

std::string ToText(const Plan& plan, const std::vector<Size>& sources, const std::vector<std::string>& how) {
  std::string out = "flow \"" + plan.graph->name() + "\"\n";
  std::vector<RowCount> sent;                       // Per stage.
  std::vector<size_t> part_of(plan.stages.size());  // The number of the stage that goes on with it; 0: none.
  for (size_t s = 0; s < plan.stages.size(); ++s) {
    for (const int part : plan.stages[s].parts) part_of[part] = s + 1;
  }
  for (size_t s = 0; s < plan.stages.size(); ++s) {
    const Stage& stage = plan.stages[s];
    out += "stage " + std::to_string(s + 1);
    if (stage.one_task) {
      out += ", one task";
    } else if (stage.user_partitions > 0) {
      out += ", " + std::to_string(stage.user_partitions) + " partitions";
    }
    out += "\n";
    RowCount rows{0, true};
    if (stage.source >= 0) {
      out += "  read   " + StepText(plan.graph->steps()[stage.source]) + Note(SizeText(sources[s])) + "\n";
      rows = {sources[s].rows_exact ? sources[s].rows : std::nullopt, true};
    }
    std::vector<int> inputs = stage.parts;
    if (stage.input >= 0) inputs.push_back(stage.input);
    for (const int input : inputs) {
      out += "  read   stage " + std::to_string(input + 1) + "\n";
      rows.exact = rows.exact && sent[input].exact;
      rows.most = rows.most.has_value() && sent[input].most.has_value() ? std::optional(*rows.most + *sent[input].most)
                                                                        : std::nullopt;
    }
    for (const int table : stage.tables) out += "  table  from stage " + std::to_string(table + 1) + "\n";
    for (const Operator& op : stage.operators) {
      if (op.build >= 0) {
        out += "  build  from stage " + std::to_string(op.build + 1) + (op.build_whole ? ", whole in every task" : "") +
               "\n";
      }
      const flow::Step& step = plan.graph->steps()[op.step];
      rows = After(op, step, stage.one_task, rows);
      out += "  " + std::string(&op == stage.operators.data() ? "do     " : "fused  ") + OperatorText(op, step) +
             Note(Joined(CountText(rows), how[op.step])) + "\n";
    }
    if (stage.sink >= 0) {
      out += "  write  " + StepText(plan.graph->steps()[stage.sink]) + "\n";
    } else if (stage.output.kind != ExchangeKind::kNone) {
      out += "  send   " + ExchangeText(stage.output) + "\n";
    } else if (part_of[s] > 0) {
      out += "  pass   to stage " + std::to_string(part_of[s]) + " as they come\n";
    }
    if (stage.output.kind == ExchangeKind::kBroadcast && rows.most.has_value()) *rows.most *= stage.output.partitions;
    sent.push_back(rows);
  }
  return out;
}

}  // namespace glim::plan
