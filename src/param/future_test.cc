// SPDX-License-Identifier: Apache-2.0
#include "glim/future.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace glim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Future, OneMadeReadyIsReady) {
  Future<int> value(3);
  EXPECT_TRUE(value.ready());
  EXPECT_TRUE(value.Wait().ok());
  EXPECT_EQ(*value.Get(), 3);
  EXPECT_EQ(*std::move(value).Get(), 3);
  Future<int> failed(Status::Invalid("no"));
  EXPECT_TRUE(failed.ready());
  EXPECT_EQ(failed.Wait().message(), "no");
  EXPECT_EQ(failed.Get().status().code(), Code::kInvalid);
  EXPECT_TRUE(Future<void>().Wait().ok());
  EXPECT_EQ(Future<void>(Status::NotFound("x")).Wait().code(), Code::kNotFound);
}

TEST(Future, ValueComesFromAnotherThread) {
  Promise<std::string> promise;
  Future<std::string> future = promise.GetFuture();
  EXPECT_FALSE(future.ready());
  std::thread other([&] {
    std::this_thread::sleep_for(milliseconds(5));
    EXPECT_TRUE(promise.Set(std::string("hello")));
  });
  EXPECT_EQ(*future.Get(), "hello");
  EXPECT_TRUE(future.ready());
  EXPECT_EQ(*std::move(future).Get(), "hello");
  other.join();
}

TEST(Future, ManyMayWaitAtOnce) {
  Promise<void> promise;
  Future<void> future = promise.GetFuture();
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back([&] { done += future.Wait().code() == Code::kUnavailable; });
  promise.Set(Status::Unavailable("later"));
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(done, 8);
}

TEST(Future, WaitGivesUpWithoutEndingTheRequest) {
  Promise<int> promise;
  Future<int> future = promise.GetFuture();
  EXPECT_EQ(future.Wait(milliseconds(5)).code(), Code::kTimeout);
  EXPECT_EQ(future.Wait(milliseconds(-5)).code(), Code::kTimeout);
  EXPECT_FALSE(promise.Abandoned());
  promise.Set(7);
  EXPECT_EQ(*future.Get(), 7);
}

TEST(Future, RequestsOwnDeadlineEndsItForAll) {
  Promise<int> promise(std::chrono::steady_clock::now() + milliseconds(10));
  Future<int> future = promise.GetFuture();
  EXPECT_EQ(future.Wait(seconds(100)).code(), Code::kTimeout);
  EXPECT_TRUE(future.ready());
  EXPECT_TRUE(promise.Abandoned());
  EXPECT_FALSE(promise.Set(7));
  EXPECT_EQ(future.Get().status().code(), Code::kTimeout);
}

// Does the work that is left to do; or leaves it to others.
class WorkingHelper final : public internal::Helper {
 public:
  void HelpUntil(const std::function<bool()>& done, Deadline until) override {
    ++asked;
    while (work && !done()) std::exchange(work, nullptr)();
  }
  std::function<void()> work;
  int asked = 0;
};

TEST(Future, WhoWaitsDoesTheWorkThatBringsTheAnswer) {
  const auto helper = std::make_shared<WorkingHelper>();
  Promise<int> promise(kNoDeadline, helper);
  helper->work = [&] { promise.Set(7); };
  EXPECT_EQ(*promise.GetFuture().Get(), 7);

  Promise<void> filled(kNoDeadline, helper);
  helper->work = [&] { filled.Set(Status::Ok()); };
  Future<int> mapped =
      filled.GetFuture().With(std::string("abc")).Map([](const std::string& s) { return int(s.size()); });
  EXPECT_EQ(*mapped.Get(), 3);
  EXPECT_EQ(helper->asked, 2);
}

TEST(Future, WaitGoesOnWhenTheHelperDoesNot) {
  const auto helper = std::make_shared<WorkingHelper>();
  Promise<int> promise(std::chrono::steady_clock::now() + milliseconds(10), helper);
  Future<int> future = promise.GetFuture();
  EXPECT_EQ(future.Wait(milliseconds(1)).code(), Code::kTimeout);
  EXPECT_FALSE(future.ready());
  EXPECT_EQ(future.Wait().code(), Code::kTimeout);
  EXPECT_TRUE(future.ready());
  EXPECT_EQ(helper->asked, 2);
}

TEST(Future, DeadlineHasNoPowerOverAnAnswerThatIsBeingWritten) {
  Promise<void> promise(std::chrono::steady_clock::now() + milliseconds(5));
  Future<void> future = promise.GetFuture();
  std::atomic<bool> filling{false};
  std::thread other([&] {
    promise.Fill([&] {
      filling = true;
      std::this_thread::sleep_for(milliseconds(30));
      filling = false;
      return Status::Ok();
    });
  });
  while (!filling) std::this_thread::yield();
  EXPECT_TRUE(future.Wait().ok());
  EXPECT_FALSE(filling);
  other.join();
}

