// SPDX-License-Identifier: Apache-2.0
#include "io/sql/postgres_rows.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>

namespace glim::io {
namespace {

constexpr uint32_t kBool = 16, kInt8 = 20, kFloat4 = 700, kFloat8 = 701, kText = 25;

Result<Row> Decode(std::vector<uint32_t> types, std::string_view row) {
  BatchBuilder rows(static_cast<int>(types.size()));
  PostgresRowDecoder decoder(std::move(types));
  if (Status status = decoder.Decode(row, &rows); !status.ok()) return status;
  return rows.Finish().RowAt(0);
}

TEST(PostgresRows, FieldsHaveTheTypesOfTheirColumns) {
  EXPECT_EQ(*Decode({kInt8, kBool, kFloat8, kText}, "-9223372036854775808\tt\t1e-300\ta b"),
            (Row{std::numeric_limits<int64_t>::min(), true, 1e-300, "a b"}));
  EXPECT_EQ(*Decode({kText, kText, kText}, "\\N\t\t\\\\N"), (Row{Value(), "", "\\N"}));
  EXPECT_EQ(*Decode({kText}, "\\b\\f\\n\\r\\t\\v\\\\x"), (Row{"\b\f\n\r\t\v\\x"}));
  EXPECT_EQ(*Decode({kFloat4, kFloat8}, "0.1\t-Infinity"),
            (Row{static_cast<double>(0.1F), -std::numeric_limits<double>::infinity()}));
  EXPECT_EQ(*Decode({kPostgresBytea, kPostgresBytea}, "\\\\x00ff\t\\\\x"), (Row{std::string("\0\xff", 2), ""}));
}

TEST(PostgresRows, WhatMakesNoSenseIsAnError) {
  const auto corrupt = [](std::vector<uint32_t> types, std::string_view row) {
    EXPECT_EQ(Decode(std::move(types), row).status().code(), Code::kCorrupt) << row;
  };
  corrupt({kText}, "a\tb");
  corrupt({kText, kText}, "a");
  corrupt({kText, kText}, "");
  corrupt({kInt8}, "");
  corrupt({kInt8}, "12x");
  corrupt({kInt8}, "9223372036854775808");
  corrupt({kBool}, "true");
  corrupt({kFloat8}, "1,5");
  corrupt({kFloat4}, "one");
  for (const char* bytes : {"", "00", "\\\\x0", "\\\\x0g", "\\\\y00", "\\x00"}) corrupt({kPostgresBytea}, bytes);
  EXPECT_EQ(*Decode({kText}, "a\\"), (Row{"a\\"}));
}

RC_GTEST_PROP(PostgresRows, WhatIsWrittenIsRead, (const std::string& text, int64_t whole, double number)) {
  std::string row;
  AppendPostgresValue(Cell::Bytes(text), false, &row);
  row += '\t';
  AppendPostgresValue(Cell::Bytes(text), true, &row);
  row += '\t';
  AppendPostgresValue(Cell::Int64(whole), false, &row);
  row += '\t';
  AppendPostgresValue(Cell::Double(number), false, &row);
  row += '\t';
  AppendPostgresValue(Cell(), true, &row);
  const auto read = Decode({kText, kPostgresBytea, kInt8, kFloat8, kText}, row);
  RC_ASSERT(read.status().message() == "");
  RC_ASSERT(*read == (Row{text, text, whole, number, Value()}));
}

RC_GTEST_PROP(PostgresRows, NoBytesDoHarm, (const std::string& row)) {
  const auto types = *rc::gen::container<std::vector<uint32_t>>(
      rc::gen::element(kBool, kInt8, kFloat4, kFloat8, kText, kPostgresBytea));
  if (types.empty()) return;
  std::string line = row;
  for (size_t i = 1; i < types.size() && i < line.size(); ++i) line[i * line.size() / types.size()] = '\t';
  static_cast<void>(Decode(types, line));
}

}  // namespace
}  // namespace glim::io
