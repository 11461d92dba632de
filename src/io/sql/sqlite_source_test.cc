// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/sql/sql.h"
#include "io/sql/sqlite.h"
#include "io/test_files.h"

namespace glim::io {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

class SqliteSourceTest : public ::testing::Test {
 protected:
  void Do(std::initializer_list<std::string_view> statements) {
    auto database = SqliteDatabase::Open(*env_, path_, SqliteDatabase::Mode::kCreate);
    ASSERT_TRUE(database.ok()) << database.status().message();
    for (const std::string_view statement : statements) {
      const Status status = (*database)->Run(statement);
      ASSERT_TRUE(status.ok()) << status.message();
    }
  }
  std::unique_ptr<Source> Make(const std::string& query, const SqlOptions& options = {}) {
    auto source = MakeSqlSource("sqlite://" + path_, query, options);
    EXPECT_TRUE(source.ok()) << source.status().message();
    return *std::move(source);
  }
  Texts Read(const std::string& query, const SqlOptions& options = {}) {
    auto rows = ReadAll(*env_, *Make(query, options));
    EXPECT_TRUE(rows.ok()) << rows.status().message();
    return *rows;
  }
  std::string Error(const std::string& query, const SqlOptions& options = {}) {
    return ReadAll(*env_, *Make(query, options)).status().message();
  }

