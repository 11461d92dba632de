// SPDX-License-Identifier: Apache-2.0
//
// PostgreSQL as a C++ program sees it, with a real server: postgres_server_test.h. Without one on this machine these
// tests are skipped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <limits>

#include "client/postgres_server_test.h"
#include "client/sql_test_rows.h"
#include "glim/glim.h"
#include "io/sql/postgres_rows.h"
#include "io/sql/sql.h"

namespace glim {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class Postgres : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    env_ = env::MakePosixEnv().release();
    if (const auto programs = PostgresServer::Find(*env_)) server_ = new PostgresServer(*env_, *programs);
  }
  static void TearDownTestSuite() {
    delete server_;
    delete env_;
  }
  void SetUp() override {
    if (server_ == nullptr) GTEST_SKIP() << "there is no PostgreSQL server here (Debian: postgresql)";
    database_ = server_->address();
  }

  std::vector<Row> Read(const std::string& query, const SqlOptions& options = {}) {
    Flow flow;
    std::vector<Row> rows;
    flow.Sql(database_, query, options).Collect(&rows);
    const Status status = flow.Run();
    EXPECT_EQ(status.message(), "");
    return rows;
  }
  std::string Error(const std::string& database, const std::string& query = "select 1",
                    const SqlOptions& options = {}) {
    Flow flow;
    std::vector<Row> rows;
    flow.Sql(database, query, options).Collect(&rows);
    return flow.Run().message();
  }
  std::string Write(std::vector<Row> rows, const SqlWriteOptions& options = {}, const std::string& table = "t",
                    const std::vector<std::string>& names = {"a", "b"}) {
    Flow flow;
    flow.Rows(std::move(rows)).As(names).WriteSql(database_, table, options);
    return flow.Run().message();
  }
  // Its rows as text, in the order of column a.
  std::string Text(const std::string& table) {
    return server_->Ask("select coalesce(string_agg(q::text, ' ' order by a), '') from " + table + " q");
  }
  std::string Types(const std::string& table) {
    return server_->Ask(
        "select string_agg(column_name || ' ' || data_type, ', ' order by ordinal_position)"
        " from information_schema.columns where table_name = '" +
        table + "'");
  }

  static env::Env* env_;
  static PostgresServer* server_;
  std::string database_;
};

env::Env* Postgres::env_ = nullptr;
PostgresServer* Postgres::server_ = nullptr;

TEST_F(Postgres, ValuesHaveTheirTypes) {
  EXPECT_EQ(Read("select 1::smallint, 2::int, 9223372036854775807, 4::oid, 0.1::float4, 1e-300::float8, true, false,"
                 " null::int, 'a\tb\\N\n\r\\', '\\x00ff5c'::bytea, ''::bytea"),
            (std::vector<Row>{{1, 2, std::numeric_limits<int64_t>::max(), 4, static_cast<double>(0.1F), 1e-300, true,
                               false, Value(), "a\tb\\N\n\r\\", std::string("\0\xff\\", 3), ""}}));
  EXPECT_EQ(Read("select 12.50::numeric, '2024-05-06 07:08:09'::timestamp, date '2024-05-06', array[1,null,3],"
                 " array['a b','c'], '{\"a\": 1}'::jsonb, 'NaN'::float8, '-Infinity'::float8, interval '1 day'"),
            (std::vector<Row>{{"12.50", "2024-05-06 07:08:09", "2024-05-06", "{1,NULL,3}", "{\"a b\",c}", "{\"a\": 1}",
                               std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity(),
                               "1 day"}}));
}

TEST_F(Postgres, ExplainShowsWhatTheServerExpects) {
  const auto explained = [&](const std::string& query) {
    Flow flow("f");
    char* text = nullptr;
    size_t size = 0;
    FILE* out = open_memstream(&text, &size);
    EXPECT_EQ(flow.Sql(database_, query).Limit(7000).Run(Explain{out}).message(), "");
    std::fclose(out);
    const std::string copy(text, size);
    std::free(text);
    return copy;
  };
  const std::string text = explained("select n, n + 1 from generate_series(1, 5000) as n; -- numbers");
  EXPECT_THAT(text, HasSubstr("(about 5000 rows, about 39.1 KiB)\n"));
  EXPECT_THAT(text, HasSubstr("  do     Limit(7000)\n"));  // A guess is no bound.
  EXPECT_THAT(explained("select no_such_column"), HasSubstr("no_such_column\")\n"));
}

