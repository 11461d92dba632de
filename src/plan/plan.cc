// SPDX-License-Identifier: Apache-2.0
#include "plan/plan.h"

#include <functional>
#include <numeric>

#include "base/check.h"
#include "base/try.h"

namespace glim::plan {
namespace {

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

bool IsSink(const flow::Step& step) {
  return std::holds_alternative<flow::PrintfSink>(step.body) || std::holds_alternative<flow::OutputSink>(step.body) ||
         std::holds_alternative<flow::CollectSink>(step.body) ||
         std::holds_alternative<flow::FirstRowSink>(step.body) || std::holds_alternative<flow::TextFileSink>(step.body);
}

std::vector<int> FirstColumns(size_t count) {
  std::vector<int> columns(count);
  std::iota(columns.begin(), columns.end(), 0);
  return columns;
}

class Planner {
 public:
  explicit Planner(std::shared_ptr<const flow::Graph> graph) : graph_(std::move(graph)) {}

  Plan Make() {
    CountReaders();
    for (int i = 0; i < static_cast<int>(steps().size()); ++i) AddStep(i);
    return Plan{graph_, InOrder()};
  }

 private:
  const std::vector<flow::Step>& steps() const { return graph_->steps(); }

  // The dataset after a sink is the dataset before it.
  int ThroughSinks(int step) const {
    while (IsSink(steps()[step])) step = steps()[step].inputs[0];
    return step;
  }

  void CountReaders() {
    readers_.assign(steps().size(), 0);
    for (const flow::Step& step : steps()) {
      for (const int input : step.inputs) ++readers_[ThroughSinks(input)];
    }
    stage_of_.assign(steps().size(), -1);
  }

  int NewStage(Stage stage) {
    stages_.push_back(std::move(stage));
    return static_cast<int>(stages_.size()) - 1;
  }

  // The stage in which the rows of `step` may be worked on further.
  int Continue(int step) {
    step = ThroughSinks(step);
    const int stage = stage_of_[step];
    if (readers_[step] == 1) return stage;
    stages_[stage].output.kind = ExchangeKind::kKeep;
    Stage reader;
    reader.inputs = {stage};
    reader.user_partitions = stages_[stage].user_partitions;
    reader.one_task = stages_[stage].one_task;
    return NewStage(std::move(reader));
  }

  // A new stage that reads what `stage` sends through `exchange`.
  int Cut(int stage, ExchangeSpec exchange) {
    Stage next;
    next.inputs = {stage};
    next.one_task = exchange.kind == ExchangeKind::kGather || exchange.kind == ExchangeKind::kMergeSorted;
    stages_[stage].output = std::move(exchange);
    return NewStage(std::move(next));
  }

  int Append(int stage, Operator op) {
    stages_[stage].operators.push_back(std::move(op));
    return stage;
  }

  void AddStep(int i) {
    const flow::Step& step = steps()[i];
    if (step.inputs.empty()) {
      Stage stage;
      stage.source = i;
      stage_of_[i] = NewStage(std::move(stage));
      return;
    }
    if (IsSink(step)) {
      stages_[CloseForSink(step.inputs[0])].sink = i;
      return;
    }
    stage_of_[i] = Lower(i, step);
  }

