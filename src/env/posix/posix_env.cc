// SPDX-License-Identifier: Apache-2.0
//
// The Env of the real machine: wires the parts of this folder together.
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "env/env.h"
#include "env/posix/file_system.h"
#include "env/posix/interrupts.h"
#include "env/posix/listener.h"
#include "env/posix/machine.h"
#include "env/posix/process.h"

namespace glim::env {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;

int64_t Now(clockid_t which) {
  timespec now = {};
  ::clock_gettime(which, &now);
  return now.tv_sec * kNanosPerSecond + now.tv_nsec;
}

class PosixClock : public Clock {
 public:
  int64_t MonotonicNanos() override { return Now(CLOCK_MONOTONIC); }
  int64_t WallNanos() override { return Now(CLOCK_REALTIME); }
  void SleepFor(int64_t nanos) override {
    if (nanos <= 0) return;
    timespec rest = {static_cast<time_t>(nanos / kNanosPerSecond), static_cast<long>(nanos % kNanosPerSecond)};
    while (::nanosleep(&rest, &rest) != 0 && errno == EINTR) {
    }
  }
};

// A closed standard descriptor would be the number of the next file that we open, and what is meant for the user would
// go into that file. Each gets /dev/null, open for the wrong direction: using it is the error that it should be.
void TakeStandardDescriptors() {
  for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(number, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number, and that is this one. Not close-on-exec: a command's would be closed again.
    [[maybe_unused]] const int opened = ::open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

// Reads what was returned first.
class StandardInput : public SequentialFile {
 public:
  Result<size_t> Read(std::span<char> out) override {
    std::string& first = returned();
    if (first.empty()) return file_->Read(out);
    const size_t size = std::min(first.size(), out.size());
    std::memcpy(out.data(), first.data(), size);
    first.erase(0, size);
    return size;
  }
  // The process has one standard input, however many Envs it has.
  static std::string& returned() {
    static auto* const bytes = new std::string;
    return *bytes;
  }

 private:
  const std::unique_ptr<SequentialFile> file_ = BorrowForReading(STDIN_FILENO, "standard input");
};

class PosixEnv : public Env {
 public:
  PosixEnv()
      : files_(MakePosixFileSystem()),
        processes_(MakePosixProcesses()),
        output_(BorrowForWriting(STDOUT_FILENO, "standard output")),
        error_(BorrowForWriting(STDERR_FILENO, "standard error")) {
    IgnoreWriteSignals();
  }

  Clock& clock() override { return clock_; }
  FileSystem& files() override { return *files_; }
  Processes& processes() override { return *processes_; }

  Result<std::unique_ptr<Listener>> Listen(const std::string& network, const std::string& address) override {
    return ListenOn(network, address);
  }

  uint64_t RandomSeed() override {
    uint64_t seed = 0;
    // Only a kernel without randomness yet, early at boot, or an ancient one fails; the clock is better than nothing.
    if (::getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) seed = static_cast<uint64_t>(Now(CLOCK_MONOTONIC));
    return seed;
  }

  Machine machine() override { return ReadMachine(); }

  std::optional<std::string> Variable(const std::string& name) override {
    const char* value = ::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  }

  int process_id() override { return ::getpid(); }
  SequentialFile& standard_input() override { return input_; }
  void ReturnToStandardInput(std::string_view bytes) override { StandardInput::returned().insert(0, bytes); }
  WritableFile& standard_output() override { return *output_; }
  WritableFile& standard_error() override { return *error_; }
  bool IsTerminal(int descriptor) override { return ::isatty(descriptor) == 1; }

  void WatchInterrupts() override { env::WatchInterrupts(); }
  void UnwatchInterrupts() override { env::UnwatchInterrupts(); }
  bool interrupted() const override { return env::Interrupted(); }
  void AwaitInterrupt() override { env::AwaitInterrupt(); }

 private:
  PosixClock clock_;
  std::unique_ptr<FileSystem> files_;
  std::unique_ptr<Processes> processes_;
  StandardInput input_;
  std::unique_ptr<WritableFile> output_;
  std::unique_ptr<WritableFile> error_;
};

}  // namespace

std::unique_ptr<Env> MakePosixEnv() {
  TakeStandardDescriptors();
  return std::make_unique<PosixEnv>();
}

}  // namespace glim::env