  std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  TemporaryFolder folder_{*env_};
  const std::string path_ = folder_.Path("a.db");
};

TEST_F(SqliteSourceTest, ValuesKeepTheirTypes) {
  Do({"create table t(a, b)",
      "insert into t values (1, null), (-9223372036854775808, 2.5), ('x', x'00ff'), ('', x'')"});
  const auto source = Make("select a, b as \"the b\" from t");
  EXPECT_THAT(*source->ColumnNames(*env_), ElementsAre("a", "the b"));
  auto reader = *source->Open(*env_, (*source->MakeSplits(*env_, {}))[0]);
  const Batch batch = **reader->Next();
  ASSERT_EQ(batch.row_count(), 4);
  EXPECT_EQ(batch.RowAt(0), (Row{1, Value()}));
  EXPECT_EQ(batch.RowAt(1), (Row{std::numeric_limits<int64_t>::min(), 2.5}));
  EXPECT_EQ(batch.RowAt(2), (Row{"x", std::string("\0\xff", 2)}));
  EXPECT_EQ(batch.RowAt(3), (Row{"", ""}));
  EXPECT_FALSE((*reader->Next()).has_value());
}

TEST_F(SqliteSourceTest, AnEstimateCountsTheRowsWhereThatIsQuick) {
  Do({"create table t(a)", "insert into t values (2), (1), (null)"});
  EXPECT_EQ(Make("t")->MakeEstimate(*env_).rows, 3);
  EXPECT_EQ(Make("select a from t where a > 1 -- large ones")->MakeEstimate(*env_).rows, 1);
  EXPECT_EQ(Make("none")->MakeEstimate(*env_).rows, std::nullopt);
  // Endless.
  const std::string query = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n";
  EXPECT_EQ(Make(query)->MakeEstimate(*env_).rows, std::nullopt);
}

TEST_F(SqliteSourceTest, ATableOrAQuery) {
  Do({"create table \"my t\"(a)", "insert into \"my t\" values (2), (1)", "create table empty(a)"});
  EXPECT_THAT(Read("\"my t\""), ElementsAre(ElementsAre("2"), ElementsAre("1")));
  EXPECT_THAT(Read("select a from \"my t\" order by a; -- sorted"), ElementsAre(ElementsAre("1"), ElementsAre("2")));
  EXPECT_THAT(Read("empty"), ElementsAre());
  EXPECT_THAT(Read("empty", {.split_by = "a"}), ElementsAre());
}

TEST_F(SqliteSourceTest, LargeResultsComeInBatches) {
  Do({"create table t(a)"});
  const auto rows =
      Read("with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) select i from n");
  ASSERT_EQ(rows.size(), 20000U);
  EXPECT_EQ(rows.back()[0], "20000");
}

TEST_F(SqliteSourceTest, MistakesNameTheDatabaseAndSayWhatIsWrong) {
  Do({"create table t(a, b)", "insert into t values (1, 'x')"});
  EXPECT_EQ(Error("nothing"), "\"sqlite://" + path_ + "\": no such table: nothing");
  EXPECT_THAT(Error("select * fro t"), EndsWith(": near \"fro\": syntax error"));
  EXPECT_THAT(Error("delete from t"), EndsWith(": that gives no rows; a source wants a query"));
  EXPECT_THAT(Error("delete from t returning a"), EndsWith("attempt to write a readonly database"));
  EXPECT_THAT(Error("select 1; select 2"), EndsWith(": these are several statements; write one"));
  EXPECT_THAT(Error("t", {.split_by = "b"}), EndsWith(": split_by needs a column of numbers; b has \"x\""));
  EXPECT_THAT(Error("t", {.split_by = "c"}), EndsWith(": no such column: q.c"));
  const auto error = [&](const std::string& database, const SqlOptions& options = {}) {
    auto source = MakeSqlSource(database, "t", options);
    return source.ok() ? ReadAll(*env_, **source).status().message() : source.status().message();
  };
  EXPECT_EQ(error("sqlite:/nowhere/b.db"), "\"sqlite:/nowhere/b.db\": no such file");
  EXPECT_EQ(error("sqlite:" + folder_.path()), "\"sqlite:" + folder_.path() + "\": it is a folder");
  EXPECT_THAT(error("sqlite:" + folder_.Write("c.db", std::string(4096, 'x'))), HasSubstr("file is not a database"));
  EXPECT_THAT(error("mysql://ann:secret@host/shop"), HasSubstr("\"mysql://ann:***@host/shop\" is no address"));
  EXPECT_THAT(error("sqlite:"), HasSubstr("is no address"));
  EXPECT_THAT(error("sqlite:a.db", {.splits = 0}), HasSubstr("there can be 1 to 1000 splits, not 0"));
}

TEST_F(SqliteSourceTest, AFileThatIsDamagedIsAnError) {
  Do({"create table t(a)",
      "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)"
      " insert into t select 'row ' || i from n"});
  std::string bytes = ReadWhole(*env_, path_);
  for (size_t page = 1; page < bytes.size() / 4096; page += 3) bytes.replace(page * 4096, 64, 64, '\xff');
  folder_.Write("a.db", bytes);
  const Status status = ReadAll(*env_, *Make("t")).status();
  EXPECT_EQ(status.code(), Code::kCorrupt);
  EXPECT_THAT(status.message(), EndsWith("database disk image is malformed"));
}

TEST_F(SqliteSourceTest, AChangeBetweenTwoRangesIsAnError) {
  for (const std::string_view journal : {"pragma journal_mode = delete", "pragma journal_mode = wal"}) {
    Do({"drop table if exists t", journal, "create table t(a)", "insert into t values (1), (2), (3), (null)"});
    const auto source = Make("t", {.split_by = "a", .splits = 3});
    const auto splits = *source->MakeSplits(*env_, {});
    ASSERT_EQ(splits.size(), 3U);
    for (int i = 0; i < 2; ++i) {
      const auto reader = source->Open(*env_, splits[i]);
      ASSERT_TRUE(reader.ok()) << reader.status().message();
      EXPECT_EQ((**(*reader)->Next()).row_count(), i == 0 ? 2 : 1);
    }
    Do({"insert into t values (4)"});
    const Status third = source->Open(*env_, splits[2]).status();
    EXPECT_EQ(third.code(), Code::kUnavailable);
    EXPECT_THAT(third.message(), HasSubstr("somebody changed the database while its ranges were read"));
  }
}

}  // namespace
}  // namespace glim::io
