// SPDX-License-Identifier: Apache-2.0
#include "exec/checkpoints.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "base/try.h"
#include "exec/plan_tasks.h"

namespace glim::exec {
namespace {

using plan::ExchangeKind;
using plan::OperatorKind;
using plan::Plan;
using plan::Stage;

bool IsPart(const Plan& plan, int stage) {
  return std::any_of(plan.stages.begin(), plan.stages.end(), [stage](const Stage& whole) {
    return std::find(whole.parts.begin(), whole.parts.end(), stage) != whole.parts.end();
  });
}

// A step that may change a table, as far as can be seen.
bool MayPush(const Plan& plan, const std::vector<plan::FunctionFacts>& facts, const plan::Operator& op) {
  if (op.kind == OperatorKind::kPushTo) return true;
  const auto* function = std::get_if<flow::FunctionStep>(&plan.graph->steps()[op.step].body);
  return facts[op.step].has_table || (function != nullptr && (function->role == FunctionRole::kForEach ||
                                                              function->role == FunctionRole::kForEachBatch));
}

// Looks at what the tasks of a stage read.
class Sameness {
 public:
  explicit Sameness(const plan::SpreadPlan& spread) : spread_(spread), plan_(spread.plan) {}

  Status Check(int number) const {
    const Stage& stage = plan_.stages[number];
    RETURN_IF_ERROR(CheckOwn(number));
    for (const int part : stage.parts) RETURN_IF_ERROR(Check(part));
    if (stage.input >= 0) {
      // Task by task: whatever the steps in between give, it is of the same rows.
      RETURN_IF_ERROR(plan_.stages[stage.input].output.kind == ExchangeKind::kKeep ? Check(stage.input)
                                                                                   : CheckSent(stage.input));
    }
    for (const plan::Operator& op : stage.operators) {
      if (op.build >= 0 && !op.build_whole) RETURN_IF_ERROR(CheckSent(op.build));
    }
    return Status::Ok();
  }

 private:
  // Where it has its rows from, but for other stages.
  Status CheckOwn(int number) const {
    const Stage& stage = plan_.stages[number];
    if (spread_.at_driver[number]) return Status::Unavailable("rows that only this program has can be read once");
    // A later program finds it full, or not there.
    if (stage.cache >= 0) return Status::Unavailable("this pass fills a Cache, or a dataset");
    if (stage.source < 0) return Status::Ok();
    const flow::Step& step = plan_.graph->steps()[stage.source];
    if (std::holds_alternative<flow::TableSource>(step.body))
      return Status::Unavailable(fmt::format("{}: the rows of a table change", step.name));
    const auto* cache = std::get_if<flow::CacheStep>(&step.body);
    if (cache != nullptr && cache->rows->name.empty())
      return Status::Unavailable("a Cache is gone with its program; OnDisk(name) keeps rows for others");
    return Status::Ok();
  }
  // The rows of the stage, whichever task they are sent to.
  Status CheckSent(int number) const {
    const plan::Repeat& repeat = spread_.repeats[number];
    if (repeat.to_driver || !repeat.once.empty() || repeat.rows == plan::Again::kOther)
      return Status::Unavailable(fmt::format("stage {} may give other rows another time", number + 1));
    const Stage& stage = plan_.stages[number];
    RETURN_IF_ERROR(CheckOwn(number));
    for (const int part : stage.parts) RETURN_IF_ERROR(CheckSent(part));
    if (stage.input >= 0) RETURN_IF_ERROR(CheckSent(stage.input));
    for (const plan::Operator& op : stage.operators) {
      if (op.build >= 0) RETURN_IF_ERROR(CheckSent(op.build));
    }
    return Status::Ok();
  }

  const plan::SpreadPlan& spread_;
  const Plan& plan_;
};

}  // namespace

bool Trains(const Plan& plan, int number) {
  const Stage& stage = plan.stages[number];
  return stage.output.kind == ExchangeKind::kNone && stage.sink < 0 && stage.cache < 0 && !stage.operators.empty() &&
         !IsPart(plan, number);
}

TrainingParts PartsOf(const Plan& plan, const PlanTasks& tasks, int number) {
  const auto& steps = plan.graph->steps();
  TrainingParts parts{.step = plan.stages[number].operators.back().step, .name = {}, .fingerprint = 0, .count = 0};
  parts.name = steps[parts.step].name;
  parts.count = tasks.shape(number).tasks;
  std::string text;
  for (int i = 0; i <= parts.step; ++i) text += steps[i].name + "\n";
  for (int i = 0; i <= number; ++i) {
    if (plan.stages[i].source < 0) continue;
    const StageShape& shape = tasks.shape(i);
    for (const io::Split& split : shape.splits)
      text += fmt::format("{} {} {} {} {}\n", split.host, split.path, split.begin, split.end, split.estimated_bytes);
    for (const auto& [begin, end] : shape.groups) text += fmt::format("{}-{}\n", begin, end);
  }
  parts.fingerprint = base::HashBytes(text);
  return parts;
}

Status CanGoOnWithin(const plan::SpreadPlan& spread, const std::vector<plan::FunctionFacts>& facts) {
  const Plan& plan = spread.plan;
  const Sameness sameness(spread);
  for (int i = 0; i < static_cast<int>(plan.stages.size()); ++i) {
    if (Trains(plan, i)) {
      RETURN_IF_ERROR(sameness.Check(i));
      continue;
    }
    if (IsPart(plan, i)) continue;
    for (const plan::Operator& op : plan.stages[i].operators) {
      if (!MayPush(plan, facts, op)) continue;
      return Status::Unavailable(fmt::format("{} is not the last step of its rows", plan.graph->steps()[op.step].name));
    }
  }
  return Status::Ok();
}

}  // namespace glim::exec
