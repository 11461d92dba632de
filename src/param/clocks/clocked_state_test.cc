// SPDX-License-Identifier: Apache-2.0
//
// A shard with clocks as its replica and its workers use it, without a replica: what is checked, who waits for whom,
// who is taken out; and what a worker's session makes of several shards.
#include "param/clocks/clocked_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>

#include "param/clocks/worker_session.h"

namespace glim::param {
namespace {

using testing::HasSubstr;

constexpr int64_t kSecond = 1'000'000'000;

std::string Text(const SharedBytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.bytes.data()), bytes.bytes.size()};
}

class ListState final : public ShardState {
 public:
  Status Check(const SharedBytes& op) const override {
    return Text(op) == "bad" ? Status::Invalid("no such key") : Status::Ok();
  }
  bool is_held() const override { return held; }
  bool Fits(const SharedBytes& op, uint64_t reserved_bytes) const override {
    return !held && op.bytes.size() + reserved_bytes < 1000;
  }
  SharedBytes Apply(const Record& record) override {
    all += Text(record.op) + " ";
    return {};
  }
  Result<SharedBytes> Read(const SharedBytes& request) const override { return SharedBytes::Of(all); }
  std::string Save() const override { return all; }
  Status Restore(std::span<const std::byte> bytes) override {
    all.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return Status::Ok();
  }
  void Clear() override { all.clear(); }

  std::string all;
  bool held = false;
};

void Apply(ClockedState* state, const SharedBytes& op) {
  ASSERT_TRUE(state->Check(op).ok());
  Record record;
  record.op = op;
  state->Apply(record);
}

std::unique_ptr<ClockedState> Make(Consistency consistency) {
  return std::make_unique<ClockedState>(consistency, std::make_unique<ListState>());
}
const std::string& Rows(const ClockedState& state) { return static_cast<const ListState&>(state.rows()).all; }

SharedBytes Of(ClockCall call, WorkerId id, uint64_t clock, uint64_t number = 0, std::string_view inner = "") {
  return EncodeClockRequest(call, id, clock, number, std::as_bytes(std::span(inner)));
}

TEST(ClockedState, OperationsWithoutAWorkerGoToTheRows) {
  const auto stale = Make(Staleness(2));
  Apply(stale.get(), SharedBytes::Of("x"));
  EXPECT_EQ(Rows(*stale), "x ");
  EXPECT_EQ(Text(*stale->Read(SharedBytes::Of("?"))), "x ");
  EXPECT_FALSE(stale->WaitsFor(SharedBytes::Of("?"), 0));
}

TEST(ClockedState, WhatMakesNoSenseIsRefused) {
  const auto state = Make(kBsp);
  EXPECT_FALSE(state->Check(Of(ClockCall::kJoin, {2, 1}, 0, 2)).ok());
  EXPECT_FALSE(state->Check(Of(ClockCall::kJoin, {0, 0}, 0, 2)).ok());
  EXPECT_FALSE(state->Check(Of(ClockCall::kJoin, {0, 1}, 0, uint64_t{1} << 40)).ok());
  EXPECT_FALSE(state->Check(Of(ClockCall::kPush, {0, 1}, 0, 0, "bad")).ok());
  EXPECT_FALSE(state->Check(Of(ClockCall::kPull, {0, 1}, 0)).ok());
  EXPECT_FALSE(state->Check(Of(ClockCall::kClock, {kWorkersMax, 1}, 0)).ok());
  EXPECT_FALSE(state->Read(Of(ClockCall::kPush, {0, 1}, 0)).ok());
  EXPECT_FALSE(state->Read(Of(ClockCall::kPull, {0, 1}, 0)).ok());  // It has not joined.
  EXPECT_FALSE(DecodeClockStatus(SharedBytes::Of("12345678")).ok());
}

