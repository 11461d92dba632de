// SPDX-License-Identifier: Apache-2.0
#include "env/posix/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "env/path.h"

namespace glim::env {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kLong = 20'000'000'000;

struct Outcome {
  std::string output;
  int exit_code = -1;
};

// Feeds `input` to the child and reads all it has to say.
Outcome Talk(ChildProcess& child, std::string_view input) {
  Outcome outcome;
  char buffer[10000];
  bool ended = false;
  while (!ended) {
    Result<ChildProcess::Transfer> moved = child.Exchange(input, buffer, kLong);
    if (!moved.ok()) {
      ADD_FAILURE() << moved.status().message();
      return outcome;
    }
    input.remove_prefix(moved->written);
    if (moved->input_closed) input = {};
    if (input.empty()) child.CloseInput();
    outcome.output.append(buffer, moved->read);
    ended = moved->output_ended;
  }
  outcome.exit_code = child.Wait().value_or(-1);
  return outcome;
}

class ProcessTest : public ::testing::Test {
 protected:
  std::unique_ptr<ChildProcess> Start(std::vector<std::string> argv) {
    auto child = env_->processes().Start({.argv = std::move(argv), .environment = {}, .discard_input = false});
    EXPECT_TRUE(child.ok()) << child.status().message();
    return child.ok() ? *std::move(child) : nullptr;
  }
  std::unique_ptr<ChildProcess> Shell(const std::string& script) { return Start({"sh", "-c", script}); }

