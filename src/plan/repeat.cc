// SPDX-License-Identifier: Apache-2.0
#include "plan/repeat.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace glim::plan {
namespace {

Again Worse(Again a, Again b) { return std::max(a, b); }

// Whose result depends on the order of rows.
Again IfSame(Again rows, Again then) { return rows == Again::kSame ? then : Again::kOther; }

Again OnlyOnce(Repeat* repeat) {
  repeat->once = "a Sample behind it goes by the pieces of its source";
  return Again::kSame;
}

bool EndsEarly(const Operator& op) { return op.kind == OperatorKind::kLimit; }

bool Folds(const Operator& op) { return op.kind == OperatorKind::kCombine || op.kind == OperatorKind::kMerge; }

}  // namespace

const FunctionFacts& RepeatPlanner::FactsOf(const Operator& op) const {
  static const FunctionFacts nothing;
  return facts_.empty() ? nothing : facts_[op.step];
}

bool RepeatPlanner::Pushes(const Operator& op) const {
  return op.kind == OperatorKind::kPushTo || (op.kind == OperatorKind::kFunction && FactsOf(op).has_table);
}

Again RepeatPlanner::WithBuild(const Operator& op, Again rows) const {
  return op.build < 0 ? rows : Worse(rows, repeats_[op.build].rows);
}

Again RepeatPlanner::After(const Operator& op, const Operator* before, Again rows) const {
  if (rows == Again::kOther) return rows;
  const auto& body = graph_.steps()[op.step].body;
  // The second half of a step, of which the first one is in front of the exchange.
  const bool second = before != nullptr && before->step == op.step;
  switch (op.kind) {
    case OperatorKind::kSelect:
    case OperatorKind::kAs:
    case OperatorKind::kCut: return rows;
    case OperatorKind::kFunction: {
      const FunctionFacts& facts = FactsOf(op);
      if (facts.other_rows || facts.has_table) return Again::kOther;
      return facts.other_order ? Again::kOtherOrder : rows;
    }
    case OperatorKind::kLimit:
    case OperatorKind::kTop:
    case OperatorKind::kZipWithIndex: return IfSame(rows, Again::kSame);
    case OperatorKind::kSample: return op.draw == Draw::kByCopies ? rows : IfSame(rows, Again::kSame);
    case OperatorKind::kDistinct: {
      const bool any_of_equals = std::get<flow::DistinctStep>(body).columns.empty();
      // Of each producer it gets one row of a key, and takes that of the first.
      return any_of_equals || second ? Again::kOtherOrder : IfSame(rows, Again::kOtherOrder);
    }
    case OperatorKind::kCombine: return IfSame(rows, Again::kOtherOrder);
    // What was combined in part comes in the order of the producers.
    case OperatorKind::kMerge: return second ? Again::kOtherOrder : IfSame(rows, Again::kOtherOrder);
    case OperatorKind::kGroup: return IfSame(rows, Again::kOtherOrder);
    case OperatorKind::kSort: return rows;  // Equal rows keep their order.
    case OperatorKind::kJoin: {
      const Again both = WithBuild(op, rows);
      return op.build_whole || both == Again::kOther ? both : Again::kOtherOrder;
    }
    case OperatorKind::kCoGroup: return IfSame(WithBuild(op, rows), Again::kOtherOrder);
    case OperatorKind::kPipe:
    case OperatorKind::kPipeAsArgs:
    case OperatorKind::kLookup: return Again::kOther;
    case OperatorKind::kPushTo:  // It gives none.
    case OperatorKind::kOrder: return Again::kSame;
    case OperatorKind::kEncode: return rows;
  }
  return Again::kOther;
}

Again RepeatPlanner::RowsOf(const Stage& stage) const {
  if (stage.source >= 0) {
    const bool of_table = std::holds_alternative<flow::TableSource>(graph_.steps()[stage.source].body);
    return of_table ? Again::kOther : Again::kSame;
  }
  Again rows = stage.input >= 0 ? repeats_[stage.input].rows : Again::kSame;
  for (const int part : stage.parts) rows = Worse(rows, repeats_[part].rows);
  return rows;
}

const Operator* RepeatPlanner::Before(const Stage& stage) const {
  if (stage.input < 0 || stages_[stage.input].operators.empty()) return nullptr;
  return &stages_[stage.input].operators.back();
}

int RepeatPlanner::Append(Stage stage, Repeat repeat) {
  // What a cache keeps is kept at the driver.
  repeat.to_driver = repeat.to_driver || stage.cache >= 0;
  // Rows in another order go to other partitions.
  if (stage.output.kind == ExchangeKind::kRoundRobin) repeat.rows = IfSame(repeat.rows, Again::kSame);
  if (repeat.to_driver || !repeat.once.empty()) repeat.rows = Again::kSame;
  stages_.push_back(std::move(stage));
  repeats_.push_back(std::move(repeat));
  return static_cast<int>(stages_.size()) - 1;
}

std::string RepeatPlanner::WhyOnce(const Stage& stage) const {
  for (const Operator& op : stage.operators) {
    const FunctionFacts& facts = FactsOf(op);
    if (!facts.has_table) continue;
    if (Folds(op)) return "how often a function is called that folds rows depends on memory";
    if (!facts.once.empty()) return facts.once;
  }
  for (const int part : stage.parts) {
    if (!repeats_[part].once.empty()) return repeats_[part].once;
    if (repeats_[part].pushes && std::any_of(stage.operators.begin(), stage.operators.end(), EndsEarly))
      return "a Limit behind it may end it early";
  }
  return "";
}

