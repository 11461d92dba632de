// SPDX-License-Identifier: Apache-2.0
#include "exec/graph_codec.h"

#include <gtest/gtest.h>

#include <set>

#include "exec/bindings.h"
#include "param/no_table_test.h"
#include "param/table_address.h"
#include "plan/plan.h"
#include "udf/lua_side.h"
#include "udf/lua_test_support.h"

namespace glim::exec {
namespace {

// A table that says where it is.
class FakeTable : public param::NoTable {
 public:
  FakeTable(std::string name, bool shared) : NoTable({.name = std::move(name)}), shared_(shared) {}
  Result<std::string> Handle() const override {
    const std::string place = shared_ ? "localhost:1" : std::string(param::kEmbeddedPlace);
    return ToString(param::TableAddress{place, spec().name, spec().value_type, 7});
  }

 private:
  const bool shared_;
};
TableHandle SharedTable(const std::string& name) { return std::make_shared<FakeTable>(name, true); }

// As a script's table is captured.
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

GraphDecoding Decoding(const Flow* own = nullptr) {
  return {.open_table = [](const std::string& handle) -> Result<TableHandle> {
            const auto address = param::ParseTableAddress(handle);
            if (!address.ok()) return address.status();
            return SharedTable(address->name);
          },
          .table_object = [](TableHandle table) { return std::make_shared<TableObject>(std::move(table)); },
          .own = own != nullptr ? own->graph().get() : nullptr};
}

std::shared_ptr<flow::Graph> Travelled(const flow::Graph& graph, const GraphDecoding& decoding) {
  const auto bytes = EncodeGraph(graph);
  EXPECT_TRUE(bytes.ok()) << bytes.status().ToString();
  if (!bytes.ok()) return nullptr;
  auto decoded = DecodeGraph(*bytes, decoding);
  EXPECT_TRUE(decoded.ok()) << decoded.status().ToString();
  return decoded.ok() ? *decoded : nullptr;
}

std::string WhyNot(const Flow& flow) {
  const auto bytes = EncodeGraph(*flow.graph());
  EXPECT_FALSE(bytes.ok());
  return bytes.status().message();
}

template <class T>
const T& Body(const flow::Graph& graph, int step) {
  return std::get<T>(graph.steps()[step].body);
}
// The only step of its kind.
template <class T>
const T& The(const flow::Graph& graph) {
  const T* found = nullptr;
  for (const flow::Step& step : graph.steps()) {
    if (const T* body = std::get_if<T>(&step.body)) found = body;
  }
  EXPECT_NE(found, nullptr);
  return *found;
}

// A flow with every kind of step, each of its options other than the default somewhere.
struct AllSteps {
  AllSteps() : channel(std::make_shared<Channel>(4)) {
    flow.Init("function init() end");
    Dataset data = flow.TextFile(std::vector<std::string>{"a", "b*"}, {.recursive = true,
                                                                       .pattern = "*.x",
                                                                       .file_name = true,
                                                                       .offset = true,
                                                                       .strip_cr = true,
                                                                       .per_host = true,
                                                                       .host_name = true});
    data =
        data.Union(flow.ZipFile("z", {.pattern = "m*", .member_bytes_max = 77, .file_name = true, .recursive = true}));
    data = data.Union(flow.Input(Csv("c.csv", {.header = true,
                                               .delimiter = ';',
                                               .quote = '\'',
                                               .null = "NULL",
                                               .numbers = true,
                                               .columns = {"who", 3},
                                               .skip_bad = true,
                                               .recursive = true,
                                               .pattern = "*.c"})));
    data = data.Union(
        flow.Input(JsonLines("j", {.columns = {"a.b"}, .skip_bad = true, .recursive = true, .pattern = "*.j"})));
    data = data.Union(flow.Input(FixedWidth("f", std::vector<int>{10, 90}, {.recursive = true, .pattern = "*.f"})));
    data = data.Union(flow.Sql("sqlite:d", "select 1", {.split_by = "id", .splits = 3}));
    data = data.Union(flow.Listen("tcp", ":0", {.connections = 2, .idle_seconds = 1.5, .line_bytes_max = 99}));
    data = data.Union({flow.Strings({"x", std::string("\0y", 2)}), flow.Ints({-1, 1}), flow.Range(-5, 5),
                       flow.Table(SharedTable("t")), flow.Channel(channel),
                       flow.Read([](std::span<char>) -> Result<size_t> { return size_t{0}; })});
    const std::vector<Value> list = {Value("four"), Value(4), Value(4.0), Value(),
                                     Value(std::vector<Value>{Value(true)})};
    Dataset rows = flow.Rows({{Value(1), Value("one")}, {Value(), Value(2.5)}, {Value(false), Value(list)}, {}});
    const SideTable side = rows.AsTable(1 << 20);
    data = data.Map("function(x) return x, 1 end").FlatMap("function(x) return {x} end");
    data = data.Filter([side](Value x) { return side.Contains(x); }, {side});
    data = data.As({"key", "value"}).Select("value", "key").Select(2, 1).Limit(10, 3).LocalLimit(4).Sample(0.25, 7);
    data = data.ZipWithIndex(5).Partition(3, {2, "index"}).RoundRobin(2).Broadcast(4);
    data = data.MergeTo(2).MergeSortedTo(1, {OrderBy(2, Descending)}).Cache().Distinct().LocalDistinct({1});
    data = data.ReduceBy({Sum(), Quantiles({0.5, 0.9})}, Field(1, 2)).Reduce("function(a, b) return a end");
    data = data.LocalReduceBy([](int64_t a, int64_t b) { return a + b; }).GroupBy("key").LocalGroupBy(3);
    data = data.SortBy({OrderBy("key", Descending), OrderBy(2)}).LocalTop(3).Top(9);
    data = data.HashJoin(rows, On(1), On(2)).FullOuterJoin(rows).CoGroup(rows, On(2, 1), On("x", "y"));
    data = data.Pipe("cat", {.lines = true}).PipeAsArgs("echo $1", {.parallel = 5, .lines = true});
    data = data.Lookup(SharedTable("t"), 2).PushTo(SharedTable("u"));
    data = rows.Printf("%s %v\n").Print(PrintFormat::kTsv).PipeOut(stderr);
    data = data.Output([](const Batch&) { return Status::Ok(); }, {.parallel = true}).Collect(&collected);
    data = data.SaveFirstRowTo(&first).WriteText("o.txt", {.per_partition = true, .compression = "zst"});
    data = data.WriteCsv("o.csv", {.header = {"h"},
                                   .field_names = true,
                                   .delimiter = '|',
                                   .quote = 0,
                                   .null = "-",
                                   .per_partition = true,
                                   .compression = "gz"});
    data = data.WriteJsonLines("o.jsonl", {"a", "b"}).WriteBinary("o.bin");
    data = data.WriteSql("sqlite:d", "to", {.mode = SqlMode::kReplace, .columns = {"c"}, .types = {"text"}});
  }

