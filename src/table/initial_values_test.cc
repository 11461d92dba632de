// SPDX-License-Identifier: Apache-2.0
#include "table/initial_values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace glim::table {
namespace {

// Part of the format: saved models leave out the rows that nobody pushed to.
TEST(InitialValues, KnownNumbersNeverChange) {
  EXPECT_DOUBLE_EQ(RandomUniform(0, 0, 0), 0.60920062414561293);
  EXPECT_DOUBLE_EQ(RandomUniform(1, 2, 3), 0.45266404691349671);
  EXPECT_DOUBLE_EQ(RandomNormal(0, 0, 0), 1.1031009487137098);
  EXPECT_DOUBLE_EQ(RandomNormal(1, 2, 3), -0.034741300020676213);
}

// Mean, variance and the share beyond two standard deviations of values whose keys, columns or seeds follow each other.
template <class Draw>
void ExpectNormal(Draw draw) {
  constexpr int kCount = 200000;
  double sum = 0, squares = 0, beyond = 0, neighbours = 0, previous = 0;
  for (int i = 0; i < kCount; ++i) {
    double x = draw(i);
    sum += x;
    squares += x * x;
    beyond += std::abs(x) > 2;
    neighbours += x * previous;
    previous = x;
  }
  EXPECT_NEAR(sum / kCount, 0, 0.01);
  EXPECT_NEAR(squares / kCount, 1, 0.02);
  EXPECT_NEAR(beyond / kCount, 0.0455, 0.002);
  EXPECT_NEAR(neighbours / kCount, 0, 0.01);
}

TEST(InitialValues, NormalValuesAreNormalAlongEveryArgument) {
  ExpectNormal([](int i) { return RandomNormal(5, i, 0); });
  ExpectNormal([](int i) { return RandomNormal(5, 0, i); });
  ExpectNormal([](int i) { return RandomNormal(i, 0, 0); });
  ExpectNormal([](int i) { return RandomNormal(5, uint64_t{1} << (i % 64), i / 64); });
}

TEST(InitialValues, UniformValuesFillTheirRangeEvenly) {
  std::vector<int> counts(10);
  for (int i = 0; i < 100000; ++i) ++counts[static_cast<size_t>(10 * RandomUniform(9, i, 1))];
  for (int count : counts) EXPECT_NEAR(count, 10000, 500);
}

TEST(InitialValues, ColumnsOfARowAreTheSameFromWhereverOneBegins) {
  for (Initial initial : {Initial(Constant(2)), Initial(Uniform{-1, 1, 3}), Initial(Normal{1, 2, 3})}) {
    InitialValues<double> values(initial);
    std::vector<double> row(10), end(4);
    values.Fill(77, 0, 10, row.data());
    values.Fill(77, 6, 4, end.data());
    EXPECT_EQ(end, std::vector<double>(row.begin() + 6, row.end()));
  }
}

TEST(InitialValues, UniformIsBelowItsUpperBoundInF32Too) {
  // The nearest f32 of a number just below 1 is 1.
  InitialValues<float> values(Uniform{1.0 - 1e-9, 1, 0});
  std::vector<float> row(1000);
  values.Fill(0, 0, 1000, row.data());
  InitialValues<float> wide(Uniform{0, 1, 0});
  for (uint64_t key = 0; key < 1000; ++key) {
    wide.Fill(key, 0, 1000, row.data());
    for (float value : row) ASSERT_LT(value, 1.0f);
  }
}

TEST(InitialValues, ConstantsAreExact) {
  int64_t value = 0;
  InitialValues<int64_t>(Constant(std::numeric_limits<int64_t>::min())).Fill(1, 0, 1, &value);
  EXPECT_EQ(value, std::numeric_limits<int64_t>::min());
  float real = 0;
  InitialValues<float>(Constant(std::numeric_limits<float>::infinity())).Fill(1, 0, 1, &real);
  EXPECT_EQ(real, std::numeric_limits<float>::infinity());
}

}  // namespace
}  // namespace glim::table
