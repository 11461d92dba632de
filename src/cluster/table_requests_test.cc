// SPDX-License-Identifier: Apache-2.0
//
// What requests promise besides their arithmetic, wherever the table lives: refused whole, applied in order, seen
// whole, ended by a drop.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cluster/table_places_test.h"
#include "env/env.h"

namespace glim::cluster {
namespace {

class TableRequests : public testing::TestWithParam<PlaceKind> {
 protected:
  template <class V>
  Table<V> Make(KeySpace keys, UpdateRule rule = Add{}, TableOptions options = {}) {
    if (options.shards == 0) options.shards = 4;
    Table<V> table(
        place_->CreateTable(MakeTableSpec<V>("t" + std::to_string(++tables_), keys, std::move(rule), options)));
    EXPECT_TRUE(table.ok()) << table.status().message();
    return table;
  }

  std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  const std::unique_ptr<TablePlace> place_ = MakePlace(GetParam(), *env_);
  int tables_ = 0;
};

std::vector<Key> UpTo(Key count) {
  std::vector<Key> keys;
  for (Key key = 0; key < count; ++key) keys.push_back(key);
  return keys;
}

TEST_P(TableRequests, AHandleOpensTheTableThatItWasMadeOf) {
  const Table<float> table = Make<float>(SparseKeys());
  ASSERT_TRUE(table.Push(std::vector<Key>{~Key{0}, 0}, std::vector<float>{2, 3}).Wait().ok());
  const std::string handle = table.Handle().value();
  ASSERT_TRUE(param::IsTableAddress(handle)) << handle;
  const param::TableAddress address = param::ParseTableAddress(handle).value();
  EXPECT_EQ(param::ToString(address), handle);
  const Table<float> same(place_->tables().OpenTable(address));
  ASSERT_TRUE(same.ok()) << same.status().message();
  EXPECT_EQ(same.Pull(std::vector<Key>{~Key{0}}).Get().value(), std::vector<float>{2});
  EXPECT_EQ(same.Handle().value(), handle);

  param::TableAddress other_type = address;
  other_type.value_type = ValueType::kI64;
  EXPECT_EQ(place_->tables().OpenTable(other_type).status().code(), Code::kInvalid);

  ASSERT_TRUE(table.Drop().ok());
  EXPECT_EQ(place_->tables().OpenTable(address).status().code(), Code::kNotFound);
  ASSERT_TRUE(place_->CreateTable(table.spec()).ok());
  const Status replaced = place_->tables().OpenTable(address).status();
  EXPECT_EQ(replaced.code(), Code::kNotFound);
  EXPECT_NE(replaced.message().find("was dropped"), std::string::npos) << replaced.message();
}

TEST_P(TableRequests, RangesReachTheLargestKeyAndNoFurther) {
  const Table<int64_t> table = Make<int64_t>(SparseKeys());
  const Key last = ~Key{0};
  ASSERT_TRUE(table.PushRange({last - 2, 3}, std::vector<int64_t>{1, 2, 3}).Wait().ok());
  EXPECT_EQ(table.PullRange({last, 1}).Get().value(), std::vector<int64_t>{3});
  EXPECT_EQ(table.PullRange({last - 2, 2, 2}).Get().value(), (std::vector<int64_t>{1, 3}));
  EXPECT_EQ(table.PullRange({last, 0}).Get().value(), std::vector<int64_t>{});
  EXPECT_EQ(table.PullRange({last, 3, 0}).Get().value(), (std::vector<int64_t>{3, 3, 3}));
  EXPECT_EQ(table.PullRange({last - 2, 4}).Get().status().code(), Code::kInvalid);
  EXPECT_EQ(table.PushRange({last, 2}, std::vector<int64_t>{1, 1}).Wait().code(), Code::kInvalid);
  EXPECT_EQ(table.PullRange({1, 3, last}).Get().status().code(), Code::kInvalid);
  EXPECT_EQ(table.PushRange({0, 2}, std::vector<int64_t>{1}).Wait().code(), Code::kInvalid);
  EXPECT_EQ(table.PullRange({last, 1}).Get().value(), std::vector<int64_t>{3});
}

TEST_P(TableRequests, ARangeOfMillionsIsPushedAndPulledOrRefusedWhole) {
  constexpr uint64_t kCount = 2'500'000;
  for (Partitioner partitioner : {Partitioner::kRange, Partitioner::kCyclic}) {
    const Table<float> table = Make<float>(DenseKeys(kCount + 5), Add{}, {.partitioner = partitioner});
    std::vector<float> values(kCount);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 8191);
    ASSERT_TRUE(table.PushRange({5, kCount}, values).Wait().ok());
    EXPECT_EQ(table.PullRange({5, kCount}).Get().value(), values);
    std::vector<float> bad = values;
    bad.back() = std::numeric_limits<float>::quiet_NaN();
    const Status refused = table.PushRange({5, kCount}, bad).Wait();
    EXPECT_EQ(refused.code(), Code::kInvalid);
    EXPECT_NE(refused.message().find("for key 2500004"), std::string::npos) << refused.message();
    EXPECT_EQ(table.PushRange({6, kCount}, values).Wait().code(), Code::kInvalid);
    EXPECT_EQ(table.PullRange({5, kCount}).Get().value(), values);
  }
}

TEST_P(TableRequests, RowsAndColumnsAreOfMatricesOnly) {
  const std::vector<uint64_t> first = {0};
  const Table<float> vector = Make<float>(DenseKeys(4)), by_row = Make<float>(MatrixKeys(2, 3)),
                     by_column = Make<float>(ColumnMatrixKeys(2, 3));
  EXPECT_EQ(vector.PullRows(first).Get().status().code(), Code::kInvalid);
  EXPECT_EQ(vector.PullColumns(first).Get().status().code(), Code::kInvalid);
  EXPECT_EQ(by_row.PullColumns(first).Get().status().code(), Code::kInvalid);
  for (const Table<float>& matrix : {by_row, by_column}) {
    ASSERT_TRUE(matrix.PushRows(std::vector<uint64_t>{1}, std::vector<float>{1, 2, 3}).Wait().ok());
    EXPECT_EQ(matrix.PullRows(std::vector<uint64_t>{0, 1}).Get().value(), (std::vector<float>{0, 0, 0, 1, 2, 3}));
    EXPECT_EQ(matrix.PullRows(std::vector<uint64_t>{2}).Get().status().code(), Code::kInvalid);
    EXPECT_EQ(matrix.PushRows(first, std::vector<float>{1, 2}).Wait().code(), Code::kInvalid);
  }
  EXPECT_EQ(by_column.PullColumns(std::vector<uint64_t>{2}).Get().value(), (std::vector<float>{0, 3}));
  EXPECT_EQ(by_column.PullColumns(std::vector<uint64_t>{3}).Get().status().code(), Code::kInvalid);
  EXPECT_EQ(place_->CreateTable(MakeTableSpec<float>("x", ColumnMatrixKeys(~uint64_t{0}, 2))).status().code(),
            Code::kInvalid);
}

TEST_P(TableRequests, BadPushesAreRefusedWholeOverAllShards) {
  constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
  for (KeySpace space : {SparseKeys(), DenseKeys(200000)}) {
    // Longer than a slice, so that a check that came too late would have changed the first one.
    const std::vector<Key> keys = UpTo(100000);
    for (UpdateRule rule : {UpdateRule(Add{}), UpdateRule(Sgd{}), UpdateRule(AdaGrad{}), UpdateRule(Adam{}),
                            UpdateRule(Ftrl{}), UpdateRule(Min{}), UpdateRule(Assign{})}) {
      Table<float> table = Make<float>(space, rule);
      auto refused = [&](std::vector<Key> pushed, std::vector<float> values) {
        EXPECT_EQ(table.Push(pushed, values).Wait().code(), Code::kInvalid) << ToString(rule);
        EXPECT_EQ(table.PushPull(pushed, values).Get().status().code(), Code::kInvalid);
        EXPECT_EQ(table.Describe()->keys_stored, 0u);
      };
      std::vector<float> values(keys.size(), 1);
      values.back() = kNan;
      refused(keys, values);
      values.back() = -kInf;
      if (!std::holds_alternative<Min>(rule) && !std::holds_alternative<Assign>(rule)) refused(keys, values);
      refused(keys, std::vector<float>(keys.size() - 1, 1));
      refused(keys, std::vector<float>(keys.size() + 1, 1));
      refused({}, {1});
      if (space.key_count == 0) continue;
      std::vector<Key> beyond = keys;
      beyond.back() = space.key_count;
      refused(beyond, std::vector<float>(keys.size(), 1));
      EXPECT_EQ(table.Pull(beyond).Get().status().code(), Code::kInvalid);
    }
  }
}

TEST_P(TableRequests, RefusalsNameTheTableTheKeyAndTheValue) {
  Table<float> table = Make<float>(DenseKeys(10), Ftrl{});
  const std::vector<Key> keys = {3, 12};
  EXPECT_EQ(table.Push(keys, std::vector<float>{1, 2}).Wait().message(),
            "table \"t1\": key 12 is out of range; there are keys 0 to 9");
  const std::vector<Key> good = {3, 4};
  EXPECT_NE(table.Push(good, std::vector<float>{1, NAN}).Wait().message().find("for key 4, is nan"), std::string::npos);
}

TEST_P(TableRequests, IntegerTablesTakeNoLearningRules) {
  for (UpdateRule rule : {UpdateRule(Sgd{}), UpdateRule(AdaGrad{}), UpdateRule(Adam{}), UpdateRule(Ftrl{})}) {
    auto table = place_->CreateTable(MakeTableSpec<int64_t>("i", SparseKeys(), rule));
    EXPECT_EQ(table.status().code(), Code::kInvalid) << ToString(rule);
  }
}

TEST_P(TableRequests, DoublesMustFitTheTypeOfTheTable) {
  Table<int32_t> table = Make<int32_t>(SparseKeys());
  const std::vector<Key> keys = {1, 2};
  for (double bad : {0.5, 2147483648.0, -2147483649.0, static_cast<double>(NAN)}) {
    const std::vector<double> values = {1, bad};
    EXPECT_EQ(table.client()->PushDoubles(keys, values).Wait().code(), Code::kInvalid) << bad;
  }
  const std::vector<double> values = {2147483647.0, -2147483648.0};
  ASSERT_TRUE(table.client()->PushDoubles(keys, values).Wait().ok());
  EXPECT_EQ(table.client()->PullDoubles(keys).Get().value(), values);
}

TEST_P(TableRequests, DuplicatesOfOnePushAreAppliedInOrder) {
  Table<float> table = Make<float>(SparseKeys(), Assign{});
  std::vector<Key> keys;
  std::vector<float> values;
  for (int i = 0; i < 200000; ++i) {
    keys.push_back(static_cast<Key>(i % 97));
    values.push_back(static_cast<float>(i));
  }
  ASSERT_TRUE(table.Push(keys, values).Wait().ok());
  const std::vector<Key> asked = UpTo(97);
  const std::vector<float> got = table.Pull(asked).Get().value();
  for (Key key : asked) EXPECT_EQ(got[key], static_cast<float>((199999 - key) / 97 * 97 + key));
}

TEST_P(TableRequests, GrowthToAMillionKeysKeepsEachRow) {
  Table<float> table = Make<float>(SparseKeys());
  std::vector<Key> keys;
  std::vector<float> values;
  for (uint64_t i = 0; i < 1000000; ++i) {
    keys.push_back(i * 0x9e3779b97f4a7c15ULL);
    values.push_back(static_cast<float>(i));
  }
  for (size_t begin = 0; begin < keys.size(); begin += 10000) {
    ASSERT_TRUE(
        table.Push({keys.data() + begin, 10000}, std::span<const float>(values.data() + begin, 10000)).Wait().ok());
  }
  EXPECT_TRUE(table.Pull(keys).Get().value() == values);
  const TableInfo info = table.Describe().value();
  EXPECT_EQ(info.keys_stored, 1000000u);
  EXPECT_LE(info.memory_bytes, 20 * info.keys_stored);
  // Keys beside them are not there.
  for (Key& key : keys) key += 1;
  EXPECT_TRUE(table.Pull(keys).Get().value() == std::vector<float>(keys.size(), 0));
  EXPECT_EQ(table.Describe()->keys_stored, 1000000u);
}

TEST_P(TableRequests, IntegersAddedByManyThreadsSumExactly) {
  constexpr int kThreads = 4, kPushes = 200;
  for (KeySpace space : {SparseKeys(), DenseKeys(1000)}) {
    Table<int64_t> table = Make<int64_t>(space);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&table, t] {
        for (int i = 0; i < kPushes; ++i) {
          // One key alone, and many at once.
          const std::vector<Key> one = {static_cast<Key>((i + t) % 1000)}, all = UpTo(1000);
          EXPECT_TRUE(table.Push(one, std::vector<int64_t>{1000000}).Wait().ok());
          EXPECT_TRUE(table.Push(all, std::vector<int64_t>(1000, t + 1)).Wait().ok());
        }
      });
    }
    for (auto& thread : threads) thread.join();
    const std::vector<Key> all = UpTo(1000);
    int64_t sum = 0;
    const std::vector<int64_t> values = table.Pull(all).Get().value();
    for (int64_t value : values) sum += value;
    EXPECT_EQ(sum, int64_t{kPushes} * (kThreads * 1000000 + 1000 * (1 + 2 + 3 + 4)));
  }
}

