// SPDX-License-Identifier: Apache-2.0
//
// Requests and rows that are larger than what goes into one message, or than what may be under way.
#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <vector>

#include "cluster/table_places_test.h"
#include "env/env.h"

namespace glim::cluster {
namespace {

class LargeRequests : public testing::Test {
 protected:
  Table<float> Make(KeySpace keys, UpdateRule rule, uint32_t shards) {
    return Table<float>(place_->CreateTable(MakeTableSpec<float>("large", keys, std::move(rule), {.shards = shards})));
  }
  // A program that may have so much under way.
  void Start(uint64_t under_way_bytes_max) {
    param::ClusterClientOptions options;
    options.under_way_bytes_max = under_way_bytes_max;
    place_ = std::make_unique<ServersPlace>(*env_, std::make_shared<TestCluster>(2), 2, std::move(options));
  }

  const std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  std::unique_ptr<ServersPlace> place_;
};

std::vector<Key> UpTo(Key count) {
  std::vector<Key> keys(count);
  std::iota(keys.begin(), keys.end(), Key{0});
  return keys;
}

// With Adam, a row that was updated twice for two halves of one push would count its steps twice.
TEST_F(LargeRequests, ARowWiderThanAMessageIsUpdatedOnceAndComesBackWhole) {
  Start(64 << 20);
  constexpr uint32_t kWidth = 3'000'000;  // 12 MB, and as much again for each value of its state.
  param::Catalogue here(*env_);
  const TableSpec spec = MakeTableSpec<float>("wide", MatrixKeys(2, kWidth), Adam{}, {.shards = 1});
  Table<float> embedded(here.CreateTable(spec)), remote(place_->CreateTable(spec));
  ASSERT_TRUE(remote.ok()) << remote.status().message();
  std::vector<float> values(kWidth);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 1000) / 8;
  const std::vector<Key> keys{1};
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(embedded.Push(keys, values).Wait().ok());
    const Status pushed = remote.Push(keys, values).Wait();
    ASSERT_TRUE(pushed.ok()) << pushed.message();
  }
  const auto both = remote.PushPull(keys, values).Get();
  ASSERT_TRUE(both.ok()) << both.status().message();
  const std::vector<float> wanted = embedded.PushPull(keys, values).Get().value();
  EXPECT_TRUE(*both == wanted);
  EXPECT_TRUE(remote.Pull(keys).Get().value() == wanted);
}

TEST_F(LargeRequests, ARequestLargerThanWhatMayBeUnderWayGoesThroughInParts) {
  Start(1 << 20);
  const Table<float> table = Make(DenseKeys(3'000'000), Add{}, 5);
  ASSERT_TRUE(table.ok()) << table.status().message();
  const std::vector<Key> keys = UpTo(3'000'000);
  std::vector<float> values(keys.size());
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 4096);
  const Status pushed = table.Push(keys, values).Wait();
  ASSERT_TRUE(pushed.ok()) << pushed.message();
  const auto pulled = table.Pull(keys).Get();
  ASSERT_TRUE(pulled.ok()) << pulled.status().message();
  EXPECT_TRUE(*pulled == values);
}

// By hand: 400 MB each way, on default settings.
TEST_F(LargeRequests, DISABLED_HundredMillionFloatsComeAndGo) {
  Start(64 << 20);
  const Table<float> table = Make(DenseKeys(100'000'000), Add{}, 16);
  const std::vector<Key> keys = UpTo(100'000'000);
  const std::vector<float> values(keys.size(), 2);
  const int64_t begin = env_->clock().MonotonicNanos();
  const Status pushed = table.Push(keys, values, {.deadline = std::chrono::minutes(5)}).Wait();
  ASSERT_TRUE(pushed.ok()) << pushed.message();
  const int64_t between = env_->clock().MonotonicNanos();
  const auto pulled = table.Pull(keys, {.deadline = std::chrono::minutes(5)}).Get();
  ASSERT_TRUE(pulled.ok()) << pulled.status().message();
  const int64_t end = env_->clock().MonotonicNanos();
  EXPECT_TRUE(*pulled == values);
  RecordProperty("push_ms", static_cast<int>((between - begin) / 1'000'000));
  RecordProperty("pull_ms", static_cast<int>((end - between) / 1'000'000));
}

}  // namespace
}  // namespace glim::cluster
