// SPDX-License-Identifier: Apache-2.0
#include "env/posix/interrupts.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <mutex>

#include "env/env.h"

namespace glim::env {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};

std::atomic<int> first_signal{0};
std::atomic<int> interrupt_descriptor{-1};
static_assert(std::atomic<int>::is_always_lock_free, "the handler may only touch lock-free atomics");

std::mutex watch_mutex;  // Guards what follows.
int watch_count = 0;
struct sigaction found_actions[std::size(kSignals)];

void OnSignal(int signal) {
  int none = 0;
  if (!first_signal.compare_exchange_strong(none, signal)) ::_exit(128 + signal);
  const int saved_errno = errno;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(interrupt_descriptor.load(), &one, sizeof(one));
  errno = saved_errno;
}

}  // namespace

void WatchInterrupts() {
  const std::lock_guard lock(watch_mutex);
  if (watch_count++ > 0) return;
  if (interrupt_descriptor.load() < 0) interrupt_descriptor.store(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  for (size_t i = 0; i < std::size(kSignals); ++i) {
    if (::sigaction(kSignals[i], nullptr, &found_actions[i]) == 0 && found_actions[i].sa_handler == SIG_IGN) continue;
    struct sigaction action = {};
    action.sa_handler = OnSignal;
    sigemptyset(&action.sa_mask);
    action.sa_flags =
        SA_RESTART;  // Waiting is done in poll(), which never restarts; other code need not know of EINTR.
    ::sigaction(kSignals[i], &action, nullptr);
  }
}

void UnwatchInterrupts() {
  const std::lock_guard lock(watch_mutex);
  if (--watch_count > 0) return;
  for (size_t i = 0; i < std::size(kSignals); ++i) ::sigaction(kSignals[i], &found_actions[i], nullptr);
}

int InterruptSignal() { return first_signal.load(std::memory_order_relaxed); }

void ExitNow(int code) { ::_exit(code); }

bool Interrupted() { return InterruptSignal() != 0; }

void AwaitInterrupt() {
  pollfd wait = {InterruptDescriptor(), POLLIN, 0};
  while (!Interrupted()) ::poll(&wait, 1, -1);
}

int InterruptDescriptor() { return interrupt_descriptor.load(std::memory_order_relaxed); }

void IgnoreWriteSignals() {
  for (const int signal : {SIGPIPE, SIGXFSZ}) {
    struct sigaction action = {};
    if (::sigaction(signal, nullptr, &action) != 0 || action.sa_handler != SIG_DFL) continue;
    action.sa_handler = SIG_IGN;
    ::sigaction(signal, &action, nullptr);
  }
}

}  // namespace glim::env
