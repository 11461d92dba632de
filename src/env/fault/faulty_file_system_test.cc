// SPDX-License-Identifier: Apache-2.0
#include "env/fault/faulty_file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/path.h"

namespace glim::env {
namespace {

using ::testing::ElementsAre;

class FaultyFileSystemTest : public ::testing::Test {
 protected:
  void SetUp() override { folder_ = real_->files().MakeTemporaryFolder("glim-fault-test-").value(); }
  void TearDown() override { ASSERT_TRUE(real_->files().RemoveAll(folder_).ok()); }
  std::string Path(const std::string& name) { return JoinPath(folder_, name); }
  uint64_t SizeOf(const std::string& name) { return real_->files().Stat(Path(name)).value().size_bytes; }

  std::unique_ptr<Env> real_ = MakePosixEnv();
  FaultyFileSystem files_{real_->files()};
  std::string folder_;
};

TEST_F(FaultyFileSystemTest, TheNthWriteFailsOnceAndWritesNothing) {
  files_.FailAt(FileOperation::kWrite, 2, Status::Unavailable("planned"));
  auto file = files_.Create(Path("a")).value();
  EXPECT_TRUE(file->Append("one").ok());
  EXPECT_EQ(file->Append("two").message(), "planned");
  EXPECT_TRUE(file->Append("three").ok());
  EXPECT_TRUE(file->Close().ok());
  EXPECT_EQ(SizeOf("a"), 8u);
}

TEST_F(FaultyFileSystemTest, AWriteCanBeCutShort) {
  files_.CutWriteAt(1, 2, Status::Unavailable("planned"));
  auto file = files_.Create(Path("a")).value();
  EXPECT_FALSE(file->Append("abcd").ok());
  EXPECT_TRUE(file->Close().ok());
  EXPECT_EQ(SizeOf("a"), 2u);
}

TEST_F(FaultyFileSystemTest, TheDiskFillsUpOverAllFiles) {
  files_.SetDiskBytes(5);
  auto a = files_.Create(Path("a")).value(), b = files_.Create(Path("b")).value();
  EXPECT_TRUE(a->Append("abc").ok());
  const Status full = b->Append("defg");
  EXPECT_EQ(full.code(), Code::kExhausted);
  EXPECT_EQ(full.message(), QuotePath(Path("b")) + ": disk full");
  EXPECT_EQ(a->Append("h").code(), Code::kExhausted);
  EXPECT_EQ(SizeOf("a") + SizeOf("b"), 5u);
}

TEST_F(FaultyFileSystemTest, EachKindOfOperationCanFailAndIsLogged) {
  files_.FailFrom(FileOperation::kSync, 1, Status::Unavailable("no sync"));
  files_.FailAt(FileOperation::kRename, 1, Status::Unavailable("no rename"));
  auto file = files_.Create(Path("a")).value();
  EXPECT_EQ(file->Sync().message(), "no sync");
  EXPECT_EQ(file->Sync().message(), "no sync");
  EXPECT_EQ(files_.Rename(Path("a"), Path("b")).message(), "no rename");
  EXPECT_TRUE(files_.Rename(Path("a"), Path("b")).ok());
  const std::string a = QuotePath(Path("a")), rename = "rename " + a + " " + QuotePath(Path("b"));
  EXPECT_THAT(files_.log(), ElementsAre("create " + a, "sync " + a, "sync " + a, rename, rename));
  EXPECT_EQ(files_.count(FileOperation::kSync), 2);
  files_.Heal();
  EXPECT_TRUE(file->Sync().ok());
  EXPECT_EQ(files_.total_count(), 1);
}

TEST_F(FaultyFileSystemTest, CreateOpenAndReadFailAtTheirNumber) {
  files_.FailAt(FileOperation::kCreate, 1, Status::Exhausted("no create"));
  files_.FailAt(FileOperation::kOpen, 2, Status::NotFound("no open"));
  files_.FailAt(FileOperation::kRead, 2, Status::Corrupt("no read"));
  EXPECT_EQ(files_.Create(Path("a")).status().message(), "no create");
  EXPECT_EQ(real_->files().Stat(Path("a")).status().code(), Code::kNotFound);
  ASSERT_TRUE(files_.Create(Path("a")).value()->Append("abc").ok());
  const auto file = files_.OpenRandom(Path("a")).value();
  EXPECT_EQ(files_.OpenRandom(Path("a")).status().message(), "no open");
  char buffer[3];
  EXPECT_EQ(file->ReadAt(0, buffer).value(), 3u);
  EXPECT_EQ(file->ReadAt(0, buffer).status().code(), Code::kCorrupt);
  EXPECT_EQ(file->ReadAt(0, buffer).value(), 3u);
}

TEST_F(FaultyFileSystemTest, AnyOperationCanFailByItsNumber) {
  files_.FailAnyAt(3, Status::Unavailable("third"));
  auto file = files_.Create(Path("a")).value();
  EXPECT_TRUE(file->Append("x").ok());
  EXPECT_EQ(files_.Stat(Path("a")).status().message(), "third");
  EXPECT_TRUE(files_.Stat(Path("a")).ok());
}

TEST_F(FaultyFileSystemTest, SequentialReadsCanBeSmall) {
  auto file = files_.Create(Path("a")).value();
  ASSERT_TRUE(file->Append("abcdefg").ok());
  files_.SetReadBytesMax(3);
  FaultyEnv env(*real_, files_);
  auto reader = env.files().OpenSequential(Path("a")).value();
  char buffer[10];
  EXPECT_EQ(reader->Read(buffer).value(), 3u);
  EXPECT_EQ(reader->Read(buffer).value(), 3u);
  EXPECT_EQ(reader->Read(buffer).value(), 1u);
  EXPECT_EQ(reader->Read(buffer).value(), 0u);
}

}  // namespace
}  // namespace glim::env