bool RepeatPlanner::NeedsSplits(const Stage& stage, size_t from) const {
  return (stage.output.kind == ExchangeKind::kRoundRobin && stage.output.deal == Deal::kBySplit) ||
         std::any_of(stage.operators.begin() + static_cast<int64_t>(from), stage.operators.end(),
                     [](const Operator& op) { return op.kind == OperatorKind::kSample && op.draw == Draw::kBySplit; });
}

void RepeatPlanner::CutOff(Stage* stage, size_t count, int pusher, const Repeat& repeat) {
  Stage rest;
  rest.operators.assign(std::make_move_iterator(stage->operators.begin() + static_cast<int64_t>(count)),
                        std::make_move_iterator(stage->operators.end()));
  rest.tables = stage->tables;
  rest.output = std::exchange(stage->output, {ExchangeKind::kKeep, 0, {}, {}});
  rest.output_for = std::exchange(stage->output_for, pusher);
  rest.sink = std::exchange(stage->sink, -1);
  rest.cache = std::exchange(stage->cache, -1);
  rest.one_task = stage->one_task;
  rest.user_partitions = stage->user_partitions;
  rest.in_order = stage->in_order;
  stage->operators.resize(count);
  rest.input = Append(std::move(*stage), repeat);
  *stage = std::move(rest);
}

Again RepeatPlanner::TakeInputs(Stage* stage) {
  const int pusher = std::find_if(stage->operators.begin(), stage->operators.end(), [this](const Operator& op) {
                       return Pushes(op);
                     })->step;
  const auto to_driver = [this](int input) {
    if (repeats_[input].rows != Again::kOther) return;
    repeats_[input].to_driver = true;
    repeats_[input].rows = Again::kSame;
  };
  if (stage->input >= 0) to_driver(stage->input);
  for (int& part : stage->parts) {
    if (repeats_[part].rows != Again::kOther) continue;
    const Stage& rows = stages_[part];
    Stage reader;
    reader.input = part;
    reader.one_task = rows.one_task;
    reader.user_partitions = rows.user_partitions;
    reader.in_order = rows.in_order;
    stages_[part].output.kind = ExchangeKind::kKeep;
    stages_[part].output_for = pusher;
    to_driver(part);
    part = Append(std::move(reader), {});
  }
  if (stage->source >= 0 && RowsOf(*stage) == Again::kOther)
    CutOff(stage, 0, pusher, Repeat{Again::kSame, true, false, ""});
  return RowsOf(*stage);
}

void RepeatPlanner::TakeBuild(const Operator& op) {
  if (op.build < 0) return;
  Repeat& build = repeats_[op.build];
  const bool lists = op.kind == OperatorKind::kCoGroup;
  if (build.rows == Again::kSame || (build.rows == Again::kOtherOrder && !lists)) return;
  build.to_driver = true;
  build.rows = Again::kSame;
}

bool RepeatPlanner::SeesBatches(const Operator& op) const {
  const auto* function = std::get_if<flow::FunctionStep>(&graph_.steps()[op.step].body);
  return function != nullptr && function->role == FunctionRole::kForEachBatch;
}

// Makes what its pushing steps get the same in each attempt; the rows that it gives then. Cuts off what must be kept.
Again RepeatPlanner::Steady(Stage* stage, Repeat* repeat) {
  const auto insert = [&](size_t at, OperatorKind kind, int step) {
    stage->operators.insert(stage->operators.begin() + static_cast<int64_t>(at), Operator{kind, step, {}});
  };
  auto left = std::count_if(stage->operators.begin(), stage->operators.end(),
                            [this](const Operator& op) { return Pushes(op); });
  Again rows = left > 0 ? TakeInputs(stage) : RowsOf(*stage);
  const Operator* before = Before(*stage);
  bool pushed = false;
  for (size_t i = 0; i < stage->operators.size(); ++i, before = nullptr) {
    if (left > 0) TakeBuild(stage->operators[i]);
    const Operator op = stage->operators[i];
    const bool pushes = Pushes(op);
    const Again sorted = After(op, before, Again::kSame);
    const bool by_order = pushes || op.kind == OperatorKind::kFunction ||
                          (After(op, before, rows) == Again::kOther && sorted != Again::kOther);
    if (left > 0 && rows == Again::kOtherOrder && by_order) {
      if (NeedsSplits(*stage, i)) return OnlyOnce(repeat);
      insert(i++, OperatorKind::kOrder, op.step);
      rows = Again::kSame;
    }
    if (pushes && SeesBatches(op)) insert(i++, OperatorKind::kCut, op.step);
    rows = After(op, before, rows);
    left -= pushes ? 1 : 0;
    pushed = pushed || pushes;
    const bool ends_early =
        pushes && std::any_of(stage->operators.begin() + static_cast<int64_t>(i), stage->operators.end(), EndsEarly);
    if (!ends_early && (left == 0 || rows != Again::kOther)) continue;
    if (NeedsSplits(*stage, i + 1)) return OnlyOnce(repeat);
    CutOff(stage, i + 1, op.step, Repeat{rows, left > 0, pushed, ""});
    rows = repeats_.back().rows;
    pushed = false;
    i = static_cast<size_t>(-1);
  }
  repeat->pushes = repeat->pushes || pushed;
  return rows;
}

int RepeatPlanner::Add(Stage stage, bool at_driver) {
  if (at_driver) return Append(std::move(stage), {});
  Repeat repeat;
  repeat.once = WhyOnce(stage);
  for (const int part : stage.parts) repeat.pushes = repeat.pushes || repeats_[part].pushes;
  if (repeat.once.empty()) repeat.rows = Steady(&stage, &repeat);
  repeat.pushes = repeat.pushes || !repeat.once.empty();
  return Append(std::move(stage), std::move(repeat));
}

}  // namespace glim::plan
