// SPDX-License-Identifier: Apache-2.0
//
// The rules of a replicated shard one by one, without a network: messages are delivered when the test says so. What
// they do together, and under faults, is for sim/.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>

#include "param/replication/push_session.h"
#include "param/replication/replica.h"

namespace glim::param {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Remembers texts in the order in which they came.
class ListState final : public ShardState {
 public:
  Status Check(const SharedBytes& op) const override {
    return Text(op) == "bad" ? Status::Invalid("no such key") : Status::Ok();
  }
  bool Fits(const SharedBytes& op, uint64_t reserved_bytes) const override { return Text(op) != "big"; }
  bool FitsSnapshot(uint64_t bytes) const override { return bytes < 1000; }
  SharedBytes Apply(const Record& record) override {
    all += Text(record.op) + " ";
    return Text(record.op).starts_with("ask") ? SharedBytes::Of(all) : SharedBytes{};
  }
  Result<SharedBytes> Read(const SharedBytes& request) const override { return SharedBytes::Of(all); }
  std::string Save() const override { return all; }
  Status Restore(std::span<const std::byte> bytes) override {
    all.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return Status::Ok();
  }
  explicit ListState(bool on_disk = false) : is_on_disk(on_disk) {}
  bool on_disk() const override { return is_on_disk; }
  void Clear() override { all.clear(); }
  // A request waits for the push that it names; from 900 ms on it is too late, once.
  std::optional<std::string> WaitsFor(const SharedBytes& request, int64_t now) const override {
    if (all.find(Text(request)) != std::string::npos) return std::nullopt;
    return Text(request) + " has not come";
  }
  std::optional<SharedBytes> Overdue(int64_t now) override {
    if (now < 900'000'000 || all.find("too-late") != std::string::npos) return std::nullopt;
    if (std::exchange(said_, true)) return std::nullopt;
    return SharedBytes::Of("too-late");
  }

  static std::string Text(const SharedBytes& bytes) {
    return {reinterpret_cast<const char*>(bytes.bytes.data()), bytes.bytes.size()};
  }

  std::string all;
  const bool is_on_disk;

 private:
  bool said_ = false;
};

constexpr ShardId kShard{1, 0};
constexpr Producer kProducer{1, 2};
const Member kA{1, 10}, kB{2, 20}, kC{3, 30};

std::string Show(const PushReply& reply) {
  static constexpr const char* kNames[] = {"applied",     "gap",    "refused",    "busy",
                                           "not primary", "fenced", "no session", "opened"};
  return std::string(kNames[static_cast<int>(reply.outcome)]) + " " + std::to_string(reply.seq);
}

// Three replicas of one shard.
class Replication : public testing::Test {
 protected:
  struct Node final : ReplicaOutput {
    Node(Replication& all, Member self, const ReplicaOptions& options)
        : all(all), replica(kShard, self, std::make_unique<ListState>(all.on_disk), options, *this) {
      replica.OnLease(1'000'000'000);
    }
    void Send(const Member& to, PeerMessage message) override { all.messages.push_back({to, std::move(message)}); }
    void Answer(ClientId to, PushReply reply) override { all.push_replies.push_back(Show(reply)); }
    void Answer(ClientId to, PullReply reply) override {
      all.pull_replies.push_back(reply.outcome == PullOutcome::kOk        ? ListState::Text(reply.rows)
                                 : reply.outcome == PullOutcome::kRefused ? "refused"
                                 : reply.outcome == PullOutcome::kBusy    ? "busy"
                                 : reply.outcome == PullOutcome::kWaiting ? "waiting: " + reply.error
                                                                          : "not primary");
    }
    void Report(const ShardReport& report) override { reported = report; }
    void Write(const ShardId&, const Record& record) override { writes.push_back({record, std::nullopt}); }
    void Write(const ShardId&, const ShardSnapshot& snapshot) override { writes.push_back({std::nullopt, snapshot}); }
    void Erase(const ShardId&) override { ++erased; }
    // The disk has all that it was given.
    void Sync(int64_t now) { replica.OnWritten(writes.size(), now); }
    // What would be found on it after a crash.
    KeptShard Kept(size_t count) const {
      KeptShard kept{kShard, {}, std::nullopt, {}};
      for (size_t i = 0; i < count; ++i) {
        if (writes[i].first) {
          kept.records.push_back(*writes[i].first);
        } else {
          kept.snapshot = writes[i].second;
          kept.records.clear();
        }
      }
      return kept;
    }
    std::string text() const { return static_cast<const ListState&>(replica.state()).all; }

    Replication& all;
    ShardReport reported;
    std::vector<std::pair<std::optional<Record>, std::optional<ShardSnapshot>>> writes;
    int erased = 0;
    Replica replica;
  };

