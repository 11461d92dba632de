// SPDX-License-Identifier: Apache-2.0
#include "net/event_loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace glim::net {
namespace {

constexpr int64_t kMilli = 1'000'000;
constexpr int64_t kLongNanos = 60'000 * kMilli;

// Two ends; the loop watches `near`.
struct Pair {
  Pair() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    near = ends[0];
    far = ends[1];
  }
  ~Pair() {
    ::close(near);
    ::close(far);
  }
  void Send() const { EXPECT_EQ(::send(far, "x", 1, 0), 1); }
  // What is there to be read.
  static int Drain(int socket) {
    char bytes[100];
    int all = 0;
    for (ssize_t count = 0; (count = ::recv(socket, bytes, sizeof bytes, 0)) > 0;) all += static_cast<int>(count);
    return all;
  }
  int near = -1, far = -1;
};

TEST(EventLoop, RunsWhatIsPostedInItsOrderAndNeverWithinPost) {
  EventLoop loop;
  std::vector<int> ran;
  std::promise<void> done;
  loop.Post([&] {
    EXPECT_TRUE(loop.InLoop());
    loop.Post([&] {
      ran.push_back(3);
      done.set_value();
    });
    loop.Run([&] { ran.push_back(4); });
    ran.push_back(1);
  });
  loop.Call([&] { ran.push_back(2); });
  done.get_future().wait();
  loop.Call([&] { ran.push_back(5); });
  EXPECT_EQ(ran.size(), 5u);
  EXPECT_EQ(ran.front(), 1);
  EXPECT_EQ(ran.back(), 5);
  EXPECT_FALSE(loop.InLoop());
}

TEST(EventLoop, RunWorksInTheCallersThreadWhenNobodyIsInTheLoop) {
  EventLoop loop;
  std::thread::id ran_by;
  // Its thread may be at its first look for work.
  for (int i = 0; i < 1000 && ran_by != std::this_thread::get_id(); ++i) {
    loop.Run([&] { ran_by = std::this_thread::get_id(); });
    loop.Call([] {});
  }
  EXPECT_EQ(ran_by, std::this_thread::get_id());
}

TEST(EventLoop, RunDoesNotDoWhatOthersPosted) {
  EventLoop loop;
  std::vector<int> ran;
  for (int i = 0; i < 1000; ++i) {
    std::thread::id ran_by;
    loop.Post([&] {
      ran_by = std::this_thread::get_id();
      ran.push_back(2 * i);
    });
    loop.Run([&] { ran.push_back(2 * i + 1); });
    loop.Call([] {});
    EXPECT_NE(ran_by, std::this_thread::get_id());
  }
  EXPECT_EQ(ran.size(), 2000u);
  EXPECT_TRUE(std::is_sorted(ran.begin(), ran.end()));
}

TEST(EventLoop, RunGivesItsWorkAwayWhenTheLoopIsBusy) {
  EventLoop loop;
  std::promise<void> begun, go_on, ran;
  loop.Post([&] {
    begun.set_value();
    go_on.get_future().wait();
  });
  begun.get_future().wait();
  loop.Run([&] { ran.set_value(); });
  go_on.set_value();
  ran.get_future().wait();
}

TEST(EventLoop, AHelperDoesItsWorkAndStopsWhenItHasItsAnswer) {
  EventLoop loop;
  Pair pair;
  int heard = 0;
  std::thread::id heard_by;
  std::optional<Watch> watch;
  loop.Call([&] {
    watch.emplace(loop, pair.near, env::Poller::Interest::kReading, [&](const env::Poller::Event&) {
      heard += Pair::Drain(pair.near);
      heard_by = std::this_thread::get_id();
    });
  });
  for (int i = 1; i <= 100; ++i) {
    std::thread sender([&] { pair.Send(); });
    EXPECT_TRUE(loop.HelpUntil([&] { return heard >= i; }, kLongNanos));
    EXPECT_EQ(heard, i);
    sender.join();
  }
  loop.Call([&] { watch.reset(); });
}

TEST(EventLoop, AHelperGoesWhenItsTimeIsUp) {
  EventLoop loop;
  EXPECT_TRUE(loop.HelpUntil([] { return false; }, 2 * kMilli));
  EXPECT_TRUE(loop.HelpUntil([] { return false; }, 0));
}

TEST(EventLoop, OneHelpsAtATimeAndNobodyWithinTheLoop) {
  EventLoop loop;
  bool done = false;
  std::promise<void> helps;
  std::thread helper([&] {
    loop.Run([&] { helps.set_value(); });
    // The other thread may be at its short help below.
    while (!loop.HelpUntil([&] { return done; }, kLongNanos)) std::this_thread::yield();
  });
  helps.get_future().wait();
  while (loop.HelpUntil([] { return true; }, 0)) std::this_thread::yield();
  EXPECT_FALSE(loop.HelpUntil([] { return true; }, kLongNanos));
  loop.Post([&] {
    EXPECT_FALSE(loop.HelpUntil([] { return true; }, kLongNanos));
    done = true;
  });
  helper.join();
}

