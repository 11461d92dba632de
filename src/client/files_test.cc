// SPDX-License-Identifier: Apache-2.0
//
// Sources and sinks of files as a C++ program sees them; tests/io_test.py has them for scripts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/env.h"
#include "glim/glim.h"

namespace glim {
namespace {

using ::testing::HasSubstr;

class Files : public ::testing::Test {
 protected:
  ~Files() override { EXPECT_TRUE(env_->files().RemoveAll(folder_).ok()); }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  static std::string Text(const Dataset& data) {
    std::string text;
    const Status status = data.OutputRow([&](const Row& row) {
                                for (const Value& value : row) text += value.ToString() + "|";
                                return Status::Ok();
                              })
                              .Run();
    return status.ok() ? text : status.message();
  }

  std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  const std::string folder_ = *env_->files().MakeTemporaryFolder("files_test");
};

TEST_F(Files, RowsGoOutAndComeBack) {
  const std::vector<Row> rows{{"a,b", 1, Value()}, {"c\n", 2, "x"}};
  Flow out;
  const Dataset data = out.Rows(rows);
  data.WriteCsv(Path("a.csv.zst"), {.header = {"t", "n", "x"}, .null = "NULL"});
  data.WriteTsv(Path("a.tsv"));
  data.WriteJsonLines(Path("a.jsonl"), {"t", "n", "x"});
  data.Select(1).WriteBinary(Path("a.bin"));
  data.WriteText(Path("parts"), {.per_partition = true, .compression = "gz"});
  ASSERT_EQ(out.Run().message(), "");

  Flow in;
  EXPECT_EQ(Text(in.Input(Csv(Path("a.csv.zst"), {.header = true, .null = "NULL", .columns = {"x", 1}}))),
            "nil|a,b|x|c\n|");
  EXPECT_EQ(Text(in.Input(Tsv(Path("a.tsv"), {.null = ""}))), "a,b|1|nil|c\n|2|x|");
  EXPECT_EQ(Text(in.Input(JsonLines(Path("a.jsonl"), {.columns = {"n", "x", "t"}}))), "1|nil|a,b|2|x|c\n|");
  EXPECT_EQ(Text(in.Input(FixedWidth(Path("a.bin"), 5))), "a,bc\n|");
  EXPECT_EQ(Text(in.TextFile(Path("parts"), {.strip_cr = true}).Limit(1)), "a,b\t1\tnil|");
}

TEST_F(Files, PipeOutGivesLinesToAWriter) {
  std::string bytes;
  Flow flow;
  flow.Rows({{"a", Value(), 2}, {"b", 1.5, true}}).PipeOut([&](std::string_view piece) {
    bytes += piece;
    return Status::Ok();
  });
  ASSERT_TRUE(flow.Run().ok());
  EXPECT_EQ(bytes, "a\t\t2\nb\t1.5\ttrue\n");

  Flow failing;
  failing.Ints({1}).PipeOut([](std::string_view) { return Status::Unavailable("closed"); });
  EXPECT_EQ(failing.Run().message(), "PipeOut: closed");
}

TEST_F(Files, GenerateCallsAFunctionPerPart) {
  Flow flow;
  EXPECT_EQ(Text(flow.Generate([](int64_t part, Emitter& out) { out(part, part * part); }, 3).Sort()), "0|0|1|1|2|4|");
  EXPECT_EQ(Text(flow.Generate([](int64_t, Emitter& out) {
                       for (int64_t i = 0; !out.full(); ++i) out(i);
                     })
                     .Limit(2)),
            "0|1|");
  Flow wrong;
  EXPECT_THAT(wrong.Generate([](int64_t, Emitter&) {}, 0).Run().message(), HasSubstr("at least one"));
}

}  // namespace
}  // namespace glim