  std::shared_ptr<Channel> channel;
  std::vector<Row> collected;
  int64_t first = 0;
  Flow flow{"all steps"};
};

TEST(GraphCodec, EveryKindOfStepTravels) {
  const AllSteps all;
  const flow::Graph& graph = *all.flow.graph();
  ASSERT_TRUE(graph.status().ok()) << graph.status().message();
  std::set<size_t> kinds;
  for (const flow::Step& step : graph.steps()) kinds.insert(step.body.index());
  ASSERT_EQ(kinds.size(), std::variant_size_v<flow::StepBody>) << "a kind of step is missing in this test";

  const auto copy = Travelled(graph, Decoding(&all.flow));
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->name(), "all steps");
  EXPECT_EQ(copy->init, graph.init);
  EXPECT_EQ(copy->names(), graph.names());
  ASSERT_EQ(copy->steps().size(), graph.steps().size());
  for (size_t i = 0; i < graph.steps().size(); ++i) {
    const flow::Step &a = graph.steps()[i], &b = copy->steps()[i];
    EXPECT_EQ(StepName(b), StepName(a));
    EXPECT_EQ(b.body.index(), a.body.index());
    EXPECT_EQ(b.inputs, a.inputs);
    EXPECT_EQ(b.tables, a.tables);
  }
  // All that is written is there again.
  EXPECT_EQ(*EncodeGraph(*copy), *EncodeGraph(graph));
  const auto text = [](const std::shared_ptr<flow::Graph>& graph) {
    const auto plan = plan::MakePlan(graph, graph->EndsToRun());
    return plan.ok() ? plan::ToText(*plan, std::vector<plan::Size>(plan->stages.size()),
                                    std::vector<std::string>(graph->steps().size()))
                     : plan.status().message();
  };
  EXPECT_EQ(text(copy), text(all.flow.graph()));
}

TEST(GraphCodec, FieldsKeepTheirValues) {
  const AllSteps all;
  const auto copy = Travelled(*all.flow.graph(), Decoding(&all.flow));
  ASSERT_NE(copy, nullptr);
  const auto& text = The<flow::TextFileSource>(*copy);
  EXPECT_EQ(text.paths, (std::vector<std::string>{"a", "b*"}));
  EXPECT_TRUE(text.options.recursive && text.options.file_name && text.options.offset && text.options.strip_cr &&
              text.options.per_host && text.options.host_name);
  EXPECT_EQ(text.options.pattern, "*.x");
  const auto& csv = The<flow::CsvSource>(*copy);
  EXPECT_EQ(csv.options.delimiter, ';');
  EXPECT_EQ(csv.options.null, "NULL");
  EXPECT_EQ(csv.options.columns, (std::vector<CsvColumn>{"who", 3}));
  EXPECT_EQ(The<flow::ZipSource>(*copy).options.member_bytes_max, 77);
  EXPECT_EQ(The<flow::JsonLinesSource>(*copy).format.options.columns, std::vector<std::string>{"a.b"});
  EXPECT_EQ(The<flow::FixedWidthSource>(*copy).format.widths, (std::vector<int>{10, 90}));
  EXPECT_EQ(The<flow::SqlSource>(*copy).options.splits, 3);
  EXPECT_EQ(The<flow::ListenSource>(*copy).options.idle_seconds, 1.5);
  EXPECT_EQ(The<flow::StringsSource>(*copy).values, (std::vector<std::string>{"x", std::string("\0y", 2)}));
  const auto& rows = The<flow::RowsSource>(*copy).rows;
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[1][0], Value());
  EXPECT_EQ(rows[3].size(), 0u);
  const std::vector<Value> list = rows[2][1].as_list();
  ASSERT_EQ(list.size(), 5u);
  EXPECT_EQ(list[1].type(), Type::kInt64);
  EXPECT_EQ(list[2].type(), Type::kDouble);
  EXPECT_EQ(list[4].as_list()[0], Value(true));
  EXPECT_EQ(The<flow::SampleStep>(*copy).seed, 7u);
  EXPECT_EQ(The<flow::PartitionStep>(*copy).columns, (std::vector<int>{1, -3}));
  EXPECT_EQ(copy->NameOf(-3), "index");
  EXPECT_TRUE(The<flow::MergeToStep>(*copy).keys[0].descending);
  EXPECT_EQ(The<flow::PipeStep>(*copy).parallel, 5);
  EXPECT_EQ(The<flow::LookupStep>(*copy).table->spec().name, "t");
  EXPECT_EQ(The<flow::TableSource>(*copy).table, The<flow::LookupStep>(*copy).table) << "a table is opened once";
  EXPECT_EQ(The<flow::PushToStep>(*copy).table->spec().name, "u");
  EXPECT_EQ(The<flow::PrintSink>(*copy).format, PrintFormat::kTsv);
  EXPECT_TRUE(The<flow::OutputSink>(*copy).parallel);
  EXPECT_EQ(The<flow::SqlSink>(*copy).options.mode, SqlMode::kReplace);
  // Only the driver has these.
  EXPECT_EQ(The<flow::CollectSink>(*copy).rows, nullptr);
  EXPECT_EQ(The<flow::PrintfSink>(*copy).file, nullptr);
  EXPECT_EQ(The<flow::ReadSource>(*copy).read, nullptr);
  EXPECT_EQ(The<flow::ChannelSource>(*copy).channel, nullptr);
  EXPECT_EQ(The<flow::OutputSink>(*copy).function, nullptr);
}

