// SPDX-License-Identifier: Apache-2.0
#include "table/row_kernel.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace glim::table {
namespace {

template <class V>
TableSpec SpecOf(UpdateRule rule, Initial initial = Constant(0)) {
  return {.name = "t", .value_type = ValueTypeOf<V>(), .initial = initial, .rule = rule};
}

// A row under one kernel, by itself.
template <class V>
class OneRow {
 public:
  OneRow(UpdateRule rule, uint32_t width, Initial initial = Constant(0), Key key = 1)
      : kernel_(MakeRowKernel(SpecOf<V>(rule, initial))),
        shape_{width, width},
        cells_(kernel_->CellBytes(width) / sizeof(V)) {
    kernel_->Start(key, 0, shape_, bytes());
  }
  void Push(const std::vector<V>& values) {
    std::byte* row = bytes();
    kernel_->Apply({&row, 1}, shape_, reinterpret_cast<const std::byte*>(values.data()), RowOrder{});
  }
  V operator[](size_t i) const { return cells_[i]; }
  std::vector<V> values() const { return {cells_.begin(), cells_.begin() + shape_.width}; }
  const RowKernel& kernel() const { return *kernel_; }
  std::byte* bytes() { return reinterpret_cast<std::byte*>(cells_.data()); }
  RowShape shape() const { return shape_; }

