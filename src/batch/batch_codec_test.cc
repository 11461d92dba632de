// SPDX-License-Identifier: Apache-2.0
#include "batch/batch_codec.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>

#include "batch/any_value_test.h"
#include "glim/batch_builder.h"

namespace glim::batch {
namespace {

BufferRef BufferOf(std::string_view bytes) {
  auto buffer = Buffer::Allocate(bytes.size());
  std::copy(bytes.begin(), bytes.end(), buffer->mutable_data());
  return buffer;
}

// Not only equal: of the same type, and a double of the same bits.
bool Identical(const Cell& a, const Cell& b) {
  if (a.type() != b.type()) return false;
  if (a.type() == Type::kDouble) return std::bit_cast<int64_t>(a.as_double()) == std::bit_cast<int64_t>(b.as_double());
  if (a.type() != Type::kList) return a == b;
  if (a.list_size() != b.list_size()) return false;
  for (int64_t i = 0; i < a.list_size(); ++i) {
    if (!Identical(a.list_element(i), b.list_element(i))) return false;
  }
  return true;
}

// A column of one type more often than one of many.
Column SomeColumn(int64_t rows) {
  ColumnBuilder builder;
  const auto kind = *rc::gen::inRange(0, 7);
  for (int64_t row = 0; row < rows; ++row) {
    if (kind != 0 && *rc::gen::inRange(0, 5) == 0) {
      builder.AppendNull();
      continue;
    }
    switch (kind) {
      case 0: builder.AppendDouble(*rc::gen::arbitrary<double>()); break;
      case 1: builder.AppendInt64(*rc::gen::arbitrary<int64_t>()); break;
      case 2: builder.AppendBool(*rc::gen::arbitrary<bool>()); break;
      case 3: builder.AppendBytes(std::string(*rc::gen::inRange(0, 30), 'x')); break;
      case 4:
        builder.Append(Value(*rc::gen::container<std::vector<Value>>(*rc::gen::inRange(0, 4), AnyValue(1))));
        break;
      case 5: builder.AppendNull(); break;
      default: builder.Append(*AnyValue()); break;
    }
  }
  return builder.Finish();
}

Batch SomeBatch() {
  const auto rows = *rc::gen::inRange<int64_t>(0, 40);
  std::vector<Column> columns;
  for (int c = *rc::gen::inRange(0, 4); c > 0; --c) columns.push_back(SomeColumn(rows));
  Batch batch(std::move(columns), rows);
  if (*rc::gen::arbitrary<bool>()) {
    const auto begin = *rc::gen::inRange<int64_t>(0, rows + 1);
    batch = batch.Slice(begin, *rc::gen::inRange<int64_t>(0, rows - begin + 1));
  }
  if (batch.row_count() > 0 && *rc::gen::arbitrary<bool>()) {
    batch = batch.Gather(*rc::gen::container<std::vector<uint32_t>>(
        rc::gen::inRange<uint32_t>(0, static_cast<uint32_t>(batch.row_count()))));
  }
  return batch;
}

RC_GTEST_PROP(BatchCodec, GivesBackWhatWasWritten, ()) {
  const Batch batch = SomeBatch();
  std::string bytes(*rc::gen::element<size_t>(0, 1, 8), 'x');
  const size_t begin = bytes.size();
  EncodeBatch(batch, &bytes);
  const auto decoded = DecodeBatch(BufferOf(bytes), begin);
  if (!decoded.ok()) RC_FAIL(decoded.status().message());
  RC_ASSERT(decoded->row_count() == batch.row_count());
  RC_ASSERT(decoded->column_count() == batch.column_count());
  for (int c = 0; c < batch.column_count(); ++c) {
    RC_ASSERT(decoded->column(c).type() == batch.column(c).type());
    for (int64_t row = 0; row < batch.row_count(); ++row) {
      RC_ASSERT(Identical(decoded->At(row, c), batch.At(row, c)));
    }
  }
}

// Read, so that a value outside of the bytes is seen by the sanitizers.
RC_GTEST_PROP(BatchCodec, DamagedBytesAreAnErrorOrSomeBatch, ()) {
  std::string bytes;
  EncodeBatch(SomeBatch(), &bytes);
  const auto at = *rc::gen::inRange<size_t>(0, bytes.size());
  switch (*rc::gen::inRange(0, 3)) {
    case 0: bytes.resize(at); break;
    case 1: bytes[at] = *rc::gen::arbitrary<char>(); break;
    default: bytes.insert(at, *rc::gen::container<std::string>(rc::gen::arbitrary<char>())); break;
  }
  const auto decoded = DecodeBatch(BufferOf(bytes));
  if (!decoded.ok()) {
    RC_ASSERT(decoded.status().code() == Code::kCorrupt);
    return;
  }
  for (int64_t row = 0; row < std::min<int64_t>(decoded->row_count(), 1000); ++row) decoded->RowToDebugString(row);
}

TEST(BatchCodec, EveryCutIsAnError) {
  BatchBuilder builder;
  builder.AppendRow(
      {Value("a long text, no inline one"), Value(4), Value(4.5), Value(), Value(std::vector<Value>{1, "x"})});
  builder.AppendRow({Value(true), Value("four"), Value(), Value(), Value(std::vector<Value>{})});
  std::string bytes;
  EncodeBatch(builder.Finish(), &bytes);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(DecodeBatch(BufferOf(bytes.substr(0, size))).status().code(), Code::kCorrupt) << size;
  }
  EXPECT_TRUE(DecodeBatch(BufferOf(bytes)).ok());
  EXPECT_EQ(DecodeBatch(BufferOf(bytes + "x")).status().message(), "damaged batch: bytes behind it");
}

}  // namespace
}  // namespace glim::batch
