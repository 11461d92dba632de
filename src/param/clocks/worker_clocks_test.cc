// SPDX-License-Identifier: Apache-2.0
#include "param/clocks/worker_clocks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace glim::param {
namespace {

using testing::HasSubstr;
using Taken = WorkerClocks::Taken;

std::string Text(const SharedBytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.bytes.data()), bytes.bytes.size()};
}

class Clocks : public testing::Test {
 protected:
  explicit Clocks(Consistency consistency = kBsp)
      : clocks_(consistency, [this](const WorkerClocks::Held& held) { combined_ += Text(held.op) + " "; }) {}

  void JoinAll(uint32_t workers) {
    for (uint32_t w = 0; w < workers; ++w) ASSERT_TRUE(clocks_.Join({w, w + 1}, workers).ok());
  }
  Taken Push(uint32_t worker, uint64_t clock, const std::string& text, uint64_t number = 0, uint64_t attempt = 0) {
    return clocks_.Push({worker, attempt == 0 ? worker + 1 : attempt}, number, {clock, {}, SharedBytes::Of(text)});
  }
  void Clock(uint32_t worker, uint64_t clock) { clocks_.Clock({worker, worker + 1}, clock); }

  std::string combined_;
  WorkerClocks clocks_;
};

class BspClocks : public Clocks {};
class StaleClocks : public Clocks {
 protected:
  StaleClocks() : Clocks(Staleness(1)) {}
};

TEST_F(BspClocks, PushesAreCombinedWorkerByWorkerWhenAllHaveEndedTheClock) {
  JoinAll(3);
  EXPECT_EQ(Push(2, 0, "c0"), Taken::kHeld);
  EXPECT_EQ(Push(1, 0, "b0"), Taken::kHeld);
  Clock(2, 0);
  Push(2, 1, "c1");
  Push(0, 0, "a0");
  Push(1, 0, "b0'", 1);
  Clock(0, 0);
  EXPECT_FALSE(clocks_.MayPull(1));
  EXPECT_TRUE(clocks_.MayPull(0));
  EXPECT_EQ(combined_, "");
  Clock(1, 0);
  EXPECT_EQ(combined_, "a0 b0 b0' c0 ");
  EXPECT_TRUE(clocks_.MayPull(1));
  EXPECT_GT(clocks_.held_bytes(), 0U);
  Clock(0, 1), Clock(1, 1), Clock(2, 1);
  EXPECT_EQ(combined_, "a0 b0 b0' c0 c1 ");
  EXPECT_EQ(clocks_.held_bytes(), 0U);
}

TEST_F(BspClocks, AClockIsEndedOnceAndByTheLatestAttemptOnly) {
  JoinAll(2);
  Clock(0, 0);
  Clock(0, 0);
  EXPECT_EQ(clocks_.workers()[0].clock, 1U);
  ASSERT_TRUE(clocks_.Join({1, 9}, 2).ok());
  EXPECT_EQ(clocks_.Join({1, 8}, 2).code(), Code::kStale);
  EXPECT_EQ(Push(1, 0, "old"), Taken::kPassedOver);
  Clock(1, 0);
  EXPECT_EQ(clocks_.min_clock(), 0U);
  EXPECT_THAT(clocks_.CheckIsCurrent({1, 2}).message(), HasSubstr("another process has become worker 1"));
  EXPECT_TRUE(clocks_.CheckIsCurrent({1, 9}).ok());
  Push(1, 0, "new", 0, 9);
  clocks_.Clock({1, 9}, 0);
  EXPECT_EQ(combined_, "new ");
}

TEST_F(BspClocks, AClockThatIsMadeAgainCountsOnce) {
  JoinAll(2);
  Push(0, 0, "a0");
  Clock(0, 0);
  Push(0, 1, "half");
  ASSERT_TRUE(clocks_.Join({0, 5}, 2).ok());
  clocks_.Redo({0, 5}, 1);
  Push(0, 1, "a1", 0, 5);
  clocks_.Clock({0, 5}, 1);
  Clock(1, 0), Clock(1, 1);
  EXPECT_EQ(combined_, "a0 a1 ");
}

