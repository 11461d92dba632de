// SPDX-License-Identifier: Apache-2.0
//
// Databases as a C++ program sees them: what a flow reads equals what is in the table, whatever the ranges, tasks and
// threads.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "client/sql_test_rows.h"
#include "env/env.h"
#include "glim/glim.h"
#include "io/sql/sqlite.h"

namespace glim {
namespace {

using ::testing::HasSubstr;

class SqliteFlow : public ::testing::Test {
 protected:
  ~SqliteFlow() override { EXPECT_TRUE(env_->files().RemoveAll(folder_).ok()); }

  // A new table t(k, v) with these rows.
  void Fill(const std::vector<Row>& rows) {
    auto database = io::SqliteDatabase::Open(*env_, path_, io::SqliteDatabase::Mode::kCreate);
    RC_ASSERT(database.ok());
    for (const char* statement : {"begin", "drop table if exists t", "create table t(k, v)"}) {
      RC_ASSERT((*database)->Run(statement).ok());
    }
    auto insert = (*database)->Prepare("insert into t values (?, ?)");
    for (const Row& row : rows) {
      for (int i = 0; i < 2; ++i) RC_ASSERT((*insert)->Bind(i + 1, row[i].cell(), false).ok());
      RC_ASSERT((*insert)->Step().ok());
      (*insert)->Reset();
    }
    RC_ASSERT((*database)->Run("commit").ok());
  }