TEST_F(Postgres, RangesHoldEveryRowOnce) {
  const bool good = rc::check([&] {
    const auto rows = SomeSqlRows();
    const std::string type = *rc::gen::element<std::string>("numeric", "float8", "bigint", "int");
    const bool whole = type == "bigint" || type == "int";
    std::vector<Row> expected;
    std::string lines;
    for (Row row : rows) {
      if (whole && row[0].type() == Type::kDouble) row[0] = static_cast<int64_t>(row[0].as_double());
      if (type == "int" && row[0].type() == Type::kInt64)
        row[0] = static_cast<int64_t>(static_cast<int>(row[0].as_int64()));
      if (row[1].type() != Type::kNull) row[1] = row[1].ToString();
      for (const Value& value : row) {
        io::AppendPostgresValue(value.cell(), false, &lines);
        lines += &value == &row[0] ? '\t' : '\n';
      }
      // A large whole number in a float8 is rounded.
      if (type == "float8" && row[0].type() == Type::kInt64) row[0] = static_cast<double>(row[0].as_int64());
      if (type == "numeric" && row[0].type() != Type::kNull) row[0] = row[0].ToString();
      expected.push_back(std::move(row));
    }
    const auto connection = *io::PostgresConnection::Open(*env_, database_);
    RC_ASSERT(connection->Run("drop table if exists r; create table r(k " + type + ", v text)").ok());
    RC_ASSERT(connection->Run("copy r from stdin").ok());
    RC_ASSERT(connection->GiveRows(lines).ok());
    RC_ASSERT(connection->EndRows().message() == "");
    Flow flow;
    std::vector<Row> got;
    flow.Sql(database_, *rc::gen::element<std::string>("r", "select v, k from r -- all"),
             {.split_by = "k", .splits = *rc::gen::inRange(1, 30)})
        .Select("k", "v")
        .Collect(&got);
    RC_ASSERT(flow.Run(ASession()).message() == "");
    RC_ASSERT(SortedText(got) == SortedText(expected));
  });
  EXPECT_TRUE(good);
}

TEST_F(Postgres, RangesOfTimesHoldEveryRowOnce) {
  const auto connection = *io::PostgresConnection::Open(*env_, database_);
  for (const std::string type : {"date", "timestamp", "timestamptz"}) {
    const auto read = [&](const std::string& rows, int splits) {
      EXPECT_EQ(connection->Run("drop table if exists times; create table times as " + rows).status().message(), "");
      EXPECT_EQ(SortedText(Read("times", {.split_by = "k", .splits = splits})), SortedText(Read("times"))) << rows;
    };
    for (const int splits : {2, 7, 100}) {
      read("select (timestamp '1969-12-30' + n * n * interval '13 hours 7.123456 seconds')::" + type +
               " as k, n from generate_series(0, 60) as n",
           splits);
      read("select k::" + type +
               " from (values ('infinity'), ('-infinity'), (null), ('2024-02-29'), ('0044-03-15 BC'), "
               "('2024-03-01')) as t(k)",
           splits);
      read("select null::" + type + " as k", splits);
      read("select 'infinity'::" + type + " as k", splits);
      read("select '4714-11-24 BC'::" + type + " as k union all select '294276-12-31'::" + type, splits);
    }
    // Ranges share the rows.
    read("select (timestamp '2024-01-01' + n * interval '1 day')::" + type + " as k from generate_series(0, 99) as n",
         4);
    const auto source = *io::MakeSqlSource(database_, "times", {.split_by = "k", .splits = 4});
    const auto splits = *source->MakeSplits(*env_, {});
    EXPECT_EQ(splits.size(), 4U);
    for (const io::Split& split : splits) {
      auto reader = *source->Open(*env_, split);
      int64_t rows = 0;
      while (auto batch = *reader->Next()) rows += batch->row_count();
      EXPECT_NEAR(static_cast<double>(rows), 25, 1);
    }
  }
}

TEST_F(Postgres, RowsGoInAndComeBack) {
  const auto plain = [](const std::vector<Row>& rows) {
    std::string text;
    for (const Row& row : rows) text += row[0].ToString() + "|" + row[1].ToString() + "\n";
    return text;
  };
  const bool good = rc::check([&] {
    const auto rows = SomeSqlRows();
    Flow out;
    out.Rows(rows).As({"k", "v"}).WriteSql(database_, "public.w", {.mode = SqlMode::kReplace});
    RC_ASSERT(out.Run(ASession()).message() == "");
    RC_ASSERT(plain(Read("select k, v from w")) == plain(rows));
  });
  EXPECT_TRUE(good);
}