TEST_P(TableRequests, PullsSeeAPushOfOneShardWhole) {
  Table<int64_t> table = Make<int64_t>(SparseKeys(), Add{}, {.shards = 1});
  const std::vector<Key> keys = UpTo(500);
  std::atomic<bool> stop = false;
  std::thread pusher([&] {
    const std::vector<int64_t> ones(500, 1);
    while (!stop) EXPECT_TRUE(table.Push(keys, ones).Wait().ok());
  });
  for (int i = 0; i < 500; ++i) {
    const std::vector<int64_t> got = table.Pull(keys).Get().value();
    EXPECT_EQ(got, std::vector<int64_t>(500, got[0]));
  }
  stop = true;
  pusher.join();
}

TEST_P(TableRequests, ScansGiveEachStoredRowOnceWhileOthersGrowTheTable) {
  Table<int64_t> table = Make<int64_t>(SparseKeys());
  const std::vector<Key> keys = UpTo(20000);
  ASSERT_TRUE(table.Push(keys, std::vector<int64_t>(keys.begin(), keys.end())).Wait().ok());
  std::multiset<Key> seen;
  Key next = 20000;
  for (uint32_t shard = 0; shard < 4; ++shard) {
    ScanCursor cursor{.shard = shard};
    RowChunk chunk;
    while (!cursor.done) {
      ASSERT_TRUE(table.client()->Scan(&cursor, 100, &chunk).ok());
      ASSERT_LE(chunk.keys.size(), 1000u);
      seen.insert(chunk.keys.begin(), chunk.keys.end());
      std::vector<Key> more;
      for (int i = 0; i < 500; ++i) more.push_back(next++);
      ASSERT_TRUE(table.Push(more, std::vector<int64_t>(500, 1)).Wait().ok());
    }
  }
  for (Key key : keys) ASSERT_EQ(seen.count(key), 1u) << key;
  for (Key key : seen) ASSERT_EQ(seen.count(key), 1u) << key;
}