TEST(GraphCodec, WhatACacheHoldsStaysButThePlanIsTheSame) {
  Flow flow;
  flow.Ints({1}).RoundRobin(2).Cache().Map("function(x) return x end");
  flow::CachedRows& rows = *The<flow::CacheStep>(*flow.graph()).rows;
  rows.filled = true;
  rows.partition_count = 2;
  rows.user_partitions = 2;
  rows.in_order = true;
  const auto copy = Travelled(*flow.graph(), {});
  const flow::CachedRows& copied = *The<flow::CacheStep>(*copy).rows;
  EXPECT_TRUE(copied.filled && copied.in_order);
  EXPECT_EQ(copied.user_partitions, 2);
  EXPECT_EQ(copied.partition_count, 0);
  EXPECT_EQ(plan::MakePlan(copy, copy->EndsToRun())->stages.size(), 1u);
}

TEST(GraphCodec, ADatasetOnDiskIsASourceOnceItIsThere) {
  Flow flow;
  flow.FromDisk("words").Map("function(x) return x end");
  const std::string early = EncodeGraph(*flow.graph()).value();
  EXPECT_EQ(DecodeGraph(early, {}).status().code(), Code::kCorrupt);
  The<flow::CacheStep>(*flow.graph()).rows->filled = true;
  const auto copy = Travelled(*flow.graph(), {});
  EXPECT_EQ(plan::MakePlan(copy, copy->EndsToRun())->stages.size(), 1u);
}

