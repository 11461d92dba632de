// SPDX-License-Identifier: Apache-2.0
#include "base/memory_budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

namespace glim::base {
namespace {

constexpr int64_t kMiB = 1 << 20;

TEST(MemoryBudget, RefusesWhatDoesNotFitAndSaysWhoAsked) {
  MemoryBudget budget(4 * kMiB);
  Reservation sort(&budget, "Sort");
  ASSERT_TRUE(sort.Resize(3 * kMiB).ok());
  Reservation join(&budget, "Join");
  const Status refused = join.Grow(2 * kMiB);
  EXPECT_EQ(refused.code(), Code::kExhausted);
  EXPECT_EQ(refused.message(),
            "Join needs 2.0 MiB of memory, 3.0 MiB of the 4.0 MiB for rows are in use; raise them with --memory");
  EXPECT_EQ(join.bytes(), 0);
  EXPECT_EQ(budget.used_bytes(), 3 * kMiB);
  sort.Clear();
  EXPECT_TRUE(join.Grow(2 * kMiB).ok());
}

TEST(MemoryBudget, AllComesBack) {
  MemoryBudget budget(100 * kMiB);
  {
    Reservation first(&budget, "first");
    ASSERT_TRUE(first.Resize(10 * kMiB + 1).ok());
    EXPECT_GE(budget.used_bytes(), 10 * kMiB + 1);
    Reservation second = std::move(first);
    EXPECT_EQ(second.bytes(), 10 * kMiB + 1);
    EXPECT_EQ(first.bytes(), 0);
    ASSERT_TRUE(second.Resize(kMiB).ok());
    EXPECT_EQ(budget.used_bytes(), kMiB);
    second = Reservation(&budget, "third");
    EXPECT_EQ(budget.used_bytes(), 0);
    ASSERT_TRUE(second.Grow(5).ok());
  }
  EXPECT_EQ(budget.used_bytes(), 0);
  EXPECT_GE(budget.peak_bytes(), 10 * kMiB);
}

class Pile : public Evictor {
 public:
  Pile(MemoryBudget* budget, int64_t bytes) : budget_(budget), bytes_(bytes) {
    budget_->Force(bytes_);
    budget_->AddEvictor(this);
  }
  ~Pile() override {
    budget_->RemoveEvictor(this);
    budget_->Release(bytes_);
  }
  Result<int64_t> Evict(int64_t bytes) override {
    if (!failure_.ok()) return failure_;
    const int64_t released = std::min(bytes, bytes_);
    budget_->Release(released);
    bytes_ -= released;
    return released;
  }
  void Break(Status failure) { failure_ = std::move(failure); }
  int64_t bytes() const { return bytes_; }

 private:
  MemoryBudget* const budget_;
  int64_t bytes_;
  Status failure_;
};

TEST(MemoryBudget, EvictorsMakeRoomOneAfterTheOther) {
  MemoryBudget budget(16 * kMiB);
  Pile first(&budget, 6 * kMiB), second(&budget, 12 * kMiB);
  EXPECT_GT(budget.used_bytes(), budget.limit_bytes());
  Reservation sort(&budget, "Sort");
  EXPECT_TRUE(sort.Resize(4 * kMiB).ok());
  EXPECT_EQ(first.bytes(), 0);
  EXPECT_EQ(second.bytes(), 12 * kMiB);
  EXPECT_TRUE(sort.TryResize(9 * kMiB).value());
  EXPECT_EQ(second.bytes(), 7 * kMiB);
  second.Break(Status::Exhausted("disk full"));
  EXPECT_EQ(sort.TryResize(10 * kMiB).status().message(), "disk full");
  EXPECT_EQ(sort.bytes(), 9 * kMiB);
  second.Break(Status::Ok());
  EXPECT_FALSE(sort.TryResize(17 * kMiB).value());
  EXPECT_EQ(second.bytes(), 0);
  EXPECT_EQ(sort.bytes(), 9 * kMiB);
  sort.ForceResize(20 * kMiB);
  EXPECT_EQ(budget.used_bytes(), 20 * kMiB);
}

TEST(MemoryBudget, ThreadsTogetherStayBelowTheLimit) {
  MemoryBudget budget(10 * kMiB);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&budget] {
      for (int i = 0; i < 1000; ++i) {
        Reservation mine(&budget, "thread");
        if (!mine.Resize((i % 7) * kMiB).ok()) continue;
        EXPECT_LE(budget.used_bytes(), 10 * kMiB);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(budget.used_bytes(), 0);
  EXPECT_LE(budget.peak_bytes(), 10 * kMiB);
}

TEST(Bytes, AreReadAsPeopleWriteThem) {
  EXPECT_EQ(ParseBytes("4096").value(), 4096);
  EXPECT_EQ(ParseBytes("64k").value(), 65536);
  EXPECT_EQ(ParseBytes("512M").value(), 512 * kMiB);
  EXPECT_EQ(ParseBytes("1.5 GiB").value(), 1536 * kMiB);
  EXPECT_EQ(ParseBytes("2TB").value(), int64_t{2} << 40);
  EXPECT_EQ(ParseBytes("7b").value(), 7);
  for (const char* wrong : {"", "M", "-1", "1X", "1MM", "nan", "inf", "1e30", "5 5", "0x"}) {
    EXPECT_FALSE(ParseBytes(wrong).ok()) << wrong;
  }
}

TEST(Bytes, AreShownShort) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(int64_t{5} << 40), "5.0 TiB");
}

}  // namespace
}  // namespace glim::base
