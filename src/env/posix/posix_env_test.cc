// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "env/env.h"
#include "env/path.h"
#include "env/posix/file_system.h"
#include "env/posix/machine.h"
#include "env/socket.h"
#include "env/stream_socket.h"

namespace glim::env {
namespace {

using ::testing::HasSubstr;

class PosixEnvTest : public ::testing::Test {
 protected:
  void SetUp() override { folder_ = files().MakeTemporaryFolder("glim-env-test-").value(); }
  void TearDown() override { ASSERT_TRUE(files().RemoveAll(folder_).ok()); }
  FileSystem& files() { return env_->files(); }
  std::string Path(const std::string& name) { return JoinPath(folder_, name); }
  void Put(const std::string& name, std::string_view bytes) {
    auto file = files().Create(Path(name));
    ASSERT_TRUE(file.ok()) << file.status().message();
    ASSERT_TRUE((*file)->Append(bytes).ok());
    ASSERT_TRUE((*file)->Close().ok());
  }

  std::unique_ptr<Env> env_ = MakePosixEnv();
  std::string folder_;
};

TEST_F(PosixEnvTest, ATemporaryFileHasNoName) {
  auto file = files().CreateTemporary(folder_);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_TRUE(files().List(folder_)->empty());
  ASSERT_TRUE((*file)->WriteAt(5, "fghij").ok());
  ASSERT_TRUE((*file)->WriteAt(0, "abcde").ok());
  char bytes[20];
  EXPECT_EQ((*file)->ReadAt(2, bytes).value(), 8u);
  EXPECT_EQ(std::string_view(bytes, 8), "cdefghij");
  EXPECT_EQ(files().CreateTemporary(Path("nowhere")).status().code(), Code::kNotFound);
}

TEST_F(PosixEnvTest, ALockHasOneOwner) {
  auto first = files().Lock(Path("LOCK"));
  ASSERT_TRUE(first.ok()) << first.status().message();
  const Status second = files().Lock(Path("LOCK")).status();
  EXPECT_EQ(second.code(), Code::kUnavailable);
  EXPECT_THAT(second.message(), HasSubstr("somebody else has locked it"));
  first->reset();
  EXPECT_TRUE(files().Lock(Path("LOCK")).ok());
  EXPECT_EQ(files().Lock(Path("nowhere/LOCK")).status().code(), Code::kNotFound);
}

// Runs `body` in a process of its own and gives its exit code.
template <class Body>
int InOwnProcess(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

TEST_F(PosixEnvTest, FilesAreWrittenAndReadByPosition) {
  Put("a", "hello world");
  const auto file = files().OpenRandom(Path("a")).value();
  EXPECT_EQ(file->size(), 11u);
  char out[5];
  EXPECT_EQ(file->ReadAt(6, out).value(), 5u);
  EXPECT_EQ(std::string_view(out, 5), "world");
  EXPECT_EQ(file->ReadAt(8, out).value(), 3u);
  EXPECT_EQ(file->ReadAt(11, out).value(), 0u);
  EXPECT_EQ(file->ReadAt(100, out).value(), 0u);
  struct stat found = {};
  ASSERT_EQ(stat(Path("a").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0644u);
}

TEST_F(PosixEnvTest, ErrorsNameThePath) {
  const std::string missing = Path("missing"), quoted = QuotePath(missing);
  EXPECT_EQ(files().OpenRandom(missing).status().message(), quoted + ": no such file");
  EXPECT_EQ(files().OpenRandom(missing).status().code(), Code::kNotFound);
  EXPECT_EQ(files().OpenSequential(missing).status().message(), quoted + ": no such file");
  EXPECT_EQ(files().Stat(missing).status().message(), quoted + ": no such file");
  EXPECT_EQ(files().List(missing).status().message(), quoted + ": no such folder");
  EXPECT_EQ(files().RemoveFile(missing).message(), quoted + ": no such file");
  EXPECT_EQ(files().Rename(missing, Path("b")).message(),
            "renaming to " + QuotePath(Path("b")) + ": " + quoted + ": no such file");
  EXPECT_EQ(files().OpenRandom(folder_).status().message(), QuotePath(folder_) + ": is a folder");
  EXPECT_EQ(files().OpenSequential(folder_).status().code(), Code::kInvalid);
  Put("a", "");
  EXPECT_EQ(files().OpenRandom(Path("a/b")).status().code(), Code::kNotFound);
  EXPECT_EQ(files().List(Path("a")).status().message(), QuotePath(Path("a")) + ": not a folder");
  EXPECT_EQ(files().OpenRandom("/dev/null").status().message(), "\"/dev/null\": not a regular file");
  EXPECT_TRUE(files().RemoveAll(missing).ok());
}

TEST_F(PosixEnvTest, AFullDiskIsExhaustedAndNamed) {
  auto file = files().Create("/dev/full").value();
  const Status full = file->Append("x");
  EXPECT_EQ(full.code(), Code::kExhausted);
  EXPECT_EQ(full.message(), "\"/dev/full\": disk full");
}

TEST_F(PosixEnvTest, ABrokenPipeIsAnErrorNotTheEnd) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  const auto file = BorrowForWriting(ends[1], "standard output");
  const Status broken = file->Append("x");
  EXPECT_EQ(broken.code(), Code::kUnavailable);
  EXPECT_EQ(broken.message(), "standard output: broken pipe");
  close(ends[1]);
}

TEST_F(PosixEnvTest, ASocketIsWaitedForUntilItHasSomethingOrTakesSomething) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_FALSE(WaitForSocket(ends[0], false, 1));
  EXPECT_TRUE(WaitForSocket(ends[1], true, 1));
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  EXPECT_TRUE(WaitForSocket(ends[0], false, 1));
  close(ends[0]);
  close(ends[1]);
}

TEST_F(PosixEnvTest, ASocketTellsWhatThePeersSystemHasGot) {
  constexpr int64_t kLongNanos = 60'000'000'000;
  const auto listening = ListeningSocket::Open(*SocketAddress::OfNumber("127.0.0.1", 0));
  ASSERT_TRUE(listening.ok());
  StreamSocket client;
  (void)client.Connect(listening->address());
  ASSERT_TRUE(WaitForSocket(listening->descriptor(), false, kLongNanos));
  EXPECT_EQ(StreamSocket().delivered().bytes, 0U);
  ASSERT_TRUE(WaitForSocket(client.descriptor(), true, kLongNanos));
  const uint64_t before = client.delivered().bytes;
  const std::string_view text = "some words";
  ASSERT_EQ(client.Write({&text, 1}).bytes, text.size());
  // An acknowledgement may take its time.
  const int64_t until = env_->clock().MonotonicNanos() + kLongNanos;
  while (client.delivered().bytes < before + text.size() && env_->clock().MonotonicNanos() < until)
    env_->clock().SleepFor(1'000'000);
  EXPECT_EQ(client.delivered().bytes, before + text.size());
  EXPECT_GE(client.delivered().busy_nanos, 0);
}

TEST_F(PosixEnvTest, ListIsSortedAndFollowsLinks) {
  Put("b", "");
  Put("a", "");
  Put(".hidden", "");
  ASSERT_TRUE(files().MakeFolders(Path("sub/deep")).ok());
  ASSERT_EQ(symlink("sub", Path("link").c_str()), 0);
  ASSERT_EQ(symlink("nowhere", Path("dangling").c_str()), 0);
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  const auto entries = files().List(folder_).value();
  std::string shown;
  for (const DirectoryEntry& entry : entries) shown += entry.name + "fdo"[static_cast<int>(entry.kind)] + " ";
  EXPECT_EQ(shown, ".hiddenf af bf linkd pipeo subd ");
}

TEST_F(PosixEnvTest, RemoveAllDoesNotFollowLinks) {
  Put("kept", "x");
  ASSERT_TRUE(files().MakeFolders(Path("gone/deep")).ok());
  ASSERT_EQ(symlink(folder_.c_str(), Path("gone/deep/link").c_str()), 0);
  ASSERT_TRUE(files().RemoveAll(Path("gone")).ok());
  EXPECT_FALSE(files().Stat(Path("gone")).ok());
  EXPECT_TRUE(files().Stat(Path("kept")).ok());
}

TEST_F(PosixEnvTest, MakeFoldersMayBeRepeatedButNotOverAFile) {
  EXPECT_TRUE(files().MakeFolders(Path("x/y")).ok());
  EXPECT_TRUE(files().MakeFolders(Path("x/y")).ok());
  EXPECT_TRUE(files().MakeFolders(Path("x/y/")).ok());
  Put("f", "");
  EXPECT_FALSE(files().MakeFolders(Path("f")).ok());
  EXPECT_FALSE(files().MakeFolders(Path("f/g")).ok());
}

TEST_F(PosixEnvTest, SyncAndRenameKeepTheContent) {
  auto file = files().Create(Path("a.tmp")).value();
  ASSERT_TRUE(file->Append("done").ok());
  EXPECT_TRUE(file->Sync().ok());
  EXPECT_TRUE(file->Close().ok());
  EXPECT_TRUE(file->Close().ok());
  EXPECT_TRUE(files().Rename(Path("a.tmp"), Path("a")).ok());
  EXPECT_TRUE(files().SyncFolder(folder_).ok());
  EXPECT_EQ(files().Stat(Path("a"))->size_bytes, 4u);
  EXPECT_FALSE(files().SyncFolder(Path("missing")).ok());
}

TEST_F(PosixEnvTest, ANamedPipeIsReadToTheEndWhenItsWriterComesLate) {
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  auto reader = files().OpenSequential(Path("pipe")).value();
  std::thread writer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    const int descriptor = open(Path("pipe").c_str(), O_WRONLY);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(write(descriptor, "abc", 3), 3);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    close(descriptor);
  });
  std::string all;
  char buffer[100];
  while (true) {
    const size_t count = reader->Read(buffer).value();
    if (count == 0) break;
    all.append(buffer, count);
  }
  EXPECT_EQ(all, "abcabcabc");
  writer.join();
}