  std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  const std::string folder_ = *env_->files().MakeTemporaryFolder("sql_test");
  const std::string path_ = folder_ + "/a.db";
  const std::string database_ = "sqlite:" + path_;
};

RC_GTEST_FIXTURE_PROP(SqliteFlow, RangesHoldEveryRowOnce, ()) {
  const auto rows = SomeSqlRows();
  Fill(rows);
  const std::string query = *rc::gen::element<std::string>("t", "select v, k from t");
  Flow flow;
  std::vector<Row> got;
  flow.Sql(database_, query, {.split_by = "k", .splits = *rc::gen::inRange(1, 30)}).Select("k", "v").Collect(&got);
  RC_ASSERT(flow.Run(ASession()).message() == "");
  RC_ASSERT(SortedText(got) == SortedText(rows));
}

RC_GTEST_FIXTURE_PROP(SqliteFlow, AQueryWithoutRangesKeepsItsOrder, ()) {
  const auto rows = SomeSqlRows();
  Fill(rows);
  Flow flow;
  std::vector<Row> got;
  flow.Sql(database_, "select * from t order by rowid").Collect(&got);
  RC_ASSERT(flow.Run(ASession()).message() == "");
  RC_ASSERT(TextOf(got) == TextOf(rows));
}

TEST_F(SqliteFlow, LimitEndsAQueryEarly) {
  Flow flow;
  std::vector<Row> got;
  Fill({});
  flow.Sql(database_, "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n")
      .Limit(2)
      .Collect(&got);
  ASSERT_EQ(flow.Run().message(), "");
  EXPECT_EQ(TextOf(got), "1|\n2|\n");
}

RC_GTEST_FIXTURE_PROP(SqliteFlow, RowsGoInAndComeBack, ()) {
  const auto rows = SomeSqlRows();
  static_cast<void>(env_->files().RemoveFile(path_));
  Flow out;
  out.Rows(rows).As({"k", "v"}).Cache().WriteSql(database_, "t");
  RC_ASSERT(out.Run(ASession()).message() == "");
  Flow in;
  std::vector<Row> got;
  in.Sql(database_, "select k, v from t order by rowid").Collect(&got);
  RC_ASSERT(in.Run(ASession()).message() == "");
  RC_ASSERT(SortedText(got) == SortedText(rows));
}

TEST_F(SqliteFlow, TwoTablesOfOneRun) {
  Flow flow;
  const Dataset numbers = flow.Range(0, 10000).As({"n"});
  numbers.WriteSql(database_, "a");
  numbers.Map([](int64_t n) { return n % 10; }).Distinct().As({"d"}).WriteSql(database_, "b");
  ASSERT_EQ(flow.Run().message(), "");
  std::vector<Row> got;
  Flow in;
  in.Sql(database_, "select count(*), sum(n), (select sum(d) from b) from a").Collect(&got);
  ASSERT_EQ(in.Run().message(), "");
  EXPECT_EQ(TextOf(got), "10000|49995000|45|\n");

  Flow twice;
  twice.Ints({1}).WriteSql(database_, "c", {.columns = {"n"}});
  twice.Ints({2}).WriteSql(database_, "c", {.columns = {"n"}});
  EXPECT_THAT(twice.Run().message(), HasSubstr("this flow writes that table already"));
}

TEST_F(SqliteFlow, ATableIsReadAndReplaced) {
  Fill({{1, "x"}, {2, "y"}});
  Flow flow;
  flow.Sql(database_, "t", {.split_by = "k", .splits = 2})
      .Map([](int64_t k, std::string_view v) { return std::tuple(k * 10, std::string(v)); })
      .As({"k", "v"})
      .WriteSql(database_, "t", {.mode = SqlMode::kReplace});
  ASSERT_EQ(flow.Run().message(), "");
  std::vector<Row> got;
  Flow in;
  in.Sql(database_, "t").Collect(&got);
  ASSERT_EQ(in.Run().message(), "");
  EXPECT_EQ(SortedText(got), "10|'x'|\n20|'y'|\n");
}

TEST_F(SqliteFlow, MoreThanSqlitesOwnCacheIsReadInRangesAndReplaced) {
  const auto text = [](int64_t n) { return std::to_string(n) + std::string(100, 'x'); };
  Flow make;
  make.Range(0, 100000).Map([&](int64_t n) { return std::tuple(n, text(n)); }).As({"k", "v"}).WriteSql(database_, "t");
  ASSERT_EQ(make.Run().message(), "");
  Flow flow;
  flow.Sql(database_, "t", {.split_by = "k", .splits = 20})
      .Map([](int64_t k, std::string_view v) { return std::tuple(k + 1, std::string(v)); })
      .As({"k", "v"})
      .WriteSql(database_, "t", {.mode = SqlMode::kReplace});
  SessionOptions options;
  options.threads = 2;
  Session session(options);
  ASSERT_EQ(flow.Run(session).message(), "");
  std::vector<Row> got;
  Flow in;
  in.Sql(database_, "select count(*), min(k), max(k), max(length(v)) from t").Collect(&got);
  ASSERT_EQ(in.Run().message(), "");
  EXPECT_EQ(TextOf(got), "100000|1|100000|105|\n");
}

TEST_F(SqliteFlow, ARunThatFailsLeavesNothing) {
  Flow flow;
  flow.Range(0, 100000)
      .Map("function(n) if n == 99999 then error('no') end return n end")
      .As({"n"})
      .WriteSql(database_, "t");
  EXPECT_THAT(flow.Run().message(), HasSubstr("no"));
  EXPECT_TRUE(env_->files().List(folder_)->empty());
}

// It takes connections, and never says a word.
TEST(SqlFlow, AServerThatDoesNotAnswerIsGivenUp) {
  const int server = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(server, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(server, 8), 0);
  ASSERT_EQ(getsockname(server, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string database =
      "postgresql://ann:secret@127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/x?connect_timeout=1";
  Flow in, out;
  in.Sql(database, "t").Limit(1);
  out.Ints({1}).WriteSql(database, "t", {.columns = {"n"}});
  const Status read = in.Run(), written = out.Run();
  EXPECT_EQ(read.code(), Code::kTimeout);
  EXPECT_THAT(read.message(), HasSubstr("ann:***@"));
  EXPECT_THAT(read.message(), HasSubstr("no connection within 1 s"));
  EXPECT_EQ(written.code(), Code::kTimeout) << written.message();
  close(server);
}

TEST(SqlFlow, ExplainShowsTheRangesAndNoPassword) {
  Flow flow;
  flow.Sql("postgresql://ann:secret@host/shop", "sales", {.split_by = "id", .splits = 3}).Limit(1);
  char* text = nullptr;
  size_t size = 0;
  FILE* out = open_memstream(&text, &size);
  EXPECT_EQ(flow.Run(Explain{out}).message(), "");
  std::fclose(out);
  EXPECT_THAT(text, HasSubstr("read   Sql(\"postgresql://ann:***@host/shop\", \"sales\", 3 ranges of id)"));
  std::free(text);
}

}  // namespace
}  // namespace glim
