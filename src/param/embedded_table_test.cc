// SPDX-License-Identifier: Apache-2.0
#include "param/embedded_table.h"

#include <gtest/gtest.h>

#include <memory>

#include "env/env.h"
#include "param/catalogue.h"

namespace glim::param {
namespace {

class TableTest : public testing::Test {
 protected:
  std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  Catalogue catalogue_{*env_};
};

TEST_F(TableTest, PushesAddAndPullsGiveRowsInTheOrderAsked) {
  Table<float> table(catalogue_.CreateTable(MakeTableSpec<float>("t", SparseKeys())));
  ASSERT_TRUE(table.ok()) << table.status().message();
  std::vector<Key> keys = {5, 0, 7, 5};
  std::vector<float> values = {1, 2, 3, 10};
  ASSERT_TRUE(table.Push(keys, values).Wait().ok());
  std::vector<Key> asked = {7, 5, 1, 0, 7};
  EXPECT_EQ(table.Pull(asked).Get().value(), (std::vector<float>{3, 11, 0, 2, 3}));
  EXPECT_EQ(table.Describe()->keys_stored, 3u);
}

TEST_F(TableTest, ManyKeysSurviveGrowthInEveryStore) {
  for (auto [name, keys_space, width] : {std::tuple("a", SparseKeys(), 1u), std::tuple("b", SparseKeys(), 9u),
                                         std::tuple("c", DenseKeys(1 << 20), 1u)}) {
    Table<int64_t> table(catalogue_.CreateTable(MakeTableSpec<int64_t>(name, keys_space, Add{}, {.width = width})));
    ASSERT_TRUE(table.ok()) << table.status().message();
    std::vector<Key> keys;
    std::vector<int64_t> values;
    for (uint64_t i = 0; i < 500000; ++i) {
      keys.push_back(i * 2097151 % (1 << 20));
      for (uint32_t c = 0; c < width; ++c) values.push_back(static_cast<int64_t>(i + c));
    }
    ASSERT_TRUE(table.Push(keys, values).Wait().ok());
    EXPECT_EQ(table.Describe()->keys_stored, 500000u);
    EXPECT_EQ(table.Pull(keys).Get().value(), values);
  }
}

TEST_F(TableTest, DurabilityOnDiskIsForServers) {
  const auto table =
      catalogue_.CreateTable(MakeTableSpec<float>("t", SparseKeys(), Add{}, {.durability = Durability::kDisk}));
  EXPECT_EQ(table.status().code(), Code::kInvalid);
  EXPECT_NE(table.status().message().find("for tables on servers"), std::string::npos) << table.status().message();
  EXPECT_EQ(catalogue_.OpenTable("t").status().code(), Code::kNotFound);
}

}  // namespace
}  // namespace glim::param