  void Start(const View& view, const ReplicaOptions& options = {}) {
    for (const Member& member : {kA, kB, kC}) {
      if (!nodes.contains(member)) nodes[member] = std::make_unique<Node>(*this, member, options);
    }
    Tell(view, false);
    Tell(view, true);
    DeliverAll();
  }
  void Tell(const View& view, bool active) {
    for (const auto& [member, node] : nodes) node->replica.OnView(view, active, now);
  }
  void DeliverAll() {
    while (!messages.empty()) {
      const auto [to, message] = std::move(messages.front());
      messages.pop_front();
      nodes.at(to)->replica.OnPeer(message, now);
    }
  }
  void Push(const Member& to, uint64_t seq, const std::string& text, uint64_t attempt = 0) {
    nodes.at(to)->replica.OnPush(
        1, PushRequest{kShard, kProducer, attempt, seq, RecordKind::kPush, SharedBytes::Of(text)}, now);
  }
  void Pull(const Member& to, uint64_t after_seq = 0) {
    nodes.at(to)->replica.OnPull(1, PullRequest{kShard, 1, kProducer, after_seq, 0, {}}, now);
  }
  void AskAnswer(const Member& to, uint64_t seq) {
    nodes.at(to)->replica.OnPull(1, PullRequest{kShard, 1, kProducer, 0, seq, {}}, now);
  }
  Node& node(const Member& member) { return *nodes.at(member); }