TEST(ClockedState, WhatIsHeldCountsAsMemory) {
  const auto state = Make(kBsp);
  Apply(state.get(), Of(ClockCall::kJoin, {0, 1}, 0, 1));
  const SharedBytes push = Of(ClockCall::kPush, {0, 1}, 0, 0, std::string(600, 'x'));
  EXPECT_TRUE(state->Fits(push, 0));
  Apply(state.get(), push);
  EXPECT_FALSE(state->Fits(push, 0));
  EXPECT_TRUE(state->Fits(Of(ClockCall::kClock, {0, 1}, 0), 0));
  Apply(state.get(), Of(ClockCall::kClock, {0, 1}, 0));
  EXPECT_TRUE(state->Fits(push, 0));
}

TEST(ClockedState, WhatIsPlannedForAClockIsDoneWhenItBegins) {
  const auto state = Make(kBsp);
  Apply(state.get(), Of(ClockCall::kJoin, {0, 1}, 0, 2));
  Apply(state.get(), Of(ClockCall::kJoin, {1, 1}, 0, 2));
  // Worker 0 is ahead, so that the other one's end is that of two clocks at once.
  for (uint64_t clock = 0; clock < 2; ++clock) {
    Apply(state.get(), Of(ClockCall::kPush, {0, 1}, clock, 0, "a" + std::to_string(clock)));
    Apply(state.get(), Of(ClockCall::kClock, {0, 1}, clock));
  }
  Apply(state.get(), Of(ClockCall::kAt, {}, 0, 0, "now"));
  Apply(state.get(), Of(ClockCall::kAt, {}, 1, 0, "then"));
  EXPECT_EQ(Rows(*state), "now ");
  Apply(state.get(), Of(ClockCall::kPush, {1, 1}, 0, 0, "b0"));
  Apply(state.get(), Of(ClockCall::kLeave, {1, 1}, 0));
  EXPECT_EQ(Rows(*state), "now a0 then a1 ");
  Apply(state.get(), Of(ClockCall::kAt, {}, 1, 0, "late"));
  Apply(state.get(), Of(ClockCall::kAt, {}, 9, 0, "end"));
  EXPECT_EQ(Rows(*state), "now a0 then a1 ");
  Apply(state.get(), Of(ClockCall::kLeave, {0, 1}, 0));
  EXPECT_EQ(Rows(*state), "now a0 then a1 end ");
}

TEST(ClockedState, NoClockEndsAndNobodyIsTakenOutWhileTheRowsAreHeld) {
  auto rows = std::make_unique<ListState>();
  ListState& held = *rows;
  ClockedState state(kBsp, std::move(rows), kSecond);
  Apply(&state, Of(ClockCall::kJoin, {0, 1}, 0, 2));
  state.Watch(0);
  EXPECT_FALSE(state.Overdue(kSecond / 8));
  held.held = true;
  for (const ClockCall call : {ClockCall::kPush, ClockCall::kClock, ClockCall::kLeave}) {
    EXPECT_FALSE(state.Fits(Of(call, {0, 1}, 0), 0));
  }
  int64_t now = kSecond / 8;
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(state.Overdue(now += kSecond / 8));
  held.held = false;
  EXPECT_TRUE(state.Fits(Of(ClockCall::kClock, {0, 1}, 0), 0));
}

TEST(ClockedState, AWaitingPullIsToldForWhomAndSinceWhen) {
  const auto state = Make(kBsp);
  Apply(state.get(), Of(ClockCall::kJoin, {0, 1}, 0, 2));
  Apply(state.get(), Of(ClockCall::kJoin, {1, 2}, 0, 2));
  state->Watch(5 * kSecond);
  EXPECT_FALSE(state->Overdue(5 * kSecond));
  Apply(state.get(), Of(ClockCall::kPush, {0, 1}, 0, 0, "a"));
  Apply(state.get(), Of(ClockCall::kClock, {0, 1}, 0));
  const SharedBytes pull = Of(ClockCall::kPull, {0, 1}, 1);
  EXPECT_EQ(state->WaitsFor(pull, 12 * kSecond), "worker 1 of 2 has not ended clock 0 for 7 s");
  EXPECT_EQ(state->WaitsFor(Of(ClockCall::kWait, {0, 1}, 1), 12 * kSecond),
            "worker 1 of 2 has not ended clock 0 for 7 s");
  Apply(state.get(), Of(ClockCall::kClock, {1, 2}, 0));
  EXPECT_FALSE(state->WaitsFor(pull, 12 * kSecond));
  EXPECT_EQ(Text(*state->Read(pull)), "a ");
}

