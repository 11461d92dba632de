// SPDX-License-Identifier: Apache-2.0
//
// Where rows leave a flow: functions called side by side, files behind links, files written again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <set>

#include "env/env.h"
#include "glim/glim.h"

namespace glim {
namespace {

using ::testing::HasSubstr;

TEST(Output, ParallelCallsSeeEveryRowOnce) {
  for (const int threads : {1, 3}) {
    SessionOptions options;
    options.threads = threads;
    options.partitions = 5;
    Session session(options);
    Flow flow;
    std::mutex mutex;
    std::set<int64_t> seen;
    std::atomic<int64_t> rows = 0;
    flow.Range(0, 50000).OutputRow(
        [&](const Row& row) {
          ++rows;
          std::lock_guard lock(mutex);
          seen.insert(row[0].cell().as_int64());
          return Status::Ok();
        },
        {.parallel = true});
    EXPECT_TRUE(flow.Run(session).ok());
    EXPECT_EQ(rows, 50000);
    EXPECT_EQ(seen.size(), 50000u);
  }
}

TEST(Output, ParallelCallsAreSideBySide) {
  SessionOptions options;
  options.threads = 2;
  Session session(options);
  Flow flow;
  // Each call waits until the other one has begun. One at a time, this would never end.
  std::mutex mutex;
  std::condition_variable both;
  int begun = 0;
  flow.Range(0, 2).RoundRobin(2).Output(
      [&](const Batch&) {
        std::unique_lock lock(mutex);
        ++begun;
        both.notify_all();
        both.wait(lock, [&] { return begun == 2; });
        return Status::Ok();
      },
      {.parallel = true});
  EXPECT_TRUE(flow.Run(session).ok());
  EXPECT_EQ(begun, 2);
}

TEST(Output, AFailureOfAParallelCallFailsTheRun) {
  Flow flow;
  flow.Range(0, 100000).Output([](const Batch&) { return Status::UserCode("no more"); }, {.parallel = true});
  EXPECT_THAT(flow.Run().message(), HasSubstr("no more"));
  Flow throwing;
  throwing.Ints({1}).OutputRow([](const Row&) -> Status { throw std::runtime_error("oh"); }, {.parallel = true});
  EXPECT_THAT(throwing.Run().message(), HasSubstr("threw: oh"));
}

class LinksAndRewrites : public ::testing::Test {
 protected:
  ~LinksAndRewrites() override { EXPECT_TRUE(env_->files().RemoveAll(folder_).ok()); }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  void Link(const std::string& to, const std::string& name) const {
    EXPECT_EQ(::symlink(to.c_str(), Path(name).c_str()), 0);
  }
  bool IsLink(const std::string& name) const {
    char target[4096];
    return ::readlink(Path(name).c_str(), target, sizeof(target)) > 0;
  }
  std::string Read(const std::string& name) const {
    const auto file = env_->files().OpenRandom(Path(name));
    if (!file.ok()) return file.status().message();
    std::string bytes((*file)->size(), 0);
    EXPECT_TRUE((*file)->ReadAt(0, bytes).ok());
    return bytes;
  }
  Status Write(const std::string& name, WriteOptions options = {}) const {
    Flow flow;
    return flow.Strings({"new"}).WriteText(Path(name), options).Run();
  }

