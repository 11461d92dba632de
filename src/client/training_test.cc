// SPDX-License-Identifier: Apache-2.0
//
// Trainings in one process, and with tables on servers. tests/training_test.py has those whose programs are killed.
#include "glim/training.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

#include "cluster/master_process.h"
#include "cluster/server_process.h"
#include "env/env.h"
#include "glim/glim.h"

namespace glim {
namespace {

constexpr int64_t kRows = 1000;

class TrainingTest : public testing::Test {
 protected:
  TrainingTest()
      : env_(env::MakePosixEnv()), folder_(env_->files().MakeTemporaryFolder("glim-training-test").value()) {}
  ~TrainingTest() override { (void)env_->files().RemoveAll(folder_); }

  TrainingOptions Options(int64_t passes) const {
    return {.folder = folder_ + "/train", .passes = passes, .every = std::chrono::nanoseconds(0)};
  }

  // Counts each row in each pass; fails after so many rows. What it returned.
  Status Train(TrainingOptions options, int64_t rows_max, int parts = 16) {
    SessionOptions of_session;
    of_session.threads = 3;
    Session session(of_session);
    Training training(session, std::move(options));
    auto counts = training.CreateTable<int64_t>("counts", DenseKeys(kRows));
    Flow flow("train");
    std::atomic<int64_t> rows = 0;
    flow.Range(0, kRows).RoundRobin(parts).ForEach([&](int64_t row) {
      if (++rows > rows_max) throw std::runtime_error("enough");
      const Key key = static_cast<Key>(row);
      const int64_t one = 1;
      if (Status status = counts.Push(std::span(&key, 1), std::span(&one, 1)).Wait(); !status.ok())
        throw std::runtime_error(status.message());
    });
    const Status status = training.Run(flow);
    passes_done_ = training.passes_done();
    trained_ = rows;
    counts_ = counts.ok() ? counts.PullRange({0, kRows}).Get().value() : std::vector<int64_t>();
    if (!status.ok()) EXPECT_FALSE(training.Run(flow).ok()) << "it would count rows twice";
    return status;
  }