TEST_F(Postgres, ManyRowsInOrderAndAFewAtATime) {
  Flow out;
  out.Range(0, 200000)
      .Map([](int64_t n) { return std::tuple(n, "row " + std::to_string(n)); })
      .As({"n", "text"})
      .WriteSql(database_, "many");
  ASSERT_EQ(out.Run().message(), "");
  const auto rows = Read("select n, text from many");
  ASSERT_EQ(rows.size(), 200000U);
  for (size_t i = 0; i < rows.size(); i += 997) EXPECT_EQ(rows[i][0].as_int64(), static_cast<int64_t>(i));
  EXPECT_EQ(Read("many", {.split_by = "n", .splits = 7}).size(), 200000U);
}

TEST_F(Postgres, ANewTableHasTheTypesOfItsValues) {
  EXPECT_EQ(Write({{1, "x"}, {2, Value()}}, {}, "n1"), "");
  EXPECT_EQ(Types("n1"), "a bigint, b text");
  // A batch ends where rows change their width, so these come in several.
  std::vector<Row> rows(5000, Row{1, Value()});
  rows.push_back({0.1, true});
  EXPECT_EQ(Write(rows, {}, "n2"), "");
  EXPECT_EQ(Types("n2"), "a double precision, b boolean");
  rows.push_back({std::numeric_limits<int64_t>::max(), "x"});
  EXPECT_EQ(Write(rows, {}, "n3"), "");
  EXPECT_EQ(Types("n3"), "a numeric, b text");
  EXPECT_EQ(server_->Ask("select min(a) || ' ' || max(a) from n3"), "0.1 9223372036854775807");
  EXPECT_EQ(Write({{1, std::string("\0\xff", 2)}}, {.types = {"bigint primary key", "bytea"}}, "n4"), "");
  EXPECT_EQ(Types("n4"), "a bigint, b bytea");
  EXPECT_EQ(Write({{2, "\\x"}}, {.mode = SqlMode::kAppend}, "n4"), "");
  EXPECT_EQ(Text("n4"), R"((1,"\\x00ff") (2,"\\x5c78"))");
  EXPECT_EQ(Write({}, {.columns = {"a"}}, "n5"), "");
  EXPECT_EQ(Types("n5"), "a text");
}

TEST_F(Postgres, CreateAppendReplace) {
  const std::string where = "WriteSql: \"" + database_ + "\": ";
  EXPECT_EQ(Write({{1, "x"}}, {.mode = SqlMode::kAppend}, "m"), where + "relation \"m\" does not exist");
  EXPECT_EQ(Write({{1, "x"}}, {}, "m"), "");
  EXPECT_EQ(Write({{1, "x"}}, {}, "m"), where + "the table m is there already; say mode \"append\" or \"replace\"");
  EXPECT_EQ(Write({{"y", 2}}, {.mode = SqlMode::kAppend, .columns = {"b", "a"}}, "m"), "");
  EXPECT_EQ(Text("m"), "(1,x) (2,y)");
  EXPECT_EQ(Write({{3, 4}}, {.mode = SqlMode::kAppend}, "m", {"a", "c"}), where + "column \"c\" does not exist");
  EXPECT_EQ(Write({{4.5, true}}, {.mode = SqlMode::kReplace}, "public.m"), "");
  EXPECT_EQ(Text("m"), "(4.5,t)");
  EXPECT_EQ(Write({{1, 2}}, {.columns = {"a", "; drop table \"m\""}}, "my \"\"m"),
            where + "\"my \\\"\\\"m\" is not the name of a table");
  EXPECT_EQ(Write({{1, 2}}, {.columns = {"a", "; drop table \"m\""}}, "\"my.m\""), "");
  EXPECT_EQ(Text("\"my.m\""), "(1,2)");
  EXPECT_EQ(Write({{1, 2}}, {}, "nowhere.m"), where + "schema \"nowhere\" does not exist");
}

TEST_F(Postgres, AFailureLeavesTheDatabaseAsItWas) {
  ASSERT_EQ(server_->Ask("create table f(a bigint primary key, b int); insert into f values (1, 1)"), "");
  const std::string where = "WriteSql: \"" + database_ + "\": ";
  EXPECT_EQ(Write({{2, 2}, {3, "no number"}}, {.mode = SqlMode::kAppend}, "f"),
            where + "invalid input syntax for type integer: \"no number\", in COPY f, line 2, column b: \"no number\"");
  EXPECT_EQ(
      Write({{2, 2}, {1, 3}}, {.mode = SqlMode::kAppend}, "f"),
      where +
          "duplicate key value violates unique constraint \"f_pkey\" (Key (a)=(1) already exists.), in COPY f, line 2");
  EXPECT_THAT(Write({{2, 2}, {2, 3}}, {.mode = SqlMode::kReplace, .types = {"bigint primary key", ""}}, "f"),
              HasSubstr("duplicate key value"));
  EXPECT_THAT(Write({{2, 2}, {3, std::string("\0", 1)}}, {}, "g"),
              HasSubstr("invalid byte sequence for encoding \"UTF8\": 0x00"));
  EXPECT_THAT(Write({{2, Value(std::vector<Value>{1})}}, {}, "g"), HasSubstr("is a list, which a table cannot hold"));
  Flow flow;
  flow.Range(0, 100000)
      .Map("function(n) if n == 99999 then error('no') end return n, n end")
      .As({"a", "b"})
      .WriteSql(database_, "f", {.mode = SqlMode::kReplace});
  EXPECT_THAT(flow.Run().message(), HasSubstr("no"));
  EXPECT_EQ(Text("f"), "(1,1)");
  EXPECT_EQ(server_->Ask("select count(*) from pg_class where relname like 'glim%' or relname = 'g'"), "0");
}

