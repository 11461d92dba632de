// SPDX-License-Identifier: Apache-2.0
//
// Random flows give one answer: whatever the number of threads and partitions, however the rows are cut into batches,
// and whether a function is Lua or C++, the rows are those of a plain interpreter that takes one step after the other.
//
// A flow is a list of steps of small numbers, so that rapidcheck shrinks it to the few steps that matter. All datasets
// have three columns of any type. Where the order of rows is not promised, the interpreter's rows count as a multiset,
// and steps whose rows depend on the order are left out.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>

#include "base/log.h"
#include "env/usage.h"
#include "glim/glim.h"

namespace glim {
namespace {

// What a dataset must hold.
struct Expected {
  std::vector<Row> rows;
  bool ordered = true;
};

struct Made {
  Dataset data;
  Expected expected;
};

struct Step {
  int kind;
  std::array<int, 4> choices;  // 0 to 999 each.
};
std::ostream& operator<<(std::ostream& out, const Step& step) {
  out << step.kind << "(";
  for (const int choice : step.choices) out << choice << " ";
  return out << ")";
}

// Rows that give rise to many times more are not joined.
constexpr size_t kRowsMax = 3000;

rc::Gen<Value> AnyValue() {
  return rc::gen::exec([]() -> Value {
    switch (*rc::gen::inRange(0, 7)) {
      case 0: return Value();
      case 1: return Value(*rc::gen::inRange<int64_t>(-2, 4));
      case 2: return Value(static_cast<double>(*rc::gen::inRange(-4, 5)) / 2);
      case 3: return Value("");
      case 4: return Value(std::string(*rc::gen::inRange(1, 4) * 5, *rc::gen::element('a', 'b')));  // Short, and long.
      case 5: return Value(*rc::gen::arbitrary<bool>());
      default: return Value(*rc::gen::inRange<int64_t>(0, 1000));
    }
  });
}

std::vector<Row> SomeRows(int most_copies) {
  const auto rows =
      *rc::gen::container<std::vector<Row>>(rc::gen::exec([] { return Row{*AnyValue(), *AnyValue(), *AnyValue()}; }));
  const int copies = *rc::gen::element(1, 1, 2, most_copies);
  std::vector<Row> all;
  for (int i = 0; i < copies; ++i) all.insert(all.end(), rows.begin(), rows.end());
  return all;
}

std::string Text(const Row& row) {
  std::string text;
  for (const Value& value : row) text += value.ToString() + "|";
  return text + "\n";
}
std::string Text(const std::vector<Row>& rows) {
  std::string text;
  for (const Row& row : rows) text += Text(row);
  return text;
}

bool RowLess(const Row& a, const Row& b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}
std::vector<Row> Sorted(std::vector<Row> rows) {
  std::stable_sort(rows.begin(), rows.end(), RowLess);
  return rows;
}

Row Pick(const Row& row, const std::vector<int>& fields) {
  Row picked;
  for (const int field : fields) picked.push_back(row[field - 1]);
  return picked;
}
Row Rest(const Row& row, const std::vector<int>& fields) {
  Row rest;
  for (int i = 1; i <= static_cast<int>(row.size()); ++i) {
    if (std::find(fields.begin(), fields.end(), i) == fields.end()) rest.push_back(row[i - 1]);
  }
  return rest;
}
Row Joined(Row a, const Row& b, const Row& c = {}) {
  a.insert(a.end(), b.begin(), b.end());
  a.insert(a.end(), c.begin(), c.end());
  return a;
}

Fields FieldsOf(const std::vector<int>& numbers) {
  return Fields(std::vector<FieldRef>(numbers.begin(), numbers.end()));
}

// Where the fields 1, 2, 3 are after a step that puts the keys first.
Fields Back(const std::vector<int>& keys) {
  const Row moved = Joined(Pick({1, 2, 3}, keys), Rest({1, 2, 3}, keys));
  std::vector<int> fields(3);
  for (int i = 0; i < 3; ++i) fields[moved[i].as_int64() - 1] = i + 1;
  return FieldsOf(fields);
}

Value SortedList(const Value& value) {
  auto list = value.as_list();
  std::sort(list.begin(), list.end());
  return Value(list);
}

struct RowCompare {
  bool operator()(const Row& a, const Row& b) const { return RowLess(a, b); }
};
template <class T>
using ByKey = std::map<Row, T, RowCompare>;

// Gives its batches on in pieces of a few rows.
class Cut final : public Function, public BatchFunction {
 public:
  explicit Cut(int64_t rows) : rows_(rows) {}
  std::string Describe() const override { return "in pieces of " + std::to_string(rows_); }
  Result<std::unique_ptr<BatchFunction>> Instantiate(FunctionRole, TaskContext&) const override {
    return std::unique_ptr<BatchFunction>(std::make_unique<Cut>(rows_));
  }
  Result<std::unique_ptr<Reducer>> InstantiateReducer(TaskContext&) const override {
    return Status::Invalid("it does not fold");
  }
  Status Run(const Batch& in, BatchOutput& out) override {
    for (int64_t i = 0; i < in.row_count(); i += rows_) {
      if (Status status = out.Push(in.Slice(i, std::min(rows_, in.row_count() - i))); !status.ok()) return status;
    }
    return Status::Ok();
  }

