// SPDX-License-Identifier: Apache-2.0
#include "cluster/master_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "base/try.h"
#include "env/fault/faulty_file_system.h"

namespace glim::cluster {
namespace {

using testing::HasSubstr;

class MasterLogTest : public testing::Test {
 protected:
  MasterLogTest() : env_(env::MakePosixEnv()), folder_(*env_->files().MakeTemporaryFolder("master-log")) {}
  ~MasterLogTest() override { (void)env_->files().RemoveAll(folder_); }

  std::string Bytes() {
    auto file = env_->files().OpenSequential(folder_ + "/decisions.log");
    std::string bytes(1 << 16, '\0');
    bytes.resize(*(*file)->Read(bytes));
    return bytes;
  }
  void Write(const std::string& bytes) {
    auto file = env_->files().Create(folder_ + "/decisions.log");
    ASSERT_TRUE((*file)->Append(bytes).ok());
    ASSERT_TRUE((*file)->Close().ok());
  }
  // A log of four decisions.
  void Begin() {
    const Decision first[] = {EpochBegun{7}};
    auto log = MasterLog::Begin(env_->files(), folder_, first);
    ASSERT_TRUE(log.ok()) << log.status().message();
    const param::ShardId shard{1, 2};
    for (const Decision& decision :
         {Decision(TableCreated{{1, "ctr", 3, 2, true, param::SharedBytes::Of("spec")}}),
          Decision(ViewMade{shard, {5, {1, 10}, {{2, 20}}, {}}}), Decision(ViewActivated{shard, 5})}) {
      ASSERT_TRUE((*log)->Append(decision).ok());
    }
    ASSERT_TRUE((*log)->Sync().ok());
  }

  std::unique_ptr<env::Env> env_;
  const std::string folder_;
};

TEST_F(MasterLogTest, WhatWasDecidedComesBack) {
  EXPECT_TRUE(ReadMasterLog(env_->files(), folder_)->empty());
  Begin();
  const auto log = ReadMasterLog(env_->files(), folder_);
  ASSERT_TRUE(log.ok()) << log.status().message();
  ASSERT_EQ(log->size(), 4U);
  EXPECT_EQ(std::get<EpochBegun>((*log)[0]).epoch, 7U);
  EXPECT_EQ(std::get<TableCreated>((*log)[1]).table.name, "ctr");
  EXPECT_EQ(std::get<ViewMade>((*log)[2]).view.backups[0].incarnation, 20U);
  EXPECT_EQ(std::get<ViewActivated>((*log)[3]).number, 5U);
}

TEST_F(MasterLogTest, ATornEndIsLeftOutAndAChangedByteIsAnError) {
  Begin();
  base::SetLogLevel(base::LogLevel::kError);  // It warns of what it leaves out.
  const std::string bytes = Bytes();
  size_t read_before = 0;
  for (size_t size = 0; size <= bytes.size(); ++size) {
    Write(bytes.substr(0, size));
    const auto log = ReadMasterLog(env_->files(), folder_);
    ASSERT_TRUE(log.ok()) << size << log.status().message();
    EXPECT_GE(log->size(), read_before);
    read_before = log->size();
  }
  EXPECT_EQ(read_before, 4U);
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 4);
    Write(changed);
    const auto log = ReadMasterLog(env_->files(), folder_);
    ASSERT_FALSE(log.ok()) << at;
    EXPECT_THAT(log.status().message(), HasSubstr("decisions.log\", at byte "));
  }
  base::SetLogLevel(base::LogLevel::kWarning);
}

// Whichever write, sync or rename finds no room: what a sync was told of is there afterwards, and a master can start.
TEST_F(MasterLogTest, WhateverFailsWhatWasSyncedIsThere) {
  base::SetLogLevel(base::LogLevel::kError);  // It warns of what is torn.
  env::FaultyFileSystem files(env_->files());
  bool is_over = false;
  for (int64_t n = 1; !is_over; ++n) {
    Begin();
    size_t synced = ReadMasterLog(env_->files(), folder_)->size();
    files.Heal();
    files.FailAnyAt(n, Status::Exhausted("no room"));
    // What starting does, and three decisions more.
    const auto write = [&]() -> Status {
      ASSIGN_OR_RETURN(const std::vector<Decision> decisions, ReadMasterLog(files, folder_));
      ASSIGN_OR_RETURN(const auto log, MasterLog::Begin(files, folder_, decisions));
      for (uint64_t epoch = 8; epoch < 11; ++epoch) {
        RETURN_IF_ERROR(log->Append(EpochBegun{epoch}));
        RETURN_IF_ERROR(log->Sync());
        ++synced;
      }
      return Status::Ok();
    };
    const Status status = write();
    is_over = files.total_count() < n;
    EXPECT_EQ(status.code(), is_over ? Code::kOk : Code::kExhausted) << n;
    const auto after = ReadMasterLog(env_->files(), folder_);
    ASSERT_TRUE(after.ok()) << n << after.status().message();
    EXPECT_GE(after->size(), synced) << n;
    EXPECT_LE(after->size(), synced + 1) << n;
  }
  base::SetLogLevel(base::LogLevel::kWarning);
}

}  // namespace
}  // namespace glim::cluster
