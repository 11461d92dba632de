// SPDX-License-Identifier: Apache-2.0
//
// Workers of embedded tables: what their pushes and pulls do under each consistency, and what they learn together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>
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
  const Status late = b.Pull(keys_, {.deadline = milliseconds(5)}).Get().status();
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
  EXPECT_EQ(a.Pull(keys_, {.deadline = milliseconds(5)}).Get().status().code(), Code::kTimeout);
  std::thread other([&] {
    ASSERT_TRUE(b.Push(keys_, one_).Wait().ok());
    ASSERT_TRUE(b.Clock().ok());
  });
  EXPECT_EQ(a.Pull(keys_).Get().value(), std::vector<float>{4});
  other.join();
  ASSERT_TRUE(a.Clock().ok());
  EXPECT_EQ(a.Pull(keys_, {.deadline = milliseconds(5)}).Get().status().code(), Code::kTimeout);
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

// Trains with all workers on so many threads, and gives the weights.
std::vector<float> Train(const Table<float>& table, const std::vector<Example>& examples, uint32_t threads) {
  const size_t batches = examples.size() / kWorkers / kBatch;
  std::vector<std::thread> pool;
  for (uint32_t t = 0; t < threads; ++t) {
    pool.emplace_back([&, t] {
      std::vector<std::pair<uint32_t, Worker<float>>> mine;
      for (uint32_t w = t; w < kWorkers; w += threads) {
        mine.emplace_back(w, table.Join({.worker = w, .workers = kWorkers}));
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
  return table.Pull(all).Get().value();
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

TEST_F(WorkerTest, LogisticRegressionLearnsUnderEveryConsistencyAndBulkSynchronousIsEqualBitByBit) {
  const std::vector<Example> train = Examples(16'000, 2), test = Examples(4'000, 3);
  const Ftrl rule{.alpha = 0.1, .beta = 1, .l1 = 0.1, .l2 = 0.1};
  const double nothing = LogLoss(std::vector<float>(124), test);
  std::vector<float> bsp;
  for (const auto& [consistency, threads, shards] :
       {std::tuple(kBsp, 1U, 1U), std::tuple(kBsp, 2U, 3U), std::tuple(kBsp, 4U, 16U), std::tuple(Staleness(3), 4U, 8U),
        std::tuple(kAsync, 4U, 8U)}) {
    const Table<float> table = Make("m", consistency, rule, shards);
    const std::vector<float> weights = Train(table, train, threads);
    const double loss = LogLoss(weights, test);
    RecordProperty(ToString(consistency) + "_loss", std::to_string(loss));
    EXPECT_LT(loss, 0.8 * nothing) << ToString(consistency) << " from " << nothing;
    if (consistency == kBsp && bsp.empty()) bsp = weights;
    if (consistency == kBsp) {
      EXPECT_TRUE(std::equal(bsp.begin(), bsp.end(), weights.begin(),
                             [](float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); }))
          << threads << " threads, " << shards << " shards";
    } else {
      EXPECT_NEAR(loss, LogLoss(bsp, test), 0.02) << ToString(consistency);
    }
    ASSERT_TRUE(table.Drop().ok());
  }
}

}  // namespace
}  // namespace glim::param
