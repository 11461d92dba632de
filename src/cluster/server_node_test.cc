// SPDX-License-Identifier: Apache-2.0
//
// A server's node without owners: what it says to them, and what it makes of their words. Both together, late and under
// faults, are the simulation's (sim/).
#include "cluster/server_node.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>
#include <vector>

namespace glim::cluster {
namespace {

using param::Member;
using param::ShardId;

constexpr uint64_t kStart = 77;

class Said final : public ServerNodeOutput {
 public:
  void SendToMaster(const param::Beat& beat) override { beats.push_back(beat); }
  void SendToMaster(const param::FullReport& report) override { reports.push_back(report); }
  void Begin(uint64_t incarnation) override { begun = incarnation; }
  void ToOwner(size_t owner, NodeWord word) override { words.emplace_back(owner, std::move(word)); }

  std::vector<param::Beat> beats;
  std::vector<param::FullReport> reports;
  uint64_t begun = 0;
  std::vector<std::pair<size_t, NodeWord>> words;
};

class ServerNodeTest : public testing::Test {
 protected:
  // Members from now on.
  void Begin() {
    node_.OnBeatReply({.epoch = 1, .incarnation = 5, .start = kStart}, 0);
    node_.OnBegun();
    said_.words.clear();
  }
  void Hear(const ShardId& shard, bool as_primary = false, bool dropped = false) {
    param::ViewUpdate update{.shard = shard, .view = {}, .table = {}, .addresses = {}};
    update.view.number = 1;
    update.view.primary = as_primary ? node_.self() : Member{9, 9};
    update.dropped = dropped;
    node_.OnViewUpdate(update);
  }
  param::ShardReport ReportOf(const ShardId& shard) { return {.shard = shard, .view = 1, .synced = {}}; }