TEST(GraphCodec, AFunctionInCppIsThatOfTheSameStepHere) {
  const auto make = [](Flow* flow, int64_t more) {
    flow->Ints({1}).Map([more](int64_t x) { return x + more; }).Reduce([](int64_t a, int64_t b) { return a + b; });
  };
  Flow there, here;
  make(&there, 1);
  make(&here, 2);
  const auto copy = Travelled(*there.graph(), Decoding(&here));
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(Body<flow::FunctionStep>(*copy, 1).function.function,
            Body<flow::FunctionStep>(*here.graph(), 1).function.function);
  EXPECT_EQ(Body<flow::ReduceStep>(*copy, 2).function.function,
            Body<flow::ReduceStep>(*here.graph(), 2).function.function);
  EXPECT_TRUE(MakeFunctions(*copy).ok());
  EXPECT_EQ(DecodeGraph(*EncodeGraph(*there.graph()), {}).status().message(),
            "step 2, Map(C++): its function is in C++, and the program that has it does not run here");
}

TEST(GraphCodec, AnotherFlowHereIsRefused) {
  Flow there;
  there.Ints({1}).Map([](int64_t x) { return x; }).Filter("function(x) return x end");
  const std::string bytes = *EncodeGraph(*there.graph());
  const auto why = [&](const Flow& here) { return DecodeGraph(bytes, Decoding(&here)).status().message(); };
  Flow other, shorter, longer;
  other.Ints({1}).Filter([](int64_t) { return true; }).Filter("function(x) return x end");
  EXPECT_EQ(why(other),
            "step 2, Map(C++): the program built another flow here than where it was started: step 2 is Filter(C++) "
            "here and Map(C++) there");
  shorter.Ints({1}).Map([](int64_t x) { return x; });
  EXPECT_EQ(why(shorter),
            "step 3, Filter(lua function(x) return x end): the program built another flow here than where it was "
            "started: step 3 is none here and Filter(lua function(x) return x end) there");
  longer.Ints({1}).Map([](int64_t x) { return x; }).Filter("function(x) return x end").Cache();
  EXPECT_EQ(why(longer),
            "the program built another flow here than where it was started: step 4 is Cache here and none there");
  // The same kinds, but a function in Lua where there was one in C++.
  Flow lua;
  lua.Ints({1}).Map("function(x) return x end").Filter("function(x) return x end");
  EXPECT_EQ(DecodeGraph(bytes, Decoding(&lua)).status().code(), Code::kInvalid);
}

