// SPDX-License-Identifier: Apache-2.0
//
// Workers with a clock, in this process and on servers over sockets: what they learn together under each consistency,
// bulk-synchronous equal bit by bit whoever runs them wherever the table lies; who waits is told for whom, and the dead
// are not waited for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "cluster/table_places_test.h"

namespace glim::cluster {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// Rows like those of a9a: 14 of 123 binary features each, a label that depends on them.
struct Example {
  std::vector<Key> keys;
  float label = 0;
};
std::vector<Example> Examples(size_t count, uint64_t seed) {
  std::mt19937_64 dice(seed);
  std::mt19937_64 truth_dice(1);
  std::vector<double> truth(124);
  for (double& w : truth) w = static_cast<double>(truth_dice() % 2001) / 1000 - 1;
  std::vector<Example> examples(count);
  for (Example& example : examples) {
    double sum = -0.5;
    example.keys.push_back(123);
    for (int i = 0; i < 14; ++i) {
      example.keys.push_back(i * 8 + dice() % 8);
      sum += truth[example.keys.back()];
    }
    example.label = static_cast<double>(dice() % 10000) / 10000 < 1 / (1 + std::exp(-1.5 * sum)) ? 1 : 0;
  }
  return examples;
}

float Predict(std::span<const float> weights) {
  float sum = 0;
  for (const float weight : weights) sum += weight;
  return 1 / (1 + std::exp(-sum));
}

constexpr uint32_t kWorkers = 4;
constexpr size_t kBatch = 20;

// One pass of worker `w` over its part, a clock for each mini-batch.
void TrainBatch(const Worker<float>& worker, const std::vector<Example>& examples, uint32_t w, size_t batch) {
  std::vector<Key> keys;
  for (size_t i = 0; i < kBatch; ++i) {
    const Example& example = examples[(batch * kWorkers + w) * kBatch + i];
    keys.insert(keys.end(), example.keys.begin(), example.keys.end());
  }
  const auto pulled = worker.Pull(keys).Get();
  ASSERT_TRUE(pulled.ok()) << pulled.status().message();
  std::vector<float> gradients;
  for (size_t i = 0; i < kBatch; ++i) {
    const float error =
        Predict(std::span(*pulled).subspan(i * 15, 15)) - examples[(batch * kWorkers + w) * kBatch + i].label;
    gradients.insert(gradients.end(), 15, error);
  }
  ASSERT_TRUE(worker.Push(keys, gradients).Wait().ok());
  ASSERT_TRUE(worker.Clock().ok());
}

// Trains with all workers, spread over programs that have opened the table each for itself, and gives the weights.
std::vector<float> Train(const std::vector<Table<float>>& programs, const std::vector<Example>& examples) {
  const size_t batches = examples.size() / kWorkers / kBatch;
  std::vector<std::thread> pool;
  for (uint32_t p = 0; p < programs.size(); ++p) {
    pool.emplace_back([&, p] {
      std::vector<std::pair<uint32_t, Worker<float>>> mine;
      for (uint32_t w = p; w < kWorkers; w += programs.size()) {
        mine.emplace_back(w, programs[p].Join({.worker = w, .workers = kWorkers}));
        ASSERT_TRUE(mine.back().second.ok()) << mine.back().second.status().message();
      }
      for (size_t batch = 0; batch < batches; ++batch) {
        for (const auto& [w, worker] : mine) TrainBatch(worker, examples, w, batch);
      }
      for (const auto& [w, worker] : mine) ASSERT_TRUE(worker.Leave().ok());
    });
  }
  for (std::thread& thread : pool) thread.join();
  std::vector<Key> all(124);
  for (Key key = 0; key < all.size(); ++key) all[key] = key;
  return programs[0].Pull(all).Get().value();
}

double LogLoss(const std::vector<float>& weights, const std::vector<Example>& examples) {
  double sum = 0;
  for (const Example& example : examples) {
    std::vector<float> own;
    for (const Key key : example.keys) own.push_back(weights[key]);
    const double p = std::clamp<double>(Predict(own), 1e-6, 1 - 1e-6);
    sum -= example.label == 1 ? std::log(p) : std::log(1 - p);
  }
  return sum / static_cast<double>(examples.size());
}

TableSpec Model(const std::string& name, Consistency consistency, uint32_t shards) {
  return MakeTableSpec<float>(name, SparseKeys(), Ftrl{.alpha = 0.1, .beta = 1, .l1 = 0.1, .l2 = 0.1},
                              {.shards = shards, .consistency = consistency});
}

bool BitsAreEqual(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](float x, float y) { return std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y); });
}

class WorkersTest : public testing::Test {
 protected:
  std::vector<float> TrainEmbedded(Consistency consistency, uint32_t threads, uint32_t shards) {
    param::Catalogue catalogue(*env_);
    const Table<float> table(catalogue.CreateTable(Model("m", consistency, shards)));
    return Train(std::vector<Table<float>>(threads, table), train_);
  }
  std::vector<float> TrainOnServers(Consistency consistency, uint32_t programs, uint32_t shards, uint32_t servers) {
    TestCluster cluster(servers);
    std::vector<std::unique_ptr<param::ClusterClient>> clients;
    std::vector<Table<float>> tables;
    for (uint32_t p = 0; p < programs; ++p) {
      clients.push_back(NewClient(cluster));
      tables.emplace_back(p == 0 ? Create(clients[0].get(), Model("m", consistency, shards), std::min(2U, servers))
                                 : clients[p]->OpenTable("m"));
      if (!tables.back().ok()) ADD_FAILURE() << tables.back().status().message();
    }
    return Train(tables, train_);
  }
  std::unique_ptr<param::ClusterClient> NewClient(const TestCluster& cluster) {
    param::ClusterClientOptions options;
    options.master = cluster.master();
    return std::make_unique<param::ClusterClient>(*env_, std::move(options));
  }
  // A master needs a moment until enough servers have beaten.
  Result<TableHandle> Create(param::ClusterClient* client, TableSpec spec, uint32_t replicas) {
    spec.replicas = replicas;
    for (int i = 0;; ++i) {
      auto table = client->CreateTable(spec);
      if (table.ok() || table.status().code() != Code::kUnavailable || i == 200) return table;
      env_->clock().SleepFor(50'000'000);
    }
  }