  Said said_;
  ServerNode node_{1, kStart, "here:1", KeptServer{true, {3}, {{{1, 0}, {}, {}, {}}, {{1, 1}, {}, {}, {}}}},
                   2, {},     said_};
};

TEST_F(ServerNodeTest, WhatTheDiskHasIsGivenOutWhenTheIncarnationIsWritten) {
  node_.OnBeatReply({.epoch = 1, .incarnation = 5, .start = kStart}, 0);
  EXPECT_EQ(said_.begun, 5u);
  EXPECT_TRUE(said_.words.empty());
  node_.OnBegun();
  ASSERT_EQ(said_.words.size(), 2u);
  std::set<ShardId> kept;
  for (const auto& [owner, word] : said_.words) {
    const auto& begun = std::get<OwnerBegun>(word);
    EXPECT_EQ(begun.self, (Member{1, 5}));
    EXPECT_EQ(begun.before, std::vector<uint64_t>{3});
    ASSERT_EQ(begun.kept.size(), 1u);
    EXPECT_EQ(node_.OwnerOf(begun.kept[0].shard), owner);
    kept.insert(begun.kept[0].shard);
  }
  EXPECT_EQ(kept, (std::set<ShardId>{{1, 0}, {1, 1}}));
}

TEST_F(ServerNodeTest, PrimariesOfATableAreSpreadOverOwners) {
  Begin();
  for (uint32_t shard = 0; shard < 8; ++shard) Hear({2, shard}, shard % 2 == 0);
  std::vector<int> primaries(2), others(2);
  for (uint32_t shard = 0; shard < 8; ++shard) ++(shard % 2 == 0 ? primaries : others)[node_.OwnerOf({2, shard})];
  EXPECT_EQ(primaries, (std::vector<int>{2, 2}));
  EXPECT_EQ(others, (std::vector<int>{2, 2}));
}

TEST_F(ServerNodeTest, AShardStaysWithItsOwner) {
  Begin();
  Hear({2, 0});
  Hear({2, 1});
  Hear({2, 0}, true);
  ASSERT_EQ(said_.words.size(), 3u);
  EXPECT_EQ(said_.words[0].first, said_.words[2].first);
  EXPECT_NE(said_.words[0].first, said_.words[1].first);
}

TEST_F(ServerNodeTest, AFullReportWaitsForAllOwners) {
  Begin();
  node_.OnBeatReply({.epoch = 2}, 0);
  ASSERT_EQ(said_.words.size(), 2u);
  EXPECT_EQ(std::get<ReportWanted>(said_.words[0].second).epoch, 2u);
  node_.OnOwner(ReportGiven{2, {ReportOf({1, 0})}});
  // Asked for again meanwhile: the same one is under way.
  node_.OnBeatReply({.epoch = 2}, 0);
  EXPECT_EQ(said_.words.size(), 2u);
  EXPECT_TRUE(said_.reports.empty());
  node_.OnOwner(ReportGiven{2, {ReportOf({1, 1})}});
  ASSERT_EQ(said_.reports.size(), 1u);
  EXPECT_EQ(said_.reports[0].epoch, 2u);
  EXPECT_EQ(said_.reports[0].shards.size(), 2u);
  EXPECT_EQ(said_.reports[0].before, std::vector<uint64_t>{3});
}

TEST_F(ServerNodeTest, WhatWasAskedForAnOlderMasterIsNotPartOfAReport) {
  Begin();
  node_.OnBeatReply({.epoch = 2}, 0);
  node_.OnOwner(ReportGiven{2, {ReportOf({1, 0})}});
  node_.OnBeatReply({.epoch = 3}, 0);
  node_.OnOwner(ReportGiven{2, {ReportOf({1, 1})}});
  node_.OnOwner(ReportGiven{3, {ReportOf({1, 0})}});
  EXPECT_TRUE(said_.reports.empty());
  node_.OnOwner(ReportGiven{3, {ReportOf({1, 1})}});
  ASSERT_EQ(said_.reports.size(), 1u);
  EXPECT_EQ(said_.reports[0].epoch, 3u);
  EXPECT_EQ(said_.reports[0].shards.size(), 2u);
}

// Its folder may be an older copy, and it is to hear so; nothing else comes of what it says.
TEST_F(ServerNodeTest, AnOlderMasterIsToldOfTheNewest) {
  Begin();
  node_.OnBeatReply({.epoch = 3}, 0);
  for (int owner = 0; owner < 2; ++owner) node_.OnOwner(ReportGiven{3, {}});
  said_.words.clear();
  said_.reports.clear();
  node_.OnBeatReply({.epoch = 2, .sent_at = 1000, .leased = true}, 2000);
  ASSERT_EQ(said_.words.size(), 2u);
  for (const auto& [owner, word] : said_.words) EXPECT_EQ(std::get<ReportWanted>(word).epoch, 3u);
  for (int owner = 0; owner < 2; ++owner) node_.OnOwner(ReportGiven{3, {}});
  ASSERT_EQ(said_.reports.size(), 1u);
  EXPECT_EQ(said_.reports[0].epoch, 3u);
}

TEST_F(ServerNodeTest, AShardThatIsGoneIsForgottenUnlessItWasHeardOfAgain) {
  Begin();
  Hear({2, 0});
  const size_t owner = node_.OwnerOf({2, 0});
  Hear({2, 0}, false, true);
  Hear({2, 0});  // A late copy.
  node_.OnOwner(ShardGone{{2, 0}, 2});
  said_.words.clear();
  Hear({2, 0}, false, true);
  ASSERT_EQ(said_.words.size(), 1u);
  EXPECT_EQ(said_.words[0].first, owner);
  node_.OnOwner(ShardGone{{2, 0}, 4});
  said_.words.clear();
  Hear({2, 0}, false, true);
  EXPECT_TRUE(said_.words.empty());
}

TEST_F(ServerNodeTest, ALeaseIsToldToAllOwners) {
  Begin();
  node_.OnBeatReply({.epoch = 1, .sent_at = 1000, .leased = true}, 2000);
  std::set<size_t> told;
  for (const auto& [owner, word] : said_.words) {
    if (const auto* lease = std::get_if<LeaseHeard>(&word)) {
      EXPECT_EQ(lease->until, 1000 + ServerNodeOptions().dead_nanos / 2);
      told.insert(owner);
    }
  }
  EXPECT_EQ(told.size(), 2u);
}

}  // namespace
}  // namespace glim::cluster