  const std::unique_ptr<env::Env> env_;
  const std::string folder_;
  int64_t passes_done_ = 0, trained_ = 0;
  std::vector<int64_t> counts_;
};

TEST_F(TrainingTest, EachRowCountsOnceInEachPassHoweverOftenItIsBrokenOff) {
  int tries = 0;
  int64_t trained = 0;
  while (!Train(Options(3), 400).ok()) {
    trained += trained_;
    ASSERT_LT(++tries, 100) << "it makes no progress";
  }
  EXPECT_GT(tries, 3);
  EXPECT_LT(trained + trained_, 2 * 3 * kRows) << "snapshots in the midst of a pass are of use";
  EXPECT_EQ(passes_done_, 3);
  EXPECT_EQ(counts_, std::vector<int64_t>(kRows, 3));
}

TEST_F(TrainingTest, WhatIsDoneIsNotDoneAgainAndMorePassesMayFollow) {
  ASSERT_TRUE(Train(Options(2), 10 * kRows).ok());
  ASSERT_TRUE(Train(Options(2), 0).ok());
  EXPECT_EQ(counts_, std::vector<int64_t>(kRows, 2));
  ASSERT_TRUE(Train(Options(3), kRows).ok());
  EXPECT_EQ(counts_, std::vector<int64_t>(kRows, 3));
}

TEST_F(TrainingTest, OtherPartsThanThoseOfTheSnapshotAreRefused) {
  ASSERT_FALSE(Train(Options(1), 400).ok());
  const Status other = Train(Options(1), kRows, 17);
  EXPECT_NE(other.message().find("files, steps or --partitions have changed"), std::string::npos) << other.ToString();
  EXPECT_TRUE(Train(Options(1), kRows).ok());
  EXPECT_EQ(counts_, std::vector<int64_t>(kRows, 1));
}

TEST_F(TrainingTest, EachPassMayHaveAFlowOfItsOwn) {
  Session session;
  Training training(session, Options(3));
  auto sum = training.CreateTable<int64_t>("sum", DenseKeys(3));
  const auto flow_of = [&](int64_t pass) {
    Flow flow("pass");
    flow.Range(0, 10).Map([pass](int64_t row) { return std::tuple(pass, row); }).PushTo(sum.client());
    return flow;
  };
  ASSERT_TRUE(training.Run(flow_of).ok());
  EXPECT_EQ(sum.PullRange({0, 3}).Get().value(), std::vector<int64_t>(3, 45));
}

TEST_F(TrainingTest, TheFolderIsOneTrainings) {
  Session session, other_session;
  Training training(session, Options(1));
  ASSERT_TRUE(training.CreateTable<int64_t>("a", DenseKeys(1)).ok());
  EXPECT_FALSE(training.CreateTable<int64_t>("a", DenseKeys(1)).ok());
  Training other(other_session, Options(1));
  EXPECT_EQ(other.CreateTable<int64_t>("a", DenseKeys(1)).status().code(), Code::kUnavailable);
}

TEST_F(TrainingTest, ATableOfSomebodyElseStays) {
  Session session;
  auto own = session.CreateTable<int64_t>("a", DenseKeys(1));
  ASSERT_TRUE(own.ok());
  Training training(session, Options(1));
  EXPECT_EQ(training.CreateTable<int64_t>("a", DenseKeys(1)).status().code(), Code::kInvalid);
  EXPECT_TRUE(own.client()->Describe().ok());
}

// Snapshots are written while the next parts push. In the second pass one of two servers goes, with half of the shards.
TEST_F(TrainingTest, WhatIsLostWithAServerIsRolledBackToTheLastSnapshot) {
  cluster::MasterProcess master(
      *env_, {.address = "127.0.0.1:0", .folder = folder_ + "/master", .key = nullptr, .master = {}}, nullptr);
  ASSERT_TRUE(master.Start().ok());
  std::vector<std::unique_ptr<cluster::ServerProcess>> servers;
  for (uint32_t node : {1, 2}) {
    cluster::ServerProcessOptions options;
    options.master = master.address();
    options.node = node;
    servers.push_back(std::make_unique<cluster::ServerProcess>(*env_, std::move(options), nullptr));
    ASSERT_TRUE(servers.back()->Start().ok());
  }
  SessionOptions of_session;
  of_session.threads = 3;
  of_session.on = "standalone://" + master.address();
  Session session(of_session);
  Training training(session, Options(3));
  TableSpec spec{.name = "counts", .keys = DenseKeys(kRows)};
  spec.value_type = ValueType::kI64;
  spec.shards = 8;
  spec.replicas = 1;
  const auto made = training.CreateTable(spec);
  ASSERT_TRUE(made.ok()) << made.status().message();
  const Table<int64_t> counts(*made);
  std::atomic<int64_t> rows = 0;
  std::once_flag once;
  const auto is_written = [&] {
    std::string text(1000, '\0');
    const auto file = env_->files().OpenRandom(folder_ + "/train/training");
    return file.ok() && (*file)->ReadAt(0, text).ok() && text.find("snapshot 0\n") == std::string::npos;
  };
  Flow flow("train");
  flow.Range(0, kRows).RoundRobin(16).ForEach([&](int64_t row) {
    if (++rows > kRows + kRows / 2) {
      std::call_once(once, [&] {
        for (int i = 0; i < 1000 && !is_written(); ++i) env_->clock().SleepFor(10'000'000);
        servers.pop_back();
      });
    }
    const Key key = static_cast<Key>(row);
    const int64_t one = 1;
    const PushOptions options{.deadline = std::chrono::seconds(1)};
    if (Status status = counts.Push(std::span(&key, 1), std::span(&one, 1), options).Wait(); !status.ok())
      throw std::runtime_error(status.message());
  });
  const Status status = training.Run(flow);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(counts.PullRange({0, kRows}).Get().value(), std::vector<int64_t>(kRows, 3));
  EXPECT_GT(rows, 3 * kRows);
}

}  // namespace
}  // namespace glim
