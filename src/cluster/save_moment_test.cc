// SPDX-License-Identifier: Apache-2.0
//
// A saved model is the table as of one moment, over all shards, while others push and save.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "cluster/table_places_test.h"

namespace glim::cluster {
namespace {

class SaveMoment : public testing::TestWithParam<PlaceKind> {
 protected:
  SaveMoment() : root_(env_->files().MakeTemporaryFolder("glim-save-moment").value()) {}
  ~SaveMoment() override { (void)env_->files().RemoveAll(root_).ok(); }

  // Another program, where tables are on servers.
  Table<int64_t> OpenElsewhere(const std::string& name) {
    if (!GetParam().on_servers) return Table<int64_t>(place_->OpenTable(name));
    programs_.push_back(place_->Other(*env_));
    return Table<int64_t>(programs_.back()->OpenTable(name));
  }
  std::vector<int64_t> Saved(const std::string& folder, const std::vector<Key>& keys) {
    Table<int64_t> copy(place_->LoadTable(folder, "copy"));
    EXPECT_TRUE(copy.ok()) << copy.status().message();
    const auto rows = copy.Pull(keys).Get();
    EXPECT_TRUE(rows.ok()) << rows.status().message();
    EXPECT_TRUE(copy.Drop().ok());
    return rows.value();
  }

  const std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  const std::unique_ptr<TablePlace> place_ = MakePlace(GetParam(), *env_);
  const std::string root_;
  std::vector<std::unique_ptr<TablePlace>> programs_;
};

// Who pushes to one key after the other, each when the one before is acknowledged, has never more of a later one. The
// keys are of all shards.
TEST_P(SaveMoment, NoPushIsInWithoutThoseThatWereAcknowledgedBeforeIt) {
  constexpr size_t kPushers = 2, kKeys = 12;
  const Table<int64_t> table(place_->CreateTable(MakeTableSpec<int64_t>("t", SparseKeys(), Add{}, {.shards = 5})));
  ASSERT_TRUE(table.ok()) << table.status().message();
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  std::vector<Status> failed(kPushers);
  for (size_t p = 0; p < kPushers; ++p) {
    threads.emplace_back([&, p, own = OpenElsewhere("t")] {
      while (!stop && failed[p].ok()) {
        for (size_t i = 0; i < kKeys && failed[p].ok(); ++i) {
          failed[p] = own.Push(std::vector<Key>{p * kKeys + i}, std::vector<int64_t>{1}).Wait();
        }
      }
    });
  }
  Status saved_elsewhere;
  threads.emplace_back([&, own = OpenElsewhere("t")] {
    while (!stop && saved_elsewhere.ok()) saved_elsewhere = own.Save(root_ + "/elsewhere");
  });
  std::vector<Key> keys(kPushers * kKeys);
  std::iota(keys.begin(), keys.end(), Key{0});
  for (int save = 0; save < 10; ++save) {
    const Status saved = table.Save(root_ + "/here");
    EXPECT_TRUE(saved.ok()) << saved.message();
    if (!saved.ok()) break;
    const std::vector<int64_t> rows = Saved(root_ + "/here", keys);
    for (size_t p = 0; p < kPushers; ++p) {
      const auto first = rows.begin() + static_cast<ptrdiff_t>(p * kKeys), last = first + kKeys;
      EXPECT_TRUE(std::is_sorted(first, last, std::greater<>())) << testing::PrintToString(rows);
      EXPECT_LE(*first, last[-1] + 1) << testing::PrintToString(rows);
    }
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (const Status& status : failed) EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(saved_elsewhere.ok()) << saved_elsewhere.message();
}

// What this program pushed before, waited for or not, is in.
TEST_P(SaveMoment, OwnPushesAreInWithoutWaiting) {
  const Table<int64_t> table(place_->CreateTable(MakeTableSpec<int64_t>("t", SparseKeys(), Add{}, {.shards = 5})));
  ASSERT_TRUE(table.ok()) << table.status().message();
  std::vector<Key> keys(1000);
  std::iota(keys.begin(), keys.end(), Key{0});
  for (int64_t round = 1; round <= 5; ++round) {
    const auto pushed = table.Push(keys, std::vector<int64_t>(keys.size(), 1));
    ASSERT_TRUE(table.Save(root_ + "/model").ok());
    EXPECT_THAT(Saved(root_ + "/model", keys), testing::Each(round));
    EXPECT_TRUE(pushed.Wait().ok());
  }
}

TEST_P(SaveMoment, BulkSynchronousTablesAreSavedInWholeClocks) {
  constexpr uint32_t kWorkers = 3;
  const Table<int64_t> table(
      place_->CreateTable(MakeTableSpec<int64_t>("t", SparseKeys(), Add{}, {.shards = 5, .consistency = kBsp})));
  ASSERT_TRUE(table.ok()) << table.status().message();
  std::vector<Key> keys(50);
  std::iota(keys.begin(), keys.end(), Key{0});
  const std::vector<int64_t> ones(keys.size(), 1);
  std::atomic<bool> stop{false};
  std::vector<Status> failed(kWorkers);
  std::vector<std::thread> threads;
  for (uint32_t w = 0; w < kWorkers; ++w) {
    threads.emplace_back([&, w, own = OpenElsewhere("t")] {
      const Worker<int64_t> worker = own.Join({.worker = w, .workers = kWorkers});
      failed[w] = worker.status();
      while (!stop && failed[w].ok()) {
        failed[w] = worker.Push(keys, ones).Wait();
        if (failed[w].ok()) failed[w] = worker.Clock();
      }
    });
  }
  for (int save = 0; save < 10; ++save) {
    const Status saved = table.Save(root_ + "/model");
    EXPECT_TRUE(saved.ok()) << saved.message();
    if (!saved.ok()) break;
    const std::vector<int64_t> rows = Saved(root_ + "/model", keys);
    EXPECT_THAT(rows, testing::Each(rows[0]));
    EXPECT_EQ(rows[0] % kWorkers, 0);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (const Status& status : failed) EXPECT_TRUE(status.ok()) << status.message();
}

GLIM_IN_ALL_PLACES(SaveMoment);

}  // namespace
}  // namespace glim::cluster
