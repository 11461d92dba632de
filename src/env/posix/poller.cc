// SPDX-License-Identifier: Apache-2.0
#include "env/poller.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "env/posix/descriptor.h"

namespace glim::env {
namespace {

constexpr size_t kEventsMax = 64;
constexpr int64_t kNanosPerSecond = 1'000'000'000;
// No descriptor is called so.
constexpr uint64_t kAlarmName = ~uint64_t{0}, kWakeName = ~uint64_t{1};

}  // namespace

struct Poller::Impl {
  Descriptor epoll{::epoll_create1(EPOLL_CLOEXEC)};
  Descriptor wake{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  Descriptor alarm{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
};

Poller::Poller() : impl_(std::make_unique<Impl>()) {
  CHECK(impl_->epoll.valid() && impl_->wake.valid() && impl_->alarm.valid());
  // Neither is ever read: each write, and each time the alarm is set and rings, is an edge of its own.
  CHECK(Add(impl_->wake.get(), kWakeName, Interest::kReading));
  CHECK(Add(impl_->alarm.get(), kAlarmName, Interest::kReading));
}

Poller::~Poller() = default;

bool Poller::Add(int descriptor, uint64_t name, Interest interest) {
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
  if (interest == Interest::kReadingAndWriting) event.events |= EPOLLOUT;
  event.data.u64 = name;
  return ::epoll_ctl(impl_->epoll.get(), EPOLL_CTL_ADD, descriptor, &event) == 0;
}

void Poller::Remove(int descriptor) { ::epoll_ctl(impl_->epoll.get(), EPOLL_CTL_DEL, descriptor, nullptr); }

std::span<Poller::Event> Poller::Wait(std::span<Event> events, int64_t timeout_nanos) {
  constexpr int64_t kNanosPerMilli = 1'000'000;
  const int64_t millis = timeout_nanos < 0 ? -1 : (timeout_nanos + kNanosPerMilli - 1) / kNanosPerMilli;
  std::array<epoll_event, kEventsMax> ready;
  const int count =
      ::epoll_wait(impl_->epoll.get(), ready.data(), static_cast<int>(std::min(events.size(), ready.size())),
                   static_cast<int>(std::min<int64_t>(millis, 1'000'000'000)));
  for (int i = 0; i < count; ++i) {
    const uint32_t what = ready[i].events;
    const uint64_t name = ready[i].data.u64;
    events[i] = {.kind = name == kWakeName    ? Kind::kWake
                         : name == kAlarmName ? Kind::kAlarm
                                              : Kind::kDescriptor,
                 .name = name,
                 .writable = (what & (EPOLLOUT | EPOLLERR)) != 0,
                 .hung_up = (what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0};
  }
  return events.first(static_cast<size_t>(std::max(count, 0)));
}

void Poller::Wake() {
  const uint64_t one = 1;
  CHECK_EQ(::write(impl_->wake.get(), &one, sizeof one), ssize_t{sizeof one});
}

void Poller::SetAlarm(int64_t monotonic_nanos) {
  itimerspec when = {};
  // Zero would turn it off.
  const int64_t nanos = std::max<int64_t>(monotonic_nanos, 1);
  when.it_value = {.tv_sec = nanos / kNanosPerSecond, .tv_nsec = nanos % kNanosPerSecond};
  CHECK_EQ(::timerfd_settime(impl_->alarm.get(), TFD_TIMER_ABSTIME, &when, nullptr), 0);
}

int64_t Poller::MonotonicNanos() {
  timespec now = {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNanosPerSecond + now.tv_nsec;
}

}  // namespace glim::env
