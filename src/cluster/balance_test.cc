// SPDX-License-Identifier: Apache-2.0
#include "cluster/balance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

namespace glim::cluster {
namespace {

using param::Member;

Member Server(uint32_t number) { return {number, 1}; }

std::vector<AbleServer> Servers(uint32_t count) {
  std::vector<AbleServer> servers;
  for (uint32_t i = 1; i <= count; ++i) servers.push_back({Server(i), true});
  return servers;
}

PlacedShard Shard(uint64_t table, uint32_t shard, uint32_t primary, std::vector<uint32_t> others = {}) {
  PlacedShard placed{{table, shard}, Server(primary), {}, false, false};
  for (const uint32_t other : others) placed.others.push_back(Server(other));
  return placed;
}

// As the master does it, when all goes well. Who comes for the primary is the primary.
void Carry(const Move& move, std::vector<PlacedShard>* shards) {
  PlacedShard& shard = *std::find_if(shards->begin(), shards->end(), [&](const auto& s) { return s.id == move.shard; });
  if (move.of_primary) {
    std::replace(shard.others.begin(), shard.others.end(), move.to, move.from);
    shard.primary = move.to;
  } else if (shard.primary == move.from) {
    shard.primary = move.to;
  } else {
    std::replace(shard.others.begin(), shard.others.end(), move.from, move.to);
  }
}

size_t CarryAll(std::vector<PlacedShard>* shards, const std::vector<AbleServer>& servers) {
  size_t moves = 0;
  for (; moves < 10'000; ++moves) {
    const auto move = NextMove(*shards, servers);
    if (!move) break;
    Carry(*move, shards);
  }
  return moves;
}

TEST(Balance, ServerThatComesLaterGetsItsPartOfATable) {
  std::vector<PlacedShard> shards;
  for (uint32_t i = 0; i < 16; ++i) shards.push_back(Shard(1, i, 1 + i % 2, {2 - i % 2}));
  EXPECT_EQ(CarryAll(&shards, Servers(3)), 10u);  // No more than it gets.
  Loads loads;
  for (const PlacedShard& shard : shards) loads.Add(shard);
  for (uint32_t server = 1; server <= 3; ++server) {
    EXPECT_GE(loads.Held(1, Server(server)).first, 10u);
    EXPECT_LE(loads.Held(1, Server(server)).first, 11u);
    EXPECT_GE(loads.PrimaryOf(1, Server(server)).first, 5u);
    EXPECT_LE(loads.PrimaryOf(1, Server(server)).first, 6u);
  }
}

TEST(Balance, ManySmallTablesAreSharedToo) {
  std::vector<PlacedShard> shards;
  for (uint64_t table = 1; table <= 6; ++table) shards.push_back(Shard(table, 0, 1));
  EXPECT_EQ(CarryAll(&shards, Servers(3)), 4u);
}

TEST(Balance, WhatIsOnDiskGoesToDisksOnly) {
  std::vector<PlacedShard> shards{Shard(1, 0, 1), Shard(1, 1, 1), Shard(1, 2, 1), Shard(2, 0, 1)};
  for (size_t i = 0; i < 3; ++i) shards[i].on_disk = true;
  std::vector<AbleServer> servers = Servers(2);
  servers[1].has_disk = false;
  const auto move = NextMove(shards, servers);
  ASSERT_TRUE(move);
  EXPECT_EQ(move->shard.table, 2u);
  Carry(*move, &shards);
  EXPECT_FALSE(NextMove(shards, servers));
}

TEST(Balance, WhatMovesAlreadyIsLeftAlone) {
  std::vector<PlacedShard> shards{Shard(1, 0, 1), Shard(1, 1, 1)};
  shards[0].moves = true;
  EXPECT_EQ(NextMove(shards, Servers(2))->shard.shard, 1u);
  shards[1].moves = true;
  EXPECT_FALSE(NextMove(shards, Servers(2)));
}

TEST(Balance, EveryBeginningComesToAnEvenEnd) {
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    std::mt19937 dice(seed);
    const auto below = [&](uint32_t n) { return static_cast<uint32_t>(dice() % n); };
    const uint32_t count = 2 + below(6);
    const std::vector<AbleServer> servers = Servers(count);
    std::vector<PlacedShard> shards;
    size_t copies = 0;
    for (uint64_t table = 1; table <= 1 + below(4); ++table) {
      const uint32_t replicas = 1 + below(std::min(count, 3u)), of_table = 1 + below(20), used = 1 + below(count);
      for (uint32_t shard = 0; shard < of_table; ++shard) {
        std::vector<uint32_t> holders;
        while (holders.size() < replicas) {
          const uint32_t server = 1 + below(std::max(used, replicas));
          if (std::find(holders.begin(), holders.end(), server) == holders.end()) holders.push_back(server);
        }
        const uint32_t primary = holders.back();
        holders.pop_back();
        shards.push_back(Shard(table, shard, primary, holders));
        copies += replicas;
      }
    }
    const size_t moves = CarryAll(&shards, servers);
    EXPECT_LE(moves, 4 * copies) << "seed " << seed;
    Loads loads;
    for (const PlacedShard& shard : shards) loads.Add(shard);
    for (const PlacedShard& shard : shards) {
      EXPECT_EQ(std::count(shard.others.begin(), shard.others.end(), shard.primary), 0) << "seed " << seed;
      for (const AbleServer& a : servers) {
        for (const AbleServer& b : servers) {
          const LoadOf of_a = loads.Held(shard.id.table, a.member), of_b = loads.Held(shard.id.table, b.member);
          EXPECT_LE(of_a.first, of_b.first + 1) << "seed " << seed;
          EXPECT_LE(of_a.second, of_b.second + 1) << "seed " << seed;
        }
      }
    }
  }
}

}  // namespace
}  // namespace glim::cluster
