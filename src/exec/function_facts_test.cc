// SPDX-License-Identifier: Apache-2.0
//
// Which plan a flow that pushes gets on several processes: what is known of its functions, and what follows.
#include "exec/function_facts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "glim/table.h"
#include "param/no_table_test.h"
#include "plan/processes.h"
#include "udf/lua_test_support.h"

namespace glim::exec {
namespace {

using param::NoTable;

class TableObject : public udf::SharedObject {
 public:
  explicit TableObject(TableHandle table) : table_(std::move(table)) {}
  void Push(lua_State* L) const override {
    udf::PushSharedObject(L, std::make_shared<TableObject>(table_), "a table in a test");
  }
  TableHandle table() const override { return table_; }

 private:
  const TableHandle table_;
};

class PushPlan : public testing::Test {
 protected:
  PushPlan() {
    TableObject(table).Push(script_.L());
    lua_setglobal(script_.L(), "model");
    TableObject(std::make_shared<NoTable>(TableSpec{.name = "clocked", .consistency = kBsp})).Push(script_.L());
    lua_setglobal(script_.L(), "clocked");
  }
  FunctionSource Lua(const std::string& text) {
    auto function = script_.Capture(text);
    EXPECT_TRUE(function.ok()) << function.status().message();
    return FunctionSource(*function);
  }
  // A line for each stage: its operators; where its rows go when not to the next stage; why it runs once.
  static std::string Planned(const Flow& flow) {
    const auto& graph = flow.graph();
    const auto plan = plan::MakePlan(graph, graph->EndsToRun());
    EXPECT_TRUE(plan.ok()) << plan.status().message();
    const plan::SpreadPlan spread = plan::SpreadOverProcesses(*plan, FactsOfFunctions(*graph));
    EXPECT_EQ(spread.at_driver.size(), spread.plan.stages.size());
    EXPECT_EQ(spread.repeats.size(), spread.plan.stages.size());
    std::string text;
    for (size_t s = 0; s < spread.plan.stages.size(); ++s) {
      const plan::Stage& stage = spread.plan.stages[s];
      const plan::Repeat& repeat = spread.repeats[s];
      std::string line;
      const auto add = [&](const std::string& word) { line += (line.empty() ? "" : ", ") + word; };
      for (const plan::Operator& op : stage.operators) {
        std::string name = plan::OperatorText(op, graph->steps()[op.step]);
        if (op.kind == plan::OperatorKind::kOrder) name = "ORDER";
        if (op.kind == plan::OperatorKind::kCut) name = "CUT";
        add(name.substr(0, name.find('(')));
      }
      if (spread.at_driver[s]) add("at the driver");
      if (repeat.to_driver) add("to the driver");
      if (!repeat.once.empty()) add("once: " + repeat.once);
      text += (text.empty() ? "" : " | ") + line;
    }
    return text;
  }