  std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  const std::string folder_ = *env_->files().MakeTemporaryFolder("ends");
};

TEST_F(LinksAndRewrites, AFileBehindALinkIsReplacedAndTheLinkStays) {
  EXPECT_TRUE(env_->files().MakeFolders(Path("data")).ok());
  EXPECT_TRUE(Write("data/old").ok());
  Link("data/old", "first");
  Link("first", "second");
  Flow flow;
  EXPECT_TRUE(flow.Strings({"newer"}).WriteText(Path("second")).Run().ok());
  EXPECT_TRUE(IsLink("first") && IsLink("second"));
  EXPECT_FALSE(IsLink("data/old"));
  EXPECT_EQ(Read("data/old"), "newer\n");
  // Nothing is left beside the link or the file.
  EXPECT_EQ(env_->files().List(folder_)->size(), 3u);
  EXPECT_EQ(env_->files().List(Path("data"))->size(), 1u);
}

TEST_F(LinksAndRewrites, ARunThatFailsLeavesTheFileBehindALink) {
  EXPECT_TRUE(Write("old").ok());
  Link("old", "link");
  Flow flow;
  EXPECT_FALSE(flow.Ints({1}).Map("function() error('no') end").WriteText(Path("link")).Run().ok());
  EXPECT_EQ(Read("link"), "new\n");
  EXPECT_EQ(env_->files().List(folder_)->size(), 2u);
}

TEST_F(LinksAndRewrites, AFolderBehindALinkIsReplacedAndTheLinkStays) {
  EXPECT_TRUE(Write("parts", {.per_partition = true}).ok());
  Link("parts", "link");
  EXPECT_TRUE(Write("link", {.per_partition = true}).ok());
  EXPECT_TRUE(IsLink("link"));
  EXPECT_EQ(Read("parts/part-00000.txt"), "new\n");
}

TEST_F(LinksAndRewrites, LinksThatLeadNowhereAreErrors) {
  Link("nothing", "dangling");
  EXPECT_THAT(Write("dangling").message(), HasSubstr("dangling\": a link to what is not there"));
  EXPECT_THAT(Write("dangling", {.per_partition = true}).message(), HasSubstr("a link to what is not there"));
  Link("round", "round");
  EXPECT_THAT(Write("round").message(), HasSubstr("round\": "));
  EXPECT_TRUE(IsLink("dangling") && IsLink("round"));
  EXPECT_FALSE(env_->files().Stat(Path("nothing")).ok());
}

TEST_F(LinksAndRewrites, ALaterRunOfAFlowMayWriteAFileAgain) {
  Flow flow;
  const Dataset rows = flow.Strings({"a", "b"});
  EXPECT_TRUE(rows.WriteText(Path("out")).Run().ok());
  EXPECT_EQ(Read("out"), "a\nb\n");
  EXPECT_TRUE(rows.Limit(1).WriteText(Path("out")).Run().ok());
  EXPECT_EQ(Read("out"), "a\n");
  // But one run does not write it twice.
  EXPECT_THAT(flow.Run().message(), HasSubstr("this flow writes that file already"));
}

TEST(ExitCodes, AWrongOptionOfTheSessionIsWrongUsage) {
  const char* arguments[] = {"program", "--threads", "many"};
  Session session(3, const_cast<char**>(arguments));
  Flow flow;
  flow.Ints({1});
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(ExitCode(flow.Run(session)), 2);
  EXPECT_EQ(ExitCode(session.status()), 2);
  EXPECT_EQ(ExitCode(Status::Invalid("something else")), 1);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("glim: --threads takes a number"));
}

TEST(Run, OnAnEngineThatIsNamed) {
  Flow flow;
  std::vector<std::vector<Value>> rows;
  const Status status = flow.Range(0, 5).Sort().Collect(&rows).Run(On("embedded"));
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(rows.size(), 5U);
  // A program of gtest cannot be an executor.
  EXPECT_THAT(flow.Run(On("local:2")).message(), testing::HasSubstr("it did not become one"));
  EXPECT_THAT(flow.Run(On("nowhere")).message(), testing::HasSubstr("there is no such engine"));
  EXPECT_EQ(flow.Run(Distributed().SetMaster("127.0.0.1:1")).code(), Code::kUnreachable);
  EXPECT_THAT(flow.Run(Distributed().SetMaster("127.0.0.1:1").SetKey("none.key")).message(),
              testing::HasSubstr("none.key"));
}

}  // namespace
}  // namespace glim