  std::unique_ptr<Env> env_ = MakePosixEnv();
};

bool Alive(pid_t pid) {
  // A zombie that nobody has reaped yet (its parent is init or a test harness) counts as dead.
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  const size_t name_end = text.rfind(')');
  return name_end != std::string::npos && text[name_end + 2] != 'Z';
}

bool DiesSoon(pid_t pid) {
  for (int i = 0; i < 1000; ++i) {
    if (!Alive(pid)) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

TEST_F(ProcessTest, ALargeInputGoesThroughCatUnchangedWithoutDeadlock) {
  std::string input;
  for (int i = 0; i < 500000; ++i) input += std::to_string(i) + "\n";
  const Outcome outcome = Talk(*Start({"cat"}), input);
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_TRUE(outcome.output == input);
}

TEST_F(ProcessTest, ExitCodesAreThoseOfTheShell) {
  EXPECT_EQ(Talk(*Shell("exit 3"), "").exit_code, 3);
  EXPECT_EQ(Talk(*Shell("kill -9 $$"), "").exit_code, 137);
  EXPECT_EQ(Talk(*Shell("kill -TERM $$"), "").exit_code, 143);
  EXPECT_EQ(Talk(*Shell("no-such-command-at-all 2>/dev/null"), "").exit_code, 127);
}

TEST_F(ProcessTest, AProgramThatDoesNotExistIsNotFoundAndNamed) {
  const auto child = env_->processes().Start({.argv = {"no-such-program-here"}, .environment = {}});
  EXPECT_EQ(child.status().code(), Code::kNotFound);
  EXPECT_EQ(child.status().message(), "\"no-such-program-here\": no such program");
  EXPECT_EQ(env_->processes().Start({.argv = {"/etc/passwd"}, .environment = {}}).status().code(), Code::kInvalid);
  EXPECT_EQ(env_->processes().Start({}).status().code(), Code::kInvalid);
}

TEST_F(ProcessTest, AChildThatClosesItsInputIsNoError) {
  const std::string input(1 << 22, 'x');
  const Outcome outcome = Talk(*Shell("head -c 3"), input);
  EXPECT_EQ(outcome.output, "xxx");
  EXPECT_EQ(outcome.exit_code, 0);
}

TEST_F(ProcessTest, SigpipeEndsTheChildAsUsual) {
  // A command that ignored SIGPIPE, as we do, would print "broken pipe" or run for ever.
  EXPECT_EQ(Talk(*Shell("yes 2>&1 | head -n 1"), "").output, "y\n");
  auto child = Shell("exec yes");
  char buffer[10];
  ASSERT_TRUE(child->Exchange("", buffer, kLong).ok());
  EXPECT_EQ(child->Wait().value_or(-1), 128 + SIGPIPE);
}

TEST_F(ProcessTest, ExchangeReturnsAfterItsTimeoutWithNothing) {
  auto child = Shell("sleep 100");
  char buffer[10];
  const auto moved = child->Exchange("", buffer, 10'000'000);
  ASSERT_TRUE(moved.ok());
  EXPECT_EQ(moved->read, 0u);
  EXPECT_FALSE(moved->output_ended);
}

TEST_F(ProcessTest, InputMayBeDiscardedAndVariablesAdded) {
  auto child = env_->processes().Start({.argv = {"sh", "-c", "cat; echo $GLIM_TEST_X-$HOME"},
                                        .environment = {"GLIM_TEST_X=a b", "HOME=/nowhere"},
                                        .discard_input = true});
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(Talk(**child, "").output, "a b-/nowhere\n");
}

TEST_F(ProcessTest, TheDestructorKillsTheWholeGroup) {
  auto child = Shell("sleep 1000 & echo $!; wait");
  char buffer[32] = {};
  ASSERT_GT(child->Exchange("", buffer, kLong)->read, 0u);
  const pid_t grandchild = std::stoi(buffer);
  EXPECT_TRUE(Alive(grandchild));
  child.reset();
  EXPECT_TRUE(DiesSoon(grandchild));
}

TEST_F(ProcessTest, WaitEndsWhatTheCommandLeftInTheBackground) {
  auto child = Shell("sleep 1000 >/dev/null & echo $!");
  const Outcome outcome = Talk(*child, "");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_TRUE(DiesSoon(std::stoi(outcome.output)));
}

TEST_F(ProcessTest, KillThenWaitGives137) {
  auto child = Shell("sleep 1000; true");
  child->Kill();
  EXPECT_EQ(child->Wait().value_or(-1), 137);
  EXPECT_EQ(child->Wait().value_or(-1), 137);
}

TEST_F(ProcessTest, AChildOutlivesTheThreadThatStartedIt) {
  std::unique_ptr<ChildProcess> child;
  std::thread([&] { child = Start({"cat"}); }).join();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(Talk(*child, "still here\n").output, "still here\n");
}

// The process that owns the children is killed; nobody's destructor runs.
TEST_F(ProcessTest, WhenWeAreKilledTheWholeGroupDies) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t owner = fork();
  ASSERT_GE(owner, 0);
  if (owner == 0) {
    auto env = MakePosixEnv();
    auto child = env->processes().Start({.argv = {"sh", "-c", "sleep 1000 & echo $!; wait"}, .environment = {}});
    auto forgotten = env->processes().Start({.argv = {"true"}, .environment = {}});
    char buffer[32];
    const auto moved = (*child)->Exchange("", buffer, kLong);
    (void)(*forgotten)->Wait();
    [[maybe_unused]] const ssize_t written = write(ends[1], buffer, moved->read);
    pause();
    _exit(0);
  }
  char buffer[32] = {};
  ASSERT_GT(read(ends[0], buffer, sizeof(buffer) - 1), 0);
  const pid_t grandchild = std::stoi(buffer);
  EXPECT_TRUE(Alive(grandchild));
  kill(owner, SIGKILL);
  waitpid(owner, nullptr, 0);
  EXPECT_TRUE(DiesSoon(grandchild));
  close(ends[0]);
  close(ends[1]);
}

TEST_F(ProcessTest, WhenWeAreKilledOurFoldersGo) {
  FileSystem& files = env_->files();
  const std::string kept = files.MakeTemporaryFolder("glim-process-test-").value();
  const std::vector<std::string> removed = {files.MakeTemporaryFolder("glim process  test *$0-").value(),
                                            files.MakeTemporaryFolder("glim-process-test-").value()};
  for (const std::string& folder : removed) {
    ASSERT_TRUE(files.MakeFolders(JoinPath(folder, "in/it")).ok());
    const pid_t owner = fork();
    ASSERT_GE(owner, 0);
    if (owner == 0) {
      auto env = MakePosixEnv();
      env->processes().RemoveAtEnd(folder);
      // It writes there until it is killed.
      auto child = env->processes().Start(
          {.argv = {"sh", "-c", "echo; while echo x > \"$0/$RANDOM$$.$i\"; do i=$((i+1)); done", folder},
           .environment = {}});
      char buffer[1];
      (void)(*child)->Exchange("", buffer, kLong);
      kill(getpid(), SIGKILL);
    }
    waitpid(owner, nullptr, 0);
  }
  const auto gone = [&] { return !files.Stat(removed[0]).ok() && !files.Stat(removed[1]).ok(); };
  for (int i = 0; i < 4000 && !gone(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_TRUE(gone());
  EXPECT_TRUE(files.Stat(kept).ok());
  EXPECT_TRUE(files.RemoveAll(kept).ok());
}

TEST_F(ProcessTest, ManyThreadsStartManyChildren) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        const std::string text = std::to_string(t * 100 + i);
        EXPECT_EQ(Talk(*Shell("read x; echo got $x"), text + "\n").output, "got " + text + "\n");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ProcessTest, NoDescriptorOfOursReachesAChild) {
  // Whoever started the test may have left descriptors open in us; those are passed on, as a shell would.
  const std::string before = Talk(*Start({"ls", "/proc/self/fd"}), "").output;
  auto other = Start({"cat"});  // Its pipes are open in us.
  EXPECT_EQ(Talk(*Start({"ls", "/proc/self/fd"}), "").output, before);
}

}  // namespace
}  // namespace glim::env