  const TableHandle table = std::make_shared<NoTable>(TableSpec{.name = "model"});
  udf::Script script_;
};

TEST_F(PushPlan, RowsThatComeAlikeArePushedAsTheyCome) {
  Flow flow;
  Dataset rows = flow.Range(0, 10).Map("function(n) return n, 1 end");
  rows.Filter("function(n) return n > 2 end").PushTo(table);
  EXPECT_EQ(Planned(flow), "Map, Filter, PushTo");
  Flow sorted;
  sorted.Range(0, 10).Map("function(n) return n, 1 end").Sort().PushTo(table);
  EXPECT_EQ(Planned(sorted), "Map, Sort | PushTo");
}

TEST_F(PushPlan, RowsThatMayComeInAnotherOrderAreSortedFirst) {
  Flow flow;
  flow.Range(0, 10).Map("function(n) return n, 1 end").ReduceBy(Sum()).PushTo(table);
  EXPECT_EQ(Planned(flow), "Map, ReduceBy combine | ReduceBy merge, ORDER, PushTo");
  Flow later;
  later.Range(0, 10).Distinct().Partition(3).Map("function(n) return n, 1 end").PushTo(table);
  EXPECT_EQ(Planned(later), "Distinct | Distinct | ORDER, Map, PushTo");
  Flow walked;
  walked.Range(0, 10)
      .FlatMap("function(n) local t = {} for k in pairs(_G) do t[#t + 1] = k end return t end")
      .Select({1, 1})
      .PushTo(table);
  EXPECT_EQ(Planned(walked), "FlatMap, Select, ORDER, PushTo");
  Flow joined;
  Dataset left = joined.Range(0, 10).Map("function(n) return n, 1 end");
  left.Join(joined.Range(0, 5)).PushTo(table);
  EXPECT_EQ(Planned(joined), "Map |  | Join, ORDER, PushTo");
}

TEST_F(PushPlan, RowsThatMayBeOthersAreKeptByTheDriver) {
  Flow flow;
  flow.Range(0, 10).Pipe("shuf").Map("function(line) return #line, 1 end").PushTo(table);
  EXPECT_EQ(Planned(flow), "Pipe, to the driver | Map, PushTo");
  Flow by_chance;
  by_chance.Range(0, 10).Map(Lua("return function(n) return math.random(n + 1), 1 end")).ReduceBy(Sum()).PushTo(table);
  EXPECT_EQ(Planned(by_chance), "Map, ReduceBy combine, to the driver | ReduceBy merge, ORDER, PushTo");
  Flow looked_up;
  looked_up.Range(0, 10).Lookup(table).PushTo(table);
  EXPECT_EQ(Planned(looked_up), "Lookup, to the driver | PushTo");
  Flow first_ones;
  first_ones.Range(0, 10).Distinct().Limit(3).Map("function(n) return n, 1 end").PushTo(table);
  EXPECT_EQ(Planned(first_ones), "Distinct | Distinct, Limit, to the driver | Limit, Map, PushTo");
  Flow of_table;
  of_table.Table(table).PushTo(table);
  EXPECT_EQ(Planned(of_table), "to the driver | PushTo");
  Flow in_part;
  in_part.Range(0, 10).Pipe("shuf").Union(in_part.Lines({"a"})).Map("function(l) return #l, 1 end").PushTo(table);
  EXPECT_EQ(Planned(in_part), "Pipe, to the driver |  |  | Map, PushTo");
  // Its rows are there already.
  Flow cached;
  cached.Range(0, 10).Map(Lua("return function(n) return math.random(n + 1), 1 end")).Cache().PushTo(table);
  EXPECT_EQ(Planned(cached), "Map, to the driver | PushTo");
}

TEST_F(PushPlan, FunctionsThatPushGetTheSameRowsToo) {
  Flow flow;
  flow.Range(0, 10).Distinct().ForEach(Lua("local t = model return function(n) t:Push({n}, {1}) end"));
  EXPECT_EQ(Planned(flow), "Distinct | Distinct, ORDER, ForEach");
  Flow batches;
  batches.Range(0, 10).ForEachBatch(Lua("local t = model return function(rows) t:Push(rows:Column(1), {1}) end"));
  EXPECT_EQ(Planned(batches), "CUT, ForEachBatch");
  // What it gives may come from the table.
  Flow twice;
  twice.Range(0, 10).Map(Lua("local t = model return function(n) return t:Pull({n}) end")).PushTo(table);
  EXPECT_EQ(Planned(twice), "Map, to the driver | PushTo");
  Flow limited;
  limited.Range(0, 10).Map(Lua("local t = model return function(n) return t:Push({n}, {1}) end")).Limit(3).Print();
  EXPECT_EQ(Planned(limited), "Map | Limit | Limit | at the driver");
}

TEST_F(PushPlan, FunctionsThatCannotPushTheSameAgainRunOnce) {
  const auto planned = [&](const std::string& text) {
    Flow flow;
    flow.Range(0, 10).ForEach(Lua(text));
    return Planned(flow);
  };
  EXPECT_EQ(planned("local t = model return function(n) t:Push({math.random(9)}, {1}) end"),
            "ForEach, once: its function mentions math.random, and may push other rows then");
  EXPECT_EQ(planned("local t, now = model, os.time return function(n) t:Push({n}, {now()}) end"),
            "ForEach, once: its function mentions os.time, and may push other rows then");
  EXPECT_EQ(planned("local t = model return function(n) for k in pairs{n} do t:Push({k}, {1}) end end"),
            "ForEach, once: its function mentions pairs, and what that goes through may come in another order then");
  EXPECT_EQ(planned("local t = clocked return function(n) t:Join{worker = 0, workers = 1} end"),
            "ForEach, once: table \"clocked\" counts the clocks of its workers");
  // These are not what they look like.
  EXPECT_EQ(planned("local t = model return function(row) for _, k in ipairs(row.time) do t:Push({k}, {1}) end end"),
            "ForEach");
  EXPECT_EQ(planned("return function(n) return math.random(9) end"), "ForEach");
  Flow folds;
  folds.Range(0, 10).Reduce(Lua("local t = model return function(a, b) t:Push({a}, {b}) return a end")).Print();
  EXPECT_EQ(Planned(folds),
            "Reduce combine, once: how often a function is called that folds rows depends on memory | Reduce merge, "
            "once: how often a function is called that folds rows depends on memory | at the driver");
}

}  // namespace
}  // namespace glim::exec
