// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/host_files.h"

#include <gmock/gmock.h>

namespace glim::cluster {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

exec::FoundFiles FilesOf(const std::vector<std::string>& paths, std::vector<std::string> columns = {}) {
  exec::FoundFiles found{.splits = {}, .columns = std::move(columns)};
  for (const std::string& path : paths) found.splits.push_back({.path = path, .begin = 0, .end = 1});
  return found;
}

std::vector<std::string> Names(const std::vector<io::Split>& splits) {
  std::vector<std::string> names;
  names.reserve(splits.size());
  for (const io::Split& split : splits) names.push_back(split.host + ":" + split.path);
  return names;
}

TEST(HostFilesTest, WhatAllHaveIsReadHostByHostWhoeverAnswersFirst) {
  HostFiles files({"b", "a", "b"}, {2, 5});
  EXPECT_THAT(files.hosts(), ElementsAre("a", "b"));
  EXPECT_EQ(files.Unasked(), "a");
  EXPECT_THAT(files.Ask("b"), ElementsAre(2, 5));
  EXPECT_THAT(files.Ask("b"), IsEmpty()) << "it is being asked";
  EXPECT_THAT(files.Ask("c"), IsEmpty()) << "it came later";
  EXPECT_THAT(files.Ask("a"), ElementsAre(2, 5));
  EXPECT_EQ(files.Unasked(), "");
  EXPECT_TRUE(files.Found(2, "b", FilesOf({"x", "y"})).ok());
  // Whoever was asked is gone; another one there is asked for what is missing.
  files.NotFound(5, "b");
  EXPECT_EQ(files.Unasked(), "b");
  EXPECT_THAT(files.Ask("b"), ElementsAre(5));
  EXPECT_TRUE(files.Found(5, "a", FilesOf({"z"})).ok());
  EXPECT_TRUE(files.Found(5, "b", FilesOf({})).ok());
  EXPECT_FALSE(files.complete());
  EXPECT_TRUE(files.Found(2, "a", FilesOf({"x"})).ok());
  ASSERT_TRUE(files.complete());
  EXPECT_THAT(Names(files.Splits(2)), ElementsAre("a:x", "b:x", "b:y"));
  EXPECT_THAT(Names(files.Splits(5)), ElementsAre("a:z"));
  EXPECT_EQ(files.NumberOf("b"), 1);
  EXPECT_EQ(files.NameOf(1), "b");
  EXPECT_EQ(files.NumberOf("c"), -1);
  EXPECT_EQ(HostFiles().NumberOf("a"), -1);
}

TEST(HostFilesTest, ColumnsAreTheSameEverywhere) {
  HostFiles files({"a", "b", "c"}, {0});
  EXPECT_TRUE(files.Found(0, "b", FilesOf({"x"}, {"n", "text"})).ok());
  EXPECT_TRUE(files.Found(0, "c", FilesOf({"empty"}, {})).ok());
  const Status other = files.Found(0, "a", FilesOf({"x"}, {"text", "n"}));
  EXPECT_EQ(other.code(), Code::kInvalid);
  EXPECT_THAT(other.message(), HasSubstr("the files of a have other columns (text, n) than those of b (n, text)"));
}

}  // namespace
}  // namespace glim::cluster