TEST_P(TableRequests, VariableRowsGrowAndAreAddedFromTheirBeginning) {
  Table<float> table = Make<float>(SparseKeys(), Add{}, {.width = kVariableWidth});
  const std::vector<Key> keys = {7, 8, 7};
  ASSERT_TRUE(table.VPush(keys, std::vector<float>{1, 2, 9, 10, 10, 10}, std::vector<uint32_t>{2, 1, 3}).Wait().ok());
  const std::vector<Key> asked = {8, 99, 7};
  auto rows = table.VPull(asked).Get().value();
  EXPECT_EQ(rows.lengths, (std::vector<uint32_t>{1, 0, 3}));
  EXPECT_EQ(rows.values, (std::vector<float>{9, 11, 12, 10}));
  EXPECT_EQ(table.VPush(keys, std::vector<float>{1, 2}, std::vector<uint32_t>{1, 1, 1}).Wait().code(), Code::kInvalid);
  EXPECT_EQ(table.VPush(keys, std::vector<float>{1, 2}, std::vector<uint32_t>{1, 1}).Wait().code(), Code::kInvalid);
  EXPECT_EQ(table.Pull(asked).Get().status().code(), Code::kInvalid);
  EXPECT_EQ(table.VPull(asked).Get()->values, rows.values);
}

