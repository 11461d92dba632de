// SPDX-License-Identifier: Apache-2.0
//
// Tables against a plain map that does the same work key by key: every rule, key space and value type, in random
// layouts, in this process and on servers. The arithmetic of the oracle is written from the rules' definitions
// (glim/table_spec.h), in double.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <sstream>
#include <vector>

#include "cluster/table_places_test.h"
#include "env/env.h"

namespace glim::cluster {
namespace {

struct Push {
  std::vector<Key> keys;
  std::vector<int> values;  // Small integers: as gradients they are divided by 8, which is exact.
};

// One value of a row with its rule's state.
struct OracleValue {
  double w = 0, s = 0, t = 0;

  void Update(const UpdateRule& rule, double v, double steps) {
    if (std::holds_alternative<Add>(rule)) w += v;
    if (std::holds_alternative<Assign>(rule)) w = v;
    if (std::holds_alternative<Min>(rule)) w = std::min(w, v);
    if (std::holds_alternative<Max>(rule)) w = std::max(w, v);
    if (auto* sgd = std::get_if<Sgd>(&rule)) w -= sgd->rate * v;
    if (auto* ada = std::get_if<AdaGrad>(&rule)) {
      s += v * v;
      w -= ada->rate * v / (std::sqrt(s) + ada->epsilon);
    }
    if (auto* adam = std::get_if<Adam>(&rule)) {
      s = adam->beta1 * s + (1 - adam->beta1) * v;
      t = adam->beta2 * t + (1 - adam->beta2) * v * v;
      const double m = s / (1 - std::pow(adam->beta1, steps)), u = t / (1 - std::pow(adam->beta2, steps));
      w -= adam->rate * m / (std::sqrt(u) + adam->epsilon);
    }
    if (auto* ftrl = std::get_if<Ftrl>(&rule)) {
      const double sigma = (std::sqrt(t + v * v) - std::sqrt(t)) / ftrl->alpha;
      s += v - sigma * w;
      t += v * v;
      const double sign = s < 0 ? -1 : 1;
      w = std::abs(s) <= ftrl->l1 ? 0 : -(s - sign * ftrl->l1) / ((ftrl->beta + std::sqrt(t)) / ftrl->alpha + ftrl->l2);
    }
  }
};

struct OracleRow {
  std::vector<OracleValue> values;
  double steps = 0;
};

KeySpace AnyKeySpace(uint32_t width) { return *rc::gen::element(SparseKeys(), DenseKeys(40), MatrixKeys(40, width)); }

std::vector<Push> AnyPushes(uint32_t width) {
  std::vector<Push> pushes(*rc::gen::inRange<size_t>(1, 6));
  for (Push& push : pushes) {
    push.keys = *rc::gen::container<std::vector<Key>>(rc::gen::inRange<Key>(0, 40));
    push.values = *rc::gen::container<std::vector<int>>(push.keys.size() * width, rc::gen::inRange(-20, 20));
  }
  return pushes;
}

std::vector<Key> AllKeys() {
  std::vector<Key> keys;
  for (Key key = 40; key-- > 0;) keys.insert(keys.end(), {key, 39 - key});
  return keys;
}

template <class V>
class Oracle {
 public:
  Oracle(UpdateRule rule, uint32_t width, double initial) : rule_(rule), width_(width), initial_(initial) {}
  void Apply(const Push& push, double scale) {
    for (size_t i = 0; i < push.keys.size(); ++i) {
      auto [row, is_new] = rows_.try_emplace(push.keys[i]);
      if (is_new) row->second.values.assign(width_, {.w = initial_});
      ++row->second.steps;
      for (uint32_t c = 0; c < width_; ++c)
        row->second.values[c].Update(rule_, push.values[i * width_ + c] * scale, row->second.steps);
    }
  }
  std::vector<double> Pull(const std::vector<Key>& keys) const {
    std::vector<double> out;
    for (Key key : keys) {
      auto row = rows_.find(key);
      for (uint32_t c = 0; c < width_; ++c) out.push_back(row == rows_.end() ? initial_ : row->second.values[c].w);
    }
    return out;
  }
  size_t size() const { return rows_.size(); }

