// SPDX-License-Identifier: Apache-2.0
//
// Rows that come in any order and any batches are pushed alike: attempts of a task differ in both.
#include "ops/repeat_steps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <string>

#include "ops/row_steps.h"
#include "ops/table_steps.h"
#include "param/no_table_test.h"

namespace glim::ops {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Remembers what is pushed.
class Pushes : public param::NoTable {
 public:
  explicit Pushes(uint32_t width = 1) : NoTable(SpecOf(width)) {}
  Future<void> Push(std::span<const Key> keys, std::span<const std::byte> values, const PushOptions&) override {
    pushes.push_back({{keys.begin(), keys.end()}, {values.begin(), values.end()}});
    return Status::Ok();
  }

  std::vector<std::pair<std::vector<Key>, std::vector<std::byte>>> pushes;

 private:
  static TableSpec SpecOf(uint32_t width) {
    TableSpec spec;
    spec.value_type = ValueType::kI64;
    spec.width = width;
    return spec;
  }
};

class Batches : public BatchOutput {
 public:
  Status Push(Batch batch) override {
    batches.emplace_back();
    for (int64_t row = 0; row < batch.row_count(); ++row) batches.back().push_back(batch.RowToDebugString(row));
    return Status::Ok();
  }
  bool full() const override { return false; }
  std::vector<std::vector<std::string>> batches;
};

class RepeatSteps : public testing::Test {
 protected:
  OperatorContext Context() { return {env_.get(), &budget_, &space_, 64 << 10, &task_, &cancelled_, "a step"}; }

  // Pushes the rows in batches of random sizes up to `rows_max` through the chain.
  void Run(Operator& first, BatchOutput& end, const std::vector<Row>& rows, int64_t rows_max, uint32_t seed) {
    ASSERT_TRUE(first.Open(&end).ok());
    std::mt19937 random(seed);
    for (size_t begin = 0; begin < rows.size();) {
      BatchBuilder builder;
      const size_t width = rows[begin].size();
      const size_t count = 1 + random() % rows_max;
      for (size_t i = 0; i < count && begin < rows.size() && rows[begin].size() == width; ++i)
        builder.AppendRow(rows[begin++]);
      const Status status = first.Push(builder.Finish());
      ASSERT_TRUE(status.ok()) << status.message();
    }
    const Status status = first.Finish();
    ASSERT_TRUE(status.ok()) << status.message();
  }

 private:
  const std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  base::MemoryBudget budget_{4 << 20};
  spill::Space space_{&env_->files(), testing::TempDir()};
  TaskContext task_{0, 1, 0, nullptr};
  std::atomic<bool> cancelled_{false};
};

std::vector<Row> Numbers(int64_t count, int width) {
  std::vector<Row> rows;
  for (int64_t i = 0; i < count; ++i) {
    Row row;
    for (int c = 0; c <= width; ++c) row.push_back(Value(i * 31 % 1009 + c));
    rows.push_back(std::move(row));
  }
  return rows;
}

TEST_F(RepeatSteps, PushToOfATaskThatMayBeRunAgainCutsByTheNumberOfRows) {
  for (const auto& [count, width] :
       std::vector<std::pair<int64_t, int>>{{0, 1}, {1, 1}, {4096, 1}, {30000, 1}, {700, 2000}}) {
    const auto pushes_of = [&, count = count, width = width](int64_t rows_max, uint32_t seed) {
      auto table = std::make_shared<Pushes>(width);
      PushToOperator push_to(Context(), table, /*again=*/true);
      Batches none;
      Run(push_to, none, Numbers(count, width), rows_max, seed);
      return table->pushes;
    };
    const auto expected = pushes_of(count + 1, 0);
    for (uint32_t seed = 1; seed < 5; ++seed) EXPECT_EQ(pushes_of(1 + 1500 * seed, seed), expected) << count;
    int64_t rows = 0;
    const size_t rows_max = PushToOperator::RowsPerPush(Pushes(width).spec());
    for (const auto& [keys, values] : expected) {
      EXPECT_EQ(values.size(), keys.size() * width * sizeof(int64_t));
      EXPECT_TRUE(keys.size() == rows_max || &keys == &expected.back().first);
      rows += static_cast<int64_t>(keys.size());
    }
    EXPECT_EQ(rows, count);
  }
  EXPECT_EQ(PushToOperator::RowsPerPush(Pushes(1).spec()), 4096U);
  EXPECT_EQ(PushToOperator::RowsPerPush(Pushes(1 << 20).spec()), 1U);
}

TEST_F(RepeatSteps, BatchesAreCutByWhatTheRowsAre) {
  std::vector<Row> rows;
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    Row row{Value(i), Value(std::string(i % 50 == 0 ? random() % 200000 : random() % 100, 'x'))};
    if (i / 3000 % 2 == 1) row.push_back(Value(i / 7.0));
    rows.push_back(std::move(row));
  }
  std::vector<std::vector<std::string>> expected;
  for (uint32_t seed = 0; seed < 5; ++seed) {
    CutOperator cut(Context());
    Batches out;
    Run(cut, out, rows, 1 + 1000 * seed, seed);
    if (seed == 0) expected = out.batches;
    EXPECT_EQ(out.batches, expected) << seed;
  }
  size_t count = 0;
  for (const auto& batch : expected) count += batch.size();
  EXPECT_EQ(count, rows.size());
  EXPECT_GT(expected.size(), 10U);
}

TEST_F(RepeatSteps, RowsInAnyOrderComeOutInOne) {
  for (const int64_t count : {0, 3, 40000}) {  // The last ones go to disk.
    std::vector<Row> rows = Numbers(count, 1);
    for (int64_t i = 0; i < count; i += 5) rows[i].push_back(Value("text"));
    std::vector<std::string> expected;
    for (uint32_t seed = 0; seed < 3; ++seed) {
      std::mt19937 random(seed);
      std::shuffle(rows.begin(), rows.end(), random);
      OrderOperator order(Context());
      Batches out;
      Run(order, out, rows, 2000, seed);
      std::vector<std::string> all;
      for (const auto& batch : out.batches) all.insert(all.end(), batch.begin(), batch.end());
      if (seed == 0) expected = all;
      EXPECT_EQ(all, expected) << seed;
      EXPECT_EQ(static_cast<int64_t>(all.size()), count);
    }
  }
  OrderOperator order(Context());
  Batches out;
  Run(order, out, {{Value(2), Value(1)}, {Value(1), Value(3)}, {Value(1), Value(2)}, {Value(5)}}, 1, 1);
  ASSERT_EQ(out.batches.size(), 2U);
  EXPECT_THAT(out.batches[0], ElementsAre("(5)"));
  EXPECT_THAT(out.batches[1], ElementsAre("(1, 2)", "(1, 3)", "(2, 1)"));
}

// Later tasks stop when the earlier ones have enough, not when one of them was tried twice.
TEST_F(RepeatSteps, ALimitCountsWhatATaskGaveInItsLastAttempt) {
  LimitProgress progress(2);
  for (int attempt = 0; attempt < 2; ++attempt) {
    LimitOperator limit(Context(), 10, 0, &progress);
    Batches out;
    Run(limit, out, Numbers(6, 1), 4, 1);
    EXPECT_EQ(progress.RowsBefore(1), 6);
  }
}

}  // namespace
}  // namespace glim::ops