  int CloseForSink(int input) {
    const int stage = Continue(input);
    return stage;
  }

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
              if (!stages_[stage].one_task) {
                Append(stage, {OperatorKind::kLimit, i, {}, limit.count + limit.offset, 0});
                stage = Cut(stage, {ExchangeKind::kGather, 1, {}, {}});
              }
              return Append(stage, {OperatorKind::kLimit, i, {}, limit.count, limit.offset});
            },
            [&](const flow::PartitionStep& partition) {
              const int stage =
                  Cut(Continue(step.inputs[0]), {ExchangeKind::kHash, partition.count, partition.columns, {}});
              stages_[stage].user_partitions = partition.count;
              return stage;
            },
            [&](const flow::RoundRobinStep& robin) {
              const int stage = Cut(Continue(step.inputs[0]), {ExchangeKind::kRoundRobin, robin.count, {}, {}});
              stages_[stage].user_partitions = robin.count;
              return stage;
            },
            [&](const flow::ReduceStep& reduce) {
              int stage = Append(Continue(step.inputs[0]), {OperatorKind::kCombine, i, reduce.keys});
              const std::vector<int> keys = FirstColumns(reduce.keys.size());
              stage = reduce.by_key ? Cut(stage, {ExchangeKind::kHash, 0, keys, {}})
                                    : Cut(stage, {ExchangeKind::kGather, 1, {}, {}});
              return Append(stage, {OperatorKind::kMerge, i, keys});
            },
            [&](const flow::GroupStep& group) {
              const int stage = Cut(Continue(step.inputs[0]), {ExchangeKind::kHash, 0, group.keys, {}});
              return Append(stage, {OperatorKind::kGroup, i, group.keys});
            },
            [&](const flow::SortStep& sort) {
              const OperatorKind kind = sort.top ? OperatorKind::kTop : OperatorKind::kSort;
              int stage = Append(Continue(step.inputs[0]), {kind, i, {}, sort.count});
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
              return Append(Continue(step.inputs[0]), {OperatorKind::kJoin, i, {}, 0, 0, right, true});
            },
            [&](const flow::CoGroupStep& group) {
              return LowerTwoSides(i, step, {OperatorKind::kCoGroup, i, {}}, group.left_keys, group.right_keys);
            },
            [&](const flow::PipeStep& pipe) {
              const int stage = Continue(step.inputs[0]);
              if (pipe.as_arguments) return Append(stage, {OperatorKind::kPipeAsArgs, i, {}});
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

  // A stage that gets rows with equal keys of both sides into the same task. It has as many partitions as the user gave
  // the left side.
  int LowerTwoSides(int i, const flow::Step& step, Operator op, const std::vector<int>& left_keys,
                    const std::vector<int>& right_keys) {
    const int left = Continue(step.inputs[0]), right = Continue(step.inputs[1]);
    const int partitions = stages_[left].user_partitions;
    stages_[left].output = {ExchangeKind::kHash, partitions, left_keys, {}};
    stages_[right].output = {ExchangeKind::kHash, partitions, right_keys, {}};
    op.build = right;
    Stage stage;
    stage.inputs = {left};
    stage.user_partitions = partitions;
    stage.operators.push_back(std::move(op));
    return NewStage(std::move(stage));
  }

  // Stages were numbered as the user's steps came; HashJoin may have made an early one wait for a later one.
  std::vector<Stage> InOrder() {
    std::vector<int> place(stages_.size(), -1);
    std::vector<Stage> sorted;
    const std::function<void(int)> put = [&](int s) {
      if (place[s] >= 0) return;
      for (const int input : stages_[s].inputs) put(input);
      for (const Operator& op : stages_[s].operators) {
        if (op.build >= 0) put(op.build);
      }
      place[s] = static_cast<int>(sorted.size());
      sorted.push_back(std::move(stages_[s]));
      for (int& input : sorted.back().inputs) input = place[input];
      for (Operator& op : sorted.back().operators) {
        if (op.build >= 0) op.build = place[op.build];
      }
    };
    for (int s = 0; s < static_cast<int>(stages_.size()); ++s) put(s);
    return sorted;
  }

  std::shared_ptr<const flow::Graph> graph_;
  std::vector<int> readers_;   // Per step.
  std::vector<int> stage_of_;  // Per step: the stage that has its rows at the end of its operators.
  std::vector<Stage> stages_;
};

std::string_view Suffix(OperatorKind kind, bool last) {
  switch (kind) {
    case OperatorKind::kCombine: return " combine";
    case OperatorKind::kMerge: return " merge";
    case OperatorKind::kLimit: return last ? "" : " limit";
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
    case ExchangeKind::kMergeSorted: return "merge sorted" + to;
    case ExchangeKind::kHash: return "hash of field " + FieldList(exchange.columns) + to;
    case ExchangeKind::kRoundRobin: return "round robin" + to;
  }
  return "";
}

}  // namespace

Result<Plan> MakePlan(std::shared_ptr<const flow::Graph> graph) {
  RETURN_IF_ERROR(graph->status());
  return Planner(std::move(graph)).Make();
}

std::string ToText(const Plan& plan) {
  std::string out = "flow \"" + plan.graph->name() + "\"\n";
  for (size_t s = 0; s < plan.stages.size(); ++s) {
    const Stage& stage = plan.stages[s];
    out += "stage " + std::to_string(s + 1);
    if (stage.one_task) {
      out += ", one task";
    } else if (stage.user_partitions > 0) {
      out += ", " + std::to_string(stage.user_partitions) + " partitions";
    }
    out += "\n";
    if (stage.source >= 0) out += "  read   " + StepText(plan.graph->steps()[stage.source]) + "\n";
    for (const int input : stage.inputs) out += "  read   stage " + std::to_string(input + 1) + "\n";
    for (const Operator& op : stage.operators) {
      if (op.build >= 0) {
        out += "  build  from stage " + std::to_string(op.build + 1) + (op.build_whole ? ", whole in every task" : "") +
               "\n";
      }
      const flow::Step& step = plan.graph->steps()[op.step];
      const bool own = std::holds_alternative<flow::LimitStep>(step.body);
      out += "  " + std::string(&op == stage.operators.data() ? "do     " : "fused  ") + step.name +
             std::string(Suffix(op.kind, own)) + (step.arguments.empty() ? "" : "(" + step.arguments + ")") + "\n";
    }
    if (stage.sink >= 0) {
      out += "  write  " + StepText(plan.graph->steps()[stage.sink]) + "\n";
    } else if (stage.output.kind != ExchangeKind::kNone) {
      out += "  send   " + ExchangeText(stage.output) + "\n";
    }
  }
  return out;
}

}  // namespace glim::plan
