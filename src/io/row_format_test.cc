// SPDX-License-Identifier: Apache-2.0
#include "io/row_format.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <charconv>
#include <fstream>
#include <string>

#include "glim/batch_builder.h"
#include "io/literal_test.h"

namespace glim::io {
namespace {

Batch OneRow(const Row& row) {
  BatchBuilder builder;
  builder.AppendRow(row);
  return builder.Finish();
}

// What a line of testdata/printf.txt says: the text, or `error: ` and the message.
std::string Answer(std::string_view format, const Row& row) {
  const Result<RowFormat> parsed = RowFormat::Parse(format);
  if (!parsed.ok()) return "error: " + parsed.status().message();
  std::string out = "kept";
  const Status status = parsed->Append(OneRow(row), 0, &out);
  if (!status.ok()) return (out == "kept" ? "error: " : "error and output changed: ") + status.message();
  return QuoteLiteral(std::string_view(out).substr(4));
}

TEST(RowFormat, PrintsWhatTheTableSays) {
  const std::string path = std::string(GLIM_SOURCE_DIR) + "/src/io/testdata/printf.txt";
  std::ifstream file(path);
  ASSERT_TRUE(file) << path;
  int count = 0, number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.empty() || line.starts_with('#')) continue;
    const size_t arrow = line.find(" => ");
    ASSERT_NE(arrow, std::string::npos) << path << ":" << number;
    std::string_view call(line.data(), arrow);
    Row row = ReadLiterals(&call);
    ASSERT_TRUE(call.empty() && !row.empty()) << path << ":" << number;
    const std::string format(row[0].as_bytes());
    row.erase(row.begin());
    EXPECT_EQ(Answer(format, row), line.substr(arrow + 4)) << path << ":" << number << ": " << line;
    ++count;
  }
  EXPECT_GT(count, 1000);
}

// A column of one kind, or of all kinds, cut from a longer one.
Column AnyColumn(int64_t rows) {
  const int kind = *rc::gen::inRange(0, 5);
  ColumnBuilder builder;
  for (int64_t i = 0; i < rows + 3; ++i) {
    const int value_kind = kind < 4 ? kind : *rc::gen::inRange(0, 4);
    if (value_kind == 0) builder.AppendInt64(*rc::gen::arbitrary<int64_t>());
    if (value_kind == 1) builder.AppendBytes(*rc::gen::arbitrary<std::string>());
    if (value_kind == 2) builder.AppendDouble(*rc::gen::arbitrary<double>());
    if (value_kind == 3 && *rc::gen::inRange(0, 4) == 0) {
      builder.AppendNull();
    } else if (value_kind == 3) {
      builder.AppendBytes(std::string(*rc::gen::inRange(0, 40), 'x'));
    }
  }
  return builder.Finish().Slice(*rc::gen::inRange(0, 4), rows);
}

RC_GTEST_PROP(RowFormat, ABatchIsPrintedAsItsRowsOneByOne, ()) {
  const int64_t rows = *rc::gen::inRange(0, 20);
  const int width = *rc::gen::inRange(0, 5);
  std::string text = *rc::gen::element<std::string>("", "(", "%%");
  std::vector<Column> columns;
  for (int i = 0; i < width; ++i) {
    text += *rc::gen::element<std::string>("%s", "%v", "%d", "%5v|", "%s\t", "%q,", "%d and then ");
    columns.push_back(AnyColumn(rows));
  }
  const RowFormat format = RowFormat::Parse(text).value();
  const Batch batch(std::move(columns), rows);
  std::string at_once = "before", one_by_one = "before";
  const Status batch_status = format.AppendBatch(batch, &at_once);
  Status row_status;
  for (int64_t row = 0; row < rows && row_status.ok(); ++row) row_status = format.Append(batch, row, &one_by_one);
  RC_ASSERT(at_once == one_by_one);
  RC_ASSERT(batch_status.message() == row_status.message());
}

RC_GTEST_PROP(RowFormat, AnyBytesAreAFormatOrAnError, ()) {
  const std::string text = *rc::gen::container<std::string>(
      rc::gen::element('%', '%', '5', '.', '-', '#', ' ', '0', '+', 'd', 's', 'q', 'g', 'x', 'X', 'z', '\0', '\xff'));
  const Result<RowFormat> format = RowFormat::Parse(text);
  if (!format.ok()) {
    RC_ASSERT(format.status().code() == Code::kInvalid);
    return;
  }
  Row row;
  for (int i = 0; i < format->width(); ++i) {
    row.push_back(*rc::gen::element<Value>(Value(-7), Value(2.5), Value("\xe4x\n"), Value(), Value(true), Value("12")));
  }
  std::string out;
  if (format->width() > 0) (void)format->Append(OneRow(row), 0, &out).ok();
}

RC_GTEST_PROP(RowFormat, QuotedBytesReadBackAsTheyWere, ()) {
  const auto bytes = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
  std::string out;
  RC_ASSERT(AppendCell({.letter = 'q', .plus = true}, Cell::Bytes(bytes), &out).ok());
  for (const char c : out) RC_ASSERT(c >= 0x20 && c < 0x7f);
  // %x is the plain form of the same promise.
  std::string hex, back;
  RC_ASSERT(AppendCell({.letter = 'x'}, Cell::Bytes(bytes), &hex).ok());
  for (size_t i = 0; i < hex.size(); i += 2) back += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  RC_ASSERT(back == bytes);
}

RC_GTEST_PROP(RowFormat, IntegersPrintAsInC, (int64_t value)) {
  const std::string flags = *rc::gen::element<std::string>("", "-", "+", " ", "0", "+0", "-+", " 0");
  const std::string width = *rc::gen::element<std::string>("", "1", "8", "25");
  const std::string precision = *rc::gen::element<std::string>("", ".0", ".5", ".30");
  const std::string options = flags + width + precision;
  char expected[100];
  std::snprintf(expected, sizeof(expected), ("%" + options + "lld").c_str(), static_cast<long long>(value));
  // In Go a zero printed with precision 0 has no sign either.
  RC_PRE(value != 0 || precision != ".0");
  std::string out;
  RC_ASSERT(RowFormat::Parse("%" + options + "d")->Append(OneRow({Value(value)}), 0, &out).ok());
  RC_ASSERT(out == expected);
}

TEST(RowFormat, OfAnEmptyBatchPrintsNothing) {
  std::string out;
  const RowFormat format = RowFormat::Parse("%s\n").value();
  EXPECT_TRUE(format.AppendBatch(Batch({Column::Nulls(0)}, 0), &out).ok());
  EXPECT_EQ(out, "");
}

}  // namespace
}  // namespace glim::io
