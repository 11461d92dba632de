// SPDX-License-Identifier: Apache-2.0
#include "io/row_format.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <charconv>
#include <fstream>
#include <string>

#include "glim/batch_builder.h"
#include "io/literal_for_test.h"

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

}  // namespace
}  // namespace glim::io
