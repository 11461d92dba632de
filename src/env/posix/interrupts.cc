// SPDX-License-Identifier: Apache-2.0
#include "env/posix/interrupts.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>

namespace glim::env {
namespace {

constexpr int kInterruptedExitCode = 130;

std::atomic<int> signal_count{0};
std::atomic<int> interrupt_descriptor{-1};
static_assert(std::atomic<int>::is_always_lock_free, "the handler may only touch lock-free atomics");

void OnSignal(int) {
  if (signal_count.fetch_add(1) > 0) ::_exit(kInterruptedExitCode);
  const int saved_errno = errno;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(interrupt_descriptor.load(), &one, sizeof(one));
  errno = saved_errno;
}

}  // namespace

void WatchInterrupts() {
  int none = -1;
  if (interrupt_descriptor.load() < 0) {
    const int made = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!interrupt_descriptor.compare_exchange_strong(none, made)) ::close(made);
  }
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action = {};
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = OnSignal;
    sigemptyset(&action.sa_mask);
    action.sa_flags =
        SA_RESTART;  // Waiting is done in poll(), which never restarts; other code need not know of EINTR.
    ::sigaction(signal, &action, nullptr);
  }
}

bool Interrupted() { return signal_count.load(std::memory_order_relaxed) > 0; }

int InterruptDescriptor() { return interrupt_descriptor.load(std::memory_order_relaxed); }

void IgnoreBrokenPipes() {
  struct sigaction action = {};
  if (::sigaction(SIGPIPE, nullptr, &action) != 0 || action.sa_handler != SIG_DFL) return;
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
}

}  // namespace glim::env