TEST_P(TableRequests, RequestsAfterOthersAreMadeWhenThoseAreDone) {
  Table<int64_t> table = Make<int64_t>(SparseKeys());
  Promise<void> first, failing;
  std::vector<Key> keys = {5};
  std::vector<int64_t> values = {3};
  PushOptions options;
  options.after.push_back(first.GetFuture());
  Future<void> pushed = table.Push(keys, values, options);
  EXPECT_FALSE(pushed.ready());
  keys[0] = 6;  // The request has its own copy.
  values[0] = 100;
  const std::vector<Key> asked = {5, 6};
  EXPECT_EQ(table.Pull(asked).Get().value(), (std::vector<int64_t>{0, 0}));
  PullOptions after_push;
  after_push.after.push_back(pushed);
  Future<std::vector<int64_t>> pulled = table.Pull(asked, after_push);
  EXPECT_TRUE(first.Set(Status::Ok()));
  EXPECT_TRUE(pushed.Wait().ok());
  EXPECT_EQ(pulled.Get().value(), (std::vector<int64_t>{3, 0}));

  PushOptions after_failure;
  after_failure.after.push_back(failing.GetFuture());
  Future<void> never = table.Push(keys, values, after_failure);
  failing.Set(Status::Unavailable("gone"));
  EXPECT_EQ(never.Wait().code(), Code::kCancelled);
  EXPECT_EQ(table.Pull(asked).Get().value(), (std::vector<int64_t>{3, 0}));
}