 private:
  std::unique_ptr<const RowKernel> kernel_;
  RowShape shape_;
  std::vector<V> cells_;
};

// FTRL-proximal as in figure 1 of McMahan et al. 2013, where w is computed from z and n when it is needed.
struct FtrlByTheBook {
  Ftrl rule;
  double z = 0, n = 0;
  double Weight() const {
    if (std::abs(z) <= rule.l1) return 0;
    double sign = z < 0 ? -1 : 1;
    return -1 / ((rule.beta + std::sqrt(n)) / rule.alpha + rule.l2) * (z - sign * rule.l1);
  }
  void Push(double g) {
    double w = Weight();
    double sigma = (std::sqrt(n + g * g) - std::sqrt(n)) / rule.alpha;
    z += g - sigma * w;
    n += g * g;
  }
};

RC_GTEST_PROP(Ftrl, IsThatOfThePaper, ()) {
  Ftrl rule{.alpha = *rc::gen::element(0.05, 0.1, 1.0),
            .beta = *rc::gen::element(0.0, 1.0, 2.0),
            .l1 = *rc::gen::element(0.0, 0.5, 3.0),
            .l2 = *rc::gen::element(0.0, 0.1, 2.0)};
  const uint32_t width = *rc::gen::inRange(1, 20);
  OneRow<double> row(rule, width);
  std::vector<FtrlByTheBook> book(width, FtrlByTheBook{rule});
  const int pushes = *rc::gen::inRange(0, 30);
  for (int p = 0; p < pushes; ++p) {
    std::vector<double> gradients(width);
    for (uint32_t i = 0; i < width; ++i) {
      gradients[i] = *rc::gen::inRange(-1000, 1000) / 250.0;
      book[i].Push(gradients[i]);
    }
    row.Push(gradients);
  }
  for (uint32_t i = 0; i < width; ++i) RC_ASSERT(std::abs(row[i] - book[i].Weight()) <= 1e-9 * (1 + std::abs(row[i])));
}

TEST(Ftrl, HandComputedSteps) {
  OneRow<double> row(Ftrl{.alpha = 0.1, .beta = 1, .l1 = 1, .l2 = 0}, 1);
  row.Push({0.5});  // |z| = 0.5 <= l1: held down.
  EXPECT_EQ(row[0], 0);
  row.Push({2});  // z = 2.5, n = 4.25: w = -(2.5 - 1) / ((1 + sqrt(4.25)) / 0.1)
  EXPECT_NEAR(row[0], -1.5 / (10 * (1 + std::sqrt(4.25))), 1e-15);
}

TEST(Ftrl, StartsFromAnyInitialValue) {
  for (double start : {0.25, -3.0}) {
    OneRow<double> row(Ftrl{.alpha = 0.1, .beta = 1, .l1 = 0.5, .l2 = 0.1}, 1, Constant(start));
    EXPECT_EQ(row[0], start);
    row.Push({0});  // A gradient of 0 changes nothing.
    EXPECT_NEAR(row[0], start, 1e-12);
    row.Push({1e-6});
    EXPECT_NEAR(row[0], start, 1e-6);
    EXPECT_LT(row[0], start);
  }
}

TEST(AdaGrad, HandComputedSteps) {
  OneRow<double> row(AdaGrad{.rate = 0.5, .epsilon = 1e-8}, 2, Constant(1));
  row.Push({3, 0});
  EXPECT_NEAR(row[0], 1 - 0.5 * 3 / (3 + 1e-8), 1e-15);
  EXPECT_EQ(row[1], 1);
  row.Push({4, 0});
  EXPECT_NEAR(row[0], 1 - 0.5 * 3 / (3 + 1e-8) - 0.5 * 4 / (5 + 1e-8), 1e-15);
}

TEST(Adam, IsThatOfThePaperForEachRowsOwnSteps) {
  const Adam rule{.rate = 0.01, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-6};
  OneRow<double> row(rule, 3);
  std::vector<double> w(3), m(3), v(3);
  for (int t = 1; t <= 3000; ++t) {
    std::vector<double> g = {std::sin(t), 1.0, t % 7 - 3.0};
    row.Push(g);
    for (int i = 0; i < 3; ++i) {
      m[i] = rule.beta1 * m[i] + (1 - rule.beta1) * g[i];
      v[i] = rule.beta2 * v[i] + (1 - rule.beta2) * g[i] * g[i];
      double m_hat = m[i] / (1 - std::pow(rule.beta1, t)), v_hat = v[i] / (1 - std::pow(rule.beta2, t));
      w[i] -= rule.rate * m_hat / (std::sqrt(v_hat) + rule.epsilon);
    }
    for (int i = 0; i < 3; ++i) ASSERT_NEAR(row[i], w[i], 1e-9) << t;
  }
}

TEST(Sgd, HandComputedSteps) {
  OneRow<float> row(Sgd{.rate = 0.5}, 2, Constant(1));
  row.Push({2, -4});
  EXPECT_EQ(row.values(), (std::vector<float>{0, 3}));
}

TEST(Add, IntegersWrapAround) {
  OneRow<int32_t> row(Add{}, 1, Constant(std::numeric_limits<int32_t>::max()));
  row.Push({1});
  EXPECT_EQ(row[0], std::numeric_limits<int32_t>::min());
}

TEST(MinMax, KeepTheBest) {
  OneRow<int64_t> low(Min{}, 2, Constant(std::numeric_limits<int64_t>::max())), high(Max{}, 2);
  for (const auto& push : {std::vector<int64_t>{3, -1}, std::vector<int64_t>{2, 5}}) {
    low.Push(push);
    high.Push(push);
  }
  EXPECT_EQ(low.values(), (std::vector<int64_t>{2, -1}));
  EXPECT_EQ(high.values(), (std::vector<int64_t>{3, 5}));
}

// A wide row, a row of one value, a run and rows with spare capacity go through different loops; all must give the same
// bits.
RC_GTEST_PROP(RowKernel, AllLoopsGiveTheSameBits, ()) {
  const UpdateRule rules[] = {Add{}, Assign{}, Min{}, Max{}, Sgd{}, AdaGrad{}, Adam{}, Ftrl{.l1 = 0.1, .l2 = 0.1}};
  const UpdateRule rule = rules[*rc::gen::inRange(0, 8)];
  const uint32_t width = *rc::gen::inRange(1, 40);
  OneRow<float> wide(rule, width);
  std::vector<OneRow<float>> narrow;
  for (uint32_t i = 0; i < width; ++i) narrow.emplace_back(rule, 1);
  const RowKernel& kernel = wide.kernel();
  const RowShape roomy{width, width + 5};
  std::vector<float> spare(kernel.CellBytes(roomy.capacity) / sizeof(float)), run(width);
  kernel.Start(1, 0, roomy, reinterpret_cast<std::byte*>(spare.data()));
  for (int p = 0; p < 5; ++p) {
    std::vector<float> gradients(width);
    for (uint32_t i = 0; i < width; ++i) {
      gradients[i] = static_cast<float>(*rc::gen::inRange(-1000, 1000)) / 300;
      narrow[i].Push({gradients[i]});
    }
    wide.Push(gradients);
    std::byte* row = reinterpret_cast<std::byte*>(spare.data());
    kernel.Apply({&row, 1}, roomy, reinterpret_cast<const std::byte*>(gradients.data()), RowOrder{});
    if (kernel.slots() + kernel.extras() == 0) {
      kernel.ApplyRun(reinterpret_cast<std::byte*>(run.data()), reinterpret_cast<const std::byte*>(gradients.data()),
                      width);
    }
  }
  for (uint32_t i = 0; i < width; ++i) {
    RC_ASSERT(std::memcmp(wide.bytes() + i * 4, narrow[i].bytes(), 4) == 0);
    RC_ASSERT(std::memcmp(wide.bytes() + i * 4, &spare[i], 4) == 0);
    if (kernel.slots() + kernel.extras() == 0) RC_ASSERT(std::memcmp(wide.bytes() + i * 4, &run[i], 4) == 0);
  }
}

template <class V>
size_t BadAt(UpdateRule rule, std::vector<V> values) {
  return FindBadValue(SpecOf<V>(rule), std::as_bytes(std::span(values)));
}

TEST(FindBadValue, NaNIsBadForEveryRuleInfinityForThoseThatCompute) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  for (UpdateRule rule : {UpdateRule(Add{}), UpdateRule(Assign{}), UpdateRule(Min{}), UpdateRule(Max{}),
                          UpdateRule(Sgd{}), UpdateRule(AdaGrad{}), UpdateRule(Adam{}), UpdateRule(Ftrl{})}) {
    for (float sign : {1.0f, -1.0f}) {
      EXPECT_EQ(BadAt<float>(rule, {1, -2, sign * nan, 4, nan}), 2u);
      EXPECT_EQ(BadAt<double>(rule, {1, -2, 3, sign * nan}), 3u);
      const bool bad = rule.index() == 0 || rule.index() > 3;
      EXPECT_EQ(BadAt<float>(rule, {sign * infinity, 1}), bad ? 0u : 2u) << ToString(rule);
      EXPECT_EQ(BadAt<double>(rule, {0, sign * infinity}), bad ? 1u : 2u) << ToString(rule);
      EXPECT_EQ(BadAt<float>(rule, {sign * std::numeric_limits<float>::max()}), rule.index() > 4 ? 0u : 1u)
          << ToString(rule);
    }
    EXPECT_EQ(BadAt<float>(rule, {}), 0u);
    EXPECT_EQ(BadAt<float>(rule, {-0.0f, 1e18f, std::numeric_limits<float>::denorm_min()}), 3u);
  }
  EXPECT_EQ(BadAt<int32_t>(Add{}, {-1, 0x7fc00000}), 2u);
}

