// SPDX-License-Identifier: Apache-2.0
#include "ops/plain_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace glim::ops {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Arguments(std::string_view command) {
  const auto plain = PlainCommand::Parse(command);
  return plain.has_value() ? plain->Arguments({"a b", "$x *"}) : std::vector<std::string>{"SHELL"};
}

TEST(PlainCommand, WordsAndFieldsBecomeArguments) {
  EXPECT_THAT(Arguments("gzip"), ElementsAre("gzip"));
  EXPECT_THAT(Arguments(" /usr/bin/gzip  -t\t$1 "), ElementsAre("/usr/bin/gzip", "-t", "a b"));
  EXPECT_THAT(Arguments("cp \"$1\" ${2}.txt"), ElementsAre("cp", "a b", "$x *.txt"));
  EXPECT_THAT(Arguments("grep -e'it''s'\"a $1\"x=1"), ElementsAre("grep", "-eitsa a bx=1"));
  EXPECT_THAT(Arguments("dd if=$1 '' \"\""), ElementsAre("dd", "if=a b", "", ""));
  EXPECT_THAT(Arguments("awk '{ print $1; }' \"*?~;\""), ElementsAre("awk", "{ print $1; }", "*?~;"));
  // A field that the row has not is empty, and in its quotes an argument all the same.
  EXPECT_THAT(Arguments("cat $3 -$12-"), ElementsAre("cat", "", "--"));
}

TEST(PlainCommand, WhatAShellMayReadOtherwiseIsLeftToIt) {
  for (const char* command : {"",
                              " ",
                              "echo $1",
                              "printf x",
                              "test $1 = 2",
                              "[ $1 = 2 ]",
                              ". x",
                              ": x",
                              "! cat",
                              "{ cat; }",
                              "time cat",
                              "exec cat",
                              "A=1 cat",
                              "A=1",
                              "$1",
                              "$1 x",
                              "x$1",
                              "'' x",
                              "cat $0",
                              "cat $x",
                              "cat $@",
                              "cat $*",
                              "cat ${1:-a}",
                              "cat ${1",
                              "cat $",
                              "cat \"$\"",
                              "cat \"$x\"",
                              "cat `x`",
                              "cat \"`x`\"",
                              "cat $(x)",
                              "cat \\$1",
                              "cat \"\\$1\"",
                              "cat ~",
                              "cat *",
                              "cat a?",
                              "cat [a]",
                              "cat {a,b}",
                              "cat #x",
                              "cat a;b",
                              "cat a|b",
                              "cat a&",
                              "cat <a",
                              "cat >a",
                              "cat a\ncat b",
                              "cat 'a",
                              "cat \"a",
                              "cat a^b",
                              "cat a!b",
                              "\"a b\" c",
                              "cat \xc3\xa4",
                              "cat a\rb"}) {
    EXPECT_FALSE(PlainCommand::Parse(command).has_value()) << command;
  }
  EXPECT_FALSE(PlainCommand::Parse(std::string_view("cat 'a\0b'", 9)).has_value());
  EXPECT_FALSE(PlainCommand::Parse(std::string_view("cat \"a\0b\"", 9)).has_value());
}

}  // namespace
}  // namespace glim::ops