TEST(ClockedState, ThePrimaryTakesOutAWorkerThatIsSilentByARecord) {
  const auto state = Make(kBsp);
  Apply(state.get(), Of(ClockCall::kJoin, {0, 1}, 0, 3));
  Apply(state.get(), Of(ClockCall::kJoin, {1, 2}, 0, 3));
  state->Watch(0);
  int64_t now = kSecond;
  std::optional<SharedBytes> overdue;
  for (; now < 60 * kSecond && !overdue; now += kSecond) {
    overdue = state->Overdue(now);
    state->Heard(Of(ClockCall::kBeat, {0, 1}, 0), now);
    state->Heard(Of(ClockCall::kBeat, {1, 1}, 0), now);  // Of an attempt that is no more.
  }
  // The third one has not joined: nobody knows whether it comes.
  ASSERT_TRUE(overdue);
  EXPECT_EQ(now, 13 * kSecond);
  EXPECT_EQ(DecodeClockRequest(*overdue)->id.worker, 1U);
  EXPECT_FALSE(state->Overdue(now));
  EXPECT_FALSE(state->clocks().workers()[1].left);
  Apply(state.get(), *overdue);
  EXPECT_TRUE(state->clocks().workers()[1].left);
}

TEST(ClockedState, APrimaryThatSleptDoesNotTakeOutThoseWhoseWordsItHasNotReadYet) {
  const auto state = Make(kBsp);
  Apply(state.get(), Of(ClockCall::kJoin, {0, 1}, 0, 1));
  state->Watch(0);
  EXPECT_FALSE(state->Overdue(kSecond));
  EXPECT_FALSE(state->Overdue(100 * kSecond));
  EXPECT_FALSE(state->Overdue(101 * kSecond));
}

TEST(ClockedState, ASnapshotIsClocksAndRows) {
  const auto state = Make(kBsp), other = Make(kBsp);
  Apply(state.get(), Of(ClockCall::kJoin, {0, 1}, 0, 1));
  Apply(state.get(), Of(ClockCall::kPush, {0, 1}, 0, 0, "a"));
  Apply(state.get(), Of(ClockCall::kClock, {0, 1}, 0));
  Apply(state.get(), Of(ClockCall::kPush, {0, 1}, 1, 0, "b"));
  const std::string bytes = state->Save();
  ASSERT_TRUE(other->Restore(std::as_bytes(std::span(bytes))).ok());
  EXPECT_EQ(other->Save(), bytes);
  EXPECT_EQ(Rows(*other), "a ");
  Apply(other.get(), Of(ClockCall::kClock, {0, 1}, 1));
  EXPECT_EQ(Rows(*other), "a b ");
  EXPECT_FALSE(other->Restore(std::as_bytes(std::span(bytes)).first(20)).ok());
}

// Shards and a worker's session before them; what the session asks for is answered when the test says so.
class Session : public testing::Test, public WorkerSessionOutput {
 protected:
  Session() {
    for (int s = 0; s < 2; ++s) shards_.push_back(Make(kBsp));
  }
  void Push(uint32_t shard, SharedBytes op) override {
    queue_.push_back([this, shard, op] {
      Apply(shards_[shard].get(), op);
      session_->OnPushed(shard, Status::Ok());
    });
  }
  void Read(uint32_t shard, SharedBytes request) override {
    queue_.push_back([this, shard, request] { session_->OnRead(shard, shards_[shard]->Read(request)); });
  }
  void Done(Status status) override { done_.push_back(std::move(status)); }
  void Answer(size_t count = 1000) {
    for (; count > 0 && !queue_.empty(); --count) {
      const auto work = std::move(queue_.front());
      queue_.pop_front();
      work();
    }
  }
  void Use(WorkerSession* session) { session_ = session; }