TEST(FindBadValue, FindsTheFirstAnywhereInALongPush) {
  for (size_t size : {1u, 1023u, 1024u, 1025u, 5000u}) {
    for (size_t at : {size_t{0}, size / 2, size - 1}) {
      std::vector<double> values(size, 1.0);
      values[at] = std::numeric_limits<double>::quiet_NaN();
      values.back() = std::numeric_limits<double>::quiet_NaN();
      EXPECT_EQ(BadAt<double>(Add{}, values), at);
    }
  }
}

// Each value beside the limit of its rule, in a whole block and behind the last one.
template <class V, class Bits>
void FindsWhatIsBesideTheLimit(UpdateRule rule, V largest) {
  const Bits limit = std::bit_cast<Bits>(largest);
  for (const size_t size : {size_t{1024}, size_t{1500}}) {
    for (const size_t at : {size_t{0}, size_t{777}, size - 1}) {
      for (const Bits sign : {Bits{0}, Bits{Bits{1} << (sizeof(Bits) * 8 - 1)}}) {
        std::vector<V> values(size, largest);
        values[at] = std::bit_cast<V>(Bits{limit | sign});
        EXPECT_EQ(BadAt<V>(rule, values), size);
        values[at] = std::bit_cast<V>(Bits{(limit + 1) | sign});
        EXPECT_EQ(BadAt<V>(rule, values), at);
        values[at] = std::bit_cast<V>(std::numeric_limits<Bits>::max());
        EXPECT_EQ(BadAt<V>(rule, values), at);
      }
    }
  }
}

TEST(FindBadValue, TheLimitItselfIsGood) {
  FindsWhatIsBesideTheLimit<float, uint32_t>(Assign{}, std::numeric_limits<float>::infinity());
  FindsWhatIsBesideTheLimit<float, uint32_t>(Add{}, std::numeric_limits<float>::max());
  FindsWhatIsBesideTheLimit<float, uint32_t>(Adam{}, 0x1p63f);
  FindsWhatIsBesideTheLimit<double, uint64_t>(Assign{}, std::numeric_limits<double>::infinity());
  FindsWhatIsBesideTheLimit<double, uint64_t>(Add{}, std::numeric_limits<double>::max());
  FindsWhatIsBesideTheLimit<double, uint64_t>(Adam{}, 0x1p511);
}

}  // namespace
}  // namespace glim::table
