// SPDX-License-Identifier: Apache-2.0
#include "table/partitioner.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace glim::table {
namespace {

void ExpectInvalid(const Status& status, const std::string& message) {
  EXPECT_EQ(status.code(), Code::kInvalid);
  EXPECT_EQ(status.message(), message);
}

TableSpec SpecOf(const std::string& function, uint32_t shards) {
  return *CheckTableSpec({.name = "t", .partition_by = function, .shards = shards});
}

TEST(Partitioner, AFunctionIsFoundByItsNameWhereItSaysTheSame) {
  ASSERT_TRUE(RegisterPartitioner("found", [](Key key, uint32_t shards) -> uint32_t { return key % shards; }).ok());
  TableSpec spec = SpecOf("found", 7);
  ASSERT_TRUE(TakePartitionPrint(&spec).ok());
  const auto function = FindPartitionFunction(spec);
  ASSERT_TRUE(function.ok()) << function.status().message();
  EXPECT_EQ((**function)(9, 7), 2u);
}

// What another program that has a function of that name would ask for.
TEST(Partitioner, AnotherFunctionOfTheNameIsRefused) {
  const PartitionFunction base = [](Key key, uint32_t shards) -> uint32_t { return (key >> 40) % shards; };
  const std::pair<const char*, PartitionFunction> others[] = {
      {"other-shift", [](Key key, uint32_t shards) -> uint32_t { return (key >> 41) % shards; }},
      {"other-small", [&](Key key, uint32_t shards) { return key == 3 ? 1 : base(key, shards); }},
      {"other-next", [&](Key key, uint32_t shards) { return (base(key, shards) + 1) % shards; }},
      {"other-largest", [&](Key key, uint32_t shards) { return key == ~Key{0} ? 1 : base(key, shards); }},
      {"other-none", [&](Key key, uint32_t shards) { return key == 1 << 20 ? shards : base(key, shards); }}};
  ASSERT_TRUE(RegisterPartitioner("base", base).ok());
  TableSpec made = SpecOf("base", 7);
  ASSERT_TRUE(TakePartitionPrint(&made).ok());
  EXPECT_TRUE(FindPartitionFunction(made).ok());
  for (const auto& [name, function] : others) {
    ASSERT_TRUE(RegisterPartitioner(name, function).ok());
    TableSpec spec = made;
    spec.partition_by = name;
    ExpectInvalid(FindPartitionFunction(spec).status(),
                  "table \"t\": the partitioner \"" + std::string(name) +
                      "\" of this program puts keys elsewhere than the one that the table was made with");
  }
}

// Descriptions are kept: the fingerprint of a function may never change.
TEST(Partitioner, FingerprintOfAKnownFunction) {
  ASSERT_TRUE(RegisterPartitioner("known", [](Key key, uint32_t shards) -> uint32_t { return key % shards; }).ok());
  TableSpec spec = SpecOf("known", 7);
  ASSERT_TRUE(TakePartitionPrint(&spec).ok());
  EXPECT_EQ(spec.partition_print, 13942881495012083726u);
}

TEST(Partitioner, WhatCannotBeRegisteredSaysWhy) {
  const PartitionFunction first = [](Key, uint32_t) { return 0u; };
  EXPECT_TRUE(RegisterPartitioner("twice", first).ok());
  ExpectInvalid(RegisterPartitioner("twice", first), "there is a partitioner \"twice\" already");
  ExpectInvalid(RegisterPartitioner("none", nullptr), "partitioner \"none\" has no function");
  for (const char* name : {"", "a b", "a/b", "a\n"}) {
    const Status status = RegisterPartitioner(name, first);
    EXPECT_EQ(status.code(), Code::kInvalid);
    EXPECT_NE(status.message().find("cannot be the name of a partitioner"), std::string::npos) << status.message();
  }
}

TEST(Partitioner, OneThatIsNotRegisteredIsNamed) {
  TableSpec spec = SpecOf("nobody", 3);
  const std::string missing =
      "table \"t\": this program has no partitioner \"nobody\"; register it (glim::RegisterPartitioner) before the "
      "first Session";
  ExpectInvalid(TakePartitionPrint(&spec), missing);
  ExpectInvalid(FindPartitionFunction(spec).status(), missing);
}

TEST(Partitioner, AnswersThatAreNoShardSayWhy) {
  const auto why = [](const PartitionFunction& function) { return AskPartitionFunction(function, 8, 4).status(); };
  ExpectInvalid(why([](Key, uint32_t shards) { return shards; }), "for key 8 it gives shard 4 of 4");
  ExpectInvalid(why([](Key, uint32_t) -> uint32_t { throw std::runtime_error("no such customer"); }),
                "for key 8 it failed: no such customer");
  ExpectInvalid(why([](Key, uint32_t) -> uint32_t { throw 1; }), "for key 8 it failed");
  EXPECT_EQ(AskPartitionFunction([](Key key, uint32_t) { return static_cast<uint32_t>(key); }, 3, 4).value(), 3u);
}

}  // namespace
}  // namespace glim::table
