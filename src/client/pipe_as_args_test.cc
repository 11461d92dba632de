// SPDX-License-Identifier: Apache-2.0
//
// Commands of rows, one after the other and side by side.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/env.h"
#include "glim/glim.h"

namespace glim {
namespace {

using ::testing::HasSubstr;

TEST(PipeAsArgs, RowsKeepTheirOrderWhenCommandsRunSideBySide) {
  Flow flow;
  std::vector<Row> rows;
  std::vector<Row> tasks;
  for (int64_t i = 0; i < 30; ++i) tasks.push_back({i, (30 - i) % 4});
  flow.Rows(tasks).PipeAsArgs("sleep 0.0$2; echo $1; echo more", {.parallel = 8}).Collect(&rows);
  const Status status = flow.Run();
  ASSERT_TRUE(status.ok()) << status.ToString();
  ASSERT_EQ(rows.size(), 60u);
  for (size_t i = 0; i < 30; ++i) {
    EXPECT_EQ(rows[2 * i][0].ToString(), std::to_string(i));
    EXPECT_EQ(rows[2 * i + 1][0].ToString(), "more");
  }
}

TEST(PipeAsArgs, CommandsRunSideBySide) {
  const auto env = env::MakePosixEnv();
  const std::string folder = *env->files().MakeTemporaryFolder("side");
  // Each of the two ends only when the other one has begun.
  Flow flow;
  std::vector<Row> rows;
  const std::string command = "cd " + folder + " && touch $1 && until test -e $2; do sleep 0.01; done; echo $1";
  const Status status = flow.Rows({{"a", "b"}, {"b", "a"}}).PipeAsArgs(command, {.parallel = 2}).Collect(&rows).Run();
  EXPECT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(rows, (std::vector<Row>{{"a"}, {"b"}}));
  EXPECT_TRUE(env->files().RemoveAll(folder).ok());
}

TEST(PipeAsArgs, AFailureNamesTheRowOfItsCommand) {
  for (const int parallel : {1, 4}) {
    Flow flow;
    EXPECT_EQ(flow.Range(0, 20).PipeAsArgs("test $1 != 7", {.parallel = parallel}).Run().message(),
              std::string("PipeAsArgs(\"test $1 != 7\"") + (parallel > 1 ? ", 4 in parallel" : "") +
                  "): the command exited with 1, row (7)");
  }
}

TEST(PipeAsArgs, CommandsThatNobodyWantsAnyMoreAreEnded) {
  Flow flow;
  std::vector<Row> rows;
  EXPECT_TRUE(flow.Range(0, 100)
                  .PipeAsArgs("echo $1; test $1 = 0 || exec sleep 1000", {.parallel = 5})
                  .Limit(1)
                  .Collect(&rows)
                  .Run()
                  .ok());
  EXPECT_EQ(rows, (std::vector<Row>{{"0"}}));
}

TEST(PipeAsArgs, MuchOutputOfManyCommandsIsWhole) {
  Flow flow;
  std::vector<Row> rows;
  EXPECT_TRUE(flow.Range(1, 7).PipeAsArgs("seq 1 ${1}0000", {.parallel = 6}).Collect(&rows).Run().ok());
  EXPECT_EQ(rows.size(), 210000u);
}

TEST(PipeAsArgs, FieldsAreNumbersInArithmetic) {
  Flow flow;
  std::vector<Row> rows;
  const std::string command =
      "echo $(($1 + ${2} * (1 + $1))) \"$(( $1 - 1 ))\" '$((1))' $1; echo $( (echo $3; echo x) | head -n 1)";
  const Status status = flow.Rows({{3, 4, "a b"}}).PipeAsArgs(command).Collect(&rows).Run();
  EXPECT_EQ(status.message(), "");
  EXPECT_EQ(rows, (std::vector<Row>{{"19 2 $((1)) 3"}, {"a b"}}));
}

// Such commands are started without a shell.
TEST(PipeAsArgs, CommandsOfOneProgramAreAsInAShell) {
  Flow flow;
  std::vector<Row> rows, lines;
  const Dataset input = flow.Rows({{"a  b", 1}, {"*", 2}, {"$HOME '", 3}});
  input.PipeAsArgs("/usr/bin/printf '%s %s\n' \"<$1>\" x$2").Collect(&rows);
  input.PipeAsArgs("/usr/bin/printf '%s %s\n' \"<$1>\" x$2;", {.parallel = 2}).Collect(&lines);
  EXPECT_EQ(flow.Run().message(), "");
  EXPECT_EQ(rows, (std::vector<Row>{{"<a  b> x1"}, {"<*> x2"}, {"<$HOME '> x3"}}));
  EXPECT_EQ(rows, lines);
}

TEST(PipeAsArgs, AProgramThatIsNotThereNamesTheRow) {
  for (const std::string command : {"glim-no-such-program $1", "/glim/no/such/program", "glim-no-such-program; true"}) {
    const std::string message = Flow().Ints({5}).PipeAsArgs(command).Run().message();
    const bool goes_on = command.ends_with("true");
    EXPECT_EQ(message,
              goes_on ? "" : "PipeAsArgs(\"" + command + "\"): the command was not found (exit code 127), row (5)");
  }
}

TEST(PipeAsArgs, NoneOrTooManySideBySideIsAnError) {
  for (const int parallel : {0, -1, 1001}) {
    EXPECT_THAT(Flow().Ints({1}).PipeAsArgs("true", {.parallel = parallel}).Run().message(),
                HasSubstr("1 to 1000 commands run side by side"));
  }
}

}  // namespace
}  // namespace glim