TEST(GraphCodec, WhatCannotTravelNamesItsStep) {
  Flow embedded, failed, wrong;
  embedded.Ints({1}).PushTo(std::make_shared<FakeTable>("near", false));
  EXPECT_EQ(WhyNot(embedded),
            "step 2, PushTo: table \"near\" is in the program's own process, where others cannot reach it; make it on "
            "servers");
  failed.Ints({1}).Lookup(MakeFailedTable({}, Status::NotFound("no such table")));
  EXPECT_EQ(WhyNot(failed), "step 2, Lookup(field 1): no such table");
  wrong.Ints({1}).Partition(0);
  EXPECT_EQ(WhyNot(wrong), wrong.graph()->status().message());
  Value deep(1);
  for (int i = 0; i < 300; ++i) deep = Value(std::vector<Value>{deep});
  Flow lists;
  lists.Rows({{deep}});
  EXPECT_EQ(WhyNot(lists), "step 1, Rows(1 rows): its lists are more than 200 deep");
}

TEST(GraphCodec, AsTableStaysOneForItsStepAndItsReaders) {
  Flow flow;
  const SideTable one = flow.Ints({1}).AsTable(7), two = flow.Ints({2}).AsTable();
  udf::Script script;
  udf::LuaSide(two.keyed_rows()).Push(script.L());
  lua_setglobal(script.L(), "side");
  auto function = script.Capture("local t = side return function(x) return t[x] end");
  ASSERT_TRUE(function.ok()) << function.status().message();
  flow.Ints({3}).Map(FunctionSource(*function, {two, one}));
  const auto copy = Travelled(*flow.graph(), {});
  ASSERT_NE(copy, nullptr);
  const auto rows_of = [&](int step) { return Body<flow::TableStep>(*copy, step).rows; };
  EXPECT_EQ(rows_of(1)->bytes_max(), 7);
  EXPECT_NE(rows_of(1), rows_of(3));
  const FunctionSource& copied = Body<flow::FunctionStep>(*copy, 5).function;
  ASSERT_EQ(copied.tables.size(), 2u);
  EXPECT_EQ(copied.tables[0].keyed_rows(), rows_of(3));
  EXPECT_EQ(copied.tables[1].keyed_rows(), rows_of(1));
  // What is filled there is seen by the function.
  batch::KeyedRows& rows = *rows_of(3);
  base::MemoryBudget budget(1 << 20);
  rows.Start(base::Reservation(&budget, "test"));
  ASSERT_TRUE(rows.Add(udf::MakeBatch({{Value(5), Value("five")}})).ok());
  ASSERT_TRUE(rows.Finish().ok());
  const udf::Answer answer = udf::RunOn(*copied.function, FunctionRole::kMap, {udf::MakeBatch({{Value(5)}})});
  ASSERT_TRUE(answer.status.ok()) << answer.status.message();
  EXPECT_EQ(answer.rows, (udf::Rows{{"bytes five"}}));
  rows.Clear();
  // A flow that this process built itself has functions that hold its own rows.
  const auto with_own = Travelled(*flow.graph(), Decoding(&flow));
  EXPECT_EQ(Body<flow::TableStep>(*with_own, 1).rows, one.keyed_rows());
}

// Its answer to `rows`, here and after the journey.
void ExpectTheSame(udf::Script& script, const std::string& text, const std::vector<Row>& rows) {
  SCOPED_TRACE(text);
  auto function = script.Capture(text);
  ASSERT_TRUE(function.ok()) << function.status().message();
  Flow flow;
  flow.Ints({1}).Map(FunctionSource(*function));
  const auto copy = Travelled(*flow.graph(), Decoding());
  ASSERT_NE(copy, nullptr);
  const auto copied = MakeFunctions(*copy);
  ASSERT_TRUE(copied.ok());
  EXPECT_EQ((*copied)[1]->Describe(), (*function)->Describe());
  const std::vector<Batch> batches = {udf::MakeBatch(rows)};
  const udf::Answer here = udf::RunOn(**function, FunctionRole::kMap, batches);
  const udf::Answer there = udf::RunOn(*(*copied)[1], FunctionRole::kMap, batches);
  EXPECT_EQ(there.status.ToString(), here.status.ToString());
  EXPECT_EQ(there.rows, here.rows);
  EXPECT_EQ(*EncodeGraph(*copy), *EncodeGraph(*flow.graph()));
}