TEST_P(TableRequests, NobodyHangsOnADependencyThatNeverEnds) {
  Table<int64_t> table = Make<int64_t>(SparseKeys());
  Promise<void> never;
  PushOptions options;
  options.deadline = std::chrono::milliseconds(20);
  options.after.push_back(never.GetFuture());
  const std::vector<Key> keys = {5};
  Future<void> pushed = table.Push(keys, std::vector<int64_t>{3}, options);
  EXPECT_EQ(pushed.Wait().code(), Code::kTimeout);
  never.Set(Status::Ok());
  EXPECT_EQ(table.Pull(keys).Get().value(), std::vector<int64_t>{0});
}

TEST_P(TableRequests, AfterDropEveryCallOnEveryHandleSaysNotFound) {
  Table<float> table = Make<float>(SparseKeys());
  TableHandle other = place_->OpenTable("t1").value();
  const std::vector<Key> keys = {1, 2};
  const std::vector<float> values = {1, 2};
  ASSERT_TRUE(table.Drop().ok());
  EXPECT_EQ(table.Push(keys, values).Wait().code(), Code::kNotFound);
  EXPECT_EQ(table.Pull(keys).Get().status().code(), Code::kNotFound);
  EXPECT_EQ(table.PushPull(keys, values).Get().status().code(), Code::kNotFound);
  EXPECT_EQ(other->PullDoubles(keys).Get().status().code(), Code::kNotFound);
  EXPECT_EQ(other->Describe().status().code(), Code::kNotFound);
  EXPECT_EQ(other->CountNonZero().status().code(), Code::kNotFound);
  EXPECT_EQ(other->Save("/nowhere").code(), Code::kNotFound);
  EXPECT_EQ(other->Drop().code(), Code::kNotFound);
  ScanCursor cursor;
  RowChunk chunk;
  EXPECT_EQ(other->Scan(&cursor, 10, &chunk).code(), Code::kNotFound);
  EXPECT_EQ(place_->OpenTable("t1").status().code(), Code::kNotFound);
  EXPECT_TRUE(place_->TableNames().empty());
  EXPECT_TRUE(place_->CreateTable(MakeTableSpec<float>("t1", SparseKeys())).ok());
}

TEST_P(TableRequests, DropWhileOthersWorkEndsTheirCallsCleanly) {
  Table<int64_t> table = Make<int64_t>(SparseKeys());
  std::atomic<int> applied = 0;
  std::thread pusher([&] {
    const std::vector<Key> keys = UpTo(300);
    const std::vector<int64_t> ones(300, 1);
    Status status;
    while ((status = table.Push(keys, ones).Wait()).ok()) ++applied;
    EXPECT_EQ(status.code(), Code::kNotFound);
  });
  while (applied < 20) std::this_thread::yield();
  EXPECT_TRUE(table.Drop().ok());
  pusher.join();
}

TEST_P(TableRequests, NamesAreCheckedAndTakenOnce) {
  for (std::string name : {std::string(), std::string(65, 'a'), std::string("a b"), std::string("a/b"),
                           std::string("a\0b", 3), std::string("\xc3\xa9")}) {
    EXPECT_EQ(place_->CreateTable(MakeTableSpec<float>(name, SparseKeys())).status().code(), Code::kInvalid) << name;
  }
  EXPECT_TRUE(place_->CreateTable(MakeTableSpec<float>(std::string(64, 'a'), SparseKeys())).ok());
  EXPECT_TRUE(place_->CreateTable(MakeTableSpec<float>("Aa9_.-", SparseKeys())).ok());
  EXPECT_EQ(place_->CreateTable(MakeTableSpec<float>("Aa9_.-", SparseKeys())).status().code(), Code::kInvalid);
  EXPECT_EQ(Table<int32_t>(place_->OpenTable("Aa9_.-")).status().code(), Code::kInvalid);
  EXPECT_EQ(place_->TableNames().size(), 2u);
}

GLIM_IN_ALL_PLACES(TableRequests);

}  // namespace
}  // namespace glim::cluster
