// SPDX-License-Identifier: Apache-2.0
#include "env/path.h"

#include <gtest/gtest.h>

namespace glim::env {
namespace {

TEST(Path, JoinsWithOneSlash) {
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/", "b"), "a/b");
  EXPECT_EQ(JoinPath("", "b"), "b");
  EXPECT_EQ(JoinPath("a", "/b"), "/b");
}

TEST(Path, IsCutAtTheLastSlash) {
  EXPECT_EQ(ParentFolder("a/b/c"), "a/b");
  EXPECT_EQ(ParentFolder("c"), ".");
  EXPECT_EQ(ParentFolder("/c"), "/");
  EXPECT_EQ(FileName("a/b/c"), "c");
  EXPECT_EQ(FileName("c"), "c");
}

TEST(Path, IsShownOnOneLineWhateverItsBytes) {
  EXPECT_EQ(QuotePath("a.csv"), "\"a.csv\"");
  EXPECT_EQ(QuotePath("a\n\"b\"\\\x01"), R"("a\n\"b\"\\\x01")");
  EXPECT_EQ(QuotePath("\xc3\xa4"), "\"\xc3\xa4\"");
}

TEST(Path, PlainPathsOfOneFileAreEqual) {
  EXPECT_EQ(PlainPath("a/b"), "a/b");
  EXPECT_EQ(PlainPath("./a//./b/."), "a/b");
  EXPECT_EQ(PlainPath("//a/b/"), "/a/b");
  EXPECT_EQ(PlainPath("../a/../b"), "../a/../b");
  EXPECT_EQ(PlainPath("/"), "/");
  EXPECT_EQ(PlainPath(""), "");
}

}  // namespace
}  // namespace glim::env