 private:
  UpdateRule rule_;
  uint32_t width_;
  double initial_;
  std::map<Key, OracleRow> rows_;
};

// Two tables of random layouts get the same pushes as the oracle.
template <class V>
void CheckOnce(TablePlace& place, const UpdateRule& rule, double scale, double tolerance, double initial) {
  const uint32_t width = *rc::gen::element(1, 2, 3, 5, 17);
  const KeySpace keys = AnyKeySpace(width);
  auto make = [&](const char* name) {
    TableOptions options{.width = width, .initial = Constant(static_cast<V>(initial))};
    options.shards = *rc::gen::inRange(1, 9);
    options.partitioner = *rc::gen::element(Partitioner::kRange, Partitioner::kCyclic, Partitioner::kHash);
    Table<V> table(place.CreateTable(MakeTableSpec<V>(name, keys, rule, options)));
    if (!table.ok()) RC_FAIL(table.status().message());
    return table;
  };
  Table<V> first = make("first"), second = make("second");
  Oracle<V> oracle(rule, width, initial);
  const std::vector<Key> all = AllKeys();
  for (const Push& push : AnyPushes(width)) {
    std::vector<V> values;
    for (int value : push.values) values.push_back(static_cast<V>(value * scale));
    oracle.Apply(push, scale);
    RC_ASSERT(first.Push(push.keys, values).Wait().ok());
    const std::vector<V> pulled = second.PushPull(push.keys, values).Get().value();
    RC_ASSERT(pulled == first.Pull(push.keys).Get().value());
    const std::vector<V> got = first.Pull(all).Get().value();
    RC_ASSERT(got == second.Pull(all).Get().value());  // To the bit, whatever the layout.
    const std::vector<double> wanted = oracle.Pull(all);
    for (size_t i = 0; i < wanted.size(); ++i)
      RC_ASSERT(std::abs(static_cast<double>(got[i]) - wanted[i]) <= tolerance * (1 + std::abs(wanted[i])));
  }
  RC_ASSERT(first.Describe()->keys_stored == oracle.size());
  RC_ASSERT(second.Describe()->keys_stored == oracle.size());
  RC_ASSERT(first.Drop().ok() && second.Drop().ok());
}

UpdateRule AnyPlainRule() {
  return *rc::gen::element(UpdateRule(Add{}), UpdateRule(Assign{}), UpdateRule(Min{}), UpdateRule(Max{}));
}
UpdateRule AnyLearningRule() {
  return *rc::gen::element(UpdateRule(Sgd{.rate = 0.5}), UpdateRule(AdaGrad{}), UpdateRule(Adam{}), UpdateRule(Ftrl{}),
                           UpdateRule(Ftrl{.alpha = 0.3, .beta = 0.5, .l1 = 1, .l2 = 0.25}));
}

class TableOracle : public testing::TestWithParam<PlaceKind> {
 protected:
  template <class V>
  void Check(const std::function<UpdateRule()>& any_rule, double scale, double tolerance, double initial) {
    // On servers a table takes its time to come and go.
    rc::detail::TestParams params = rc::detail::configuration().testParams;
    if (GetParam().on_servers) params.maxSuccess = 12;
    const auto result = rc::detail::checkTestable([&] { CheckOnce<V>(*place_, any_rule(), scale, tolerance, initial); },
                                                  rc::detail::TestMetadata{}, params);
    std::ostringstream what;
    rc::detail::printResultMessage(result, what);
    EXPECT_TRUE(result.template is<rc::detail::SuccessResult>()) << what.str();
  }

