// SPDX-License-Identifier: Apache-2.0
#include "glim/table_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>

namespace glim {
namespace {

using testing::HasSubstr;

TEST(Consistency, IsAWordOrANumberOfClocks) {
  for (const Consistency consistency : {kAsync, kBsp, Staleness(0), Staleness(17)}) {
    EXPECT_EQ(*ParseConsistency(ToString(consistency)), consistency);
  }
  EXPECT_EQ(ToString(Staleness(3)), "3");
  for (const char* text : {"", "-1", "3.5", "BSP", "4294967296"}) {
    EXPECT_THAT(ParseConsistency(text).status().message(), HasSubstr("\"async\", \"bsp\", or how many clocks"));
  }
}

TEST(TableSpec, TextOfEachPartIsReadBack) {
  for (UpdateRule rule :
       {UpdateRule(Add{}), UpdateRule(Assign{}), UpdateRule(Min{}), UpdateRule(Max{}), UpdateRule(Sgd{.rate = 0.5}),
        UpdateRule(AdaGrad{.rate = 1e-3, .epsilon = 1e-12}), UpdateRule(Adam{.beta1 = 0.8}),
        UpdateRule(Ftrl{.alpha = 0.05, .beta = 2, .l1 = 1.5, .l2 = 1e-7})}) {
    auto read = ParseUpdateRule(ToString(rule));
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_EQ(*read, rule);
  }
  for (Initial initial : {Initial(Constant(0)), Initial(Constant(-2.5)), Initial(Constant(3.0)),
                          Initial(Constant(1e300)), Initial(Constant(std::numeric_limits<int64_t>::max())),
                          Initial(Constant(std::numeric_limits<double>::infinity())), Initial(Uniform{-1, 1, 7}),
                          Initial(Normal{0, 0.01, ~0ull})}) {
    auto read = ParseInitial(ToString(initial));
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_EQ(*read, initial) << ToString(initial);
  }
  for (KeySpace keys : {SparseKeys(), DenseKeys(1), DenseKeys(~0ull), MatrixKeys(10, 3)}) {
    auto read = ParseKeySpace(ToString(keys));
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_EQ(*read, keys);
  }
  for (ValueType type : {ValueType::kF32, ValueType::kF64, ValueType::kI32, ValueType::kI64}) {
    EXPECT_EQ(*ParseValueType(ValueTypeName(type)), type);
  }
  for (Partitioner p : {Partitioner::kRange, Partitioner::kCyclic, Partitioner::kHash})
    EXPECT_EQ(*ParsePartitioner(ToString(p)), p);
  EXPECT_FALSE(ParsePartitioner(ToString(Partitioner::kFunction)).ok());  // Of which function?
}

RC_GTEST_PROP(TableSpec, AnyNumbersOfARuleAreReadBackExactly, (double alpha, double beta, double l1, double l2)) {
  UpdateRule rule = Ftrl{alpha, beta, l1, l2};
  RC_ASSERT(*ParseUpdateRule(ToString(rule)) == rule);
}

TEST(TableSpec, ParametersLeftOutTakeTheirDefaults) {
  EXPECT_EQ(*ParseUpdateRule("ftrl"), UpdateRule(Ftrl{}));
  EXPECT_EQ(*ParseUpdateRule("ftrl l1=2"), UpdateRule(Ftrl{.l1 = 2}));
  EXPECT_EQ(*ParseInitial("normal stddev=0.5"), Initial(Normal{.stddev = 0.5}));
}

TEST(TableSpec, TextThatIsNoRuleSaysWhatWouldBe) {
  EXPECT_EQ(ParseUpdateRule("sgdd").status().message(),
            "\"sgdd\" is not an update rule; there are add, assign, min, max, sgd, adagrad, adam and ftrl");
  EXPECT_EQ(ParseUpdateRule("ftrl gamma=1").status().message(),
            "ftrl has no parameter \"gamma\"; it has alpha, beta, l1, l2");
  EXPECT_EQ(ParseUpdateRule("add x=1").status().message(), "add has no parameter \"x\"; it has none");
  EXPECT_EQ(ParseUpdateRule("sgd rate=fast").status().message(),
            "sgd: \"rate=fast\" is not a number; write rate=NUMBER");
  for (const char* text :
       {"", " ", "constant", "constant x", "constant 1 2", "uniform seed=-1", "normal mean", "dense"}) {
    EXPECT_FALSE(ParseInitial(text).ok()) << text;
    EXPECT_FALSE(ParseUpdateRule(text).ok()) << text;
  }
  for (const char* text :
       {"", "dense", "dense -1", "dense 1 2", "matrix 1 2", "matrix 1 x", "sparse 1", "dense 99999999999999999999"}) {
    EXPECT_FALSE(ParseKeySpace(text).ok()) << text;
  }
}

TEST(TableSpec, CheckFillsInWhatFollows) {
  auto spec = CheckTableSpec({.name = "m", .keys = MatrixKeys(4, 7)});
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->width, 7u);
  EXPECT_EQ(spec->partitioner, Partitioner::kRange);
  EXPECT_EQ(CheckTableSpec({.name = "s"})->partitioner, Partitioner::kHash);
  EXPECT_EQ(CheckTableSpec({.name = "s", .partition_by = "f"})->partitioner, Partitioner::kFunction);
  EXPECT_EQ(CheckTableSpec({.name = "s", .partitioner = Partitioner::kCyclic})->partitioner, Partitioner::kCyclic);
}

TEST(TableSpec, CheckRefusesWhatMakesNoSense) {
  struct Case {
    TableSpec spec;
    const char* says;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  const Case cases[] = {
      {{.name = ""}, "cannot be the name"},
      {{.name = "a/b"}, "\"a/b\" cannot be the name of a table; use 1 to 64 of A-Z a-z 0-9 _ . -"},
      {{.name = std::string(65, 'a')}, "1 to 64"},
      {{.name = "t", .keys = DenseKeys(0)}, "no keys"},
      {{.name = "t", .keys = MatrixKeys(0, 3)}, "no keys"},
      {{.name = "t", .keys = MatrixKeys(3, 0)}, "column"},
      {{.name = "t", .keys = MatrixKeys(3, 2), .width = 5}, "width 5 is not that of a matrix 3 x 2"},
      {{.name = "t", .width = 0}, "at least one value"},
      {{.name = "t", .width = 1 << 23}, "too long"},
      {{.name = "t", .value_type = ValueType::kI32, .rule = Sgd{}},
       "table \"t\": rule sgd needs values of type f32 or f64, not i32"},
      {{.name = "t", .value_type = ValueType::kI64, .rule = Ftrl{}}, "rule ftrl needs"},
      {{.name = "t", .rule = Ftrl{.alpha = 0}}, "rule ftrl: alpha is 0; it must be above 0"},
      {{.name = "t", .rule = Ftrl{.l1 = -1}}, "l1 is -1; it must be 0 or above"},
      {{.name = "t", .rule = Ftrl{.l2 = nan}}, "l2"},
      {{.name = "t", .rule = Sgd{.rate = infinity}}, "rate"},
      {{.name = "t", .rule = Adam{.beta1 = 1}}, "beta1 is 1"},
      {{.name = "t", .rule = AdaGrad{.epsilon = 0}}, "epsilon"},
      {{.name = "t", .value_type = ValueType::kI32, .initial = Constant(0.5)}, "integer"},
      {{.name = "t", .value_type = ValueType::kI32, .initial = Constant(1ll << 40)}, "i32 cannot hold it"},
      {{.name = "t", .value_type = ValueType::kI64, .initial = Uniform{}},
       "random values need a table of type f32 or f64"},
      {{.name = "t", .initial = Constant(1e200)}, "f32 cannot hold it"},
      {{.name = "t", .initial = Constant(nan)}, "must be a number"},
      {{.name = "t", .initial = Constant(infinity), .rule = Sgd{}}, "must be finite"},
      {{.name = "t", .initial = Uniform{.low = 2, .high = 1}}, "low must not be above high"},
      {{.name = "t", .initial = Uniform{.low = nan}}, "finite"},
      {{.name = "t", .initial = Normal{.stddev = -1}}, "negative"},
      {{.name = "t", .shards = 70000}, "too many"},
      {{.name = "t", .keys = DenseKeys(9), .partition_by = "f"}, "sparse keys; it has keys dense 9"},
      {{.name = "t", .keys = MatrixKeys(2, 3), .partition_by = "f"}, "sparse keys; it has keys matrix 2 x 3"},
      {{.name = "t", .partitioner = Partitioner::kCyclic, .partition_by = "f"},
       "cyclic or the function \"f\", not both"},
      {{.name = "t", .partitioner = Partitioner::kFunction}, "give partition_by its name"},
      {{.name = "t", .partition_by = "a b"}, "\"a b\" cannot be the name of a partitioner"},
  };
  for (const Case& c : cases) {
    auto checked = CheckTableSpec(c.spec);
    ASSERT_FALSE(checked.ok()) << c.says;
    EXPECT_EQ(checked.status().code(), Code::kInvalid);
    EXPECT_THAT(checked.status().message(), HasSubstr(c.says));
  }
  EXPECT_TRUE(CheckTableSpec({.name = "t", .initial = Constant(infinity), .rule = Min{}}).ok());
  EXPECT_TRUE(CheckTableSpec({.name = "A-z_0.9", .width = kVariableWidth}).ok());
}

}  // namespace
}  // namespace glim
