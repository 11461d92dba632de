// SPDX-License-Identifier: Apache-2.0
#include "spill/spill_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "env/fault/faulty_file_system.h"
#include "glim/batch_builder.h"

namespace glim::spill {
namespace {

using ::testing::HasSubstr;

class SpillFileTest : public ::testing::Test {
 protected:
  void SetUp() override { folder_ = env_->files().MakeTemporaryFolder("glim-spill-test-").value(); }
  void TearDown() override {
    EXPECT_TRUE(env_->files().List(folder_)->empty());
    ASSERT_TRUE(env_->files().RemoveAll(folder_).ok());
  }
  const std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  std::string folder_;
};

Batch Numbers(int64_t begin, int64_t count, const std::string& text) {
  BatchBuilder builder;
  for (int64_t i = begin; i < begin + count; ++i) builder.AppendRow({Value(i), Value(text + std::to_string(i))});
  return builder.Finish();
}

TEST_F(SpillFileTest, BlocksAreCutAndReadInAnyOrder) {
  Space space(&env_->files(), folder_);
  SpillFile file(&space);
  std::vector<Block> blocks;
  ASSERT_TRUE(file.Write(Numbers(0, 5000, "the value of a row: "), 10000, &blocks).ok());
  ASSERT_TRUE(file.Write(Batch({}, 7), 10000, &blocks).ok());
  EXPECT_GT(blocks.size(), 20u);
  EXPECT_LT(space.bytes_written(), 5000 * 20);
  EXPECT_EQ(file.Read(blocks.back())->row_count(), 7);
  int64_t row = 5000;
  for (size_t i = blocks.size() - 1; i-- > 0;) {
    const auto batch = file.Read(blocks[i], i > 0 ? &blocks[i - 1] : nullptr);
    ASSERT_TRUE(batch.ok()) << batch.status().message();
    ASSERT_EQ(batch->row_count(), blocks[i].row_count);
    row -= batch->row_count();
    EXPECT_EQ(batch->At(0, 0), Cell::Int64(row));
    EXPECT_EQ(batch->At(0, 1).as_bytes(), "the value of a row: " + std::to_string(row));
  }
  EXPECT_EQ(row, 0);
}

TEST_F(SpillFileTest, ThreadsWriteAndReadSideBySide) {
  Space space(&env_->files(), folder_);
  SpillFile file(&space);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::vector<Block> blocks;
      for (int i = 0; i < 50; ++i) EXPECT_TRUE(file.Write(Numbers(t * 1000 + i, 10, "x"), 1 << 20, &blocks).ok());
      for (int i = 0; i < 50; ++i) EXPECT_EQ(file.Read(blocks[i])->At(0, 0), Cell::Int64(t * 1000 + i));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Bytes that no packer makes smaller are kept as they are.
TEST_F(SpillFileTest, WhatCannotBePackedComesBackToo) {
  Space space(&env_->files(), folder_);
  SpillFile file(&space);
  std::string noise;
  for (uint64_t i = 0, x = 1; i < 10000; ++i) noise += static_cast<char>((x = x * 6364136223846793005u + 1) >> 56);
  BatchBuilder builder;
  builder.AppendRow({Value(noise)});
  std::vector<Block> blocks;
  ASSERT_TRUE(file.Write(builder.Finish(), 100, &blocks).ok());
  ASSERT_EQ(blocks.size(), 1u);
  EXPECT_EQ(blocks[0].stored_bytes, blocks[0].plain_bytes);
  EXPECT_EQ(file.Read(blocks[0])->At(0, 0).as_bytes(), noise);
}

TEST_F(SpillFileTest, AFullDiskAndAMissingFolderAreNamed) {
  env::FaultyFileSystem files(env_->files());
  Space space(&files, folder_);
  SpillFile file(&space);
  std::vector<Block> blocks;
  files.SetDiskBytes(1000);
  const Status full = file.Write(Numbers(0, 50000, "abc"), 1 << 20, &blocks);
  EXPECT_EQ(full.code(), Code::kExhausted);
  EXPECT_THAT(full.message(), HasSubstr("--tmp-dir"));
  EXPECT_THAT(full.message(), HasSubstr(folder_));
  EXPECT_THAT(full.message(), HasSubstr("disk full"));

  Space nowhere(&env_->files(), folder_ + "/nowhere");
  SpillFile lost(&nowhere);
  const Status missing = lost.Write(Numbers(0, 1, ""), 1 << 20, &blocks);
  EXPECT_THAT(missing.message(), HasSubstr("nowhere\": no such folder"));
  EXPECT_THAT(missing.message(), HasSubstr("--tmp-dir"));
}

TEST_F(SpillFileTest, AnotherBlocksPlaceIsDamage) {
  Space space(&env_->files(), folder_);
  SpillFile file(&space);
  std::vector<Block> blocks;
  ASSERT_TRUE(file.Write(Numbers(0, 100, "x"), 1 << 20, &blocks).ok());
  Block wrong = blocks[0];
  wrong.offset += 1;
  EXPECT_EQ(file.Read(wrong).status().code(), Code::kCorrupt);
  wrong = blocks[0];
  wrong.stored_bytes -= 1;
  EXPECT_EQ(file.Read(wrong).status().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace glim::spill
