// SPDX-License-Identifier: Apache-2.0
//
// Tables whose keys lie where a function of the program says, in this process and on servers.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "cluster/table_places_test.h"
#include "env/env.h"
#include "glim/partitioner.h"

namespace glim::cluster {
namespace {

// The functions of this program. Programs of the tests are in one process, so one that means something else in another
// program has a switch.
uint32_t ByCustomer(Key key, uint32_t shards) { return static_cast<uint32_t>((key >> 8) % shards); }
uint32_t HotAndCold(Key key, uint32_t shards) {
  return shards == 1 || key < 10 ? 0 : static_cast<uint32_t>(1 + key % (shards - 1));
}
uint32_t AllToTheLast(Key, uint32_t shards) { return shards - 1; }
constexpr Key kNobody = 666;
std::atomic<uint32_t> moved_by{0};

const bool registered = [] {
  const auto add = [](const char* name, PartitionFunction function) {
    return RegisterPartitioner(name, std::move(function)).ok();
  };
  return add("customer", ByCustomer) && add("hot-and-cold", HotAndCold) && add("last", AllToTheLast) &&
         add("moving", [](Key key, uint32_t shards) { return (ByCustomer(key, shards) + moved_by) % shards; }) &&
         add("outside", [](Key key, uint32_t shards) { return key == kNobody ? shards : ByCustomer(key, shards); }) &&
         add("throws", [](Key key, uint32_t shards) {
           return key == kNobody ? throw std::runtime_error("no such customer") : ByCustomer(key, shards);
         });
}();

class OwnPartitioner : public testing::TestWithParam<PlaceKind> {
 protected:
  OwnPartitioner() : root_(env_->files().MakeTemporaryFolder("glim-own-partitioner").value()) {
    EXPECT_TRUE(registered);
  }
  ~OwnPartitioner() override {
    moved_by = 0;
    (void)env_->files().RemoveAll(root_).ok();
  }

  Table<int64_t> Make(const std::string& function, TableOptions options = {.shards = 4}) {
    options.partition_by = function;
    return Table<int64_t>(place_->CreateTable(MakeTableSpec<int64_t>("t", SparseKeys(), Add{}, options)));
  }

