// SPDX-License-Identifier: Apache-2.0
//
// What the master decides, with members that do at once what they are told. What it does when they do not is the
// simulation's to find out (sim/).
#include "cluster/master.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

namespace glim::cluster {
namespace {

using param::Member;
using param::ShardId;

constexpr int64_t kMilli = 1'000'000;
constexpr int64_t kSecond = 1'000'000'000;

class World final : public MasterOutput {
 public:
  World() { Restart(); }

  void Write(const Decision& decision) override { log_.push_back(decision); }
  void Send(const Member& to, const param::ViewUpdate& update) override {
    if (silent.contains(to.node)) return;
    later_.push_back([this, to, update] {
      if (update.dropped) return;
      if (update.view.joiner) joiners[update.view.joiner->node].insert({update.shard, update.view.number});
      param::ShardReport report{update.shard, update.view.number, update.active, std::nullopt, false, false};
      report.declined = update.view.joiner == to && full.contains(to.node);
      const bool completes = update.active && update.view.primary == to && update.view.joiner &&
                             !full.contains(update.view.joiner->node) && !stuck.contains(update.view.joiner->node);
      if (completes) report.synced = update.view.joiner;
      if (update.active && update.view.primary == to) report.silent = SilentIn(update.view);
      master->OnReport(to, report, now);
    });
  }
  void Send(const Member& to, const param::BeatReply& reply) override {
    last_reply[to.node] = reply;
    if (reply.epoch != told_[to]) {
      told_[to] = reply.epoch;
      later_.push_back([this, to, reply] { master->OnFullReport({to, reply.epoch, {}, {}}, now); });
    }
  }

  void Restart() {
    later_.clear();
    const std::vector<Decision> log(log_.begin(), log_.end());
    first_ = log_.size();
    master = std::make_unique<Master>(MasterOptions{}, log, now, *this);
  }

  // With its first `decisions` only.
  void RestartFromOlderCopy(size_t decisions) {
    log_.resize(decisions);
    written_ = log_.size();
    Restart();
  }
  size_t decisions() const { return log_.size(); }
  // What a server says of itself that knows more than World's.
  void Report(uint32_t server, const param::ShardReport& report) { master->OnReport({server, 1}, report, now); }
  void ReportStart(uint32_t server, uint64_t epoch) { master->OnFullReport({{server, 1}, epoch, {}, {}}, now); }

  // Primaries say anew what they know.
  void RepeatActive() {
    for (const auto& [id, status] : master->ShardStatuses()) {
      master->OnReport(status.view.primary,
                       {id, status.view.number, true, std::nullopt, false, false, SilentIn(status.view)}, now);
    }
  }

  // As a process does that is started again.
  void RestartFromCompactLog() {
    log_ = master->CompactLog();
    written_ = log_.size();
    Restart();
  }

  void Run(int64_t nanos) {
    for (const int64_t until = now + nanos; now < until; now += 100 * kMilli) {
      for (const uint32_t server : servers) master->OnBeat(BeatOf(server), now);
      master->OnTick(now);
      while (!later_.empty() || written_ < log_.size()) {
        written_ = log_.size();
        master->OnWritten(written_ - first_, now);
        if (later_.empty()) continue;
        const auto work = std::move(later_.front());
        later_.pop_front();
        work();
      }
    }
  }

  void Create(uint32_t shards, uint32_t replicas) {
    ASSERT_TRUE(master->CreateTable({0, "t", shards, replicas, false, {}}, now).ok());
    Run(kSecond);
  }

  param::MemberStatus StatusOf(uint32_t server) {
    for (const param::MemberStatus& status : master->Describe(now).members) {
      if (status.member.node == server) return status;
    }
    return {};
  }
  uint32_t HeldBy(uint32_t server) { return StatusOf(server).primary_of + StatusOf(server).backup_of; }
  uint64_t Views() {
    uint64_t views = 0;
    for (const auto& [id, status] : master->ShardStatuses()) views += status.view.number;
    return views;
  }

  int64_t now = kSecond;
  std::unique_ptr<Master> master;
  std::set<uint32_t> servers, leaving;
  std::set<uint32_t> silent, full, stuck;       // They do not answer, have no room, never get complete.
  std::set<std::pair<uint32_t, uint32_t>> cut;  // The smaller one first. Primaries say at once that they do not hear.
  std::map<uint32_t, std::set<std::pair<ShardId, uint64_t>>> joiners;  // The views that made a server one.
  std::map<uint32_t, param::BeatReply> last_reply;