  std::vector<std::unique_ptr<ClockedState>> shards_;
  std::deque<std::function<void()>> queue_;
  std::vector<Status> done_;
  WorkerSession* session_ = nullptr;
};

TEST_F(Session, JoinsEndsClocksAndLeaves) {
  WorkerSession worker(0, 1, 2, 77, *this);
  Use(&worker);
  worker.Join();
  Answer();
  worker.Clock();
  Answer();
  EXPECT_EQ(worker.clock(), 1U);
  EXPECT_EQ(shards_[1]->clocks().min_clock(), 1U);
  worker.Wait();
  Answer();
  worker.Leave();
  Answer();
  ASSERT_EQ(done_.size(), 4U);
  for (const Status& status : done_) EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(shards_[0]->clocks().workers().empty());
}

TEST_F(Session, AWorkerThatIsRunAgainEndsTheClockWhereItsEndIsMissing) {
  WorkerSession first(0, 2, 2, 77, *this), second(0, 2, 2, 78, *this);
  Use(&first);
  first.Join();
  Answer();
  const std::string a = "a", b = "b";
  for (uint32_t s = 0; s < 2; ++s) Apply(shards_[s].get(), first.PushOp(s, std::as_bytes(std::span(a))));
  first.Clock();
  Answer(3);  // The end of the clock has come to the first shard only.
  EXPECT_EQ(shards_[0]->clocks().workers()[0].clock, 1U);
  EXPECT_EQ(shards_[1]->clocks().workers()[0].clock, 0U);
  queue_.clear();
  Use(&second);
  second.Join();
  Answer();
  EXPECT_EQ(second.clock(), 1U);
  EXPECT_EQ(shards_[1]->clocks().workers()[0].clock, 1U);
  // The first one still pushes, and does not know.
  Apply(shards_[1].get(), first.PushOp(1, std::as_bytes(std::span(b))));
  EXPECT_FALSE(shards_[0]->Read(first.PullOp({})).ok());
  Apply(shards_[0].get(), Of(ClockCall::kJoin, {1, 5}, 0, 2));
  Apply(shards_[1].get(), Of(ClockCall::kJoin, {1, 5}, 0, 2));
  for (const auto& shard : shards_) Apply(shard.get(), Of(ClockCall::kClock, {1, 5}, 0));
  EXPECT_EQ(Rows(*shards_[0]), "a ");
  EXPECT_EQ(Rows(*shards_[1]), "a ");
}

// Where it was not taken out, a part of the clock may be held.
TEST_F(Session, AClockThatOneShardHasMissedCountsNowhere) {
  WorkerSession first(0, 2, 2, 77, *this), second(0, 2, 2, 78, *this);
  Use(&first);
  first.Join();
  Answer();
  const std::string a = "a";
  for (const auto& shard : shards_) {
    Apply(shard.get(), Of(ClockCall::kJoin, {1, 5}, 0, 2));
    Apply(shard.get(), Of(ClockCall::kClock, {1, 5}, 0));
  }
  Apply(shards_[1].get(), first.PushOp(1, std::as_bytes(std::span(a))));
  Apply(shards_[0].get(), Of(ClockCall::kLeave, {0, 0}, 0));
  Use(&second);
  second.Join();
  Answer();
  EXPECT_EQ(second.clock(), 1U);
  EXPECT_EQ(shards_[1]->clocks().min_clock(), 1U);
  EXPECT_EQ(Rows(*shards_[1]), "");
}

TEST_F(Session, AnotherNumberOfWorkersIsRefusedAndNamed) {
  WorkerSession first(0, 2, 2, 77, *this), second(1, 3, 2, 78, *this);
  Use(&first);
  first.Join();
  Answer();
  Use(&second);
  second.Join();
  Answer();
  ASSERT_EQ(done_.size(), 2U);
  EXPECT_THAT(done_[1].message(), HasSubstr("worker 1 of 3 cannot join: 2 workers"));
}

}  // namespace
}  // namespace glim::param
