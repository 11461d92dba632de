// SPDX-License-Identifier: Apache-2.0
#include "env/posix/spawn.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string_view>

#include "base/try.h"
#include "env/env.h"
#include "env/path.h"
#include "env/posix/system_error.h"

extern char** environ;

namespace glim::env {
namespace {

constexpr int kFirstOwnDescriptor = 3;

Result<Descriptor> AboveStandard(int number) {
  if (number >= kFirstOwnDescriptor) return Descriptor(number);
  const Descriptor low(number);
  const int moved = ::fcntl(number, F_DUPFD_CLOEXEC, kFirstOwnDescriptor);
  if (moved < 0) return SystemError(errno, "moving a descriptor");
  return Descriptor(moved);
}

// What the child needs, made before the fork.
struct ChildPlan {
  const char* const* argv;
  char* const* environment;
  int input;
  int output;
  int report;
  int error;
  bool new_session;
};

// Signals that we handle or ignore must not reach the command that way. Ignored ones other than those that we ignore
// (interrupts.h) were meant so by who started us.
void ResetSignals() {
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action = {};
    if (::sigaction(signal, nullptr, &action) != 0) continue;
    const bool by_us = signal == SIGPIPE || signal == SIGXFSZ;
    if (action.sa_handler == SIG_DFL || (action.sa_handler == SIG_IGN && !by_us)) continue;
    action = {};
    action.sa_handler = SIG_DFL;
    ::sigaction(signal, &action, nullptr);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// "+ 123\n" or "- 123\n" without anything that allocates.
void Report(int descriptor, char sign, pid_t pid) {
  char text[32];
  char* at = text + sizeof(text);
  *--at = '\n';
  for (auto rest = static_cast<unsigned>(pid); rest > 0; rest /= 10) *--at = static_cast<char>('0' + rest % 10);
  *--at = ' ';
  *--at = sign;
  [[maybe_unused]] const ssize_t written = ::write(descriptor, at, static_cast<size_t>(text + sizeof(text) - at));
}

// Runs in the child, in our memory. Only system calls.
[[noreturn]] void BecomeCommand(const ChildPlan& plan) {
  if (plan.new_session) {
    ::setsid();
  } else {
    ::setpgid(0, 0);
  }
  if (plan.report >= 0) Report(plan.report, '+', ::getpid());
  if (::dup2(plan.input, STDIN_FILENO) >= 0 && ::dup2(plan.output, STDOUT_FILENO) >= 0) {
    ResetSignals();
    ::execvpe(plan.argv[0], const_cast<char* const*>(plan.argv), plan.environment);
  }
  const int error = errno;
  [[maybe_unused]] const ssize_t written = ::write(plan.error, &error, sizeof(error));
  ::_exit(127);
}

// Apart, so that no variable of the caller is at risk when the child runs on the same stack.
[[gnu::noinline]] pid_t VforkAndExec(const ChildPlan& plan) {
  const pid_t pid = ::vfork();
  if (pid == 0) BecomeCommand(plan);
  return pid;
}

std::vector<std::string> MergedEnvironment(const std::vector<std::string>& added) {
  std::vector<std::string> all;
  std::map<std::string_view, size_t> places;
  const auto add = [&](std::string_view assignment) {
    const std::string_view name = assignment.substr(0, assignment.find('='));
    const auto [place, is_new] = places.try_emplace(name, all.size());
    if (is_new) {
      all.emplace_back(assignment);
    } else {
      all[place->second] = assignment;
    }
  };
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) add(*variable);
  for (const std::string& assignment : added) add(assignment);
  return all;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Result<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return SystemError(errno, "making a pipe");
  // Both are owned before either is moved: an error closes both.
  Descriptor first(ends[0]), second(ends[1]);
  Pipe pipe;
  ASSIGN_OR_RETURN(pipe.read, AboveStandard(first.Release()));
  ASSIGN_OR_RETURN(pipe.write, AboveStandard(second.Release()));
  return pipe;
}

Result<pid_t> Spawn(const SpawnOptions& options) {
  if (options.argv.empty()) return Status::Invalid("starting a command: it has no name");
  ASSIGN_OR_RETURN(Pipe error_pipe, MakePipe());
  Descriptor null_device;
  if (options.input < 0 || options.output < 0) {
    const int opened = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (opened < 0) return PathError(errno, "/dev/null");
    ASSIGN_OR_RETURN(null_device, AboveStandard(opened));
  }
  std::vector<std::string> arguments = options.argv;
  std::vector<std::string> environment;
  if (!options.environment.empty()) environment = MergedEnvironment(options.environment);
  const std::vector<char*> argv = Pointers(arguments), envp = Pointers(environment);
  ChildPlan plan;
  plan.argv = argv.data();
  plan.environment = options.environment.empty() ? environ : envp.data();
  plan.input = options.input >= 0 ? options.input : null_device.get();
  plan.output = options.output >= 0 ? options.output : null_device.get();
  plan.report = options.report;
  plan.error = error_pipe.write.get();
  plan.new_session = options.new_session;

  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  const pid_t pid = VforkAndExec(plan);
  const int fork_error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return SystemError(fork_error, "starting " + QuotePath(options.argv[0]));

  error_pipe.write.Reset();
  int error = 0;
  ssize_t count;
  do {
    count = ::read(error_pipe.read.get(), &error, sizeof(error));
  } while (count < 0 && errno == EINTR);
  if (count <= 0) return pid;
  // Before it is reaped: afterwards the number may belong to somebody else, whom nobody must kill in our name.
  if (options.report >= 0) Report(options.report, '-', pid);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (error == ENOENT) return Status::NotFound(QuotePath(options.argv[0]) + ": no such program");
  return PathError(error, options.argv[0]).With("starting");
}

}  // namespace glim::env
