// SPDX-License-Identifier: Apache-2.0
#include "cluster/roster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "cluster/job_history.h"
#include "env/env.h"

namespace glim::cluster {
namespace {

using param::JobState;
using param::JobStatus;
using testing::HasSubstr;

constexpr int64_t kSecond = 1'000'000'000;

JobStatus Job(const std::string& id, JobState state = JobState::kRunning, int64_t begun = 1) {
  JobStatus job;
  job.id = id;
  job.name = "flow " + id;
  job.state = state;
  job.begun_millis = begun;
  return job;
}

param::AgentBeat Agent(const std::string& name, const std::string& address, uint32_t executors = 0) {
  param::AgentBeat beat;
  beat.name = name;
  beat.address = address;
  beat.executors = executors;
  return beat;
}

class RosterTest : public testing::Test {
 protected:
  param::StatusAnswer Describe(int64_t now) {
    param::StatusAnswer answer;
    roster_.Describe(now, &answer);
    return answer;
  }
  std::vector<JobStatus> ended_;
  Roster roster_{{.agents_max = 3, .ended_max = 2}, [this](const JobStatus& job) { ended_.push_back(job); }};
};

TEST_F(RosterTest, AgentsAreAliveAsLongAsTheyBeatAndThenForgotten) {
  roster_.OnAgent(Agent("a", "host:1"), 0);
  roster_.OnAgent(Agent("b", "host:2"), 0);
  roster_.OnAgent(Agent("b", "host:2", 7), 2 * kSecond);
  const auto agents = Describe(4 * kSecond).agents;
  ASSERT_EQ(agents.size(), 2U);
  EXPECT_FALSE(agents[0].alive);
  EXPECT_TRUE(agents[1].alive);
  EXPECT_EQ(agents[1].agent.executors, 7U);
  roster_.OnTick(64 * kSecond, 0);
  EXPECT_EQ(Describe(64 * kSecond).agents.size(), 1U);
}

TEST_F(RosterTest, StrangersBeyondTheBoundFindNoRoom) {
  for (int i = 0; i < 5; ++i) roster_.OnAgent(Agent("x", "host:" + std::to_string(i)), 0);
  EXPECT_EQ(Describe(0).agents.size(), 3U);
}

TEST_F(RosterTest, AJobThatIsCancelledIsToldSoUntilItEnds) {
  EXPECT_EQ(roster_.Cancel("x").code(), Code::kNotFound);
  EXPECT_FALSE(roster_.OnJob(Job("x"), 0));
  EXPECT_TRUE(roster_.Cancel("x").ok());
  EXPECT_TRUE(roster_.OnJob(Job("x"), 1));
  EXPECT_TRUE(roster_.OnJob(Job("x"), 2));
  EXPECT_FALSE(roster_.OnJob(Job("x", JobState::kCancelled), 3));
  EXPECT_THAT(roster_.Cancel("x").message(), HasSubstr("no job \"x\" is running"));
  ASSERT_EQ(ended_.size(), 1U);
  EXPECT_EQ(ended_[0].state, JobState::kCancelled);
}

TEST_F(RosterTest, AJobWhoseDriverIsSilentIsLostUnlessItEndsAfterAll) {
  roster_.OnJob(Job("x"), 0);
  roster_.OnTick(11 * kSecond, 1234);
  ASSERT_EQ(ended_.size(), 1U);
  EXPECT_EQ(ended_[0].state, JobState::kLost);
  EXPECT_EQ(ended_[0].ended_millis, 1234);
  // It was stopped for a while.
  roster_.OnJob(Job("x", JobState::kDone), 12 * kSecond);
  roster_.OnJob(Job("x", JobState::kDone), 12 * kSecond);  // Said twice.
  EXPECT_EQ(ended_.size(), 2U);
  const auto jobs = Describe(12 * kSecond).jobs;
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_EQ(jobs[0].state, JobState::kDone);
}

TEST_F(RosterTest, TheLastJobsAreToldOfInTheOrderInWhichTheyBeganWhateverTheirClocksSay) {
  roster_.OnJob(Job("first", JobState::kRunning, 9), 0);
  roster_.OnJob(Job("second", JobState::kRunning, 2), 0);
  for (const char* id : {"1", "2", "3"}) roster_.OnJob(Job(id, JobState::kDone, 5), 0);
  std::string ids;
  for (const JobStatus& job : Describe(0).jobs) ids += job.id + " ";
  EXPECT_EQ(ids, "first second 2 3 ");
  ids.clear();
  roster_.OnJob(Job("first", JobState::kDone, 1), 0);
  for (const JobStatus& job : Describe(0).jobs) ids += job.id + " ";
  EXPECT_EQ(ids, "first second 3 ");
}

TEST(JobHistoryTest, IsThereAfterARestartAsFarAsItIsWhole) {
  const auto env = env::MakePosixEnv();
  const std::string folder = env->files().MakeTemporaryFolder("glim-history-").value();
  {
    const auto history = JobHistory::Open(env->files(), folder);
    EXPECT_TRUE(history->before().empty());
    for (const char* id : {"1", "2", "3"}) history->Add(Job(id, JobState::kFailed));
  }
  const std::string path = folder + "/jobs.log";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 5);
  {
    const auto history = JobHistory::Open(env->files(), folder);
    ASSERT_EQ(history->before().size(), 2U);
    EXPECT_EQ(history->before()[1].id, "2");
    EXPECT_EQ(history->before()[1].state, JobState::kFailed);
    history->Add(Job("4"));
  }
  EXPECT_EQ(JobHistory::Open(env->files(), folder)->before().size(), 3U);
  // Nowhere to write to: nothing is kept, and nothing fails.
  JobHistory::Open(env->files(), folder + "/nowhere")->Add(Job("5"));
  EXPECT_TRUE(env->files().RemoveAll(folder).ok());
}

}  // namespace
}  // namespace glim::cluster
