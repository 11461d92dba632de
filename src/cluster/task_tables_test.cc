// SPDX-License-Identifier: Apache-2.0
//
// Tasks that are run again push once: on servers over sockets, where the first attempt's program is gone in the middle,
// or goes on beside the second one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include "cluster/table_places_test.h"
#include "param/task_table.h"

namespace glim::cluster {
namespace {

using param::TaskAttempt;
using param::TaskTables;
using testing::HasSubstr;

constexpr size_t kKeys = 200;

class TaskPushes : public testing::Test {
 protected:
  // A program of its own; tables that it opens are handles to the same ones.
  std::unique_ptr<TablePlace> Program() { return std::make_unique<ServersPlace>(cluster_->env(), cluster_); }
  TableHandle Open(TablePlace& program) { return program.OpenTable("t").value(); }
  // Each row, as somebody else sees it.
  std::vector<double> Rows() {
    std::vector<Key> keys(kKeys);
    std::iota(keys.begin(), keys.end(), 0);
    const auto rows = Open(*driver_)->PullDoubles(keys).Get();
    EXPECT_TRUE(rows.ok()) << rows.status().message();
    return rows.ok() ? *rows : std::vector<double>();
  }
  void MakeTable() {
    ASSERT_TRUE(driver_->CreateTable({.name = "t", .value_type = ValueType::kF64, .shards = 4}).ok());
  }

