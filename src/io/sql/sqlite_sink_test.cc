// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "glim/batch_builder.h"
#include "io/sql/sql.h"
#include "io/sql/sqlite.h"
#include "io/test_files.h"

namespace glim::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class SqliteSinkTest : public ::testing::Test {
 protected:
  static Batch Rows(const std::vector<Row>& rows) {
    BatchBuilder builder;
    for (const Row& row : rows) builder.AppendRow(row);
    return builder.Finish();
  }
  std::string Write(const std::vector<std::vector<Row>>& batches, const SqlWriteOptions& options = {},
                    const std::string& table = "t", const std::vector<std::string>& names = {"a", "b"}) {
    auto sink = *MakeSqlSink(database_, table, options, names);
    Status status = sink->Open(*env_);
    for (const auto& rows : batches) {
      if (status.ok()) status = sink->WriteBatch(Rows(rows));
    }
    if (status.ok()) {
      status = sink->Finish();
    } else {
      sink->Abort();
    }
    return status.message();
  }
  // What a query gives, or its error.
  Texts Read(const std::string& query) {
    auto rows = ReadAll(*env_, **MakeSqlSource(database_, query, {}));
    return rows.ok() ? *rows : Texts{{rows.status().message()}};
  }
  std::string Schema(const std::string& table = "t") {
    return Read("select sql from sqlite_master where name = '" + table + "'")[0][0];
  }
  std::string Types() {
    std::string types;
    for (const auto& row : Read("select distinct typeof(a), typeof(b) from t")) types += row[0] + " " + row[1] + "|";
    return types;
  }
  std::vector<std::string> Files() {
    std::vector<std::string> names;
    for (const auto& entry : *env_->files().List(folder_.path())) names.push_back(entry.name);
    return names;
  }

  std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  TemporaryFolder folder_{*env_};
  const std::string database_ = "sqlite:" + folder_.Path("a.db");
  const std::string where_ = "\"" + database_ + "\": ";
};

TEST_F(SqliteSinkTest, ANewTableHasTheTypesOfItsValues) {
  EXPECT_EQ(Write({{{1, "x"}, {Value(), ""}}, {{-7, Value()}}}), "");
  EXPECT_EQ(Schema(), "CREATE TABLE \"t\" (\"a\" integer, \"b\" text)");
  EXPECT_THAT(Read("t"), ElementsAre(ElementsAre("1", "x"), ElementsAre("nil", ""), ElementsAre("-7", "nil")));
  EXPECT_EQ(Write({{{2.5, true}}}, {}, "u"), "");
  EXPECT_EQ(Schema("u"), "CREATE TABLE \"u\" (\"a\" real, \"b\" boolean)");
  EXPECT_EQ(Write({}, {}, "main.none"), "");
  EXPECT_EQ(Schema("none"), "CREATE TABLE \"none\" (\"a\" , \"b\" )");
  EXPECT_THAT(Files(), ElementsAre("a.db"));
}

TEST_F(SqliteSinkTest, ATableIsWidenedWhenAValueWantsIt) {
  EXPECT_EQ(Write({{{1, 1}}, {{2, Value()}}, {{2.5, "12"}}, {{3, true}}}), "");
  EXPECT_EQ(Schema(), "CREATE TABLE \"t\" (\"a\" real, \"b\" )");
  EXPECT_THAT(Read("t"), ElementsAre(ElementsAre("1", "1"), ElementsAre("2", "nil"), ElementsAre("2.5", "12"),
                                     ElementsAre("3", "1")));
  EXPECT_EQ(Types(), "real integer|real null|real text|");
  const int64_t large = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(Write({{{large, Value()}}, {{0.5, "x"}}}, {.mode = SqlMode::kReplace}), "");
  EXPECT_THAT(Read("t"), ElementsAre(ElementsAre("9223372036854775807", "nil"), ElementsAre("0.5", "x")));
}

TEST_F(SqliteSinkTest, NamesMayBeAnything) {
  const SqlWriteOptions options{.columns = {"select \"", "; drop table t"}};
  EXPECT_EQ(Write({{{1, 2}}}, options, "\"my \"\"t\"\"\""), "");
  EXPECT_THAT(Read("select \"select \"\"\", \"; drop table t\" from \"my \"\"t\"\"\""),
              ElementsAre(ElementsAre("1", "2")));
  EXPECT_EQ(Write({}, {.columns = {"a", "a"}}), where_ + "two columns are called \"a\"");
  EXPECT_EQ(Write({}, {.columns = {"a", ""}}), where_ + "column 2 needs a name");
  EXPECT_EQ(Write({}, {}, "t", {}), where_ + "the rows have no names here; name them with As, or give `columns`");
  EXPECT_EQ(Write({}, {}, "t."), where_ + "\"t.\" is not the name of a table");
}