  const std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  const std::unique_ptr<TablePlace> place_ = MakePlace(GetParam(), *env_);
};

TEST_P(TableOracle, IntegersOf32Bits) { Check<int32_t>(AnyPlainRule, 1, 0, 3); }
TEST_P(TableOracle, IntegersOf64Bits) { Check<int64_t>(AnyPlainRule, 1, 0, -2); }
TEST_P(TableOracle, PlainRulesOnFloats) { Check<float>(AnyPlainRule, 0.125, 0, 0.5); }
TEST_P(TableOracle, PlainRulesOnDoubles) { Check<double>(AnyPlainRule, 0.125, 0, 0.5); }
TEST_P(TableOracle, LearningRulesOnFloats) { Check<float>(AnyLearningRule, 0.125, 2e-4, 0); }
TEST_P(TableOracle, LearningRulesOnDoubles) { Check<double>(AnyLearningRule, 0.125, 1e-9, 0); }

// A matrix by column under random requests for rows, columns and ranges, beside a plain array.
TEST_P(TableOracle, MatrixByColumn) {
  rc::detail::TestParams params = rc::detail::configuration().testParams;
  if (GetParam().on_servers) params.maxSuccess = 12;
  const auto check = [&] {
    const uint64_t rows = *rc::gen::inRange(1, 30), cols = *rc::gen::inRange(1, 20);
    TableOptions options;
    options.shards = *rc::gen::inRange(1, 9);
    options.partitioner = *rc::gen::element(Partitioner::kRange, Partitioner::kCyclic, Partitioner::kHash);
    Table<int64_t> table(place_->CreateTable(
        MakeTableSpec<int64_t>("m", ColumnMatrixKeys(rows, static_cast<uint32_t>(cols)), Add{}, options)));
    if (!table.ok()) RC_FAIL(table.status().message());
    std::vector<int64_t> oracle(rows * cols, 0);  // By column.
    const auto any = [](uint64_t below) {
      return *rc::gen::container<std::vector<uint64_t>>(rc::gen::inRange<uint64_t>(0, below));
    };
    const auto values = [](size_t count) {
      return *rc::gen::container<std::vector<int64_t>>(count, rc::gen::inRange<int64_t>(-50, 50));
    };
    for (int step = *rc::gen::inRange(1, 6); step > 0; --step) {
      const std::vector<uint64_t> some_rows = any(rows), some_cols = any(cols);
      const auto of_rows = values(some_rows.size() * cols), of_cols = values(some_cols.size() * rows);
      RC_ASSERT(table.PushRows(some_rows, of_rows).Wait().ok());
      RC_ASSERT(table.PushColumns(some_cols, of_cols).Wait().ok());
      for (size_t i = 0; i < of_rows.size(); ++i) oracle[i % cols * rows + some_rows[i / cols]] += of_rows[i];
      for (size_t i = 0; i < of_cols.size(); ++i) oracle[some_cols[i / rows] * rows + i % rows] += of_cols[i];
      const uint64_t first = *rc::gen::inRange<uint64_t>(0, oracle.size());
      const uint64_t stride = *rc::gen::inRange<uint64_t>(1, 5);
      const KeyRange range{first, (oracle.size() - first + stride - 1) / stride, stride};
      const auto of_range = values(range.count);
      RC_ASSERT(table.PushRange(range, of_range).Wait().ok());
      for (size_t i = 0; i < range.count; ++i) oracle[first + i * stride] += of_range[i];

      const auto pulled_rows = table.PullRows(some_rows).Get().value();
      for (size_t i = 0; i < pulled_rows.size(); ++i)
        RC_ASSERT(pulled_rows[i] == oracle[i % cols * rows + some_rows[i / cols]]);
      const auto pulled_cols = table.PullColumns(some_cols).Get().value();
      for (size_t i = 0; i < pulled_cols.size(); ++i)
        RC_ASSERT(pulled_cols[i] == oracle[some_cols[i / rows] * rows + i % rows]);
      const auto pulled_range = table.PullRange(range).Get().value();
      for (size_t i = 0; i < range.count; ++i) RC_ASSERT(pulled_range[i] == oracle[first + i * stride]);
    }
    RC_ASSERT(table.PullRange({0, oracle.size()}).Get().value() == oracle);
    RC_ASSERT(table.Drop().ok());
  };
  const auto result = rc::detail::checkTestable(check, rc::detail::TestMetadata{}, params);
  std::ostringstream what;
  rc::detail::printResultMessage(result, what);
  EXPECT_TRUE(result.template is<rc::detail::SuccessResult>()) << what.str();
}

// Values that are not copied: less than is worth it, rows of one request and of several, one row and many in a push.
TEST_P(TableOracle, ValuesThatStayWhereTheyLie) {
  for (const uint32_t width : {10U, 50'000U, 700'000U}) {
    SCOPED_TRACE(testing::Message() << "rows of " << width);
    Table<float> table(place_->CreateTable(
        MakeTableSpec<float>("t", MatrixKeys(6, width), Add{}, {.partitioner = Partitioner::kRange, .shards = 2})));
    std::vector<Key> all;
    std::vector<float> oracle(size_t{6} * width, 0);
    std::vector<Future<void>> pushes;
    for (uint64_t push = 1; push < 8; ++push) {
      std::vector<Key> keys;
      for (Key key = 0; key < 6; ++key) {
        if ((push >> key % 3 & 1) != 0) keys.push_back(key);
      }
      auto values = std::make_shared<std::vector<float>>(keys.size() * width);
      for (size_t i = 0; i < values->size(); ++i) {
        (*values)[i] = static_cast<float>((push * 31 + i) % 17);
        oracle[keys[i / width] * width + i % width] += (*values)[i];
      }
      pushes.push_back(table.PushShared(keys, std::move(values)));
      all = keys;
    }
    for (const auto& push : pushes) ASSERT_TRUE(push.Wait().ok()) << push.Wait().message();
    EXPECT_TRUE(table.Pull(all).Get().value() == oracle);

    // A row that cannot be taken is refused alone, whatever is under way before and behind it.
    const auto zeros = std::make_shared<const std::vector<float>>(width, 0);
    const auto bad = std::make_shared<std::vector<float>>(*zeros);
    bad->back() = std::nanf("");
    const std::vector<Key> one{4};
    const Future<void> before = table.PushShared(one, zeros);
    const Future<void> refused = table.PushShared(one, bad);
    const Future<void> behind = table.PushShared(one, zeros);
    EXPECT_TRUE(before.Wait().ok() && behind.Wait().ok()) << before.Wait().message() << behind.Wait().message();
    EXPECT_EQ(refused.Wait().code(), Code::kInvalid);
    EXPECT_NE(refused.Wait().message().find("key 4"), std::string::npos) << refused.Wait().message();
    EXPECT_TRUE(table.Pull(all).Get().value() == oracle);
    ASSERT_TRUE(table.Drop().ok());
  }
}

TEST_P(TableOracle, RandomInitialRowsAreTheSameInEveryLayoutAndNotStored) {
  TablePlace& place = *place_;
  const std::vector<Key> keys = AllKeys();
  std::vector<std::vector<float>> pulled;
  for (Initial initial : {Initial(Uniform{-1, 1, 5}), Initial(Normal{0, 1, 5})}) {
    for (uint32_t shards : {1u, 2u, 7u}) {
      for (Partitioner partitioner : {Partitioner::kRange, Partitioner::kCyclic, Partitioner::kHash}) {
        Table<float> table(place.CreateTable(MakeTableSpec<float>(
            "t", SparseKeys(), Add{}, {.width = 3, .initial = initial, .partitioner = partitioner, .shards = shards})));
        pulled.push_back(table.Pull(keys).Get().value());
        EXPECT_EQ(table.Describe()->keys_stored, 0u);
        // A push of nothing stores the row that was pulled.
        ASSERT_TRUE(table.Push(keys, std::vector<float>(keys.size() * 3, 0)).Wait().ok());
        EXPECT_EQ(table.Pull(keys).Get().value(), pulled.back());
        EXPECT_EQ(table.Describe()->keys_stored, 40u);
        ASSERT_TRUE(table.Drop().ok());
      }
    }
  }
  for (size_t i = 0; i < pulled.size(); ++i) EXPECT_EQ(pulled[i], pulled[i / 9 * 9]);
  EXPECT_NE(pulled[0], pulled[9]);
}

GLIM_IN_ALL_PLACES(TableOracle);

}  // namespace
}  // namespace glim::cluster