TEST_F(Postgres, AMistakeIsFoundBeforeAllRowsAreThereAndItsRowIsTold) {
  ASSERT_EQ(server_->Ask("create table late(a text, b int)"), "");
  int64_t asked = 0;
  Flow flow;
  flow.Range(0, 100000000)
      .Map([&](int64_t n) {
        ++asked;
        return std::tuple(std::string(2000, 'x'), n == 5000 ? std::string("bad") : std::to_string(n));
      })
      .As({"a", "b"})
      .WriteSql(database_, "late", {.mode = SqlMode::kAppend});
  SessionOptions options;
  options.threads = 1;
  Session session(options);
  EXPECT_THAT(flow.Run(session).message(),
              HasSubstr("behind row 4096: invalid input syntax for type integer: \"bad\", in COPY late, line 905"));
  EXPECT_LT(asked, 1000000);
}

TEST_F(Postgres, AReaderOfATableThatIsReplacedSeesTheOldRows) {
  ASSERT_EQ(Write({{1, "old"}}, {}, "shown"), "");
  Flow flow;
  std::string seen;
  flow.Sql(database_, "shown", {.split_by = "a", .splits = 3})
      .Map([&](int64_t a, std::string_view) { return std::tuple(a + 1, "new"); })
      .As({"a", "b"})
      .WriteSql(database_, "shown", {.mode = SqlMode::kReplace});
  flow.Ints({1}).Map([&](int64_t n) {
    seen = Text("shown");
    return n;
  });
  ASSERT_EQ(flow.Run().message(), "");
  EXPECT_EQ(Text("shown"), "(2,new)");
}

TEST_F(Postgres, AllRangesSeeOneSnapshot) {
  ASSERT_EQ(server_->Ask("create table s(k int); insert into s select generate_series(1, 9)"), "");
  const auto source = *io::MakeSqlSource(database_, "s", {.split_by = "k", .splits = 3});
  const auto splits = *source->MakeSplits(*env_, {});
  ASSERT_EQ(splits.size(), 3U);
  ASSERT_EQ(server_->Ask("delete from s where k = 9; insert into s values (5), (100), (null)"), "");
  int64_t rows = 0;
  for (const io::Split& split : splits) {
    const auto reader = *source->Open(*env_, split);
    while (auto batch = *reader->Next()) rows += batch->row_count();
  }
  EXPECT_EQ(rows, 9);
}

TEST_F(Postgres, MistakesNameTheDatabaseAndSayWhatIsWrong) {
  const std::string where = "Sql: \"" + database_ + "\": ";
  EXPECT_EQ(Error(database_, "nothing"), where + "relation \"nothing\" does not exist");
  EXPECT_EQ(Error(database_, "select 1 +"), where + "syntax error at end of input");
  EXPECT_EQ(Error(database_, "select 1; select 2"),
            where + "cannot insert multiple commands into a prepared statement");
  EXPECT_EQ(Error(database_, "create table x(a int)"), where + "that gives no rows; a source wants a query");
  EXPECT_EQ(Error(database_, "select 1 / (i - 3) from generate_series(1, 5) i"), where + "division by zero");
  EXPECT_EQ(Error(database_, "select 'x' as a", {.split_by = "a"}),
            where + "split_by needs a column of numbers or times, and a has none");
  EXPECT_EQ(Error(database_, "select 1 as a", {.split_by = "b"}), where + "column q.b does not exist");
  EXPECT_EQ(server_->Ask("create table ro(a int)"), "");
  EXPECT_EQ(Error(database_, "insert into ro values (1) returning a"),
            where + "cannot execute INSERT in a read-only transaction");
  EXPECT_THAT(Error("postgresql://ann@/nosuch?host=" + database_.substr(database_.find("host=") + 5)),
              HasSubstr("database \"nosuch\" does not exist"));
  EXPECT_THAT(Error("postgresql://ann@127.0.0.1:1/x?sslmode=disable"), HasSubstr("Connection refused"));
  EXPECT_THAT(Error("postgresql://ann@/x?nosuch=1"), HasSubstr("invalid URI query parameter: \"nosuch\""));
}

