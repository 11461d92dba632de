// SPDX-License-Identifier: Apache-2.0
#include "cluster/job_logs.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace glim::cluster {
namespace {

class JobLogsTest : public testing::Test {
 protected:
  JobLogsTest() : env_(env::MakePosixEnv()), folder_(*env_->files().MakeTemporaryFolder("logs")) {}
  ~JobLogsTest() override { (void)env_->files().RemoveAll(folder_); }
  JobLogs Logs() { return JobLogs(env_->files(), folder_); }
  static std::string Id(int number) { return fmt::format("{:016x}", number); }
  static std::string All(JobLogs& logs, const std::string& id) {
    std::string all;
    while (true) {
      const auto piece = logs.Read(id, all.size());
      if (!piece.ok()) return std::string(piece.status().message());
      if (piece->text.empty()) return all;
      EXPECT_LE(piece->text.size(), JobLogs::kPieceBytes);
      all += piece->text;
    }
  }

  const std::unique_ptr<env::Env> env_;
  const std::string folder_;
};

TEST_F(JobLogsTest, WhatIsSentAgainIsThereOnce) {
  JobLogs logs = Logs();
  EXPECT_EQ(*logs.Append(Id(1), 0, "one\ntwo\n"), 8u);
  EXPECT_EQ(*logs.Append(Id(1), 0, "one\ntwo\n"), 8u);
  EXPECT_EQ(*logs.Append(Id(1), 4, "two\nthree\n"), 14u);
  EXPECT_EQ(*logs.Append(Id(2), 0, "other\n"), 6u);
  EXPECT_EQ(All(logs, Id(1)), "one\ntwo\nthree\n");
  EXPECT_EQ(All(logs, Id(2)), "other\n");
  EXPECT_EQ(logs.Read(Id(1), 4)->size, 14u);
}

TEST_F(JobLogsTest, GoesOnAfterTheMasterHasStartedAnew) {
  {
    JobLogs logs = Logs();
    (void)logs.Append(Id(1), 0, "before, ");
    (void)logs.Append(Id(2), 0, "ended");
    logs.End(Id(2));
  }
  JobLogs logs = Logs();
  EXPECT_EQ(*logs.Append(Id(1), 4, "re, after"), 13u);
  EXPECT_EQ(All(logs, Id(1)), "before, after");
  EXPECT_EQ(All(logs, Id(2)), "ended");
}

TEST_F(JobLogsTest, AJobHasAMegabyte) {
  JobLogs logs = Logs();
  const std::string text(300'000, 'x');
  uint64_t at = 0;
  for (int i = 0; i < 10; ++i) at = *logs.Append(Id(1), at, text);
  EXPECT_EQ(at, 3'000'000u);  // The driver need not try again.
  EXPECT_EQ(All(logs, Id(1)).size(), JobLogs::kLogBytesMax);
}

TEST_F(JobLogsTest, OldOnesGo) {
  const int count = static_cast<int>(JobLogs::kLogsMax) + 10;
  JobLogs logs = Logs();
  (void)logs.Append(Id(0), 0, "runs all the time");
  for (int i = 1; i < count; ++i) {
    (void)logs.Append(Id(i), 0, "x");
    logs.End(Id(i));
  }
  EXPECT_EQ(All(logs, Id(0)), "runs all the time");
  EXPECT_EQ(logs.Read(Id(1), 0).status().code(), Code::kNotFound);
  EXPECT_EQ(All(logs, Id(count - 1)), "x");
  EXPECT_EQ(env_->files().List(folder_ + "/jobs")->size(), JobLogs::kLogsMax);
}

TEST_F(JobLogsTest, OnlyIdsBecomePaths) {
  JobLogs logs = Logs();
  for (const std::string id : {"", "../../etc/passwd", "0123456789abcdeF", "0123456789abcdef0"}) {
    EXPECT_EQ(logs.Append(id, 0, "x").status().code(), Code::kInvalid) << id;
    EXPECT_EQ(logs.Read(id, 0).status().code(), Code::kInvalid) << id;
  }
  EXPECT_EQ(logs.Read(Id(7), 0).status().code(), Code::kNotFound);
}

TEST_F(JobLogsTest, WithoutAFolderNothingIsKept) {
  ASSERT_TRUE((*env_->files().Create(folder_ + "/jobs"))->Append("a file").ok());
  JobLogs logs = Logs();
  EXPECT_EQ(*logs.Append(Id(1), 0, "text"), 4u);
  EXPECT_EQ(logs.Read(Id(1), 0).status().code(), Code::kNotFound);
}

}  // namespace
}  // namespace glim::cluster