  const std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  const std::vector<Example> train_ = Examples(8'000, 2);
  const std::vector<Example> test_ = Examples(4'000, 3);
};

TEST_F(WorkersTest, BulkSynchronousTrainingIsEqualBitByBitOnAnyNumberOfServersShardsAndPrograms) {
  const std::vector<float> one = TrainEmbedded(kBsp, 1, 1);
  EXPECT_TRUE(BitsAreEqual(one, TrainEmbedded(kBsp, 2, 3)));
  EXPECT_TRUE(BitsAreEqual(one, TrainEmbedded(kBsp, 4, 16)));
  EXPECT_TRUE(BitsAreEqual(one, TrainOnServers(kBsp, 1, 2, 1)));
  EXPECT_TRUE(BitsAreEqual(one, TrainOnServers(kBsp, 2, 3, 2)));
  EXPECT_TRUE(BitsAreEqual(one, TrainOnServers(kBsp, 4, 4, 3)));
}

TEST_F(WorkersTest, LogisticRegressionLearnsUnderEveryConsistency) {
  const double nothing = LogLoss(std::vector<float>(124), test_);
  const double bsp = LogLoss(TrainEmbedded(kBsp, 4, 8), test_);
  RecordProperty("bsp", std::to_string(bsp));
  EXPECT_LT(bsp, 0.8 * nothing);
  for (const Consistency consistency : {Staleness(3), kAsync}) {
    const double embedded = LogLoss(TrainEmbedded(consistency, 4, 8), test_);
    const double served = LogLoss(TrainOnServers(consistency, 2, 2, 2), test_);
    RecordProperty(ToString(consistency), std::to_string(embedded) + " " + std::to_string(served));
    EXPECT_NEAR(embedded, bsp, 0.03) << ToString(consistency);
    EXPECT_NEAR(served, bsp, 0.03) << ToString(consistency);
  }
}

TEST_F(WorkersTest, OnServersAWaitNamesTheOneThatIsBehindAndTheDeadAreNotWaitedFor) {
  TestCluster cluster(1);
  const auto first = NewClient(cluster);
  auto second = NewClient(cluster);
  const Table<float> table(Create(first.get(), Model("m", kBsp, 2), 1));
  ASSERT_TRUE(table.ok()) << table.status().message();
  const std::vector<Key> keys{1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<float> ones(keys.size(), 1);
  const Worker<float> a = table.Join({.worker = 0, .workers = 2});
  ASSERT_TRUE(a.ok()) << a.status().message();
  EXPECT_THAT(table.Push(keys, ones).Wait().message(), HasSubstr("only its workers push to it"));
  EXPECT_THAT(table.Join({.worker = 1, .workers = 3}).status().message(), HasSubstr("cannot join: 2 workers"));
  ASSERT_TRUE(a.Push(keys, ones).Wait().ok());
  ASSERT_TRUE(a.Clock().ok());
  const Status early = a.Pull(keys, {.deadline = milliseconds(300)}).Get().status();
  EXPECT_EQ(early.code(), Code::kTimeout);
  EXPECT_THAT(early.message(), HasSubstr("worker 1 of 2 has not joined"));

  {
    const Worker<float> b = Table<float>(second->OpenTable("m")).Join({.worker = 1, .workers = 2});
    ASSERT_TRUE(b.ok()) << b.status().message();
    ASSERT_TRUE(b.Push(keys, ones).Wait().ok());
    ASSERT_TRUE(b.Clock().ok());
    const auto seen = b.Pull(keys).Get();
    ASSERT_TRUE(seen.ok()) << seen.status().message();
    EXPECT_EQ(*seen, a.Pull(keys).Get().value());
    ASSERT_TRUE(b.Push(keys, ones).Wait().ok());
    // It goes without a word: its program is gone.
    second.reset();
  }
  ASSERT_TRUE(a.Clock().ok());
  const auto before = table.Pull(keys).Get();
  const auto after = a.Pull(keys).Get();  // Waits until it is taken out.
  ASSERT_TRUE(after.ok()) << after.status().message();
  EXPECT_EQ(*before, *after);  // It had not ended the clock.

  const Worker<float> again = table.Join({.worker = 1, .workers = 2});
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(again.clock(), 2U);
  const Worker<float> other = table.Join({.worker = 1, .workers = 2});
  EXPECT_THAT(again.Pull(keys).Get().status().message(), HasSubstr("another process has become worker 1"));
  ASSERT_TRUE(table.RemoveWorker(1).ok());
  ASSERT_TRUE(a.Barrier().ok());
  ASSERT_TRUE(a.Leave().ok());
}

}  // namespace
}  // namespace glim::cluster