TEST(EventLoop, AHelperIsToldWhatAnotherThreadHasDoneForIt) {
  EventLoop loop;
  for (int i = 0; i < 2000; ++i) {
    bool done = false;
    std::thread other([&] { loop.Run([&] { done = true; }); });
    while (!loop.HelpUntil([&] { return done; }, kLongNanos)) std::this_thread::yield();
    EXPECT_TRUE(done);
    other.join();
  }
}

TEST(EventLoop, TimersRingWhoeverIsInTheLoop) {
  EventLoop loop;
  int rung = 0;
  std::optional<Timer> first, second, never;
  loop.Call([&] {
    first.emplace(loop);
    second.emplace(loop);
    never.emplace(loop);
    never->Start(0, [] { ADD_FAILURE(); });
    never->Start(3'600'000 * kMilli, [] { ADD_FAILURE(); });
    // The later one first: the alarm has to move.
    second->Start(40 * kMilli, [&] {
      EXPECT_EQ(rung, 1);
      ++rung;
    });
    first->Start(1 * kMilli, [&] { ++rung; });
  });
  EXPECT_TRUE(loop.HelpUntil([&] { return rung == 2; }, kLongNanos));
  std::promise<void> again;
  loop.Call([&] {
    never->Cancel();
    first->Start(0, [&] {
      // A timer may start itself, and forget itself.
      second->Start(0, [&] {
        second.reset();
        again.set_value();
      });
    });
  });
  again.get_future().wait();
  loop.Call([&] {
    first.reset();
    never.reset();
  });
}

TEST(EventLoop, ATimerThatStartsItselfAnewLeavesRoomForOthers) {
  EventLoop loop;
  Timer timer(loop);
  std::atomic<bool> stop = false;
  std::function<void()> again = [&] {
    if (!stop) timer.Start(0, again);
  };
  loop.Call([&] { again(); });
  for (int i = 0; i < 100; ++i) loop.Call([] {});
  stop = true;
  loop.Call([&] { timer.Cancel(); });
}

TEST(EventLoop, AWatchMayEndItselfAndTheOthers) {
  EventLoop loop;
  Pair one, two;
  std::optional<Watch> first, second;
  int heard = 0;
  const auto end = [&](const env::Poller::Event&) {
    ++heard;
    first.reset();
    second.reset();
  };
  loop.Call([&] {
    first.emplace(loop, one.near, env::Poller::Interest::kReading, end);
    second.emplace(loop, two.near, env::Poller::Interest::kReading, end);
    one.Send();
    two.Send();
  });
  EXPECT_TRUE(loop.HelpUntil([&] { return heard > 0; }, kLongNanos));
  loop.Call([] {});
  EXPECT_EQ(heard, 1);
}

// What must never be lost is a wake-up: each of these threads sleeps until another one has done something.
TEST(EventLoop, ThreadsThatPostRunCallAndHelpAllComeToTheirEnd) {
  EventLoop loop;
  Pair pair;
  constexpr int kRounds = 2000;
  int posted = 0, run = 0, called = 0, heard = 0, rung = 0;  // The loop's.
  std::optional<Watch> watch;
  std::optional<Timer> timer;
  std::function<void()> ring = [&] {
    ++rung;
    timer->Start(100'000, ring);
  };
  loop.Call([&] {
    timer.emplace(loop);
    watch.emplace(loop, pair.near, env::Poller::Interest::kReading,
                  [&](const env::Poller::Event&) { heard += Pair::Drain(pair.near); });
    ring();
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) {
        const auto done = std::make_shared<std::promise<void>>();
        loop.Post([&, done] {
          ++posted;
          done->set_value();
        });
        done->get_future().wait();
      }
    });
    threads.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) {
        const auto done = std::make_shared<std::promise<void>>();
        loop.Run([&, done] {
          ++run;
          loop.Post([done] { done->set_value(); });
        });
        done->get_future().wait();
      }
    });
    threads.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) loop.Call([&] { ++called; });
    });
    threads.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) {
        int wanted = 0;
        loop.Call([&] { wanted = heard + 1; });
        pair.Send();
        while (!loop.HelpUntil([&] { return heard >= wanted; }, kLongNanos)) std::this_thread::yield();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(loop.HelpUntil([&] { return heard == 2 * kRounds && rung > 1; }, kLongNanos));
  loop.Call([&] {
    EXPECT_EQ(posted, 2 * kRounds);
    EXPECT_EQ(run, 2 * kRounds);
    EXPECT_EQ(called, 2 * kRounds);
    EXPECT_EQ(heard, 2 * kRounds);
    watch.reset();
    timer.reset();
  });
}

}  // namespace
}  // namespace glim::net