 private:
  int64_t rows_;
};

// What some keys of three may be, and both orders.
const std::vector<std::vector<int>> kKeys = {{1}, {2}, {3}, {1, 2}, {2, 1}, {3, 1}, {1, 2, 3}, {3, 2, 1}};
std::vector<OrderBy> SomeOrders(const std::vector<int>& fields, int choice) {
  std::vector<OrderBy> orders;
  for (const int field : fields) {
    orders.emplace_back(field, choice % 2 == 0 ? Ascending : Descending);
    choice /= 2;
  }
  return orders;
}
void SortRows(std::vector<Row>* rows, const std::vector<OrderBy>& orders) {
  std::stable_sort(rows->begin(), rows->end(), [&](const Row& a, const Row& b) {
    for (const OrderBy& by : orders) {
      const int order = a[by.field.number - 1].cell().Compare(b[by.field.number - 1].cell()) * by.order;
      if (order != 0) return order < 0;
    }
    return false;
  });
}

// ---- The steps: each applies one to the dataset and to what is expected of it ----

void ChangeRows(Made* made, const Step& step) {
  const bool lua = step.choices[1] % 2 == 0;
  auto& rows = made->expected.rows;
  switch (step.choices[0] % 4) {
    case 0:
      made->data = lua ? made->data.Filter("function(a, b, c) return b ~= nil and b ~= false end")
                       : made->data.Filter([](Value, Value b) { return !(b == Value()) && !(b == Value(false)); });
      std::erase_if(rows, [](const Row& row) { return row[1] == Value() || row[1] == Value(false); });
      break;
    case 1:
      made->data = lua ? made->data.Map("function(a, b, c) return b, c, a end")
                       : made->data.Map([](Value a, Value b, Value c) { return std::tuple(b, c, a); });
      for (Row& row : rows) std::rotate(row.begin(), row.begin() + 1, row.end());
      break;
    case 2: {  // Those without a first field twice, others once.
      if (rows.size() > kRowsMax) return;
      made->data = lua ? made->data.FlatMap(
                             "function(a, b, c) local n = a == nil and 2 or 1 "
                             "return function() n = n - 1 if n >= 0 then return n, c, b end end end")
                       : made->data.FlatMap([](Value a, Value b, Value c, Emitter& out) {
                           if (a == Value()) out(int64_t{1}, c, b);
                           out(int64_t{0}, c, b);
                         });
      std::vector<Row> doubled;
      for (const Row& row : rows) {
        if (row[0] == Value()) doubled.push_back({Value(1), row[2], row[1]});
        doubled.push_back({Value(0), row[2], row[1]});
      }
      rows = std::move(doubled);
      break;
    }
    default: {
      const std::vector<std::vector<int>> fields = {{3, 2, 1}, {2, 2, 1}, {1, 3, 3}, {2, 3, 1}};
      const auto& chosen = fields[step.choices[2] % fields.size()];
      made->data = made->data.Select(FieldsOf(chosen));
      for (Row& row : rows) row = Pick(row, chosen);
    }
  }
}

void CutBatches(Made* made, const Step& step) {
  const std::array<int64_t, 3> sizes = {1, 2, 7};
  made->data = made->data.Map(FunctionSource(std::make_shared<const Cut>(sizes[step.choices[0] % sizes.size()])));
}

void Move(Made* made, const Step& step) {
  const std::array<int, 4> counts = {1, 2, 3, 25};
  const int count = counts[step.choices[1] % counts.size()];
  auto& rows = made->expected.rows;
  switch (step.choices[0] % 4) {
    case 0: made->data = made->data.Partition(count, FieldsOf(kKeys[step.choices[2] % kKeys.size()])); break;
    case 1: made->data = made->data.RoundRobin(count); break;
    case 2: made->data = made->data.RoundRobin(7).MergeTo(count); break;
    default: {
      if (rows.size() * static_cast<size_t>(count) > kRowsMax) return;
      made->data = made->data.Broadcast(count);
      const auto once = rows;
      for (int i = 1; i < count; ++i) rows.insert(rows.end(), once.begin(), once.end());
    }
  }
  made->expected.ordered = false;
}

// The step itself, or its Local form and then the step, which must be the same.
void Order(Made* made, const Step& step) {
  auto& [rows, ordered] = made->expected;
  // Rows that are equal in the keys keep their order, if they have one; else all fields are keys.
  const auto& fields = ordered ? kKeys[step.choices[1] % kKeys.size()] : kKeys.back();
  const auto orders = SomeOrders(fields, step.choices[2]);
  const int count = step.choices[3] % 12;
  switch (step.choices[0] % 5) {
    case 0: made->data = made->data.SortBy(orders); break;
    case 1:
      if (ordered && fields.size() < 3) return;  // Rows of several partitions come in any order.
      made->data = made->data.RoundRobin(3).LocalSortBy(orders).MergeSortedTo(2, orders).MergeSortedTo(1, orders);
      break;
    case 2: made->data = made->data.Top(count, orders); break;
    case 3:
      if (ordered && fields.size() < 3) return;
      made->data = made->data.RoundRobin(2).LocalTop(count, orders).Top(count, orders);
      break;
    default:
      if (!ordered) return;
      made->data = made->data.Limit(count, step.choices[1] % 5);
      rows.erase(rows.begin(), rows.begin() + std::min<int64_t>(step.choices[1] % 5, std::ssize(rows)));
      rows.resize(std::min<size_t>(rows.size(), count));
      return;
  }
  SortRows(&rows, orders);
  if (step.choices[0] % 5 >= 2) rows.resize(std::min<size_t>(rows.size(), count));
  ordered = true;
}

// The keys, and the lists or the maxima of the other fields; filled up to three fields.
void Fold(Made* made, const Step& step) {
  auto& [rows, ordered] = made->expected;
  const auto& keys = kKeys[step.choices[1] % 6];  // One or two.
  const bool local = step.choices[2] % 3 == 0, groups = step.choices[0] % 2 == 0;
  ByKey<std::vector<Row>> folded;
  for (const Row& row : rows) folded[Pick(row, keys)].push_back(Rest(row, keys));
  rows.clear();
  for (auto& [key, values] : folded) {
    Row row = key;
    for (size_t i = 0; i < values[0].size(); ++i) {
      std::vector<Value> list;
      for (const Row& value : values) list.push_back(value[i]);
      if (groups && !ordered) std::sort(list.begin(), list.end());
      row.push_back(groups ? Value(list) : *std::max_element(list.begin(), list.end()));
    }
    rows.push_back(std::move(row));
  }
  if (groups) {
    made->data = made->data.GroupBy(FieldsOf(keys));
    if (!ordered) {
      const bool two = keys.size() == 2;
      made->data = made->data.Map(
          [=](Value a, Value b, Value c) { return std::tuple(a, two ? b : SortedList(b), SortedList(c)); });
    }
  } else if (keys.size() == 2) {
    const auto larger = [](Value x, Value y) { return std::max(x, y); };
    if (local) made->data = made->data.RoundRobin(2).LocalReduceBy(larger, FieldsOf(keys)).Select(Back(keys));
    made->data = made->data.ReduceBy(larger, FieldsOf(keys));
  } else {
    const auto larger = [](Value a, Value b, Value x, Value y) { return std::tuple(std::max(a, x), std::max(b, y)); };
    if (local) made->data = made->data.RoundRobin(2).LocalReduceBy(larger, FieldsOf(keys)).Select(Back(keys));
    made->data = made->data.ReduceBy(larger, FieldsOf(keys));
  }
  ordered = false;
}

void KeepDistinct(Made* made, const Step& step) {
  auto& [rows, ordered] = made->expected;
  // The first row of a key is known when the rows have an order.
  const auto& keys = ordered ? kKeys[step.choices[0] % kKeys.size()] : kKeys.back();
  if (!ordered && step.choices[1] % 2 == 0) made->data = made->data.LocalDistinct();
  made->data = made->data.Distinct(FieldsOf(keys));
  ByKey<Row> first;
  for (const Row& row : rows) first.try_emplace(Pick(row, keys), row);
  rows.clear();
  for (const auto& [key, row] : first) rows.push_back(row);
  ordered = false;
}

void Number(Made* made, const Step& step) {
  auto& [rows, ordered] = made->expected;
  if (!ordered) return;
  made->data = made->data.ZipWithIndex(step.choices[0]).Select(4, 1, 2);
  for (size_t i = 0; i < rows.size(); ++i)
    rows[i] = {Value(step.choices[0] + static_cast<int>(i)), rows[i][0], rows[i][1]};
}

void Unite(Made* made, const Step& step, const Made& other) {
  if (made->expected.rows.size() + other.expected.rows.size() > kRowsMax) return;
  const bool twice = step.choices[0] % 2 == 0;
  made->data =
      twice ? made->data.Union({other.data, made->data}) : made->data.Union(other.data, step.choices[1] % 2 == 0);
  auto& rows = made->expected.rows;
  const auto self = rows;
  rows.insert(rows.end(), other.expected.rows.begin(), other.expected.rows.end());
  if (twice) rows.insert(rows.end(), self.begin(), self.end());
  // The order is that of the inputs, one after the other; but not for the parallel kind.
  made->expected.ordered = made->expected.ordered && other.expected.ordered && (twice || step.choices[1] % 2 != 0);
}

// Pairs, and the rows of either side that have no partner, cut to three fields.
void Join(Made* made, const Step& step, const Made& other) {
  const auto& left_keys = kKeys[step.choices[1] % 6];
  const auto& right_keys = kKeys[step.choices[1] % 6 < 3 ? step.choices[2] % 3 : 3 + step.choices[2] % 3];
  const auto left = made->expected.rows, right = other.expected.rows;
  ByKey<std::pair<std::vector<Row>, std::vector<Row>>> groups;
  for (const Row& row : left) groups[Pick(row, left_keys)].first.push_back(row);
  for (const Row& row : right) groups[Pick(row, right_keys)].second.push_back(row);
  size_t pairs = 0;
  for (const auto& [key, sides] : groups)
    pairs += std::max<size_t>(sides.first.size(), 1) * std::max<size_t>(sides.second.size(), 1);
  if (pairs > kRowsMax) return;

  const int kind = step.choices[0] % 8;
  // The width of a side without rows is not known, so its fields cannot be selected.
  if (kind >= 2 && kind <= 5 && (left.empty() || right.empty())) return;
  const bool keeps_left = kind == 2 || kind == 4, keeps_right = kind == 3 || kind == 4;
  const Fields on = FieldsOf(left_keys), to = FieldsOf(right_keys);
  std::vector<Row> joined;
  const Row nils(3 - left_keys.size());
  for (const auto& [key, sides] : groups) {
    const auto& [lefts, rights] = sides;
    if (kind >= 6) {  // Semi, anti.
      if (rights.empty() == (kind == 7)) joined.insert(joined.end(), lefts.begin(), lefts.end());
      continue;
    }
    if (kind == 5) {
      std::vector<Value> lists[2];
      for (const Row& l : lefts) lists[0].emplace_back(Rest(l, left_keys));
      for (const Row& r : rights) lists[1].emplace_back(Rest(r, right_keys));
      joined.push_back({key[0], SortedList(lists[0]), SortedList(lists[1])});
      continue;
    }
    for (const Row& l : lefts) {
      for (const Row& r : rights) joined.push_back(Joined(key, Rest(l, left_keys), Rest(r, right_keys)));
      if (rights.empty() && keeps_left) joined.push_back(Joined(key, Rest(l, left_keys), nils));
    }
    for (const Row& r : rights) {
      if (lefts.empty() && keeps_right) joined.push_back(Joined(key, nils, Rest(r, right_keys)));
    }
  }

  Dataset data = made->data;
  switch (kind) {
    case 0: data = data.Join(other.data, on, to); break;
    case 1: data = data.HashJoin(other.data, on, to); break;
    case 2: data = data.LeftOuterJoin(other.data, on, to); break;
    case 3: data = data.RightOuterJoin(other.data, on, to); break;
    case 4: data = data.FullOuterJoin(other.data, on, to); break;
    case 5: data = data.CoGroup(other.data, on, to); break;
    case 6: data = data.SemiJoin(other.data, on, to); break;
    default: data = data.AntiJoin(other.data, on, to);
  }
  const bool two = left_keys.size() == 2;
  if (kind < 5) {
    const std::vector<int> fields = two ? std::vector{2, 3, 4} : std::vector{1, 3, 5};
    data = data.Select(FieldsOf(fields));
    for (Row& row : joined) row = Pick(row, fields);
  } else if (kind == 5) {
    data = (two ? data.Select(1, 3, 4) : data).Map([](Value key, Value a, Value b) {
      return std::tuple(key, SortedList(a), SortedList(b));
    });
  }
  made->data = data;
  made->expected = {std::move(joined), false};
}

void Apply(Made* made, const Step& step, const Made& other) {
  switch (step.kind) {
    case 0:
    case 1: return ChangeRows(made, step);
    case 2: return CutBatches(made, step);
    case 3: return Move(made, step);
    case 4:
    case 5: return Order(made, step);
    case 6: return Fold(made, step);
    case 7: return KeepDistinct(made, step);
    case 8: return Number(made, step);
    case 9: return Unite(made, step, other);
    case 10:
    case 11: return Join(made, step, other);
    default: made->data = made->data.Cache();
  }
}

// Sessions are kept: their threads are dear.
Session& SessionWith(int threads, int partitions, bool lua_kernels, bool small) {
  static auto* const sessions = new std::map<std::array<int, 4>, std::unique_ptr<Session>>;
  auto& session = (*sessions)[{threads, partitions, lua_kernels, small}];
  if (session == nullptr) {
    SessionOptions options;
    options.threads = threads;
    options.partitions = partitions;
    options.lua_kernels = lua_kernels;
    // So little that what lies between stages goes to disk, and much of what operators keep.
    if (small) options.memory_bytes = 64 << 10;
    session = std::make_unique<Session>(options);
  }
  return *session;
}

// The flow runs twice, in two of twenty sessions, or of four: each has Lua states of its own, whose garbage, traces and
// tables a process holds all at once.
enum class Sessions { kTwenty, kFour };

void CheckAFlow(int threads, Sessions sessions = Sessions::kTwenty) {
  const auto left = SomeRows(100), right = SomeRows(3);
  const auto step = rc::gen::exec([] {
    // inRange gives numbers near the lower end for small sizes; any step shall be as likely as any other.
    const auto upto = [](int end) { return rc::gen::resize(rc::kNominalSize, rc::gen::inRange(0, end)); };
    return Step{*upto(13), {*upto(1000), *upto(1000), *upto(1000), *upto(1000)}};
  });
  const auto steps = *rc::gen::resize(8, rc::gen::container<std::vector<Step>>(step));

  std::optional<std::vector<Row>> first_sample;
  for (int run = 0; run < 2; ++run) {
    const bool small = *rc::gen::arbitrary<bool>();
    const bool four = sessions == Sessions::kFour;
    const int partitions = four ? *rc::gen::element(0, 3) : *rc::gen::element(0, 1, 2, 3, 25);
    Session& session = SessionWith(threads, partitions, four ? small : *rc::gen::arbitrary<bool>(), small);
    Flow flow;
    // Steps with two inputs take any dataset that came before, this one too.
    std::vector<Made> made = {{flow.Rows(right), {right}}, {flow.Rows(left), {left}}};
    for (const Step& step : steps) {
      Made next = made.back();
      Apply(&next, step, made[step.choices[3] % made.size()]);
      made.push_back(std::move(next));
    }
    std::vector<Row> last, before, sample;
    made.back().data.Collect(&last);
    made.back().data.Sample(0.5, 3).Collect(&sample);
    const Made& other = made[made.size() / 2];
    other.data.Collect(&before);
    const Status status = flow.Run(session);
    // One key may need more.
    if (small && status.code() == Code::kExhausted) continue;
    if (!status.ok()) RC_FAIL(status.message());
    const auto same = [](const std::vector<Row>& got, const Expected& expected) {
      if (expected.ordered) {
        RC_ASSERT(Text(got) == Text(expected.rows));
      } else {
        RC_ASSERT(Text(Sorted(got)) == Text(Sorted(expected.rows)));
      }
    };
    same(last, made.back().expected);
    same(before, other.expected);
    // What a sample holds is chance, but the same one each time.
    sample = Sorted(std::move(sample));
    last = Sorted(std::move(last));
    RC_ASSERT(std::includes(last.begin(), last.end(), sample.begin(), sample.end(), RowLess));
    if (first_sample.has_value()) RC_ASSERT(Text(sample) == Text(*first_sample));
    first_sample = std::move(sample);
  }
}

RC_GTEST_PROP(Flows, AnyFlowGivesItsAnswerInOneThread, ()) { CheckAFlow(1); }
RC_GTEST_PROP(Flows, AnyFlowGivesItsAnswerInTwoThreads, ()) { CheckAFlow(2); }
RC_GTEST_PROP(Flows, AnyFlowGivesItsAnswerInFourThreads, ()) { CheckAFlow(4); }

// A process that runs flow after flow does not grow: ./dev soak. By number, so that a flow that fails is found again.
TEST(Flows, DISABLED_ManyLeaveNothingBehind) {
  base::SetLogLevel(base::LogLevel::kOff);  // Many joins match nothing.
  const char* const wanted = std::getenv("GLIM_SOAK_SECONDS");
  const std::chrono::duration<double> whole(wanted == nullptr ? 60 : std::atof(wanted));
  constexpr size_t kLooks = 60;
  const auto flow = rc::gen::exec([] {
    CheckAFlow(2, Sessions::kFour);
    return 0;
  });
  const auto begin = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::steady_clock::now() - begin; };
  std::vector<int64_t> resident_bytes;
  uint64_t flows = 0;
  while (resident_bytes.size() < kLooks) {
    try {
      flow(rc::Random(++flows), rc::kNominalSize).value();
    } catch (const std::exception& e) {
      FAIL() << "flow " << flows << ": " << e.what();
    } catch (const rc::detail::CaseResult& result) {
      FAIL() << "flow " << flows << ": " << result.description;
    }
    if (elapsed() < whole / kLooks * static_cast<double>(resident_bytes.size() + 1)) continue;
    const env::Usage usage = env::OwnUsage();
    resident_bytes.push_back(usage.resident_bytes);
    std::printf("%5.0f s: %8llu flows, %6.1f MB, %lld descriptors\n", std::chrono::duration<double>(elapsed()).count(),
                static_cast<unsigned long long>(2 * flows), static_cast<double>(usage.resident_bytes) / 1e6,
                static_cast<long long>(usage.descriptors));
    std::fflush(stdout);
  }
  // The first sixth is warming up. A twentieth and two megabytes are what the allocator may make of it.
  const auto median = [&](size_t from, size_t to) {
    std::vector<int64_t> some(resident_bytes.begin() + static_cast<std::ptrdiff_t>(from),
                              resident_bytes.begin() + static_cast<std::ptrdiff_t>(to));
    std::nth_element(some.begin(), some.begin() + static_cast<std::ptrdiff_t>(some.size() / 2), some.end());
    return some[some.size() / 2];
  };
  const int64_t early = median(kLooks / 6, kLooks / 3), late = median(kLooks * 5 / 6, kLooks);
  EXPECT_LE(late, early + early / 20 + 2'000'000);
}

}  // namespace
}  // namespace glim