TEST_F(BspClocks, WhoLeavesIsNotWaitedForAndItsUnfinishedClockIsDropped) {
  JoinAll(3);
  Push(0, 0, "a0"), Push(1, 0, "b0"), Push(2, 0, "c0");
  Clock(0, 0), Clock(2, 0);
  Push(2, 1, "c1");
  clocks_.Leave({2, 3});
  EXPECT_EQ(combined_, "");
  clocks_.Leave({1, 0});  // By somebody else.
  EXPECT_EQ(combined_, "a0 c0 ");
  EXPECT_THAT(clocks_.CheckIsCurrent({1, 2}).message(), HasSubstr("was taken out"));
  Clock(0, 1), Clock(0, 2);
  ASSERT_TRUE(clocks_.Join({1, 7}, 3).ok());
  EXPECT_EQ(clocks_.workers()[1].clock, 3U);
  clocks_.Leave({1, 7});
  clocks_.Leave({0, 1});
  EXPECT_TRUE(clocks_.workers().empty());
  EXPECT_EQ(clocks_.held_bytes(), 0U);
  EXPECT_EQ(clocks_.min_clock(), 0U);
  EXPECT_EQ(clocks_.attempt_max(), 7U);
}

TEST_F(BspClocks, AnotherNumberOfWorkersJoinsWhenAllOfTheFirstHaveLeft) {
  ASSERT_TRUE(clocks_.Join({0, 1}, 3).ok());
  EXPECT_THAT(clocks_.Join({0, 2}, 2).message(), HasSubstr("that of 3 workers, not of 2"));
  clocks_.Leave({0, 1});
  EXPECT_TRUE(clocks_.Join({0, 2}, 2).ok());
  EXPECT_EQ(clocks_.workers().size(), 2U);
}

TEST_F(BspClocks, ASnapshotHoldsClocksAndWhatIsHeld) {
  JoinAll(2);
  Push(0, 0, "a0"), Push(0, 0, "a0'", 1);
  Clock(0, 0);
  Push(0, 1, "a1");
  std::string bytes;
  clocks_.Save(&bytes);
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    WorkerClocks other(kBsp, nullptr);
    auto part = std::as_bytes(std::span(bytes)).first(cut);
    EXPECT_FALSE(other.Restore(&part).ok()) << cut;
  }
  clocks_.Clear();
  auto all = std::as_bytes(std::span(bytes));
  ASSERT_TRUE(clocks_.Restore(&all).ok());
  EXPECT_TRUE(all.empty());
  Clock(1, 0);
  EXPECT_EQ(combined_, "a0 a0' ");
  Clock(0, 1), Clock(1, 1);
  EXPECT_EQ(combined_, "a0 a0' a1 ");
  EXPECT_EQ(clocks_.held_bytes(), 0U);
}

TEST_F(StaleClocks, APullWaitsForThoseThatAreFartherBehindThanTheStaleness) {
  JoinAll(2);
  EXPECT_EQ(Push(0, 0, "a0"), Taken::kApply);
  Clock(0, 0);
  EXPECT_TRUE(clocks_.MayPull(1));
  Clock(0, 1);
  EXPECT_FALSE(clocks_.MayPull(2));
  EXPECT_FALSE(clocks_.AllReached(1));
  EXPECT_EQ(Straggler(clocks_, 30), "worker 1 of 2 has not ended clock 0 for 30 s");
  Clock(1, 0);
  EXPECT_TRUE(clocks_.MayPull(2));
  EXPECT_TRUE(clocks_.AllReached(1));
}

TEST_F(StaleClocks, AWorkerThatIsRunAgainRepeatsItself) {
  JoinAll(2);
  Push(0, 0, "a0"), Push(0, 0, "a0'", 1);
  ASSERT_TRUE(clocks_.Join({0, 5}, 2).ok());
  clocks_.Redo({0, 5}, 0);
  EXPECT_EQ(Push(0, 0, "a0", 0, 5), Taken::kPassedOver);
  EXPECT_EQ(Push(0, 0, "a0'", 1, 5), Taken::kPassedOver);
  EXPECT_EQ(Push(0, 0, "a0''", 2, 5), Taken::kApply);
  EXPECT_EQ(Push(0, 1, "too early", 0, 5), Taken::kPassedOver);
}

TEST_F(StaleClocks, OneThatHasNotJoinedIsWaitedForAndNamed) {
  ASSERT_TRUE(clocks_.Join({0, 1}, 2).ok());
  Clock(0, 0), Clock(0, 1);
  EXPECT_FALSE(clocks_.MayPull(2));
  EXPECT_EQ(Straggler(clocks_, -1), "worker 1 of 2 has not joined");
}

}  // namespace
}  // namespace glim::param