TEST_F(SqliteSinkTest, CreateAppendReplace) {
  EXPECT_EQ(Write({{{1, "x"}}}, {.mode = SqlMode::kAppend}), where_ + "no such file");
  EXPECT_EQ(Write({{{1, "x"}}}), "");
  EXPECT_EQ(Write({{{1, "x"}}}), where_ + "the table t is there already; say mode \"append\" or \"replace\"");
  EXPECT_EQ(Write({{{"y", 2}}}, {.mode = SqlMode::kAppend, .columns = {"b", "a"}}), "");
  EXPECT_EQ(Write({{{3, "z"}}}, {.mode = SqlMode::kAppend}, "t", {}), "");
  EXPECT_THAT(Read("t"), ElementsAre(ElementsAre("1", "x"), ElementsAre("2", "y"), ElementsAre("3", "z")));
  EXPECT_EQ(Write({{{4, "z"}}}, {.mode = SqlMode::kAppend}, "u"), where_ + "no such table: u");
  EXPECT_EQ(Write({{{4, "z"}}}, {.mode = SqlMode::kAppend}, "t", {"a", "c"}), where_ + "no such column: t.c");
  EXPECT_EQ(Write({{{5, "new"}}}, {.mode = SqlMode::kReplace, .types = {"integer primary key", ""}}), "");
  EXPECT_EQ(Schema(), "CREATE TABLE \"t\" (\"a\" integer primary key, \"b\" text)");
  EXPECT_THAT(Read("t"), ElementsAre(ElementsAre("5", "new")));
}

TEST_F(SqliteSinkTest, BytesThatAreNoTextNeedABlob) {
  const std::string bytes("\0\xff", 2);
  EXPECT_EQ(Write({{{1, "x"}, {2, bytes}}}),
            where_ + "row 2 (2, \"\\x00\xff\"): \"\\x00\xff\" is no text; the column b must have the type blob");
  EXPECT_THAT(Files(), ElementsAre());
  EXPECT_EQ(Write({{{1, bytes}}}, {.types = {"", "BLOB not null"}}), "");
  EXPECT_EQ(Write({{{2, "x"}}}, {.mode = SqlMode::kAppend}), "");
  EXPECT_EQ(Types(), "integer blob|");
}

TEST_F(SqliteSinkTest, AFailureLeavesTheDatabaseAsItWas) {
  EXPECT_EQ(Write({{{1, "x"}}}, {.types = {"integer primary key", ""}}), "");
  for (const SqlMode mode : {SqlMode::kAppend, SqlMode::kReplace}) {
    const SqlWriteOptions options{mode, {}, {"integer primary key", "text"}};
    EXPECT_EQ(Write({{{7, "y"}, {8, "y"}}, {{7, "z"}}}, options),
              where_ + "row 3 (7, \"z\"): UNIQUE constraint failed: t.a");
    EXPECT_THAT(Read("t"), ElementsAre(ElementsAre("1", "x")));
  }
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(Write({{{1, nan}}}, {}, "u"), HasSubstr("SQLite has no NaN"));
  EXPECT_THAT(Write({{{1, Value(std::vector<Value>{1, 2})}}}, {}, "u"),
              HasSubstr("column 2 of row (1, {1, 2}) is a list, which a table cannot hold"));
  EXPECT_EQ(Write({{{1, 2}}, {{1, 2, 3}}}, {}, "u"),
            where_ + "row (1, 2, 3) has 3 fields, the table 2 columns: \"a\", \"b\"");
  EXPECT_THAT(Read("u")[0][0], HasSubstr("no such table"));
  EXPECT_THAT(Files(), ElementsAre("a.db"));
}

TEST_F(SqliteSinkTest, PlacesThatCannotBeWrittenAreErrors) {
  const auto error = [&](const std::string& database) {
    return (*MakeSqlSink(database, "t", {}, {"a"}))->Open(*env_).message();
  };
  EXPECT_EQ(error("sqlite:/nowhere/a.db"), "\"sqlite:/nowhere/a.db\": \"/nowhere\": no such folder");
  EXPECT_EQ(error("sqlite:" + folder_.path()), "\"sqlite:" + folder_.path() + "\": it is a folder");
  EXPECT_FALSE(MakeSqlSink("oracle:x", "t", {}, {"a"}).ok());
  folder_.Write("a.db", std::string(4096, 'x'));
  EXPECT_EQ(Write({{{1, 2}}}), where_ + "file is not a database");
}

TEST_F(SqliteSinkTest, AFileThatSomebodyMadeMeanwhileIsNotReplaced) {
  auto sink = *MakeSqlSink(database_, "t", {}, {"a"});
  ASSERT_TRUE(sink->Open(*env_).ok());
  ASSERT_TRUE(sink->WriteBatch(Rows({{1}})).ok());
  folder_.Write("a.db", "theirs");
  EXPECT_EQ(sink->Finish().message(), where_ + "somebody has made that file meanwhile");
  sink->Abort();
  EXPECT_EQ(ReadWhole(*env_, folder_.Path("a.db")), "theirs");
  EXPECT_THAT(Files(), ElementsAre("a.db"));
}

TEST_F(SqliteSinkTest, WhatACrashLeftBesideTheNameIsNoTrouble) {
  folder_.Write("a.db.tmp-" + std::to_string(env_->process_id()), std::string(5000, 'x'));
  EXPECT_EQ(Write({{{1, 2}}}), "");
  EXPECT_THAT(Files(), ElementsAre("a.db"));
}

TEST_F(SqliteSinkTest, WhoReadsMeanwhileSeesTheOldRows) {
  EXPECT_EQ(Write({{{1, "x"}}}), "");
  auto sink = *MakeSqlSink(database_, "t", {.mode = SqlMode::kReplace}, {"a", "b"});
  ASSERT_TRUE(sink->Open(*env_).ok());
  ASSERT_TRUE(sink->WriteBatch(Rows({{2, "y"}})).ok());
  EXPECT_THAT(Read("t"), ElementsAre(ElementsAre("1", "x")));
  ASSERT_TRUE(sink->Finish().ok());
  EXPECT_THAT(Read("t"), ElementsAre(ElementsAre("2", "y")));
}

}  // namespace
}  // namespace glim::io
