// SPDX-License-Identifier: Apache-2.0
#include "io/fixed_width_source.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "io/test_files.h"

namespace glim::io {
namespace {

TEST(FixedWidth, RecordsAreCutWhateverTheSplits) {
  auto env = env::MakePosixEnv();
  TemporaryFolder folder(*env);
  EXPECT_TRUE(rc::check("random records", [&] {
    const std::vector<int> widths{*rc::gen::inRange(1, 5), *rc::gen::inRange(1, 40)};
    const int records = *rc::gen::inRange(0, 100);
    std::string bytes;
    Texts wanted;
    for (int i = 0; i < records; ++i) {
      wanted.push_back(
          {std::string(widths[0], static_cast<char>(i)), std::string(widths[1], static_cast<char>('\n' + i))});
      bytes += wanted.back()[0] + wanted.back()[1];
    }
    const std::string path = folder.Write("a.bin", bytes);
    const auto source = MakeFixedWidthSource(FixedWidth(path, widths));
    RC_ASSERT(*ReadAll(*env, *source) == wanted);
    RC_ASSERT(*ReadAll(*env, *source, *rc::gen::inRange(1, 300)) == wanted);
    RC_ASSERT(*ReadAll(*env, *source, 4 << 20, /*in_sequence=*/true) == wanted);
  }));
}

TEST(FixedWidth, ManyRecordsCrossBlocks) {
  auto env = env::MakePosixEnv();
  TemporaryFolder folder(*env);
  std::string bytes;
  Texts wanted;
  for (int i = 0; i < 40000; ++i) {
    std::string record(100, static_cast<char>(i % 251));
    record.replace(0, 5, std::to_string(10000 + i));
    wanted.push_back({record});
    bytes += record;
  }
  const auto rows = ReadAll(*env, *MakeFixedWidthSource(FixedWidth(folder.Write("a", bytes), 100)), 1 << 20);
  ASSERT_TRUE(rows.ok());
  EXPECT_TRUE(*rows == wanted);
}

TEST(FixedWidth, MistakesAreNamed) {
  auto env = env::MakePosixEnv();
  TemporaryFolder folder(*env);
  const std::string path = folder.Write("a.bin", std::string(25, 'x'));
  for (const int64_t split_bytes : {1, 20, 1000}) {
    EXPECT_EQ(ReadAll(*env, *MakeFixedWidthSource(FixedWidth(path, 10)), split_bytes).status().message(),
              "\"" + path + "\": the file ends at byte 25, within a record of 10 bytes");
  }
  EXPECT_FALSE(ReadAll(*env, *MakeFixedWidthSource(FixedWidth(path, 0))).ok());
  EXPECT_FALSE(ReadAll(*env, *MakeFixedWidthSource(FixedWidth(path, std::vector<int>{}))).ok());
}

}  // namespace
}  // namespace glim::io