  const std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  const std::unique_ptr<TablePlace> place_ = MakePlace(GetParam(), *env_);
  const std::string root_;
};

// The first value of each stored row, with the shard where it is.
std::map<Key, std::pair<uint32_t, int64_t>> RowsOf(const TableHandle& table) {
  std::map<Key, std::pair<uint32_t, int64_t>> rows;
  const size_t width = table->spec().width;
  for (uint32_t s = 0; s < table->spec().shards; ++s) {
    RowChunk chunk;
    for (ScanCursor cursor{.shard = s}; !cursor.done;) {
      EXPECT_TRUE(table->Scan(&cursor, 7, &chunk).ok());
      for (size_t i = 0; i < chunk.keys.size(); ++i) {
        int64_t value;
        std::memcpy(&value, chunk.values.data() + i * width * sizeof(value), sizeof(value));
        EXPECT_TRUE(rows.emplace(chunk.keys[i], std::pair(s, value)).second) << chunk.keys[i];
      }
    }
  }
  return rows;
}

using Oracle = std::map<Key, std::vector<int64_t>>;

void ExpectEqual(const Table<int64_t>& table, const Oracle& oracle, uint32_t (*function)(Key, uint32_t)) {
  std::vector<Key> keys = {12345};  // Which nobody pushed.
  for (const auto& [key, row] : oracle) keys.insert(keys.begin() + static_cast<std::ptrdiff_t>(key % keys.size()), key);
  const uint32_t width = table.spec().width;
  std::vector<int64_t> expected;
  for (const Key key : keys) {
    const auto row = oracle.find(key);
    const std::vector<int64_t> values = row == oracle.end() ? std::vector<int64_t>(width, 0) : row->second;
    expected.insert(expected.end(), values.begin(), values.end());
  }
  RC_ASSERT(table.Pull(keys).Get().value() == expected);
  RC_ASSERT(table.Describe()->keys_stored == oracle.size());
  const auto rows = RowsOf(table.client());
  RC_ASSERT(rows.size() == oracle.size());
  for (const auto& [key, at] : rows) {
    RC_ASSERT(at.first == function(key, table.spec().shards));
    RC_ASSERT(at.second == oracle.at(key)[0]);
  }
}

TEST_P(OwnPartitioner, ATableIsTheMapThatItWouldBeWithAnother) {
  const std::pair<const char*, uint32_t (*)(Key, uint32_t)> functions[] = {
      {"customer", ByCustomer}, {"hot-and-cold", HotAndCold}, {"last", AllToTheLast}};
  rc::detail::TestParams params = rc::detail::configuration().testParams;
  params.maxSuccess = GetParam().on_servers ? 8 : 50;
  int folders = 0;
  const auto check = [&] {
    const auto [name, function] = *rc::gen::elementOf(std::vector(std::begin(functions), std::end(functions)));
    const auto width = *rc::gen::inRange<uint32_t>(1, 4);
    const auto shards = [] { return *rc::gen::inRange<uint32_t>(1, 9); };
    Table<int64_t> table = Make(name, {.width = width, .shards = shards()});
    if (!table.ok()) RC_FAIL(table.status().message());
    Oracle oracle;
    const auto any_key = rc::gen::oneOf(rc::gen::inRange<Key>(0, 40), rc::gen::arbitrary<Key>(),
                                        rc::gen::element<Key>(~Key{0}, Key{1} << 63, 255, 256));
    for (int step = *rc::gen::inRange(1, 6); step > 0; --step) {
      const auto keys = *rc::gen::container<std::vector<Key>>(any_key);
      const auto values =
          *rc::gen::container<std::vector<int64_t>>(keys.size() * width, rc::gen::inRange<int64_t>(-50, 50));
      for (size_t i = 0; i < keys.size(); ++i) {
        auto& row = oracle.try_emplace(keys[i], std::vector<int64_t>(width, 0)).first->second;
        for (uint32_t c = 0; c < width; ++c) row[c] += values[i * width + c];
      }
      if (step % 2 == 0) {
        RC_ASSERT(table.Push(keys, values).Wait().ok());
      } else {
        const auto pulled = table.PushPull(keys, values).Get().value();
        for (size_t i = 0; i < pulled.size(); ++i) RC_ASSERT(pulled[i] == oracle[keys[i / width]][i % width]);
      }
      ExpectEqual(table, oracle, function);
    }
    // In other shards, where the function says then.
    const std::string folder = root_ + "/m" + std::to_string(++folders);
    RC_ASSERT(table.Save(folder).ok());
    RC_ASSERT(table.Drop().ok());
    Table<int64_t> again = Make(name, {.width = width, .shards = shards()});
    RC_ASSERT(again.Load(folder).ok());
    ExpectEqual(again, oracle, function);
    RC_ASSERT(again.Drop().ok());
    Table<int64_t> loaded(place_->LoadTable(folder, "t"));
    RC_ASSERT(loaded.ok());
    RC_ASSERT(loaded.spec().partition_by == name);
    ExpectEqual(loaded, oracle, function);
    RC_ASSERT(loaded.Drop().ok());
  };
  const auto result = rc::detail::checkTestable(check, rc::detail::TestMetadata{}, params);
  std::ostringstream what;
  rc::detail::printResultMessage(result, what);
  EXPECT_TRUE(result.template is<rc::detail::SuccessResult>()) << what.str();
}

TEST_P(OwnPartitioner, RowsOfVariableLengthAndWorkersHaveIt) {
  const Table<int64_t> rows = Make("customer", {.width = kVariableWidth, .shards = 4});
  const std::vector<Key> keys = {1, 256, 513, 2};
  const std::vector<int64_t> values = {1, 2, 3, 4, 5, 6};
  const std::vector<uint32_t> lengths = {1, 2, 0, 3};
  ASSERT_TRUE(rows.VPush(keys, values, lengths).Wait().ok());
  const auto pulled = rows.VPull(keys).Get().value();
  EXPECT_EQ(pulled.values, values);
  EXPECT_EQ(pulled.lengths, lengths);
  ASSERT_TRUE(rows.Drop().ok());

  const Table<int64_t> table = Make("customer", {.shards = 4, .consistency = kBsp});
  const auto worker = table.client()->Join({.worker = 0, .workers = 1});
  ASSERT_TRUE(worker.ok()) << worker.status().message();
  const std::vector<int64_t> ones = {1, 1, 1, 1};
  ASSERT_TRUE((*worker)->Push(keys, std::as_bytes(std::span(ones)), {}).Wait().ok());
  ASSERT_TRUE((*worker)->Clock().ok());
  std::vector<int64_t> out(4);
  ASSERT_TRUE((*worker)->Pull(keys, std::as_writable_bytes(std::span(out)), {}).Wait().ok());
  EXPECT_EQ(out, ones);
  for (const auto& [key, at] : RowsOf(table.client())) EXPECT_EQ(at.first, ByCustomer(key, 4));
}

TEST_P(OwnPartitioner, DescribeNamesIt) {
  const TableSpec spec = Make("customer").Describe()->spec;
  EXPECT_EQ(spec.partitioner, Partitioner::kFunction);
  EXPECT_EQ(spec.partition_by, "customer");
  EXPECT_EQ(PartitionText(spec), "by customer");
}

TEST_P(OwnPartitioner, WhatIsNotRegisteredOrNotForSuchKeysIsRefused) {
  const Table<int64_t> none = Make("nobody");
  EXPECT_EQ(none.status().code(), Code::kInvalid);
  EXPECT_EQ(none.status().message(),
            "table \"t\": this program has no partitioner \"nobody\"; register it (glim::RegisterPartitioner) before "
            "the first Session");
  for (const KeySpace keys : {DenseKeys(10), MatrixKeys(3, 2), ColumnMatrixKeys(3, 2)}) {
    const auto dense = place_->CreateTable(MakeTableSpec<int64_t>("t", keys, Add{}, {.partition_by = "customer"}));
    EXPECT_EQ(dense.status().code(), Code::kInvalid);
    EXPECT_NE(dense.status().message().find("is a function, which is for sparse keys"), std::string::npos)
        << dense.status().message();
  }
  EXPECT_TRUE(place_->TableNames().empty());
}

TEST_P(OwnPartitioner, AKeyWithoutAShardRefusesAllOfTheRequest) {
  const std::pair<const char*, std::string> functions[] = {
      {"outside", "table \"t\": partitioner \"outside\": for key 666 it gives shard 4 of 4"},
      {"throws", "table \"t\": partitioner \"throws\": for key 666 it failed: no such customer"}};
  for (const auto& [name, says] : functions) {
    const Table<int64_t> table = Make(name);
    ASSERT_TRUE(table.ok()) << table.status().message();
    // More than is worked on at once, and the last one is the bad one.
    std::vector<Key> keys;
    for (Key key = 0; key < 70000; ++key) keys.push_back(key == kNobody ? 1 : key);
    keys.push_back(kNobody);
    std::vector<int64_t> values(keys.size(), 1);
    const auto refused = [&](const Status& status) {
      EXPECT_EQ(status.code(), Code::kInvalid);
      EXPECT_EQ(status.message(), says);
    };
    refused(table.Push(keys, values).Wait());
    refused(table.Pull(keys).Get().status());
    refused(table.PushPull(keys, values).Get().status());
    const std::vector<Key> one = {kNobody};
    refused(table.Push(one, std::span(values).first(1)).Wait());
    refused(table.Pull(one).Get().status());
    EXPECT_EQ(table.Describe()->keys_stored, 0u);
    // A model with such a key.
    const std::string folder = root_ + "/" + name;
    const Table<int64_t> other(
        place_->CreateTable(MakeTableSpec<int64_t>("other", SparseKeys(), Add{}, {.shards = 3})));
    ASSERT_TRUE(other.Push(keys, values).Wait().ok());
    ASSERT_TRUE(other.Save(folder).ok());
    ASSERT_TRUE(other.Drop().ok());
    keys.pop_back();
    values.pop_back();
    ASSERT_TRUE(table.Push(keys, values).Wait().ok());
    const auto before = RowsOf(table.client());
    const Status loaded = table.Load(folder);
    EXPECT_EQ(loaded.code(), Code::kInvalid);
    EXPECT_NE(loaded.message().find(says), std::string::npos) << loaded.message();
    EXPECT_EQ(RowsOf(table.client()), before);
    ASSERT_TRUE(table.Drop().ok());
  }
}

TEST_P(OwnPartitioner, AProgramWhoseFunctionSaysOtherwiseCanLookAndNotTouch) {
  if (!GetParam().on_servers) GTEST_SKIP() << "a table in a program is that program's";
  const Table<int64_t> table = Make("moving");
  const std::vector<Key> keys = {1, 256, 513, 70000};
  const std::vector<int64_t> ones = {1, 1, 1, 1};
  ASSERT_TRUE(table.Push(keys, ones).Wait().ok());
  const std::string folder = root_ + "/model";
  ASSERT_TRUE(table.Save(folder).ok());

  moved_by = 1;
  const auto env = env::MakePosixEnv();
  const std::unique_ptr<TablePlace> program = place_->Other(*env);
  const Table<int64_t> other(program->OpenTable("t"));
  ASSERT_TRUE(other.ok()) << other.status().message();
  const auto refused = [&](const Status& status) {
    EXPECT_EQ(status.code(), Code::kInvalid);
    EXPECT_NE(status.message().find("the partitioner \"moving\" of this program puts keys elsewhere"),
              std::string::npos)
        << status.message();
  };
  refused(other.Push(keys, ones).Wait());
  refused(other.Pull(keys).Get().status());
  refused(other.Load(folder));
  EXPECT_EQ(RowsOf(other.client()).size(), 4u);
  EXPECT_EQ(other.Describe()->keys_stored, 4u);
  EXPECT_TRUE(other.Save(root_ + "/other").ok());
  // The model is another matter: its rows go where this program's function says.
  const Table<int64_t> loaded(program->LoadTable(folder, "loaded"));
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  EXPECT_EQ(loaded.Pull(keys).Get().value(), ones);

  moved_by = 0;
  EXPECT_EQ(table.Pull(keys).Get().value(), ones);
}

GLIM_IN_ALL_PLACES(OwnPartitioner);

}  // namespace
}  // namespace glim::cluster
