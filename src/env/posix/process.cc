// SPDX-License-Identifier: Apache-2.0
#include "env/posix/process.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <ctime>
#include <mutex>
#include <utility>

#include "base/try.h"
#include "env/path.h"
#include "env/posix/interrupts.h"
#include "env/posix/spawn.h"
#include "env/posix/system_error.h"

namespace glim::env {
namespace {

constexpr int kPipeBytes = 256 << 10;  // 64 KiB, the default, costs a switch between the processes per 64 KiB.

int64_t NowNanos() {
  timespec now = {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

timespec ToTimespec(int64_t nanos) {
  return {static_cast<time_t>(nanos / 1'000'000'000), static_cast<long>(nanos % 1'000'000'000)};
}

// Our end of a child's pipe.
void Prepare(const Descriptor& descriptor) {
  ::fcntl(descriptor.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(descriptor.get(), F_SETPIPE_SZ, kPipeBytes);  // A user's pipes may be bounded; then it stays small.
}

int ReapNow(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// See process.h. Started with the first child; a keeper that cannot be started is done without.
class Keeper {
 public:
  ~Keeper() {
    if (pid_ <= 0) return;
    // By signal, not by the end of its pipe: a fork of this program may hold the pipe open.
    ::kill(pid_, SIGKILL);
    ReapNow(pid_);
  }

  // Where children report themselves; -1 without keeper.
  int ReportDescriptor() {
    const std::lock_guard lock(mutex_);
    if (!tried_) Start();
    return pipe_.write.get();
  }

  // Before `group` is reaped: afterwards its number may belong to somebody else.
  void Forget(pid_t group) { Tell(fmt::format("- {}\n", group)); }

  void RemoveAtEnd(const std::string& folder) {
    // One that starts at the root, on one line that goes into the pipe as a whole.
    if (!folder.starts_with('/') || folder.size() >= PIPE_BUF || folder.find('\n') != std::string::npos) return;
    (void)ReportDescriptor();
    Tell(folder + "\n");
  }

 private:
  void Tell(const std::string& line) {
    if (!pipe_.write.valid()) return;
    [[maybe_unused]] const ssize_t written = ::write(pipe_.write.get(), line.data(), line.size());
  }

  // Its arguments are the folders.
  static constexpr const char* kScript =
      "g=' '\n"
      "while IFS= read -r line; do\n"
      "  p=${line#??}\n"
      "  case $line in\n"
      "    +*) g=\"$g$p \" ;;\n"
      "    -*) case $g in *\" $p \"*) g=\"${g%% $p *} ${g#* $p }\" ;; esac ;;\n"
      "    /*) set -- \"$@\" \"$line\" ;;\n"
      "  esac\n"
      "done\n"
      "exec 2>/dev/null\n"
      "for p in $g; do kill -9 -$p; done\n"
      // Who was killed may write for a moment yet.
      "rm -rf -- \"$@\" || { sleep 1; rm -rf -- \"$@\"; }\n";

  void Start() {
    tried_ = true;
    Result<Pipe> pipe = MakePipe();
    if (!pipe.ok()) return;
    SpawnOptions options;
    options.argv = {"/bin/sh", "-c", kScript, "glim-keeper"};
    options.input = pipe->read.get();
    options.new_session = true;
    const Result<pid_t> pid = Spawn(options);
    if (!pid.ok()) return;
    pid_ = *pid;
    pipe_.write = std::move(pipe->write);
  }

  std::mutex mutex_;
  bool tried_ = false;
  pid_t pid_ = -1;
  Pipe pipe_;
};

class PosixChild : public ChildProcess {
 public:
  PosixChild(Keeper* keeper, pid_t pid, std::string name, Descriptor input, Descriptor output)
      : keeper_(keeper), pid_(pid), name_(std::move(name)), input_(std::move(input)), output_(std::move(output)) {}

  ~PosixChild() override {
    if (exit_code_ >= 0) return;
    Kill();
    Reap();
  }

  Result<Transfer> Exchange(std::string_view input, std::span<char> output, int64_t timeout_nanos) override {
    // Asked first: a child that always has something to say would never let us wait.
    if (Interrupted()) return Cancelled();
    const bool input_was_closed = !input_.valid();
    const int64_t deadline = timeout_nanos < 0 ? -1 : NowNanos() + timeout_nanos;
    while (true) {
      Transfer moved;
      RETURN_IF_ERROR(TryWrite(input, &moved));
      RETURN_IF_ERROR(TryRead(output, &moved));
      moved.input_closed = !input_.valid();
      moved.output_ended = !output_.valid();
      const bool news = moved.written > 0 || moved.read > 0 || moved.output_ended ||
                        (!input.empty() && moved.input_closed && !input_was_closed);
      if (news || (input.empty() && output.empty())) return moved;
      ASSIGN_OR_RETURN(const bool ready, Await(!input.empty(), !output.empty(), deadline));
      if (!ready) return moved;
    }
  }

  void CloseInput() override { input_.Reset(); }

  Result<int> Wait() override {
    if (exit_code_ >= 0) return exit_code_;
    // With its pipes closed the child can neither wait for more input nor for somebody who reads its output.
    input_.Reset();
    output_.Reset();
    if (!killed_) RETURN_IF_ERROR(AwaitEnd());
    Reap();
    return exit_code_;
  }

  std::optional<int> ExitCode() override {
    if (exit_code_ >= 0) return exit_code_;
    siginfo_t info = {};
    const int asked = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
    if (asked != 0 || info.si_pid == 0) return std::nullopt;
    return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  }

  void Kill() override {
    if (exit_code_ >= 0) return;
    killed_ = true;
    ::kill(-pid_, SIGKILL);
  }

 private:
  Status Cancelled() const { return Status::Cancelled("waiting for " + name_ + ": interrupted"); }

  Status TryWrite(std::string_view input, Transfer* moved) {
    while (!input.empty() && input_.valid()) {
      const ssize_t count = ::write(input_.get(), input.data(), input.size());
      if (count >= 0) {
        moved->written = static_cast<size_t>(count);
        return Status::Ok();
      }
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return Status::Ok();
      if (errno != EPIPE) return SystemError(errno, "writing to " + name_);
      input_.Reset();
    }
    return Status::Ok();
  }

  Status TryRead(std::span<char> output, Transfer* moved) {
    while (!output.empty() && output_.valid()) {
      const ssize_t count = ::read(output_.get(), output.data(), output.size());
      if (count > 0) {
        moved->read = static_cast<size_t>(count);
        return Status::Ok();
      }
      if (count == 0) {
        output_.Reset();
      } else if (errno == EAGAIN) {
        return Status::Ok();
      } else if (errno != EINTR) {
        return SystemError(errno, "reading from " + name_);
      }
    }
    return Status::Ok();
  }

  // False when the deadline passed (-1: none); kCancelled when we were interrupted first.
  Result<bool> Await(bool want_write, bool want_read, int64_t deadline) {
    pollfd waits[3] = {{want_write ? input_.get() : -1, POLLOUT, 0},
                       {want_read ? output_.get() : -1, POLLIN, 0},
                       {InterruptDescriptor(), POLLIN, 0}};
    while (true) {
      timespec rest = {};
      if (deadline >= 0) rest = ToTimespec(std::max<int64_t>(0, deadline - NowNanos()));
      const int ready = ::ppoll(waits, 3, deadline < 0 ? nullptr : &rest, nullptr);
      if (Interrupted()) return Cancelled();
      if (ready > 0) return true;
      if (ready == 0) return false;
      if (errno != EINTR) return SystemError(errno, "waiting for " + name_);
    }
  }

  // Until the child has ended (it is not reaped); kCancelled when we were interrupted first.
  Status AwaitEnd() {
    const Descriptor ended(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    while (true) {
      siginfo_t info = {};
      if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
        if (errno == EINTR) continue;
        return SystemError(errno, "waiting for " + name_);
      }
      if (info.si_pid != 0) return Status::Ok();
      if (Interrupted()) return Cancelled();
      // Kernels before 5.3 have no descriptor for a process: look every few milliseconds.
      constexpr int kLookMillis = 3;
      pollfd waits[2] = {{ended.get(), POLLIN, 0}, {InterruptDescriptor(), POLLIN, 0}};
      ::poll(waits, 2, ended.valid() ? -1 : kLookMillis);
    }
  }

  // Expects: the child has ended or was killed. What it left in its group ends too; the group's number is ours until
  // the child is reaped.
  void Reap() {
    siginfo_t info = {};
    while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
    }
    ::kill(-pid_, SIGKILL);
    keeper_->Forget(pid_);
    const int code = ReapNow(pid_);
    exit_code_ = code >= 0 ? code : 128 + SIGKILL;  // Somebody else reaped it: the program ignores SIGCHLD, say.
  }

  Keeper* const keeper_;
  const pid_t pid_;
  const std::string name_;
  Descriptor input_;
  Descriptor output_;
  bool killed_ = false;
  int exit_code_ = -1;
};

class PosixProcesses : public Processes {
 public:
  Result<std::unique_ptr<ChildProcess>> Start(const CommandOptions& options) override {
    Pipe input;
    SpawnOptions spawn;
    spawn.argv = options.argv;
    spawn.environment = options.environment;
    if (!options.discard_input) {
      ASSIGN_OR_RETURN(input, MakePipe());
      spawn.input = input.read.get();
      Prepare(input.write);
    }
    ASSIGN_OR_RETURN(Pipe output, MakePipe());
    spawn.output = output.write.get();
    Prepare(output.read);
    spawn.report = keeper_.ReportDescriptor();
    Result<pid_t> pid = Spawn(spawn);
    if (!pid.ok()) return std::move(pid).status();
    return std::unique_ptr<ChildProcess>(std::make_unique<PosixChild>(&keeper_, *pid, QuotePath(options.argv[0]),
                                                                      std::move(input.write), std::move(output.read)));
  }

  void RemoveAtEnd(const std::string& folder) override { keeper_.RemoveAtEnd(folder); }

 private:
  Keeper keeper_;
};

}  // namespace

std::unique_ptr<Processes> MakePosixProcesses() { return std::make_unique<PosixProcesses>(); }

}  // namespace glim::env