TEST(GraphCodec, CapturedLuaFunctionsDoTheSame) {
  udf::Script script;
  const std::vector<Row> rows = {{Value(5)}, {Value(6)}};
  for (const std::string text : {
           "local a, b, c, d = 1, 'x\\0y', true, 9007199254740993LL return function() return a, b, c, d, 5ULL end",
           "local t = {1, k = {2}} t.self = t return function(x) return t.self.k[1] + t[1] end",
           "local n = 0 local function bump() n = n + 1 end return function(x) bump() bump() return x + n end",
           "local P = {} P.__index = P function P:twice() return 2 * self.x end local p = setmetatable({x = 3}, P) "
           "return function(x) return p:twice() + x end",
           "function string.shout(s) return s:upper() .. '!' end return function(x) return ('a' .. x):shout() end",
           "count = 3 function more(x) return x + count end return function(x) return more(x) end",
           "local f, m = math.floor, string return function(x) return f(x / 2), m.rep('a', x) end",
           "return function(x) error('line one') end",
       }) {
    ExpectTheSame(script, text, rows);
  }
}

TEST(GraphCodec, ATableThatAFunctionCapturesTravelsByItsName) {
  udf::Script script;
  TableObject(SharedTable("model")).Push(script.L());
  lua_setglobal(script.L(), "model");
  TableObject(std::make_shared<FakeTable>("near", false)).Push(script.L());
  lua_setglobal(script.L(), "near");
  const auto flow_with = [&](const std::string& text) {
    Flow flow;
    auto function = script.Capture(text);
    EXPECT_TRUE(function.ok()) << function.status().message();
    flow.Ints({1}).Map(FunctionSource(*function));
    return flow;
  };
  const Flow flow = flow_with("local a, b = model, model return function(x) return type(a), a == b end");
  const std::string bytes = *EncodeGraph(*flow.graph());
  std::vector<std::string> opened;
  GraphDecoding decoding = Decoding();
  decoding.open_table = [&](const std::string& handle) -> Result<TableHandle> {
    opened.push_back(handle);
    return SharedTable("model");
  };
  ASSERT_TRUE(DecodeGraph(bytes, decoding).ok());
  EXPECT_EQ(opened, std::vector<std::string>{*SharedTable("model")->Handle()});
  decoding.open_table = [](const std::string&) -> Result<TableHandle> { return Status::NotFound("gone"); };
  EXPECT_EQ(DecodeGraph(bytes, decoding).status().code(), Code::kNotFound);
  EXPECT_EQ(DecodeGraph(bytes, {}).status().code(), Code::kInvalid);
  EXPECT_EQ(WhyNot(flow_with("local t = near return function(x) return t end")),
            "step 2, Map(lua job.lua:1): table \"near\" is in the program's own process, where others cannot reach it; "
            "make it on servers");
}

// Whatever the bytes are, a graph that comes out can be planned, and travels again.
TEST(GraphCodec, DamagedBytesAreRefusedOrStillAFlow) {
  AllSteps all;
  udf::Script script;
  auto function = script.Capture("local t = {1, {true}, x = 'y'} z = 2 return function(x) return t[1] + z, x end");
  ASSERT_TRUE(function.ok());
  all.flow.Ints({1}).Map(FunctionSource(*function));
  const GraphDecoding decoding = Decoding(&all.flow);
  const std::string bytes = *EncodeGraph(*all.flow.graph());
  const auto decode = [&](const std::string& changed) {
    const auto graph = DecodeGraph(changed, decoding);
    if (!graph.ok()) return false;
    const auto again = EncodeGraph(**graph);
    EXPECT_TRUE(again.ok()) << again.status().message();
    (void)plan::MakePlan(*graph, (*graph)->EndsToRun());
    return true;
  };
  EXPECT_TRUE(decode(bytes));
  for (size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(decode(bytes.substr(0, size))) << size;
  EXPECT_FALSE(decode(bytes + "x"));
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const char c : {'\0', '\1', '\x7f', '\xff'}) {
      std::string changed = bytes;
      changed[at] = c;
      decode(changed);
    }
  }
  EXPECT_EQ(DecodeGraph("\x09", {}).status().code(), Code::kInvalid) << "another version";
}

}  // namespace
}  // namespace glim::exec