TEST_F(Postgres, PasswordsAreAskedForAndNeverShown) {
  ASSERT_EQ(server_->Ask("create role bob login password 'right secret'"), "");
  Flow flow;
  std::vector<Row> rows;
  flow.Sql(server_->port_address("bob:right%20secret"), "select current_user::text").Collect(&rows);
  ASSERT_EQ(flow.Run().message(), "");
  EXPECT_EQ(TextOf(rows), "'bob'|\n");
  const std::string wrong = Error(server_->port_address("bob:wrong%20secret"));
  EXPECT_THAT(wrong, HasSubstr("password authentication failed for user \"bob\""));
  EXPECT_THAT(wrong, HasSubstr("bob:***@"));
  EXPECT_THAT(Error(server_->port_address("bob")), HasSubstr("no password supplied"));
  for (const char* address :
       {"postgresql://bob:se%zzcret@h/x", "postgresql://bob:sec[ret@h/x", "postgresql://[bob:secret@h",
        "postgresql://bob:secret@h:port/x", "postgresql://bob:secret", "postgresql:///x?password=secret&y"}) {
    EXPECT_THAT(Error(address), Not(HasSubstr("cret"))) << address;
    EXPECT_THAT(Error(address), StartsWith("Sql: \"postgresql://"));
  }
}

TEST_F(Postgres, LimitEndsAQueryEarly) {
  Flow flow;
  std::vector<Row> rows;
  flow.Sql(database_, "select generate_series(1, 1000000000000)").Limit(2).Collect(&rows);
  ASSERT_EQ(flow.Run().message(), "");
  EXPECT_EQ(TextOf(rows), "1|\n2|\n");
  // The first rows come without those that take their time.
  EXPECT_EQ(Read("select 1 as a union all select 2 from pg_sleep(0.3)").size(), 2U);
  constexpr int64_t kPauseNanos = 10'000'000;
  while (server_->Ask("select count(*) from pg_stat_activity where state = 'active' and query like 'copy%'") != "0") {
    env_->clock().SleepFor(kPauseNanos);
  }
}

TEST_F(Postgres, ANeighbourThatFailsEndsAQueryThatTakesForever) {
  ASSERT_EQ(server_->Ask("create table slow as select k from generate_series(1, 10) k"), "");
  // The second range sleeps; what asks for the ends of the key does not.
  const std::string query =
      "select k from slow where (select count(*) from pg_stat_activity where pid = pg_backend_pid() and query like"
      " 'copy%') = 0 or k < 6 or pg_sleep(100000) is null";
  Flow flow;
  std::vector<Row> rows;
  flow.Sql(database_, query, {.split_by = "k", .splits = 2})
      .Map("function(k) error('this one is bad') end")
      .Collect(&rows);
  SessionOptions options;
  options.threads = 2;
  Session session(options);
  EXPECT_THAT(flow.Run(session).message(), HasSubstr("this one is bad"));
}

TEST_F(Postgres, AServerThatDiesInTheMiddleIsAnError) {
  Flow flow;
  flow.Sql(database_, "select i, pg_sleep(0.001) from generate_series(1, 1000000) i").Output([&](const Batch&) {
    server_->Kill();
    return Status::Ok();
  });
  const Status status = flow.Run();
  EXPECT_THAT(status.message(), StartsWith("Sql: \"" + database_ + "\": "));
  EXPECT_EQ(status.code(), Code::kUnavailable) << status.message();
  EXPECT_THAT(Error(database_), HasSubstr("No such file or directory"));
  TearDownTestSuite();
  SetUpTestSuite();
}

TEST_F(Postgres, AServerThatDiesInTheMiddleOfWritingIsAnError) {
  Flow flow;
  flow.Range(0, 100000000)
      .Map([&](int64_t n) {
        if (n == 200000) server_->Kill();
        return n;
      })
      .As({"n"})
      .WriteSql(database_, "gone");
  const Status status = flow.Run();
  EXPECT_THAT(status.message(), StartsWith("WriteSql: \"" + database_ + "\": "));
  EXPECT_EQ(status.code(), Code::kUnavailable) << status.message();
  TearDownTestSuite();
  SetUpTestSuite();
}

}  // namespace
}  // namespace glim