  int64_t now = 0;
  bool on_disk = false;  // Before Start.
  std::map<Member, std::unique_ptr<Node>> nodes;
  std::deque<std::pair<Member, PeerMessage>> messages;
  std::vector<std::string> push_replies;
  std::vector<std::string> pull_replies;
};

TEST_F(Replication, TheAnswerToAPushIsThatOfItsMomentWhoeverIsAskedHoweverOften) {
  Start({1, kA, {kB}, {}});
  AskAnswer(kA, 2);  // Before the push: it waits.
  Push(kA, 1, "one");
  Push(kA, 2, "ask");
  Push(kA, 3, "three");
  DeliverAll();
  AskAnswer(kA, 2);
  EXPECT_THAT(pull_replies, ElementsAre("one ask ", "one ask "));
  // A joiner has it from a snapshot, and answers when A and B are gone.
  Tell({2, kB, {}, kC}, false);
  Tell({2, kB, {}, kC}, true);
  DeliverAll();
  now += 200'000'000;
  node(kB).replica.OnTick(now);
  DeliverAll();
  Tell({3, kC, {}, {}}, false);
  Tell({3, kC, {}, {}}, true);
  pull_replies.clear();
  AskAnswer(kC, 2);
  EXPECT_THAT(pull_replies, ElementsAre("one ask "));
  Push(kC, 4, "four");
  Push(kC, 5, "five");
  AskAnswer(kC, 2);  // One of the last four.
  Push(kC, 6, "six");
  AskAnswer(kC, 2);
  AskAnswer(kC, 3);  // Has none.
  EXPECT_THAT(pull_replies, ElementsAre("one ask ", "one ask ", "refused", "refused"));
}

TEST_F(Replication, APushIsAcknowledgedWhenAllHoldIt) {
  Start({1, kA, {kB, kC}, {}});
  Push(kA, 1, "one");
  EXPECT_THAT(push_replies, IsEmpty());
  EXPECT_EQ(node(kA).text(), "");
  messages.pop_back();  // What C was sent is lost.
  DeliverAll();
  EXPECT_THAT(push_replies, IsEmpty());
  now += 200'000'000;
  node(kA).replica.OnTick(now);
  DeliverAll();
  EXPECT_THAT(push_replies, ElementsAre("applied 1"));
  EXPECT_EQ(node(kA).text(), "one ");
}

TEST_F(Replication, ARepeatedPushIsAnsweredAndNotApplied) {
  Start({1, kA, {kB}, {}});
  Push(kA, 1, "one");
  Push(kA, 1, "one");
  DeliverAll();
  Push(kA, 1, "one");
  EXPECT_THAT(push_replies, ElementsAre("applied 1", "applied 1"));
  EXPECT_EQ(node(kA).text(), "one ");
}

TEST_F(Replication, HolesUnknownProducersAndBadPushesAreRefused) {
  Start({1, kA, {}, {}});
  Push(kA, 2, "two");
  Push(kA, 1, "one");
  Push(kA, 3, "three");
  Push(kA, 2, "bad");
  Push(kA, 2, "big");
  Push(kB, 2, "two");
  EXPECT_THAT(push_replies, ElementsAre("no session 0", "applied 1", "gap 1", "refused 2", "busy 1", "not primary 0"));
  EXPECT_EQ(node(kA).text(), "one ");
}

TEST_F(Replication, ALaterAttemptEndsTheOneBeforeAlsoOnTheNextPrimary) {
  Start({1, kA, {kB}, {}});
  Push(kA, 1, "one", 0);
  DeliverAll();
  Push(kA, 1, "one", 1);  // A duplicate, which must be remembered all the same.
  EXPECT_THAT(push_replies, ElementsAre("applied 1"));
  DeliverAll();
  EXPECT_THAT(push_replies, ElementsAre("applied 1", "applied 1"));
  Start({2, kB, {kC}, {}});
  Push(kB, 2, "two", 0);
  DeliverAll();
  EXPECT_EQ(push_replies.back(), "fenced 0");
}

TEST_F(Replication, ALogThatIsFullAnswersBusy) {
  Start({1, kA, {kB}, {}}, {.log_bytes_max = 1000});
  uint64_t seq = 0;
  while (push_replies.empty()) Push(kA, ++seq, std::string(100, 'x'));
  EXPECT_EQ(push_replies.back(), "busy " + std::to_string(seq - 1));
  EXPECT_LT(node(kA).replica.log_bytes(), 1200U);
  DeliverAll();
  now += 200'000'000;
  node(kA).replica.OnTick(now);
  DeliverAll();
  Push(kA, seq, "x");
  DeliverAll();
  EXPECT_EQ(push_replies.back(), "applied " + std::to_string(seq));
  EXPECT_LT(node(kA).replica.log_bytes(), 1000U);
}

TEST_F(Replication, APullSeesItsOwnPushesAndNeedsTheLease) {
  Start({1, kA, {kB}, {}});
  Push(kA, 1, "one");
  Pull(kA, 1);
  EXPECT_THAT(pull_replies, IsEmpty());
  Pull(kA, 0);
  DeliverAll();
  EXPECT_THAT(pull_replies, ElementsAre("", "one "));
  Pull(kB, 0);
  now = 2'000'000'000;
  Pull(kA, 0);
  EXPECT_THAT(pull_replies, ElementsAre("", "one ", "not primary", "not primary"));
}

TEST_F(Replication, APullThatTheStateLetsWaitSaysForWhatAndIsAnsweredOnce) {
  Start({1, kA, {kB}, {}});
  const PullRequest pull{kShard, 5, kProducer, 0, 0, SharedBytes::Of("y")};
  node(kA).replica.OnPull(1, pull, now);
  EXPECT_THAT(pull_replies, ElementsAre("waiting: y has not come"));
  node(kA).replica.OnPull(1, pull, now);
  EXPECT_EQ(pull_replies.size(), 2U);
  Push(kA, 1, "x");
  Push(kA, 2, "y");
  DeliverAll();
  EXPECT_THAT(pull_replies, ElementsAre("waiting: y has not come", "waiting: y has not come", "x y "));
}

TEST_F(Replication, WhatTimeDecidesIsARecordOfThePrimaryThatAllApply) {
  Start({1, kA, {kB}, {}});
  Push(kA, 1, "x");
  DeliverAll();
  now = 900'000'000;
  node(kB).replica.OnTick(now);
  node(kA).replica.OnTick(now);
  EXPECT_EQ(node(kA).text(), "x ");  // Not before the other one holds it.
  DeliverAll();
  EXPECT_EQ(node(kA).text(), "x too-late ");
  Push(kA, 2, "y");
  DeliverAll();
  Push(kA, 3, "z");
  DeliverAll();
  EXPECT_EQ(node(kB).text(), "x too-late y ");
}

TEST_F(Replication, ANewPrimaryAnswersNothingBeforeItIsActive) {
  Start({1, kA, {kB, kC}, {}});
  Push(kA, 1, "one");
  DeliverAll();
  const View next{2, kB, {kC}, {}};
  node(kB).replica.OnView(next, false, now);
  node(kC).replica.OnView(next, false, now);
  Push(kB, 1, "one");
  EXPECT_EQ(push_replies.back(), "not primary 0");
  Pull(kB, 0);
  EXPECT_EQ(pull_replies.back(), "not primary");
  // A has not heard of it, and goes on in vain.
  push_replies.clear();
  Push(kA, 2, "two");
  DeliverAll();
  EXPECT_THAT(push_replies, IsEmpty());
  EXPECT_EQ(node(kA).text(), "one ");
  Start(next);
  EXPECT_EQ(node(kA).text(), "");  // Needed no more.
  Push(kB, 1, "one");
  EXPECT_EQ(push_replies.back(), "applied 1");
  EXPECT_EQ(node(kB).text(), "one ");
}

TEST_F(Replication, AJoinerGetsAllInPartsAndCountsFromThen) {
  Start({1, kA, {}, {}}, {.message_bytes_max = 10});
  for (uint64_t seq = 1; seq <= 20; ++seq) Push(kA, seq, "push" + std::to_string(seq));
  Start({2, kA, {}, kC});
  EXPECT_EQ(node(kA).reported.synced, kC);
  Push(kA, 21, "last");
  EXPECT_NE(push_replies.back(), "applied 21");
  DeliverAll();
  EXPECT_EQ(push_replies.back(), "applied 21");
  const std::string all = node(kA).text();
  EXPECT_TRUE(all.ends_with("push20 last "));
  Start({3, kC, {}, {}});
  EXPECT_EQ(node(kC).text(), all);
  push_replies.clear();
  Push(kC, 21, "last");  // It knows who pushed what.
  EXPECT_THAT(push_replies, ElementsAre("applied 21"));
  EXPECT_EQ(node(kC).text(), all);
}

TEST_F(Replication, ASnapshotThatIsCutIsNotTaken) {
  Start({1, kA, {}, kC});
  nodes.at(kC)->replica.OnPeer(SnapshotPart{kShard, 1, kA, 7, 1, 0, 3, SharedBytes::Of("abc")}, now);
  const auto& reply = std::get<SnapshotReply>(messages.back().second);
  EXPECT_FALSE(reply.installed && reply.lsn == 7);
}

TEST_F(Replication, ASessionIsOpenedFirstAndPushesOfAnotherOneAreRefused) {
  Start({1, kA, {kB}, {}});
  const auto say = [&](RecordKind kind, uint64_t attempt, uint64_t seq, uint64_t session, const std::string& text) {
    node(kA).replica.OnPush(1, PushRequest{kShard, kProducer, attempt, seq, kind, SharedBytes::Of(text), session}, now);
    DeliverAll();
    return push_replies.back();
  };
  EXPECT_EQ(say(RecordKind::kPush, 1, 1, 5, "early"), "no session 0");
  EXPECT_EQ(say(RecordKind::kOpen, 1, 0, 0, ""), "opened 1");
  EXPECT_EQ(say(RecordKind::kOpen, 1, 0, 0, ""), "opened 1");
  EXPECT_EQ(say(RecordKind::kPush, 1, 1, 1, "one"), "applied 1");
  EXPECT_EQ(say(RecordKind::kPush, 1, 2, 0, "as-a-task"), "no session 0");
  EXPECT_EQ(say(RecordKind::kClose, 1, 2, 1, "").substr(0, 7), "applied");
  EXPECT_EQ(node(kA).replica.session_count(), 0U);
  // What was late: nothing is open; then another session is, of the same name.
  EXPECT_EQ(say(RecordKind::kPush, 1, 1, 1, "one"), "no session 0");
  EXPECT_EQ(say(RecordKind::kOpen, 1, 0, 0, ""), "opened 4");
  EXPECT_EQ(say(RecordKind::kPush, 1, 1, 1, "one"), "no session 0");
  // A later one of the same producer takes its place.
  EXPECT_EQ(say(RecordKind::kOpen, 2, 0, 0, ""), "opened 5");
  EXPECT_EQ(say(RecordKind::kPush, 1, 1, 4, "one"), "no session 0");
  EXPECT_EQ(say(RecordKind::kOpen, 1, 0, 0, ""), "fenced 0");
  EXPECT_EQ(say(RecordKind::kPush, 2, 1, 5, "two"), "applied 1");
  EXPECT_EQ(say(RecordKind::kEra, 2, 2, 5, ""), "refused 2");
  EXPECT_EQ(node(kA).text(), "one two ");
  now += 200'000'000;
  node(kA).replica.OnTick(now);
  DeliverAll();
  EXPECT_EQ(node(kB).text(), "one two ");
}

TEST_F(Replication, ASessionThatIsSilentIsForgottenByAllAtTheSamePlace) {
  const ReplicaOptions options{.era_nanos = 5'000'000'000};
  Start({1, kA, {kB}, {}}, options);
  for (const Member& member : {kA, kB}) node(member).replica.OnLease(600'000'000'000);
  const auto pass = [&](int64_t nanos) {
    for (const int64_t until = now + nanos; now < until; now += 100'000'000) {
      node(kA).replica.OnTick(now);
      DeliverAll();
    }
  };
  const auto say = [&](uint64_t low, RecordKind kind, uint64_t seq, uint64_t session) {
    node(kA).replica.OnPush(1, PushRequest{kShard, {1, low}, 1, seq, kind, SharedBytes::Of("x"), session}, now);
    DeliverAll();
    return push_replies.back();
  };
  Push(kA, 1, "a-task");
  EXPECT_EQ(say(1, RecordKind::kOpen, 0, 0), "opened 2");
  EXPECT_EQ(say(3, RecordKind::kOpen, 0, 0), "opened 3");
  EXPECT_EQ(say(1, RecordKind::kPush, 1, 2), "applied 1");
  // Nobody could be heard while the primary was not at work.
  now += 50'000'000'000;
  pass(6'000'000'000);
  EXPECT_EQ(node(kB).replica.open_count(), 2U);
  EXPECT_EQ(say(3, RecordKind::kPush, 1, 3), "applied 1");
  pass(5'000'000'000);
  EXPECT_EQ(node(kA).replica.open_count(), 1U);
  EXPECT_EQ(node(kB).replica.open_count(), 1U);
  EXPECT_EQ(say(1, RecordKind::kPush, 1, 2), "no session 0");
  EXPECT_EQ(say(1, RecordKind::kPush, 2, 2), "no session 0");
  EXPECT_EQ(say(3, RecordKind::kPush, 2, 3), "applied 2");
  pass(15'000'000'000);
  EXPECT_EQ(node(kB).replica.open_count(), 0U);
  EXPECT_EQ(node(kB).replica.session_count(), 1U);  // A task may be done again.
  // With nobody there no time passes.
  const uint64_t last = node(kA).replica.last_lsn();
  pass(50'000'000'000);
  EXPECT_EQ(node(kA).replica.last_lsn(), last);
}

TEST_F(Replication, ManyProducersThatCloseLeaveNothing) {
  Start({1, kA, {kB}, {}});
  for (uint64_t low = 1; low <= 10'000; ++low) {
    const auto say = [&](RecordKind kind, uint64_t seq, uint64_t session) {
      const PushRequest request{kShard, {1, low}, 1, seq, kind, SharedBytes::Of(""), session};
      node(kA).replica.OnPush(1, request, now);
      DeliverAll();
    };
    say(RecordKind::kOpen, 0, 0);
    const uint64_t session = node(kA).replica.last_lsn();
    say(RecordKind::kPush, 1, session);
    say(RecordKind::kClose, 2, session);
  }
  EXPECT_EQ(push_replies.size(), 30'000U);
  now += 200'000'000;
  node(kA).replica.OnTick(now);
  DeliverAll();
  for (const Member& member : {kA, kB}) {
    EXPECT_EQ(node(member).replica.session_count(), 0U);
    EXPECT_LT(node(member).replica.TakeSnapshot().bytes.bytes.size(), 20'000U);
    EXPECT_LT(node(member).replica.log_bytes(), 2'000U);
  }
}

TEST_F(Replication, AJoinerWithoutRoomSaysSoAndIsAskedAgainInALaterView) {
  Start({1, kA, {}, {}});
  Push(kA, 1, std::string(1000, 'x'));
  Start({2, kA, {}, kC});
  EXPECT_TRUE(node(kC).reported.declined);
  EXPECT_FALSE(node(kA).reported.synced);
  EXPECT_EQ(node(kC).text(), "");
  Push(kA, 2, "more");  // Nobody waits for it.
  EXPECT_EQ(push_replies.back(), "applied 2");
  Start({3, kA, {}, {}});
  EXPECT_FALSE(node(kC).reported.declined);
}

// R17.
TEST_F(Replication, APrimarySaysWhomItWaitsForInVain) {
  Start({1, kA, {kB, kC}, {}});
  bool is_cut = false;
  const auto tick = [&](int64_t nanos) {
    for (const int64_t until = now + nanos; now < until; now += 50'000'000) {
      node(kA).replica.OnLease(now + 1'000'000'000);
      node(kA).replica.OnTick(now);
      if (is_cut) std::erase_if(messages, [](const auto& message) { return message.first == kC; });
      DeliverAll();
    }
  };
  tick(1'000'000'000);
  is_cut = true;
  tick(10'000'000'000);
  EXPECT_THAT(node(kA).reported.silent, IsEmpty());  // It waits for nobody.
  Push(kA, 1, "one");
  tick(3'000'000'000);
  // It was paused; and the master was not heard.
  now += 20'000'000'000;
  node(kA).replica.OnTick(now);
  for (int i = 0; i < 100; ++i) node(kA).replica.OnTick(now += 50'000'000);
  messages.clear();
  EXPECT_THAT(node(kA).reported.silent, IsEmpty());
  tick(1'100'000'000);
  ASSERT_EQ(node(kA).reported.silent.size(), 1u);
  EXPECT_EQ(node(kA).reported.silent[0].member, kC);
  EXPECT_GE(node(kA).reported.silent[0].nanos, 4'000'000'000);
  is_cut = false;
  tick(200'000'000);
  EXPECT_THAT(push_replies, ElementsAre("applied 1"));
  EXPECT_THAT(node(kA).reported.silent, IsEmpty());
}

// -----------------------------------------------------------------------------------------------------------------
// on disk

class ReplicationOnDisk : public Replication {
 protected:
  ReplicationOnDisk() { on_disk = true; }
  void SyncAll() {
    for (const auto& [member, node] : nodes) node->Sync(now);
    DeliverAll();
  }
  // Its process starts again, and finds what `count` writes left on its disk.
  Node& Restart(const Member& member, const Member& as, size_t count) {
    const KeptShard kept = node(member).Kept(count);
    nodes.erase(member);
    nodes[as] = std::make_unique<Node>(*this, as, ReplicaOptions{});
    const Status status = node(as).replica.Keep(kept, {member.incarnation});
    EXPECT_TRUE(status.ok()) << status.message();
    return node(as);
  }
};

TEST_F(ReplicationOnDisk, AViewIsReportedWhenTheDiskKnowsOfTheShard) {
  Start({1, kA, {kB}, {}});
  EXPECT_EQ(node(kA).replica.report().view, 0U);
  SyncAll();
  EXPECT_EQ(node(kA).reported.view, 1U);
  EXPECT_TRUE(node(kA).reported.active);
}

TEST_F(ReplicationOnDisk, APushIsAcknowledgedWhenItIsOnAllDisks) {
  Start({1, kA, {kB}, {}});
  SyncAll();
  Push(kA, 1, "one");
  DeliverAll();
  EXPECT_THAT(push_replies, IsEmpty());
  node(kB).Sync(now);
  DeliverAll();
  EXPECT_THAT(push_replies, IsEmpty());
  node(kA).Sync(now);
  DeliverAll();
  EXPECT_THAT(push_replies, ElementsAre("applied 1"));
}

TEST_F(ReplicationOnDisk, AfterACrashOfAllWhatWasAcknowledgedIsThereOnce) {
  Start({1, kA, {kB}, {}});
  SyncAll();
  Push(kA, 1, "one");
  DeliverAll();
  SyncAll();
  EXPECT_THAT(push_replies, ElementsAre("applied 1"));
  push_replies.clear();
  const Member a{1, 11}, b{2, 21};
  Restart(kA, a, node(kA).writes.size());
  Restart(kB, b, node(kB).writes.size());
  // The old view, which names what they were, takes nothing from them.
  Tell({1, kA, {kB}, {}}, true);
  EXPECT_TRUE(node(b).reported.kept);
  Start({2, b, {a}, {}});
  SyncAll();
  Push(b, 1, "one");
  Push(b, 2, "two");
  DeliverAll();
  SyncAll();
  EXPECT_EQ(push_replies.back(), "applied 2");
  EXPECT_EQ(node(b).text(), "one two ");
  now += 200'000'000;
  node(b).replica.OnTick(now);
  DeliverAll();
  EXPECT_EQ(node(a).text(), "one two ");
}

TEST_F(ReplicationOnDisk, WhatWasKeptGoesWhenAViewWithoutItIsActive) {
  Start({1, kA, {kB}, {}});
  SyncAll();
  const Member b{2, 21};
  Restart(kB, b, node(kB).writes.size());
  Tell({2, kA, {}, {}}, false);
  EXPECT_EQ(node(b).erased, 0);
  Tell({2, kA, {}, {}}, true);
  EXPECT_EQ(node(b).erased, 1);
  EXPECT_FALSE(node(b).reported.kept);
}

TEST_F(ReplicationOnDisk, AJoinerHasItsSnapshotWhenItIsOnTheDisk) {
  Start({1, kA, {}, {}});
  SyncAll();
  Push(kA, 1, "one");
  SyncAll();
  Start({2, kA, {}, kC});
  EXPECT_FALSE(node(kA).reported.synced);
  SyncAll();
  EXPECT_EQ(node(kA).reported.synced, kC);
  EXPECT_EQ(node(kC).text(), "one ");
}

// It applies what the primary committed without it, before its own disk has that.
TEST_F(ReplicationOnDisk, AJoinerIsCompleteWhenItsDiskHasWhatItApplied) {
  Start({1, kA, {}, {}});
  SyncAll();
  Start({2, kA, {}, kC});
  Push(kA, 1, "one");
  node(kA).Sync(now);
  DeliverAll();
  node(kC).replica.OnWritten(1, now);  // The snapshot.
  DeliverAll();
  const auto tick = [&] {
    now += 200'000'000;
    node(kA).replica.OnTick(now);
    DeliverAll();
  };
  tick();
  EXPECT_EQ(node(kC).text(), "one ");
  node(kC).replica.OnDiskFull(true);  // Then it answers at once.
  tick();
  tick();
  EXPECT_FALSE(node(kA).reported.synced);
  node(kC).replica.OnDiskFull(false);
  tick();
  node(kC).Sync(now);
  messages.clear();  // What it says then is lost.
  EXPECT_FALSE(node(kA).reported.synced);
  tick();
  EXPECT_EQ(node(kA).reported.synced, kC);
}

TEST_F(ReplicationOnDisk, ARecordThatTookThePlaceOfOthersDoesSoWhenTheyAreReadBack) {
  const auto record = [](uint64_t lsn, uint64_t view, const std::string& text) {
    return Record{lsn, view, RecordKind::kPush, kProducer, 0, lsn, SharedBytes::Of(text)};
  };
  Node one(*this, kA, {});
  KeptShard kept{kShard, {}, ShardSnapshot{0, 0, one.replica.TakeSnapshot().bytes}, {}};
  kept.records = {record(1, 1, "a"), record(2, 1, "b"), record(3, 1, "c"), record(2, 2, "B")};
  ASSERT_TRUE(one.replica.Keep(kept, {7}).ok());
  EXPECT_EQ(one.replica.last_lsn(), 2U);
  // One that the snapshot has ends what was written before it, too.
  Node other(*this, kA, {});
  kept.snapshot->lsn = 2;
  ASSERT_TRUE(other.replica.Keep(kept, {7}).ok());
  EXPECT_EQ(other.replica.last_lsn(), 2U);
  Node third(*this, kA, {});
  kept.records = {record(4, 2, "d")};
  EXPECT_THAT(third.replica.Keep(kept, {7}).message(), HasSubstr("record 3 is missing"));
  EXPECT_FALSE(third.replica.report().kept);
}

TEST_F(ReplicationOnDisk, AFullDiskOfAnyMemberRefusesPushesAndServesPulls) {
  Start({1, kA, {kB}, {}});
  SyncAll();
  Push(kA, 1, "one");
  DeliverAll();
  SyncAll();
  node(kB).replica.OnDiskFull(true);
  Push(kA, 2, "two");  // It was not known yet.
  DeliverAll();
  push_replies.clear();
  Push(kA, 3, "three");
  EXPECT_THAT(push_replies, ElementsAre("busy 2"));
  Pull(kA);
  EXPECT_THAT(pull_replies, ElementsAre("one "));
  node(kB).replica.OnDiskFull(false);
  SyncAll();
  EXPECT_EQ(push_replies.back(), "applied 2");
  Push(kA, 3, "three");
  DeliverAll();
  SyncAll();
  EXPECT_EQ(push_replies.back(), "applied 3");
}

// -----------------------------------------------------------------------------------------------------------------
// client

struct SessionLog final : PushSessionOutput {
  void Send(const Member& primary, PushRequest request) override {
    sent.push_back(request.seq);
    last = request;
  }
  void WantRoute(const ShardId& shard) override { ++routes_wanted; }
  void Done(uint64_t push, PushResult result, const std::string& error) override {
    static constexpr const char* kNames[] = {"applied", "refused", "unknown"};
    done.push_back(std::to_string(push) + " " + kNames[static_cast<int>(result)]);
    last_error = error;
  }
  PushReply Reply(PushOutcome outcome, uint64_t seq, uint64_t view = 1) const {
    return {kShard, kProducer, 0, outcome, seq, view, "because"};
  }

  std::vector<uint64_t> sent;
  PushRequest last;
  std::string last_error;
  std::vector<std::string> done;
  int routes_wanted = 0;
};

TEST(PushSession, SendsAgainUnderTheSameNumberUntilItIsAcknowledged) {
  SessionLog log;
  PushSession session(kShard, kProducer, 0, {.in_flight_max = 2, .queued_max = 3, .resend_nanos = 100}, log);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(session.Push(SharedBytes::Of("x"), 1000, 0).ok());
  EXPECT_EQ(session.Push(SharedBytes::Of("x"), 1000, 0).status().code(), Code::kExhausted);
  EXPECT_THAT(log.sent, IsEmpty());
  EXPECT_EQ(log.routes_wanted, 3);
  session.OnRoute(kA, 0);
  EXPECT_THAT(log.sent, ElementsAre(1, 2));
  session.OnTick(150);
  EXPECT_THAT(log.sent, ElementsAre(1, 2, 1, 2));
  session.OnReply(log.Reply(PushOutcome::kApplied, 1), 160);
  EXPECT_THAT(log.sent, ElementsAre(1, 2, 1, 2, 3));
  EXPECT_THAT(log.done, ElementsAre("1 applied"));
  // At its deadline a push is unknown, and goes on being sent.
  session.OnTick(2000);
  EXPECT_THAT(log.done, ElementsAre("1 applied", "2 unknown", "3 unknown"));
  EXPECT_EQ(session.queued(), 2U);
  session.OnReply(log.Reply(PushOutcome::kApplied, 3), 2010);
  EXPECT_EQ(session.queued(), 0U);
  EXPECT_EQ(log.done.size(), 3U);
}

TEST(PushSession, OpensWithItsFirstPushAndIsClosedWhenAllIsAcknowledged) {
  SessionLog log;
  PushSession session(kShard, kProducer, 0, {.resend_nanos = 100, .opens = true, .idle_nanos = 1000}, log);
  session.OnRoute(kA, 0);
  EXPECT_THAT(log.sent, IsEmpty());
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(session.Push(SharedBytes::Of("x"), 1000, 0).ok());
  EXPECT_THAT(log.sent, ElementsAre(0));
  session.OnTick(150);
  EXPECT_THAT(log.sent, ElementsAre(0, 0));
  session.OnReply(log.Reply(PushOutcome::kOpened, 77), 160);
  EXPECT_THAT(log.sent, ElementsAre(0, 0, 1, 2));
  EXPECT_EQ(log.last.session, 77U);
  session.OnReply(log.Reply(PushOutcome::kOpened, 78), 161);  // Of the copy.
  EXPECT_FALSE(session.Close());
  session.OnReply(log.Reply(PushOutcome::kApplied, 2), 200);
  EXPECT_FALSE(session.IsIdle(1100));
  EXPECT_TRUE(session.IsIdle(1200));
  EXPECT_TRUE(session.Close());
  EXPECT_EQ(log.last.kind, RecordKind::kClose);
  EXPECT_EQ(log.last.session, 77U);
  EXPECT_EQ(log.sent.back(), 3U);
  EXPECT_FALSE(session.Close());
}

// Its pushes may have been applied before it was forgotten.
TEST(PushSession, OneThatWasForgottenEndsWithWhatIsUnknown) {
  SessionLog log;
  PushSession session(kShard, kProducer, 0, {.opens = true}, log);
  session.OnRoute(kA, 0);
  ASSERT_TRUE(session.Push(SharedBytes::Of("x"), 1000, 0).ok());
  session.OnReply(log.Reply(PushOutcome::kOpened, 77, 2), 10);
  session.OnReply(log.Reply(PushOutcome::kNoSession, 0, 1), 20);  // It is not the primary any more.
  EXPECT_TRUE(session.status().ok());
  session.OnReply(log.Reply(PushOutcome::kNoSession, 0, 2), 30);
  EXPECT_EQ(session.status().code(), Code::kUnavailable);
  EXPECT_THAT(log.done, ElementsAre("1 unknown"));
}

// Unknown all the same: a copy that is late may find room.
TEST(PushSession, WhatFindsNoRoomSaysSoAtItsDeadline) {
  SessionLog log;
  PushSession session(kShard, kProducer, 0, {}, log);
  session.OnRoute(kA, 0);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(session.Push(SharedBytes::Of("x"), 1000, 0).ok());
  session.OnReply(log.Reply(PushOutcome::kBusy, 0), 10);
  session.OnReply(log.Reply(PushOutcome::kApplied, 1), 20);
  PushReply busy = log.Reply(PushOutcome::kBusy, 1);
  busy.error = "the disk is full";
  session.OnReply(busy, 30);
  session.OnTick(1000);
  EXPECT_THAT(log.done, ElementsAre("1 applied", "2 unknown"));
  EXPECT_EQ(log.last_error, "the disk is full");
}

TEST(PushSession, ARefusedPushEndsItAndWhatIsBehind) {
  SessionLog log;
  PushSession session(kShard, kProducer, 0, {}, log);
  session.OnRoute(kA, 0);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(session.Push(SharedBytes::Of("x"), 1000, 0).ok());
  session.OnReply(log.Reply(PushOutcome::kRefused, 3), 10);
  EXPECT_THAT(log.done, ElementsAre("4 refused", "3 refused"));
  EXPECT_EQ(session.Push(SharedBytes::Of("x"), 1000, 0).status().message(), "because");
  session.OnReply(log.Reply(PushOutcome::kApplied, 2), 20);
  EXPECT_THAT(log.done, ElementsAre("4 refused", "3 refused", "1 applied", "2 applied"));
}

TEST(PushSession, OnlyAPrimaryOfALaterViewCanHaveLostSomething) {
  SessionLog log;
  PushSession session(kShard, kProducer, 0, {}, log);
  session.OnRoute(kA, 0);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(session.Push(SharedBytes::Of("x"), 1000, 0).ok());
  session.OnReply(log.Reply(PushOutcome::kApplied, 2, 5), 10);
  session.OnReply(log.Reply(PushOutcome::kGap, 0, 5), 20);
  session.OnReply(log.Reply(PushOutcome::kNoSession, 0, 4), 20);
  EXPECT_TRUE(session.status().ok());
  session.OnReply(log.Reply(PushOutcome::kGap, 0, 6), 30);
  EXPECT_EQ(session.status().code(), Code::kUnavailable);
  EXPECT_THAT(log.done, ElementsAre("1 applied", "2 applied", "3 unknown"));
}

}  // namespace
}  // namespace glim::param
