// SPDX-License-Identifier: Apache-2.0
#include "batch/keyed_rows.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

namespace glim::batch {
namespace {

Batch MakeBatch(const std::vector<Row>& rows) {
  BatchBuilder builder;
  for (const Row& row : rows) builder.AppendRow(row);
  return builder.Finish();
}

rc::Gen<Value> AnyKey() {
  return rc::gen::exec([]() -> Value {
    switch (*rc::gen::inRange(0, 4)) {
      case 0: return Value(*rc::gen::inRange<int64_t>(-9, 10));
      case 1: return Value(static_cast<double>(*rc::gen::inRange(-9, 10)) / 2);
      case 2: return Value(std::string(*rc::gen::inRange(0, 20), 'k'));
      default: return Value(*rc::gen::arbitrary<bool>());
    }
  });
}

RC_GTEST_PROP(KeyedRows, FindsWhatAMapFinds, ()) {
  base::MemoryBudget budget(1 << 20);
  KeyedRows rows;
  for (int run = 0; run < 2; ++run) {  // It can be filled again.
    rows.Start(base::Reservation(&budget, "test"));
    RC_ASSERT(!rows.filled());
    std::map<Value, int64_t> oracle;
    int64_t count = 0;
    for (int b = *rc::gen::inRange(0, 4); b > 0; --b) {
      std::vector<Row> batch;
      for (int r = *rc::gen::inRange(0, 40); r > 0; --r) {
        batch.push_back({*AnyKey(), Value(count)});
        oracle[batch.back()[0]] = count++;
      }
      RC_ASSERT(rows.Add(MakeBatch(batch)).ok());
    }
    RC_ASSERT(rows.Finish().ok() && rows.filled());
    RC_ASSERT(rows.size() == static_cast<int64_t>(oracle.size()));
    for (const auto& [key, row] : oracle) RC_ASSERT(rows.Find(key.cell()) == row);
    for (int i = 0; i < 20; ++i) {
      const Value key = *AnyKey();
      RC_ASSERT(rows.Find(key.cell()) == (oracle.contains(key) ? oracle[key] : -1));
    }
    RC_ASSERT((count == 0) == (budget.used_bytes() == 0));
  }
  rows.Clear();
  RC_ASSERT(budget.used_bytes() == 0);
}

TEST(KeyedRows, OfOneColumnAreNumberedFromOne) {
  base::MemoryBudget budget(1 << 20);
  KeyedRows rows;
  rows.Start(base::Reservation(&budget, "test"));
  ASSERT_TRUE(rows.Add(MakeBatch({{"a"}, {Value()}, {"c"}})).ok());
  ASSERT_TRUE(rows.Finish().ok());
  EXPECT_EQ(rows.size(), 3);
  EXPECT_EQ(rows.Find(Cell::Int64(1)), 0);
  EXPECT_EQ(rows.Find(Cell::Double(3)), 2);
  for (const Cell& key :
       {Cell::Int64(0), Cell::Int64(4), Cell::Double(1.5), Cell::Int64(INT64_MIN), Cell::Bytes("a")}) {
    EXPECT_EQ(rows.Find(key), -1);
  }
}

TEST(KeyedRows, TellWhatIsWrong) {
  base::MemoryBudget budget(1 << 20);
  KeyedRows rows;
  rows.Start(base::Reservation(&budget, "test"));
  ASSERT_TRUE(rows.Add(MakeBatch({{1, 2}})).ok());
  EXPECT_FALSE(rows.Add(MakeBatch({{1}})).ok());
  rows.Start(base::Reservation(&budget, "test"));
  ASSERT_TRUE(rows.Add(MakeBatch({{Value(), 2}})).ok());
  EXPECT_FALSE(rows.Finish().ok());
}

TEST(KeyedRows, KeepToTheirLimitAndTheBudget) {
  for (const auto& [limit, all] : {std::pair<int64_t, int64_t>{1000, 1 << 20}, {0, 1000}, {0, 100}}) {
    base::MemoryBudget budget(all);
    KeyedRows rows(limit);
    rows.Start(base::Reservation(&budget, "test"));
    Status status;
    for (int i = 0; i < 1000 && status.ok(); ++i) status = rows.Add(MakeBatch({{i, i}}));
    EXPECT_EQ(status.code(), Code::kExhausted);
  }
}

}  // namespace
}  // namespace glim::batch
