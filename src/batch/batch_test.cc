// SPDX-License-Identifier: Apache-2.0
#include "glim/batch.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>

#include "batch/any_value_test.h"
#include "batch/row_ops.h"
#include "glim/batch_builder.h"

namespace glim {
namespace {

// Equal in every respect that a user can see: the order says equal, and a number prints the same.
bool Same(const Cell& a, const Cell& b) { return a == b && a.ToString() == b.ToString(); }

RC_GTEST_PROP(Cell, OrderIsTotalAndAgreesWithHash, ()) {
  const Value a = *AnyValue(), b = *AnyValue(), c = *AnyValue();
  RC_ASSERT(a.cell().Compare(b.cell()) == -b.cell().Compare(a.cell()));
  RC_ASSERT(a == a);
  if (a.cell().Compare(b.cell()) <= 0 && b.cell().Compare(c.cell()) <= 0) RC_ASSERT(a.cell().Compare(c.cell()) <= 0);
  if (a == b) RC_ASSERT(a.cell().Hash() == b.cell().Hash());
}

TEST(Cell, IntegersAndDoublesCompareExactly) {
  const int64_t big = (int64_t{1} << 53) + 1;
  EXPECT_GT(Cell::Int64(big).Compare(Cell::Double(9007199254740992.0)), 0);
  EXPECT_EQ(Cell::Int64(4), Cell::Double(4.0));
  EXPECT_EQ(Cell::Int64(4).Hash(), Cell::Double(4.0).Hash());
  EXPECT_EQ(Cell::Double(0.0).Hash(), Cell::Double(-0.0).Hash());
  EXPECT_LT(Cell::Int64(INT64_MAX).Compare(Cell::Double(9223372036854775808.0)), 0);
  EXPECT_LT(Cell::Double(HUGE_VAL).Compare(Cell::Double(NAN)), 0);
  EXPECT_EQ(Cell::Double(NAN).Compare(Cell::Double(-NAN)), 0);
}

TEST(Cell, NumbersPrintTheSameHoweverTheyAreStored) {
  EXPECT_EQ(Cell::Double(4.0).ToString(), "4");
  EXPECT_EQ(Cell::Double(0.1).ToString(), "0.1");
  EXPECT_EQ(Cell::Double(1e15).ToString(), "1000000000000000");
  EXPECT_EQ(Cell::Double(-HUGE_VAL).ToString(), "-inf");
  EXPECT_EQ(Value(std::vector<Value>{1, "a", Value()}).ToString(), "{1, a, nil}");
  EXPECT_EQ(Value("a\n\"\x01").cell().ToDebugString(), R"("a\n\"\x01")");
}

RC_GTEST_PROP(ColumnBuilder, GivesBackWhatWasAppended, ()) {
  const auto values = *rc::gen::container<std::vector<Value>>(AnyValue());
  ColumnBuilder builder;
  for (const Value& value : values) builder.Append(value);
  const Column column = builder.Finish();
  RC_ASSERT(column.length() == static_cast<int64_t>(values.size()));
  for (size_t i = 0; i < values.size(); ++i) RC_ASSERT(Same(column.At(i), values[i].cell()));

  // Through a slice, a gather and a second builder.
  const auto begin = *rc::gen::inRange<int64_t>(0, column.length() + 1);
  const auto length = *rc::gen::inRange<int64_t>(0, column.length() - begin + 1);
  const Column slice = column.Slice(begin, length);
  std::vector<uint32_t> rows;
  for (int64_t i = length; i-- > 0;) rows.push_back(static_cast<uint32_t>(i));
  const Column gathered = slice.Gather(rows);
  ColumnBuilder copy;
  copy.Append(Value(7));
  copy.AppendRows(slice, rows);
  copy.AppendColumn(gathered);
  const Column copied = copy.Finish();
  for (int64_t i = 0; i < length; ++i) {
    const Cell expected = values[begin + rows[i]].cell();
    RC_ASSERT(Same(gathered.At(i), expected));
    RC_ASSERT(Same(copied.At(1 + i), expected));
    RC_ASSERT(Same(copied.At(1 + length + i), expected));
  }
}

TEST(ColumnBuilder, IntegersAndDoublesShareAColumnWhileExact) {
  ColumnBuilder builder;
  builder.AppendInt64(1);
  builder.AppendDouble(2.5);
  builder.AppendInt64(3);
  EXPECT_EQ(builder.Finish().type(), Type::kDouble);
  builder.AppendInt64((int64_t{1} << 53) + 1);
  builder.AppendDouble(0.5);
  const Column mixed = builder.Finish();
  EXPECT_EQ(mixed.type(), Type::kAny);
  EXPECT_EQ(mixed.At(0).as_int64(), (int64_t{1} << 53) + 1);
}

TEST(ColumnBuilder, SharedViewsPointIntoTheGivenBlocks) {
  auto block = Buffer::Allocate(64);
  std::memcpy(block->mutable_data(), "a line that is longer than a view, and tail", 43);
  auto blocks = std::make_shared<const std::vector<BufferRef>>(std::vector<BufferRef>{block});
  ColumnBuilder builder;
  builder.AppendBytes("something of our own, longer than twelve");
  builder.ShareBlocks(blocks);
  builder.AppendShared(block->data(), 20, 0, 0);
  builder.AppendBytes("again something of our own, longer");
  builder.AppendShared(block->data() + 2, 4, 0, 2);
  const Column column = builder.Finish();
  EXPECT_EQ(column.BytesAt(0), "something of our own, longer than twelve");
  EXPECT_EQ(column.BytesAt(1), "a line that is longe");
  EXPECT_EQ(column.BytesAt(1).data(), block->data());
  EXPECT_EQ(column.BytesAt(2), "again something of our own, longer");
  EXPECT_EQ(column.BytesAt(3), "line");
}

TEST(ColumnBuilder, OnlyTheNilsOfAListColumnMakeAListColumn) {
  ColumnBuilder lists;
  lists.Append(Value(std::vector<Value>{Value(1), Value("a")}));
  lists.AppendNull();
  const Column both = lists.Finish();
  ColumnBuilder nils;
  const std::vector<uint32_t> second = {1};
  nils.AppendRows(both, second);
  nils.AppendRows(both, second);
  const Column column = nils.Finish();
  const std::vector<uint32_t> rows = {1, 0, 1};
  const Column gathered = column.Gather(rows);
  ASSERT_EQ(gathered.length(), 3);
  for (int row = 0; row < 3; ++row) EXPECT_TRUE(gathered.At(row).is_null());
}

RC_GTEST_PROP(RowOps, HashAndCompareAgreeWithCells, ()) {
  const auto width = *rc::gen::inRange(1, 3);
  const auto rows = *rc::gen::container<std::vector<Row>>(rc::gen::container<Row>(width, AnyValue()));
  BatchBuilder builder;
  for (const Row& row : rows) builder.AppendRow(row);
  const Batch batch = builder.Finish();
  std::vector<int> columns;
  std::vector<batch::SortKey> keys;
  for (int c = width; c-- > 0;) {
    columns.push_back(c);
    keys.push_back({c, c == 0});
  }
  if (rows.empty()) return;
  std::vector<uint64_t> hashes(rows.size());
  batch::HashRows(batch, columns, hashes);
  const auto a = *rc::gen::inRange<size_t>(0, rows.size()), b = *rc::gen::inRange<size_t>(0, rows.size());
  const bool equal = rows[a] == rows[b];
  RC_ASSERT(batch::RowsEqual(batch, a, columns, batch, b, columns) == equal);
  RC_ASSERT((batch::CompareRows(batch, a, batch, b, keys) == 0) == equal);
  if (equal) RC_ASSERT(hashes[a] == hashes[b]);
}

}  // namespace
}  // namespace glim