 private:
  std::vector<param::SilentMember> SilentIn(const param::View& view) {
    std::vector<param::SilentMember> silent;
    const auto add = [&](const Member& member) {
      if (cut.contains(std::minmax(view.primary.node, member.node))) silent.push_back({member, 4 * kSecond});
    };
    for (const Member& member : view.backups) add(member);
    if (view.joiner) add(*view.joiner);
    return silent;
  }
  param::Beat BeatOf(uint32_t server) { return {{server, 1}, now, "somewhere", 7, false, leaving.contains(server)}; }

  std::vector<Decision> log_;
  size_t first_ = 0;
  size_t written_ = 0;
  std::deque<std::function<void()>> later_;
  std::map<Member, uint64_t> told_;
};

TEST(Master, ServerThatComesLaterGetsShards) {
  World world;
  world.servers = {1, 2};
  world.Run(5 * kSecond);
  world.Create(8, 2);
  EXPECT_EQ(world.HeldBy(1), 8u);
  world.servers.insert(3);
  world.Run(2 * kSecond);
  EXPECT_EQ(world.HeldBy(3), 0u);  // It may be gone again soon.
  world.Run(10 * kSecond);
  for (const uint32_t server : {1, 2, 3}) {
    EXPECT_GE(world.HeldBy(server), 5u);
    EXPECT_GE(world.StatusOf(server).primary_of, 2u);
    EXPECT_LE(world.StatusOf(server).primary_of, 3u);
  }
  const uint64_t views = world.Views();
  world.Run(30 * kSecond);
  EXPECT_EQ(world.Views(), views);
}

TEST(Master, MasterThatStartsAnewEndsWhatWasBegun) {
  World world;
  world.servers = {1};
  world.Run(5 * kSecond);
  world.Create(6, 1);
  world.servers.insert(2);
  world.Run(3 * kSecond + 200 * kMilli);
  world.Restart();
  world.Run(20 * kSecond);
  EXPECT_EQ(world.HeldBy(1), 3u);
  EXPECT_EQ(world.HeldBy(2), 3u);
}

// Clients and servers know a table by its number: one that comes twice would make rows and pushes of a table that was
// dropped those of another one.
TEST(Master, NumbersOfTablesComeOnce) {
  World world;
  world.servers = {1};
  world.Run(5 * kSecond);
  std::set<uint64_t> seen;
  for (int round = 0; round < 5; ++round) {
    for (const char* name : {"a", "b"}) {
      const auto id = world.master->CreateTable({0, name, 2, 1, false, {}}, world.now);
      ASSERT_TRUE(id.ok()) << id.status().message();
      EXPECT_TRUE(seen.insert(*id).second) << *id;
      world.Run(kSecond);
    }
    for (const char* name : {"a", "b"}) ASSERT_TRUE(world.master->DropTable(name).ok());
    world.Run(kSecond);
    world.RestartFromCompactLog();
    if (round % 2 == 0) world.RestartFromCompactLog();
    world.Run(5 * kSecond);
  }
}

TEST(Master, ReplicaThatNobodyHasRoomForIsNotAskedForAgainAndAgain) {
  World world;
  world.servers = {1, 2};
  world.Run(5 * kSecond);
  world.Create(4, 2);
  world.servers = {1, 3};
  world.full = {3};
  world.Run(20 * kSecond);
  const uint64_t views = world.Views();
  world.servers = {1, 3};
  world.Run(20 * kSecond);
  EXPECT_EQ(world.Views(), views);
  EXPECT_EQ(world.HeldBy(1), 4u);
  world.full.clear();
  world.Run(70 * kSecond);
  EXPECT_EQ(world.HeldBy(3), 4u);
}

TEST(Master, ServerWithoutRoomIsNotAskedAgainAtOnce) {
  World world;
  world.servers = {1};
  world.Run(5 * kSecond);
  world.Create(8, 1);
  world.servers.insert(2);
  world.full = {2};
  world.Run(40 * kSecond);
  EXPECT_GE(world.joiners[2].size(), 1u);
  EXPECT_LE(world.joiners[2].size(), 2u);
  EXPECT_EQ(world.HeldBy(1), 8u);
  world.full.clear();
  world.Run(40 * kSecond);
  EXPECT_EQ(world.HeldBy(2), 4u);
}

TEST(Master, JoinerThatNobodyNeedsIsGivenUpInTheEnd) {
  World world;
  world.servers = {1};
  world.Run(5 * kSecond);
  world.Create(2, 1);
  world.servers.insert(2);
  world.stuck = {2};
  world.Run(300 * kSecond);
  EXPECT_EQ(world.joiners[2].size(), 1u);
  world.Run(310 * kSecond);
  for (const auto& [id, status] : world.master->ShardStatuses()) EXPECT_FALSE(status.view.joiner);
}

// Servers 1, 2, 3 hold every shard; 1 and 2 do not reach each other. Nobody is left out: 3 is the primary of those of
// which one of them was.
TEST(Master, WhoReachesAllTakesThePlaceOfAPrimaryThatDoesNot) {
  World world;
  world.servers = {1, 2, 3};
  world.Run(5 * kSecond);
  world.cut = {{1, 2}};
  world.Create(6, 3);
  world.Run(5 * kSecond);
  for (const auto& [id, status] : world.master->ShardStatuses()) {
    EXPECT_EQ(status.view.primary.node, 3u);
    EXPECT_EQ(status.view.backups.size(), 2u);
    EXPECT_TRUE(status.active);
  }
  const uint64_t views = world.Views();
  world.Run(8 * kSecond);
  EXPECT_EQ(world.Views(), views);  // Balance does not take it back.
  world.cut.clear();
  world.Run(90 * kSecond);
  EXPECT_EQ(world.StatusOf(1).primary_of, 2u);
  EXPECT_EQ(world.StatusOf(2).primary_of, 2u);
}

TEST(Master, DescriptionNamesThoseWhoDoNotReachEachOther) {
  World world;
  world.servers = {1, 2, 3};
  world.Run(5 * kSecond);
  const auto cuts = [&] {
    std::vector<std::pair<uint32_t, uint32_t>> pairs;
    for (const param::CutServers& cut : world.master->Describe(world.now).cuts) pairs.emplace_back(cut.one, cut.other);
    return pairs;
  };
  world.Create(6, 3);
  EXPECT_TRUE(cuts().empty());
  world.cut = {{1, 2}};
  world.RepeatActive();
  world.Run(5 * kSecond);
  EXPECT_EQ(cuts(), (std::vector<std::pair<uint32_t, uint32_t>>{{1, 2}}));
  world.cut.clear();
  world.Run(90 * kSecond);
  EXPECT_TRUE(cuts().empty());
  // One who is dead reaches nobody, and that is said elsewhere.
  world.cut = {{1, 2}};
  world.RepeatActive();
  world.Run(2 * kSecond);
  EXPECT_EQ(cuts().size(), 1u);
  world.servers.erase(2);
  world.Run(5 * kSecond);
  EXPECT_TRUE(cuts().empty());
}

TEST(Master, ReplicaThatItsPrimaryDoesNotReachIsReplaced) {
  World world;
  world.servers = {1, 2};
  world.Run(5 * kSecond);
  world.Create(1, 2);
  const uint64_t before = world.Views();
  world.cut = {{1, 2}};
  world.RepeatActive();
  world.Run(5 * kSecond);
  auto view = world.master->ShardStatuses().begin()->second.view;
  EXPECT_EQ(view.backups.size(), 0u);  // With nobody else there; and the one that is left is not left out.
  EXPECT_FALSE(view.joiner);
  EXPECT_EQ(world.Views(), before + 1);
  world.servers.insert(3);
  world.Run(5 * kSecond);
  view = world.master->ShardStatuses().begin()->second.view;
  ASSERT_EQ(view.backups.size(), 1u);
  EXPECT_EQ(view.backups[0].node, 3u);
}

// Each time that the link shows to be cut still, it is left alone for longer.
TEST(Master, LinkThatStaysCutIsTriedMoreAndMoreSeldom) {
  World world;
  world.servers = {1, 2};
  world.Run(5 * kSecond);
  world.cut = {{1, 2}};
  world.Create(1, 2);
  world.Run(3600 * kSecond);
  // After 1/4, 1/2, 1, 2, ... minutes, at last every 15; two views each time.
  EXPECT_LE(world.Views(), 30u);
  EXPECT_GE(world.Views(), 15u);
  world.cut.clear();
  world.Run(1000 * kSecond);
  EXPECT_EQ(world.master->ShardStatuses().begin()->second.view.backups.size(), 1u);
}

TEST(Master, ServerThatLeavesIsToldWhenItHoldsNothing) {
  World world;
  world.servers = {1, 2, 3};
  world.Run(5 * kSecond);
  world.Create(6, 1);
  EXPECT_EQ(world.last_reply[1].drain, param::DrainState::kNone);
  EXPECT_EQ(world.last_reply[1].shards, 2u);
  world.leaving = {1};
  world.Run(100 * kMilli);
  EXPECT_EQ(world.last_reply[1].drain, param::DrainState::kAtWork);
  world.Run(2 * kSecond);
  EXPECT_EQ(world.last_reply[1].drain, param::DrainState::kDone);
  EXPECT_EQ(world.last_reply[1].shards, 0u);
  EXPECT_EQ(world.HeldBy(2), 3u);
  EXPECT_EQ(world.HeldBy(3), 3u);
}

TEST(Master, ServerThatLeavesIsToldWhenThereIsNobody) {
  World world;
  world.servers = {1};
  world.Run(5 * kSecond);
  world.Create(6, 1);
  world.leaving = {1};
  world.Run(2 * kSecond);
  EXPECT_EQ(world.last_reply[1].drain, param::DrainState::kNobody);
  EXPECT_EQ(world.last_reply[1].shards, 6u);
}

TEST(Master, WhatALeavingServerHasInMemoryItsPartnersGoOnWith) {
  World world;
  world.servers = {1, 2};
  world.Run(5 * kSecond);
  world.Create(6, 2);
  world.leaving = {1};
  world.Run(2 * kSecond);
  EXPECT_EQ(world.last_reply[1].drain, param::DrainState::kDone);
  EXPECT_EQ(world.StatusOf(2).primary_of, 6u);
}

// It goes on to hold them, because nobody else would.
TEST(Master, DrainWithoutAnotherServerHandsOverWhoIsThePrimary) {
  World world;
  world.servers = {1, 2};
  world.Run(5 * kSecond);
  world.Create(6, 2);
  ASSERT_TRUE(world.master->SetDraining(1, true).ok());
  world.Run(2 * kSecond);
  EXPECT_EQ(world.last_reply[1].drain, param::DrainState::kNobody);
  EXPECT_EQ(world.HeldBy(1), 6u);
  EXPECT_EQ(world.StatusOf(1).primary_of, 0u);
  const uint64_t views = world.Views();
  world.Run(20 * kSecond);
  EXPECT_EQ(world.Views(), views);
}

TEST(Master, DrainIsRememberedUntilItIsTakenBack) {
  World world;
  world.servers = {1, 2};
  world.Run(5 * kSecond);
  EXPECT_EQ(world.master->SetDraining(3, true).code(), Code::kNotFound);
  ASSERT_TRUE(world.master->SetDraining(1, true).ok());
  world.Run(kSecond);
  world.Restart();
  world.Run(5 * kSecond);
  world.Create(6, 1);
  EXPECT_TRUE(world.StatusOf(1).draining);
  EXPECT_EQ(world.HeldBy(1), 0u);
  ASSERT_TRUE(world.master->SetDraining(1, false).ok());
  world.Run(10 * kSecond);
  EXPECT_EQ(world.HeldBy(1), 3u);
  EXPECT_EQ(world.master->CompactLog().size(), 1 + 1 + 2 * 6u);
}

// A master whose log is an older copy would decide anew what was decided, and have servers forget tables that it does
// not know.
TEST(Master, OlderCopyOfTheLogIsNoticedAndDecidesNothing) {
  const std::pair<const char*, std::function<void(World&)>> words[] = {
      {"server 1 has view 2 of shard 0 of table 1, and this log knows 1",
       [](World& world) { world.Report(1, {{1, 0}, 2, true, std::nullopt, false, false}); }},
      {"server 1 has a shard of table 2, and this log has given out 1 numbers",
       [](World& world) { world.Report(1, {{2, 0}, 1, true, std::nullopt, false, false}); }},
      {"server 1 has heard of start 9 of its master, and this is start 2",
       [](World& world) { world.ReportStart(1, 9); }}};
  for (const auto& [behind, say] : words) {
    World world;
    world.servers = {1};
    world.Run(5 * kSecond);
    world.Create(1, 1);
    const size_t older = world.decisions();
    world.RestartFromOlderCopy(older);
    world.Run(kSecond);
    EXPECT_EQ(world.master->behind(), "");
    say(world);
    EXPECT_EQ(world.master->behind(), behind);
    const size_t decided = world.decisions();
    world.last_reply.clear();
    world.servers = {2};  // Its shard would have to go there.
    world.Run(20 * kSecond);
    EXPECT_EQ(world.decisions(), decided);
    EXPECT_TRUE(world.last_reply.empty());
  }
}

TEST(Master, WhatALogKnowsOrNobodyInItSaysIsNoOlderCopy) {
  World world;
  world.servers = {1, 2};
  world.Run(5 * kSecond);
  world.Create(1, 2);
  ASSERT_TRUE(world.master->DropTable("t").ok());
  world.Run(kSecond);
  world.RestartFromCompactLog();
  world.Run(kSecond);
  world.Report(1, {{1, 0}, 7, true, std::nullopt, false, false});  // Missed that its table is no more.
  world.Report(9, {{5, 0}, 7, true, std::nullopt, false, false});  // Of another cluster: it never beat here.
  world.ReportStart(9, 77);
  world.ReportStart(1, 1);
  EXPECT_EQ(world.master->behind(), "");
  world.Create(1, 2);
  EXPECT_EQ(world.HeldBy(1), 1u);
}

}  // namespace
}  // namespace glim::cluster