  const std::shared_ptr<TestCluster> cluster_ = std::make_shared<TestCluster>(3);
  const std::unique_ptr<TablePlace> driver_ = Program();
};

TaskAttempt Attempt(uint64_t attempt, uint32_t partition = 0) {
  return {.job = "job 7", .stage = 2, .partition = partition, .attempt = attempt};
}

// Push `i` of every attempt: some keys, with values that tell the pushes apart.
Future<void> PushNumber(TableClient& table, size_t i) {
  std::vector<Key> keys;
  std::vector<double> values;
  for (size_t k = i % 3; k < kKeys; k += 1 + i % 4) {
    keys.push_back(k);
    values.push_back(static_cast<double>(1 + i * i));
  }
  return table.PushDoubles(keys, values);
}
std::vector<double> After(size_t pushes) {
  std::vector<double> rows(kKeys);
  for (size_t i = 0; i < pushes; ++i) {
    for (size_t k = i % 3; k < kKeys; k += 1 + i % 4) rows[k] += static_cast<double>(1 + i * i);
  }
  return rows;
}
void PushAll(TableClient& table, size_t begin, size_t end) {
  std::vector<Future<void>> pushes;
  for (size_t i = begin; i < end; ++i) pushes.push_back(PushNumber(table, i));
  for (const Future<void>& push : pushes) {
    const Status status = push.Wait();
    ASSERT_TRUE(status.ok()) << status.message();
  }
}

constexpr size_t kPushes = 120;

TEST_F(TaskPushes, AnAttemptWhoseProgramIsGoneIsFinishedByTheNext) {
  MakeTable();
  {
    const auto first = Program();
    TaskTables task(Attempt(0));
    const TableHandle table = task.Of(Open(*first)).value();
    PushAll(*table, 0, 40);
    // What these have come to, nobody knows.
    for (size_t i = 40; i < 70; ++i) (void)PushNumber(*table, i);
  }
  const auto second = Program();
  TaskTables task(Attempt(1));
  const TableHandle table = task.Of(Open(*second)).value();
  PushAll(*table, 0, kPushes);
  EXPECT_EQ(Rows(), After(kPushes));
  // And once more, in the program of the last one.
  TaskTables again(Attempt(2));
  PushAll(*again.Of(Open(*second)).value(), 0, kPushes);
  EXPECT_EQ(Rows(), After(kPushes));
}

TEST_F(TaskPushes, AreMadeWhenTheTaskHasWaitedAlsoThoseWhoseFuturesWereLetGoOf) {
  MakeTable();
  const auto program = Program();
  TaskTables task(Attempt(0));
  const TableHandle table = task.Of(Open(*program)).value();
  std::vector<Dependency> pushes;
  for (size_t i = 0; i < kPushes; ++i) pushes.emplace_back(PushNumber(*table, i));
  task.WaitForPushes();
  for (const Dependency& push : pushes) EXPECT_TRUE(push.ready());
  EXPECT_TRUE(task.failure().ok()) << task.failure().message();
  EXPECT_EQ(Rows(), After(kPushes));
  task.WaitForPushes();
}

TEST_F(TaskPushes, AnOlderAttemptThatGoesOnIsRefused) {
  MakeTable();
  const auto first = Program(), second = Program();
  TaskTables old_task(Attempt(0)), new_task(Attempt(1));
  const TableHandle old_table = old_task.Of(Open(*first)).value();
  PushAll(*old_table, 0, 50);
  const TableHandle new_table = new_task.Of(Open(*second)).value();
  PushAll(*new_table, 0, 10);
  // All shards have heard of the later attempt.
  const Status refused = PushNumber(*old_table, 50).Wait();
  EXPECT_EQ(refused.code(), Code::kStale) << refused.message();
  EXPECT_THAT(refused.message(), HasSubstr("a later attempt of this producer is at work"));
  EXPECT_EQ(PushNumber(*old_table, 51).Wait().code(), Code::kStale);
  PushAll(*new_table, 10, kPushes);
  EXPECT_EQ(Rows(), After(kPushes));
}

TEST_F(TaskPushes, AttemptsSideBySidePushOnce) {
  MakeTable();
  // In one program, whose connections they share.
  const auto program = Program();
  const TableHandle shared = Open(*program);
  std::vector<std::unique_ptr<TaskTables>> tasks;
  std::vector<std::thread> threads;
  for (uint64_t attempt = 0; attempt < 4; ++attempt) {
    tasks.push_back(std::make_unique<TaskTables>(Attempt(attempt)));
    threads.emplace_back([table = tasks.back()->Of(shared).value(), attempt] {
      std::vector<Future<void>> pushes;
      for (size_t i = 0; i < kPushes; ++i) pushes.push_back(PushNumber(*table, i));
      for (const Future<void>& push : pushes) {
        const Status status = push.Wait();
        if (attempt == 3) {
          EXPECT_TRUE(status.ok()) << status.message();
        } else {
          EXPECT_TRUE(status.ok() || status.code() == Code::kStale) << status.message();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Rows(), After(kPushes));
}

TEST_F(TaskPushes, TasksAndTheirProgramAreDifferentProducers) {
  MakeTable();
  const auto program = Program();
  const TableHandle shared = Open(*program);
  TaskTables one(Attempt(0, 1)), two(Attempt(0, 2));
  EXPECT_EQ(one.Of(shared).value(), one.Of(shared).value()) << "the pushes of a task are numbered in one place";
  std::vector<std::thread> threads;
  for (const TableHandle& table : {one.Of(shared).value(), two.Of(shared).value(), shared}) {
    threads.emplace_back([table] { PushAll(*table, 0, kPushes); });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<double> three = After(kPushes);
  for (double& row : three) row *= 3;
  EXPECT_EQ(Rows(), three);
}

TEST_F(TaskPushes, PullsSeeThePushesOfTheTask) {
  MakeTable();
  const auto program = Program();
  for (uint64_t attempt = 0; attempt < 2; ++attempt) {
    TaskTables task(Attempt(attempt));
    const TableHandle table = task.Of(Open(*program)).value();
    const std::vector<Key> keys = {3, 100};
    const Future<void> pushed = table->PushDoubles(keys, std::vector<double>{1, 2});
    // What the first attempt has pushed is there for the second.
    const std::vector<double> seen = attempt == 0 ? std::vector<double>{1, 2} : std::vector<double>{11, 22};
    EXPECT_EQ(table->PullDoubles(keys).Get().value(), seen);
    EXPECT_EQ(table->PushPullDoubles(keys, std::vector<double>{10, 20}).Get().value(), (std::vector<double>{11, 22}));
    EXPECT_TRUE(pushed.Wait().ok());
    if (attempt == 0) continue;
    EXPECT_EQ(table->Describe()->keys_stored, 2u);
    ASSERT_TRUE(table->Drop().ok());
    EXPECT_EQ(table->PullDoubles(keys).Get().status().code(), Code::kNotFound);
  }
}

// In pieces: more than goes into one message to a shard.
TEST_F(TaskPushes, ALargePushThatWasBrokenOffIsFinishedByTheNextAttempt) {
  ASSERT_TRUE(driver_->CreateTable({.name = "t", .value_type = ValueType::kF64, .width = 4000, .shards = 2}).ok());
  const std::vector<Key> keys = [] {
    std::vector<Key> keys(kKeys);
    std::iota(keys.begin(), keys.end(), 0);
    return keys;
  }();
  const std::vector<double> values(kKeys * 4000, 1.0);
  for (int attempt = 0; attempt < 4; ++attempt) {
    const auto program = Program();
    TaskTables task(Attempt(attempt));
    const TableHandle table = task.Of(Open(*program)).value();
    for (int i = 0; i < 2; ++i) {
      const Future<void> pushed = table->Push(keys, std::as_bytes(std::span(values)));
      if (attempt < 3) {
        (void)pushed.Wait(std::chrono::milliseconds(attempt * 5));  // Some pieces, some time.
      } else {
        const Status status = pushed.Wait();
        ASSERT_TRUE(status.ok()) << status.message();
      }
    }
  }
  const auto rows = Open(*driver_)->PullDoubles(keys).Get();
  ASSERT_TRUE(rows.ok()) << rows.status().message();
  EXPECT_EQ(*rows, std::vector<double>(values.size(), 2.0));
}

TEST_F(TaskPushes, APushThatWasNotMadeEndsTheAttempt) {
  MakeTable();
  const auto program = Program();
  TaskTables task(Attempt(0));
  const TableHandle table = task.Of(Open(*program)).value();
  PushAll(*table, 0, 5);
  const std::vector<Key> keys = {1};
  const std::vector<double> values = {1};
  // It would follow a request that failed.
  const Future<void> failed = table->PushDoubles(keys, std::vector<double>{});
  EXPECT_FALSE(failed.Wait().ok());
  EXPECT_FALSE(table->PushDoubles(keys, values, {.after = {failed}}).Wait().ok());
  EXPECT_FALSE(PushNumber(*table, 5).Wait().ok());
  TaskTables next(Attempt(1));
  PushAll(*next.Of(Open(*program)).value(), 0, 6);
  EXPECT_EQ(Rows(), After(6));
}

TEST_F(TaskPushes, AFailureIsKnownAlsoWhenNobodyLooked) {
  MakeTable();
  const auto program = Program();
  TaskTables task(Attempt(0)), later(Attempt(1));
  const TableHandle table = task.Of(Open(*program)).value();
  // A push that makes no sense makes none in any attempt.
  EXPECT_EQ(table->PushDoubles(std::vector<Key>{1}, std::vector<double>{}).Wait().code(), Code::kInvalid);
  PushAll(*table, 0, 3);
  EXPECT_TRUE(task.failure().ok()) << task.failure().message();
  PushAll(*later.Of(Open(*program)).value(), 0, 5);
  for (size_t i = 3; i < 10; ++i) (void)PushNumber(*table, i).Wait();
  EXPECT_EQ(task.failure().code(), Code::kStale) << task.failure().message();
  EXPECT_TRUE(later.failure().ok());
  EXPECT_EQ(Rows(), After(5));
}

// As their rows come: which of them pushes first is not the same in each attempt.
TEST_F(TaskPushes, StepsOfATaskAreTriedAgainIndependently) {
  MakeTable();
  const auto program = Program();
  for (uint64_t attempt = 0; attempt < 2; ++attempt) {
    TaskAttempt first = Attempt(attempt), second = Attempt(attempt);
    second.step = 1;
    EXPECT_NE(ProducerOf(first), ProducerOf(second));
    TaskTables one(first), two(second);
    const TableHandle a = one.Of(Open(*program)).value(), b = two.Of(Open(*program)).value();
    PushAll(attempt == 0 ? *a : *b, 0, 20);
    PushAll(attempt == 0 ? *b : *a, 0, 10 + 10 * attempt);
  }
  std::vector<double> twice = After(20);
  for (double& row : twice) row *= 2;
  EXPECT_EQ(Rows(), twice);
}

TEST(TaskTables, ATableOfThisProcessIsGivenBackAsItIs) {
  const auto env = env::MakePosixEnv();
  EmbeddedPlace place(*env);
  const TableHandle table = place.CreateTable({.name = "t"}).value();
  TaskTables task(Attempt(1));
  EXPECT_EQ(task.Of(table).value(), table);
  EXPECT_NE(ProducerOf(Attempt(0, 1)), ProducerOf(Attempt(0, 2)));
  EXPECT_EQ(ProducerOf(Attempt(0, 1)), ProducerOf(Attempt(5, 1)));
}

}  // namespace
}  // namespace glim::cluster
