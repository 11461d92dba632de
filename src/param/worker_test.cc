// SPDX-License-Identifier: Apache-2.0
//
// Workers of embedded tables: what their pushes and pulls do under each consistency.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "env/env.h"
#include "param/catalogue.h"

namespace glim::param {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class WorkerTest : public testing::Test {
 protected:
  Table<float> Make(const std::string& name, Consistency consistency, UpdateRule rule = Add{}, uint32_t shards = 0) {
    return Table<float>(catalogue_.CreateTable(
        MakeTableSpec<float>(name, SparseKeys(), rule, {.shards = shards, .consistency = consistency})));
  }

  std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  Catalogue catalogue_{*env_};
  const std::vector<Key> keys_{7};
  const std::vector<float> one_{1};
};

TEST_F(WorkerTest, ABulkSynchronousPullSeesTheClocksBeforeAndNothingElse) {
  const Table<float> table = Make("t", kBsp);
  const Worker<float> a = table.Join({.worker = 0, .workers = 2}), b = table.Join({.worker = 1, .workers = 2});
  ASSERT_TRUE(a.Push(keys_, one_).Wait().ok());
  ASSERT_TRUE(b.Push(keys_, one_).Wait().ok());
  ASSERT_TRUE(b.Clock().ok());
  ASSERT_TRUE(b.Push(keys_, one_).Wait().ok());
  EXPECT_EQ(a.Pull(keys_).Get().value(), std::vector<float>{0});
  const Status late = b.Pull(keys_, {.deadline = milliseconds(5), .after = {}}).Get().status();
  EXPECT_EQ(late.code(), Code::kTimeout);
  EXPECT_THAT(late.message(), HasSubstr("worker 1 waits in vain: worker 0 of 2 has not ended clock 0"));
  ASSERT_TRUE(a.Clock().ok());
  EXPECT_EQ(b.Pull(keys_).Get().value(), std::vector<float>{2});
  EXPECT_EQ(a.clock(), 1U);
}

TEST_F(WorkerTest, PushesThatNoWorkerMadeAreRefusedOnABulkSynchronousTableOnly) {
  EXPECT_THAT(Make("bsp", kBsp).Push(keys_, one_).Wait().message(), HasSubstr("only its workers push to it"));
  EXPECT_TRUE(Make("stale", Staleness(1)).Push(keys_, one_).Wait().ok());
  const Table<float> table = Make("async", kAsync);
  EXPECT_FALSE(table.Join({.worker = 2, .workers = 2}).ok());
  const Worker<float> worker = table.Join({.worker = 0, .workers = 2});
  ASSERT_TRUE(worker.Clock().ok());
  ASSERT_TRUE(worker.Push(keys_, one_).Wait().ok());
  EXPECT_EQ(worker.Pull(keys_).Get().value(), std::vector<float>{1});
  EXPECT_EQ(table.Describe()->spec.consistency, kAsync);
  EXPECT_EQ(worker.PushPull(keys_, one_).Get().status().code(), Code::kInvalid);
  EXPECT_THAT(table.Join({.worker = 0, .workers = 3}).status().message(), HasSubstr("that of 2 workers, not of 3"));
}

TEST_F(WorkerTest, AStalePullWaitsAtTheBoundAndIsWoken) {
  const Table<float> table = Make("t", Staleness(2));
  const Worker<float> a = table.Join({.worker = 0, .workers = 2});
  Worker<float> b = table.Join({.worker = 1, .workers = 2});
  for (int clock = 0; clock < 3; ++clock) {
    ASSERT_TRUE(a.Pull(keys_).Get().ok());
    ASSERT_TRUE(a.Push(keys_, one_).Wait().ok());
    ASSERT_TRUE(a.Clock().ok());
  }
  EXPECT_EQ(a.Pull(keys_, {.deadline = milliseconds(5), .after = {}}).Get().status().code(), Code::kTimeout);
  std::thread other([&] {
    ASSERT_TRUE(b.Push(keys_, one_).Wait().ok());
    ASSERT_TRUE(b.Clock().ok());
  });
  EXPECT_EQ(a.Pull(keys_).Get().value(), std::vector<float>{4});
  other.join();
  ASSERT_TRUE(a.Clock().ok());
  EXPECT_EQ(a.Pull(keys_, {.deadline = milliseconds(5), .after = {}}).Get().status().code(), Code::kTimeout);
  b = Worker<float>();  // It is gone, and so not waited for.
  EXPECT_TRUE(a.Pull(keys_).Get().ok());
}

TEST_F(WorkerTest, AWorkerThatIsTakenOutIsToldSo) {
  const Table<float> table = Make("t", kBsp);
  const Worker<float> a = table.Join({.worker = 0, .workers = 2}), b = table.Join({.worker = 1, .workers = 2});
  ASSERT_TRUE(b.Push(keys_, one_).Wait().ok());
  ASSERT_TRUE(a.Clock().ok());
  ASSERT_TRUE(table.RemoveWorker(1).ok());
  EXPECT_EQ(a.Pull(keys_).Get().value(), std::vector<float>{0});
  EXPECT_THAT(b.Clock().message(), HasSubstr("worker 1 was taken out"));
  const Worker<float> again = table.Join({.worker = 1, .workers = 2});
  EXPECT_EQ(again.clock(), 1U);
  EXPECT_THAT(b.Push(keys_, one_).Wait().message(), HasSubstr("another process has become worker 1"));
}

TEST_F(WorkerTest, ABarrierMeetsAllAndATableThatIsDroppedHoldsNobody) {
  const Table<float> table = Make("t", kAsync);
  std::atomic<int> arrived{0};
  std::vector<std::thread> threads;
  for (uint32_t w = 0; w < 4; ++w) {
    threads.emplace_back([&, w] {
      const Worker<float> worker = table.Join({.worker = w, .workers = 4});
      ++arrived;
      ASSERT_TRUE(worker.Barrier().ok());
      EXPECT_EQ(arrived, 4);
      ASSERT_TRUE(worker.Barrier().ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  const Worker<float> waits = table.Join({.worker = 0, .workers = 2});
  std::thread dropper([&] {
    env_->clock().SleepFor(20'000'000);
    ASSERT_TRUE(table.Drop().ok());
  });
  EXPECT_EQ(waits.Barrier().code(), Code::kNotFound);
  dropper.join();
}

}  // namespace
}  // namespace glim::param
