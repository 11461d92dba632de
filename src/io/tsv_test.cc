// SPDX-License-Identifier: Apache-2.0
#include "io/tsv.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "glim/batch_builder.h"
#include "io/test_files.h"

namespace glim::io {
namespace {

std::vector<std::string> SplitAt(std::string_view text, char delimiter) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] != delimiter) continue;
    parts.emplace_back(text.substr(begin, i - begin));
    begin = i + 1;
  }
  return parts;
}

Texts Oracle(std::string_view bytes) {
  Texts rows;
  auto lines = SplitAt(bytes, '\n');
  if (lines.back().empty()) lines.pop_back();
  for (const std::string& line : lines) rows.push_back(SplitAt(line, '\t'));
  return rows;
}

// Feeds the bytes in chunks of the sizes that `next_size` gives; all batches are looked at when the chunks are gone.
template <class NextSize>
Texts ReadInChunks(std::string_view bytes, NextSize next_size) {
  TsvReader reader;
  std::vector<Batch> batches;
  const auto take = [&] {
    while (auto batch = reader.Next()) batches.push_back(*std::move(batch));
  };
  while (!bytes.empty()) {
    const size_t size = std::min<size_t>(next_size(), bytes.size());
    EXPECT_TRUE(reader.Feed(bytes.substr(0, size)).ok());
    bytes.remove_prefix(size);
    take();
  }
  EXPECT_TRUE(reader.Finish().ok());
  take();
  Texts rows;
  for (const Batch& batch : batches) {
    EXPECT_LE(batch.row_count(), 4096);
    AppendTexts(batch, &rows);
  }
  return rows;
}

RC_GTEST_PROP(TsvReader, AnyChunksGiveTheSameRows, ()) {
  std::string bytes;
  const int pieces = *rc::gen::inRange(0, 80);
  for (int i = 0; i < pieces; ++i) {
    bytes +=
        *rc::gen::element<std::string>("\n", "\t", "a", "\tb\n", "a field that is long", std::string("\0", 1), "\r\n");
  }
  const size_t size_max = *rc::gen::element<size_t>(2, 10, 100, 1000);
  const Texts rows = ReadInChunks(bytes, [&] { return *rc::gen::inRange<size_t>(1, size_max + 1); });
  RC_ASSERT(rows == Oracle(bytes));
}

TEST(TsvReader, ManyRowsAndALongLine) {
  std::string bytes;
  for (int i = 0; i < 20000; ++i) bytes += std::to_string(i) + "\tand a longer field\t\n";
  bytes += std::string(3 << 20, 'x') + "\ty";
  EXPECT_TRUE(ReadInChunks(bytes, [] { return 64 << 10; }) == Oracle(bytes));
  EXPECT_TRUE(ReadInChunks(bytes, [] { return 1 << 30; }) == Oracle(bytes));
}

Batch OneColumnBatch(const std::vector<Value>& values) {
  BatchBuilder builder(1);
  for (const Value& value : values) builder.AppendRow({value});
  return builder.Finish();
}

// What lies in place is what would be appended, and only where it must not be put together.
TEST(TsvInPlace, LinesOfABlockLieAsTheyAreWritten) {
  const std::string text = "a\n\na line that is not short\nshort\nanother line that is long\nno end";
  TsvReader reader(true);
  ASSERT_TRUE(reader.Feed(text).ok());
  const Batch lines = *reader.Next();
  ASSERT_EQ(lines.row_count(), 5);
  EXPECT_EQ(TsvInPlace(lines), text.substr(0, text.size() - 6));
  for (int64_t begin = 0; begin < 5; ++begin) {
    for (int64_t count = 1; begin + count <= 5; ++count) {
      const Batch some = lines.Slice(begin, count);
      std::string appended;
      ASSERT_TRUE(AppendTsv(some, &appended).ok());
      const auto in_place = TsvInPlace(some);
      // Short ones alone do not tell where they lie.
      EXPECT_EQ(in_place.has_value(), (begin <= 2 && begin + count > 2) || begin + count == 5) << begin << " " << count;
      if (in_place.has_value()) {
        EXPECT_EQ(*in_place, appended);
      }
    }
  }
}

TEST(TsvInPlace, OtherRowsDoNot) {
  const std::string text = "a line that is not short\nshort\nanother line that is long\nsame\nthe last line is long";
  TsvReader reader(true);
  ASSERT_TRUE(reader.Feed(text).ok());
  const Batch lines = *reader.Next();
  const auto gathered = [&](std::vector<uint32_t> rows) { return lines.Gather(rows); };
  EXPECT_TRUE(TsvInPlace(gathered({0, 1, 2})).has_value());
  EXPECT_FALSE(TsvInPlace(gathered({0, 2})).has_value());
  EXPECT_FALSE(TsvInPlace(gathered({2, 0})).has_value());
  EXPECT_FALSE(TsvInPlace(gathered({0, 3})).has_value());
  EXPECT_FALSE(TsvInPlace(gathered({3, 2})).has_value());
  EXPECT_FALSE(TsvInPlace(gathered({1, 0})).has_value());
  EXPECT_FALSE(TsvInPlace(Batch(std::vector<Column>{lines.column(0), lines.column(0)}, lines.row_count())).has_value());
  EXPECT_FALSE(TsvInPlace(Batch()).has_value());
  EXPECT_FALSE(TsvInPlace(OneColumnBatch({Value(), "x"})).has_value());
  // Behind the last line of the block there is nothing.
  ASSERT_TRUE(reader.Finish().ok());
  EXPECT_FALSE(TsvInPlace(*reader.Next()).has_value());
  // With tabs between fields or \r before the end of a line.
  for (const bool whole_lines : {false, true}) {
    TsvReader other(whole_lines);
    ASSERT_TRUE(other.Feed("a line that is not short\tits second field\n").ok());
    EXPECT_EQ(TsvInPlace(*other.Next()).has_value(), whole_lines);
  }
}

TEST(AppendTsv, ValuesArePrintedAndJoinedByTabs) {
  BatchBuilder builder(4);
  builder.AppendRow({"a b", 4, 4.5, Value()});
  builder.AppendRow({"", -1, 4.0, Value(true)});
  std::string out;
  ASSERT_TRUE(AppendTsv(builder.Finish(), &out).ok());
  EXPECT_EQ(out, "a b\t4\t4.5\t\n\t-1\t4\ttrue\n");
  out.clear();
  ASSERT_TRUE(AppendTsv(OneColumnBatch({Value(), "x"}), "nil", &out).ok());
  EXPECT_EQ(out, "nil\nx\n");
  out.clear();
  ASSERT_TRUE(AppendTsv(OneColumnBatch({"x", "y"}), "nil", &out).ok());
  EXPECT_EQ(out, "x\ny\n");
  out.clear();
  ASSERT_TRUE(AppendTsv(Batch({}, 2), &out).ok());
  EXPECT_EQ(out, "\n\n");
}

}  // namespace
}  // namespace glim::io