TEST(Future, FirstAnswerCounts) {
  Promise<int> promise;
  Future<int> future = promise.GetFuture();
  EXPECT_TRUE(promise.Set(1));
  EXPECT_FALSE(promise.Set(2));
  EXPECT_EQ(*future.Get(), 1);
}

TEST(Future, DroppedPromiseAnswersCancelled) {
  Future<int> future = Promise<int>().GetFuture();
  EXPECT_EQ(future.Wait().code(), Code::kCancelled);
  Promise<int> first;
  Future<int> lost = first.GetFuture();
  first = Promise<int>();
  EXPECT_EQ(lost.Wait().code(), Code::kCancelled);
}

TEST(Future, CallbacksRunInOrderAndBeforeWaitReturns) {
  Promise<int> promise;
  Future<int> future = promise.GetFuture();
  std::string order;
  future.Then([&](const Status& status, const int* value) {
    std::this_thread::sleep_for(milliseconds(5));
    order += "a" + std::to_string(*value);
    EXPECT_TRUE(future.Wait().ok());  // Its own future is as good as ready.
    future.Then([&](const Status&, const int*) { order += "c"; });
  });
  future.Then([&](const Status&, const int*) { order += "b"; });
  std::thread other([&] { promise.Set(5); });
  EXPECT_TRUE(future.Wait().ok());
  EXPECT_EQ(order, "a5bc");
  future.Then([&](const Status&, const int* value) { order += *value == 5 ? "d" : "?"; });
  EXPECT_EQ(order, "a5bcd");
  other.join();
}

TEST(Future, CallbackOfAFailureGetsNoValue) {
  Promise<int> promise;
  bool called = false;
  promise.GetFuture().Then(
      [&](const Status& status, const int* value) { called = status.code() == Code::kCorrupt && value == nullptr; });
  promise.Set(Status::Corrupt("x"));
  EXPECT_TRUE(called);
}

TEST(Future, MapAndWithPassValuesAndFailuresOn) {
  EXPECT_EQ(*Future<int>(3).Map([](int x) { return x + 0.5; }).Get(), 3.5);
  EXPECT_EQ(Future<int>(Status::Invalid("no")).Map([](int x) { return x + 0.5; }).Wait().message(), "no");
  EXPECT_EQ(*Future<void>().With(std::string("kept")).Get(), "kept");
  EXPECT_EQ(Future<void>(Status::Invalid("no")).With(1).Wait().message(), "no");

  for (bool good : {true, false}) {
    Promise<void> promise;
    Future<std::string> future =
        promise.GetFuture().With(std::string("kept")).Map([](std::string s) { return s + "!"; });
    EXPECT_FALSE(future.ready());
    promise.Set(good ? Status::Ok() : Status::Unavailable("gone"));
    ASSERT_TRUE(future.ready());
    if (good) {
      EXPECT_EQ(*future.Get(), "kept!");
    } else {
      EXPECT_EQ(future.Wait().message(), "gone");
    }
  }
}

TEST(Future, MappedOneKeepsTheDeadline) {
  Promise<void> promise(std::chrono::steady_clock::now() + milliseconds(10));
  Future<int> future = promise.GetFuture().With(3);
  EXPECT_EQ(future.Wait().code(), Code::kTimeout);
  EXPECT_TRUE(promise.Set(Status::Ok()));  // The buffer is still there for the one who fills it.
  EXPECT_EQ(future.Wait().code(), Code::kTimeout);
}

TEST(Future, DependencyOfAnyFutureSaysWhenItIsDone) {
  Dependency ready = Future<int>(3);
  EXPECT_TRUE(ready.ready());
  EXPECT_TRUE(ready.status().ok());
  Promise<int> promise;
  Future<int> future = promise.GetFuture();
  Dependency pending = future;
  EXPECT_FALSE(pending.ready());
  bool called = false;
  pending.Then([&] { called = true; });
  promise.Set(Status::Invalid("no"));
  EXPECT_TRUE(called && pending.ready());
  EXPECT_EQ(pending.status().message(), "no");
}

TEST(Future, CompletionRacesWithWaitThenAndDeadline) {
  for (int round = 0; round < 300; ++round) {
    Promise<int> promise(std::chrono::steady_clock::now() + std::chrono::microseconds(round % 60));
    Future<int> future = promise.GetFuture();
    std::atomic<int> callbacks{0};
    std::thread setter([&] { promise.Set(round); });
    std::thread watcher([&] {
      for (int i = 0; i < 10; ++i) future.Then([&](const Status&, const int*) { ++callbacks; });
    });
    Status first = future.Wait();
    Status second = future.Wait();
    EXPECT_EQ(first.code(), second.code());
    setter.join();
    watcher.join();
    EXPECT_EQ(callbacks, 10);
  }
}

}  // namespace
}  // namespace glim