TEST_F(PosixEnvTest, AnInterruptEndsAWaitingReadInAnyThread) {
  const int code = InOwnProcess([&] {
    int ends[2];
    if (pipe(ends) != 0) return 1;
    env_->WatchInterrupts();
    const auto reader = BorrowForReading(ends[0], "standard input");
    Status status;
    std::thread waiting([&] {
      char buffer[10];
      status = reader->Read(buffer).status();
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (env_->interrupted()) return 2;
    kill(getpid(), SIGINT);
    waiting.join();
    if (!env_->interrupted()) return 3;
    return status.code() == Code::kCancelled && status.message() == "standard input: interrupted" ? 0 : 4;
  });
  EXPECT_EQ(code, 0);
}

TEST_F(PosixEnvTest, AnInterruptEndsAWriteToAFullPipeAndTheWaitForAChild) {
  const int code = InOwnProcess([&] {
    int ends[2];
    if (pipe(ends) != 0) return 1;
    env_->WatchInterrupts();
    const auto writer = BorrowForWriting(ends[1], "standard output");
    Status written, waited;
    std::thread writing([&] { written = writer->Append(std::string(1 << 20, 'x')); });
    std::thread waiting([&] {
      auto child = env_->processes().Start({.argv = {"sleep", "1000"}, .environment = {}});
      waited = (*child)->Wait().status();
      (*child)->Kill();
      if ((*child)->Wait().value_or(-1) != 137) waited = Status::Internal("not killed");
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    kill(getpid(), SIGTERM);
    writing.join();
    waiting.join();
    return written.code() == Code::kCancelled && waited.code() == Code::kCancelled ? 0 : 2;
  });
  EXPECT_EQ(code, 0);
}

TEST_F(PosixEnvTest, AnInterruptEndsAnExchangeThatWaitsForever) {
  const int code = InOwnProcess([&] {
    env_->WatchInterrupts();
    auto child = env_->processes().Start({.argv = {"sleep", "1000"}, .environment = {}});
    if (!child.ok()) return 1;
    Status waited, again;
    std::thread waiting([&] {
      char buffer[10];
      waited = (*child)->Exchange("", buffer, -1).status();
      again = (*child)->Exchange("x", buffer, -1).status();
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const int64_t before = env_->clock().MonotonicNanos();
    kill(getpid(), SIGINT);
    waiting.join();
    if (env_->clock().MonotonicNanos() - before > 5'000'000'000) return 2;
    // _exit runs no destructors.
    child->reset();
    return waited.code() == Code::kCancelled && again.code() == Code::kCancelled ? 0 : 3;
  });
  EXPECT_EQ(code, 0);
}

TEST_F(PosixEnvTest, AfterAnInterruptWhatNeedsNoWaitIsStillWritten) {
  const int code = InOwnProcess([&] {
    int ends[2];
    if (pipe(ends) != 0) return 1;
    env_->WatchInterrupts();
    kill(getpid(), SIGINT);
    if (!BorrowForWriting(ends[1], "standard error")->Append("glim: interrupted\n").ok()) return 2;
    char buffer[100];
    return read(ends[0], buffer, sizeof(buffer)) == 18 ? 0 : 3;
  });
  EXPECT_EQ(code, 0);
}

TEST_F(PosixEnvTest, AMinusSignIsStandardInput) {
  const int code = InOwnProcess([&] {
    int ends[2];
    if (pipe(ends) != 0 || dup2(ends[0], STDIN_FILENO) < 0) return 1;
    if (write(ends[1], "abc", 3) != 3) return 2;
    char buffer[10];
    return files().OpenSequential("-").value()->Read(buffer).value() == 3 ? 0 : 3;
  });
  EXPECT_EQ(code, 0);
}

TEST_F(PosixEnvTest, ASecondInterruptEndsTheProcess) {
  EXPECT_EQ(InOwnProcess([&] {
              env_->WatchInterrupts();
              kill(getpid(), SIGINT);
              if (InterruptSignal() != SIGINT) return 1;
              kill(getpid(), SIGTERM);
              return 0;
            }),
            128 + SIGTERM);
}

TEST_F(PosixEnvTest, AnInterruptThatNobodyWatchesDoesWhatItDidBefore) {
  static volatile sig_atomic_t own_handler = 0;
  EXPECT_EQ(InOwnProcess([&] {
              signal(SIGINT, [](int) { own_handler = 1; });
              env_->WatchInterrupts();
              env_->WatchInterrupts();
              env_->UnwatchInterrupts();
              kill(getpid(), SIGINT);
              if (!env_->interrupted() || own_handler != 0) return 1;
              env_->UnwatchInterrupts();
              kill(getpid(), SIGINT);
              if (own_handler != 1) return 2;
              kill(getpid(), SIGTERM);
              return 3;
            }),
            128 + SIGTERM);
}

TEST_F(PosixEnvTest, AClosedStandardDescriptorStaysAnErrorAndGoesToNoFile) {
  EXPECT_EQ(InOwnProcess([&] {
              for (const int number : {0, 1, 2}) close(number);
              const auto env = MakePosixEnv();
              env->WatchInterrupts();
              const auto file = env->files().Create(Path("a"));
              const Status written = env->standard_output().Append("to nobody");
              char buffer[10];
              const Status read = env->standard_input().Read(buffer).status();
              if (written.message() != "standard output: is closed") return 1;
              if (read.message() != "standard input: is closed") return 2;
              return env->files().Stat(Path("a"))->size_bytes == 0 ? 0 : 3;
            }),
            0);
}

TEST_F(PosixEnvTest, AFileThatMayNotGrowIsAnError) {
  EXPECT_EQ(InOwnProcess([&] {
              const rlimit limit = {10, 10};
              if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
              const auto file = env_->files().Create(Path("a"));
              return (*file)->Append("more than ten bytes").code() == Code::kExhausted ? 0 : 2;
            }),
            0);
}

TEST_F(PosixEnvTest, AnIgnoredInterruptStaysIgnored) {
  EXPECT_EQ(InOwnProcess([&] {
              signal(SIGINT, SIG_IGN);
              env_->WatchInterrupts();
              kill(getpid(), SIGINT);
              return env_->interrupted() ? 1 : 0;
            }),
            0);
}

TEST_F(PosixEnvTest, CgroupLimitsAreTheSmallestOnTheWayUp) {
  // Version 2, with a limit on the parent only.
  ASSERT_TRUE(files().MakeFolders(Path("v2/proc/self")).ok());
  ASSERT_TRUE(files().MakeFolders(Path("v2/sys/fs/cgroup/a/b")).ok());
  Put("v2/proc/self/cgroup", "0::/a/b\n");
  Put("v2/sys/fs/cgroup/a/memory.max", "1000000\n");
  Put("v2/sys/fs/cgroup/a/b/memory.max", "max\n");
  Put("v2/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n");
  const CgroupLimits v2 = ReadCgroupLimits(Path("v2"));
  EXPECT_EQ(v2.memory_bytes, 1000000);
  EXPECT_EQ(v2.cores, 1.5);
  // Version 1 in a container: the path of the host does not exist, the group is the root.
  ASSERT_TRUE(files().MakeFolders(Path("v1/proc/self")).ok());
  ASSERT_TRUE(files().MakeFolders(Path("v1/sys/fs/cgroup/memory")).ok());
  ASSERT_TRUE(files().MakeFolders(Path("v1/sys/fs/cgroup/cpu")).ok());
  Put("v1/proc/self/cgroup", "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n");
  Put("v1/sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n");
  Put("v1/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  Put("v1/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  const CgroupLimits v1 = ReadCgroupLimits(Path("v1"));
  EXPECT_EQ(v1.memory_bytes, 2000000);
  EXPECT_FALSE(v1.cores.has_value());
  EXPECT_FALSE(ReadCgroupLimits(Path("none")).memory_bytes.has_value());
}

TEST_F(PosixEnvTest, TheRestAnswers) {
  const Machine machine = env_->machine();
  EXPECT_GE(machine.cores, 1);
  EXPECT_GT(machine.memory_bytes, int64_t{64} << 20);
  EXPECT_NE(env_->RandomSeed(), env_->RandomSeed());
  EXPECT_EQ(env_->process_id(), getpid());
  EXPECT_FALSE(env_->Variable("GLIM_SURELY_NOT_SET").has_value());
  EXPECT_TRUE(env_->Variable("PATH").has_value());
  const int64_t before = env_->clock().MonotonicNanos();
  env_->clock().SleepFor(2'000'000);
  EXPECT_GE(env_->clock().MonotonicNanos() - before, 2'000'000);
  EXPECT_GT(env_->clock().WallNanos(), int64_t{1'700'000'000'000'000'000});
  EXPECT_FALSE(env_->IsTerminal(999));
}

}  // namespace
}  // namespace glim::env
