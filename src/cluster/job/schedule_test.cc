// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>
#include <vector>

namespace glim::cluster {
namespace {

using Step = Schedule::Step;

// Executors that exist in the mind of the test only: it knows which rows are where, and for each step that the schedule
// begins looks whether it can be done at all.
class World {
 public:
  // `prefers`: tasks of some stages would rather run at places of their own. `races`: some take long, and those of some
  // stages may be begun a second time.
  // `pauses`: stages are brought to rest now and then. `binds`: executors are on three hosts, and some tasks can be run
  // on one of them only.
  World(uint64_t seed, bool prefers, bool races, bool pauses = false, bool binds = false)
      : random_(seed),
        prefers_(prefers),
        races_(races),
        pauses_(pauses),
        binds_(binds),
        stages_(1 + Below(6)),
        schedule_(MakeInputs(), 1000000) {}
  int raced() const { return raced_; }
  int shut_out() const { return shut_out_; }
  int rests() const { return rests_; }
  int awaited() const { return awaited_; }

  void Run() {
    slots_[Schedule::kDriver] = 2;
    schedule_.AddPlace(Schedule::kDriver, 2);
    const int executors = 1 + Below(4);
    for (int i = 0; i < executors; ++i) AddExecutor();
    for (int stage = 0; stage < stages_; ++stage) {
      const int tasks = Below(9);
      std::vector<bool> at_driver(tasks, Below(4) == 0);
      tasks_.push_back(tasks);
      schedule_.SetTasks(stage, at_driver);
      at_driver_.push_back(at_driver);
      if (binds_ && Below(3) > 0) Bind(stage);
      if (!inputs_[stage].empty() && Below(2) == 0) schedule_.RunBeside(stage, inputs_[stage][0]);
      if (prefers_ && Below(2) == 0) {
        std::vector<int> places;
        for (int task = 0; task < tasks; ++task) places.push_back(Below(next_ + 2) - 1);  // Gone, yet to come, none.
        schedule_.Prefer(stage, places);
      }
      may_race_.push_back(races_ && Below(3) > 0);
      pushes_.push_back(may_race_.back() && Below(2) == 0);
      if (may_race_.back()) schedule_.MayRace(stage, kRaceAfter, pushes_.back() ? 4 : 2);
      schedule_.Aim(stage);
      int losses = Below(4);
      for (int rounds = 0; !schedule_.Done(stage); ++rounds) {
        ASSERT_LT(rounds, 100000) << "stage " << stage << " never ends";
        schedule_.Tick(now_ += Below(5));
        Begin();
        if (pauses_) Pause(stage);
        if (testing::Test::HasFatalFailure()) return;
        const int host = schedule_.HostAwaited();
        for (const int place : alive_) ASSERT_TRUE(host == Schedule::kNoHost || host_of_.at(place) != host);
        if (begun_.empty() && host != Schedule::kNoHost) {
          ++awaited_;
          AddExecutor(host);
        } else if (begun_.empty()) {
          ASSERT_TRUE(alive_.empty()) << "nothing is begun, and executors are idle";
        }
        if (losses > 0 && Below(10) == 0) {
          --losses;
          Lose();
        }
        if (alive_.empty()) AddExecutor();
        if (Below(20) == 0) MoveSome();
        if (may_race_.back() && Below(30) == 0) SkipOne();
        if (!begun_.empty()) EndOne();
      }
      for (int task = 0; task < tasks; ++task) {
        const int place = schedule_.PlaceOf(stage, task);
        ASSERT_TRUE(Has(place, stage, task)) << "rows of task " << task << " are not at " << place;
      }
      ReleaseSome(stage);
    }
  }

 private:
  int Below(int n) { return n <= 1 ? 0 : static_cast<int>(random_() % static_cast<uint64_t>(n)); }

  std::vector<std::vector<int>> MakeInputs() {
    for (int stage = 0; stage < stages_; ++stage) {
      std::set<int> inputs;
      for (int i = Below(3); i > 0 && stage > 0; --i) inputs.insert(Below(stage));
      inputs_.emplace_back(inputs.begin(), inputs.end());
    }
    return inputs_;
  }

  void AddExecutor() { AddExecutor(binds_ ? Below(kHosts) : Schedule::kNoHost); }
  void AddExecutor(int host) {
    slots_[next_] = 1 + Below(3);
    alive_.insert(next_);
    host_of_[next_] = host;
    schedule_.AddPlace(next_, slots_[next_], host);
    ++next_;
  }

  void Bind(int stage) {
    std::vector<int> hosts;
    for (int task = 0; task < tasks_[stage]; ++task) {
      hosts.push_back(at_driver_[stage][task] || Below(4) == 0 ? Schedule::kNoHost : Below(kHosts));
      if (hosts.back() != Schedule::kNoHost) bound_[{stage, task}] = hosts.back();
    }
    schedule_.BindToHosts(stage, hosts);
  }

  bool Has(int place, int stage, int task) const { return rows_.contains({place, stage, task}); }

  // Between two snapshots, which find no task of the stage begun that has not run.
  void Pause(int stage) {
    if (held_ != stage && Below(8) == 0) {
      held_ = stage;
      schedule_.Hold(stage);
      first_attempts_ = 0;
    }
    if (held_ != stage) return;
    ASSERT_EQ(first_attempts_, 0) << "a task is begun although the stage is to come to rest";
    if (!schedule_.IsAtRest(stage)) return;
    for (int task = 0; task < tasks_[stage]; ++task)
      ASSERT_TRUE(schedule_.HasRun(stage, task) || !was_begun_.contains({stage, task})) << "a part of it is done";
    ++rests_;
    held_ = -1;
    schedule_.GoOn(stage);
    Begin();
  }

  void Begin() {
    while (const auto step = schedule_.Next()) {
      ASSERT_TRUE(step->place == Schedule::kDriver || alive_.contains(step->place));
      if (step->kind == Step::kTell) {
        told_[{step->place, step->stage}];
      } else {
        ASSERT_TRUE(told_.contains({step->place, step->stage})) << "it has let go of what its rows would be put into";
      }
      for (const int input : inputs_[step->stage]) {
        for (int task = 0; task < tasks_[input]; ++task) {
          ASSERT_TRUE(schedule_.HasRun(input, task));
          const int place = schedule_.PlaceOf(input, task);
          ASSERT_TRUE(Has(place, input, task)) << "stage " << step->stage << " begins without its input";
          if (step->kind == Step::kTell) {
            told_[{step->place, step->stage}][{input, task}] = place;
          } else {
            const auto& told = told_.at({step->place, step->stage});
            ASSERT_EQ(told.at({input, task}), place) << "it was told another place";
          }
        }
      }
      const auto same_place = [&](const Step& other) { return other.place == step->place; };
      if (step->kind == Step::kRun) {
        first_attempts_ += step->stage == held_ && step->attempt == 0 ? 1 : 0;
        was_begun_.insert({step->stage, step->task});
        ASSERT_EQ(at_driver_[step->stage][step->task], step->place == Schedule::kDriver);
        if (const auto bound = bound_.find({step->stage, step->task}); bound != bound_.end()) {
          ASSERT_EQ(host_of_.at(step->place), bound->second) << "its files are elsewhere";
        }
        const auto same_task = [&](const Step& other) {
          return other.kind == Step::kRun && other.stage == step->stage && other.task == step->task;
        };
        ASSERT_EQ(std::count_if(begun_.begin(), begun_.end(), same_task), step->second ? 1 : 0)
            << "the same task twice";
        if (step->second) {
          ++raced_;
          const Step& first = *std::find_if(begun_.begin(), begun_.end(), same_task);
          ASSERT_TRUE(may_race_[step->stage] && !at_driver_[step->stage][step->task]);
          ASSERT_TRUE(!same_place(first) && first.attempt < step->attempt) << "no race with itself";
          ASSERT_GT(now_ - begun_at_.at({step->stage, step->task}), kRaceAfter) << "it is no straggler";
          if (pushes_[step->stage] && Below(3) > 0) spoke_[{step->stage, step->task}] = step->attempt;
        } else {
          begun_at_[{step->stage, step->task}] = now_;
        }
        ASSERT_LT(std::count_if(begun_.begin(), begun_.end(), same_place), slots_[step->place]);
      } else {
        ASSERT_TRUE(std::none_of(begun_.begin(), begun_.end(), [&](const Step& other) {
          return same_place(other) && other.stage == step->stage;
        })) << "told of new places while tasks read from the old ones";
      }
      // Also what nobody waits for any more writes.
      ASSERT_TRUE(std::none_of(begun_.begin(), begun_.end(), [&](const Step& other) {
        return same_place(other) && other.kind == Step::kRun &&
               std::find(inputs_[step->stage].begin(), inputs_[step->stage].end(), other.stage) !=
                   inputs_[step->stage].end();
      })) << "its input is being written there";
      begun_.push_back(*step);
    }
  }

  // Where there are races, the last one is often left to wait.
  void EndOne() {
    const int count = static_cast<int>(begun_.size());
    End(races_ && Below(3) > 0 ? count - 1 : Below(count));
  }

  void End(int index) {
    const Step step = begun_[index];
    begun_.erase(begun_.begin() + index);
    if (step.kind == Step::kTell) {
      if (Below(20) == 0) {
        ASSERT_TRUE(schedule_.NotTold(step).ok());
      } else {
        schedule_.Told(step);
      }
      return;
    }
    // Of attempts that push, the tables shut out those before the last one that has spoken.
    const auto spoke = spoke_.find({step.stage, step.task});
    const bool shut_out = spoke != spoke_.end() && step.attempt < spoke->second;
    shut_out_ += shut_out ? 1 : 0;
    const bool lost = shut_out || Below(20) == 0;
    if (schedule_.IsLeftOver(step)) {
      ASSERT_TRUE(schedule_.HasRun(step.stage, step.task));
      if (!lost) rows_.erase({step.place, step.stage, step.task});  // Whatever it has, nobody shall look for it there.
      schedule_.Dropped(step);
      return;
    }
    if (lost) {
      ASSERT_TRUE(schedule_.RowsLost(step).ok());
      return;
    }
    rows_.insert({step.place, step.stage, step.task});
    schedule_.Succeeded(step);
    if (Below(10) == 0) {
      rows_.insert({Schedule::kDriver, step.stage, step.task});
      schedule_.Move(step.stage, step.task, Schedule::kDriver);
    } else if (step.place != Schedule::kDriver && Below(30) == 0) {
      rows_.erase({step.place, step.stage, step.task});
      schedule_.LoseRows(step.stage, step.task);
    }
  }

  // Rows that are copied to the driver while others may read them where they were.
  void MoveSome() {
    const int stage = Below(static_cast<int>(tasks_.size()));
    if (tasks_[stage] == 0 || schedule_.released(stage)) return;
    const int task = Below(tasks_[stage]);
    if (!schedule_.HasRun(stage, task)) return;
    rows_.insert({Schedule::kDriver, stage, task});
    schedule_.Move(stage, task, Schedule::kDriver);
  }

  void SkipOne() {
    const int stage = static_cast<int>(tasks_.size()) - 1;
    const int task = Below(tasks_[stage]);
    if (tasks_[stage] == 0 || schedule_.HasRun(stage, task) || at_driver_[stage][task]) return;
    const auto attempts = std::count_if(begun_.begin(), begun_.end(), [&](const Step& step) {
      return step.kind == Step::kRun && step.stage == stage && step.task == task;
    });
    ASSERT_EQ(schedule_.Skip(stage, task), attempts < 2);
    if (attempts < 2) rows_.insert({Schedule::kDriver, stage, task});
  }

  void Lose() {
    if (alive_.empty()) return;
    auto it = alive_.begin();
    std::advance(it, Below(static_cast<int>(alive_.size())));
    const int place = *it;
    alive_.erase(it);
    std::erase_if(rows_, [&](const auto& row) { return std::get<0>(row) == place; });
    std::erase_if(begun_, [&](const Step& step) { return step.place == place; });
    schedule_.LosePlace(place);
  }

  // As a driver does: what nobody reads any more, and now and then more than that cannot be.
  void ReleaseSome(int done) {
    for (int stage = 0; stage <= done; ++stage) {
      bool wanted = false;
      for (int reader = done + 1; reader < stages_; ++reader) {
        wanted = wanted || std::find(inputs_[reader].begin(), inputs_[reader].end(), stage) != inputs_[reader].end();
      }
      for (int reader = 0; reader <= done; ++reader) {
        const bool reads = std::find(inputs_[reader].begin(), inputs_[reader].end(), stage) != inputs_[reader].end();
        wanted = wanted || ((reads || reader == stage) && IsAtWork(reader));
      }
      if (wanted || schedule_.released(stage)) continue;
      schedule_.Release(stage);
      std::erase_if(rows_, [&](const auto& row) { return std::get<1>(row) == stage; });
      // And each place lets go of what holds them.
      std::erase_if(told_, [&](const auto& told) { return told.first.second == stage; });
    }
  }

  bool IsAtWork(int stage) const {
    const bool is = std::any_of(begun_.begin(), begun_.end(), [&](const Step& step) { return step.stage == stage; });
    EXPECT_EQ(schedule_.IsAtWork(stage), is);
    return is;
  }

  static constexpr int64_t kRaceAfter = 12;
  static constexpr int kHosts = 3;
  std::mt19937_64 random_;
  const bool prefers_, races_, pauses_, binds_;
  int held_ = -1;
  int first_attempts_ = 0;  // Since then.
  int rests_ = 0;
  std::set<std::pair<int, int>> was_begun_;
  const int stages_;
  std::vector<std::vector<int>> inputs_;
  Schedule schedule_;
  std::vector<int> tasks_;
  std::vector<std::vector<bool>> at_driver_;
  std::map<int, int> slots_, host_of_;
  std::map<std::pair<int, int>, int> bound_;  // Stage and task: the host.
  int awaited_ = 0;  // Times that no executor was on a host whose tasks were all that was left.
  std::set<int> alive_;
  int next_ = 1;
  std::vector<Step> begun_;
  int64_t now_ = 0;
  int raced_ = 0;
  std::vector<bool> may_race_, pushes_;
  std::map<std::pair<int, int>, int> spoke_;  // Stage and task: the last attempt that did.
  int shut_out_ = 0;
  std::map<std::pair<int, int>, int64_t> begun_at_;  // Stage and task.
  std::set<std::tuple<int, int, int>> rows_;         // Place, stage, task.
  std::map<std::pair<int, int>, std::map<std::pair<int, int>, int>> told_;
};

TEST(ScheduleTest, RunsWhatIsReadyAndMakesAgainWhatIsLost) {
  int raced = 0;
  int shut_out = 0;
  for (uint64_t seed = 1; seed <= 30000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    World world(seed, /*prefers=*/seed > 10000, /*races=*/seed > 20000);
    world.Run();
    if (HasFatalFailure()) return;
    raced += world.raced();
    shut_out += world.shut_out();
  }
  EXPECT_GT(raced, 1000);
  EXPECT_GT(shut_out, 100);
}

TEST(ScheduleTest, AStageComesToRestWithTasksThatAreWholeOrUntouched) {
  int rests = 0;
  for (uint64_t seed = 30001; seed <= 40000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    World world(seed, /*prefers=*/seed > 35000, /*races=*/seed % 2 == 0, /*pauses=*/true);
    world.Run();
    if (HasFatalFailure()) return;
    rests += world.rests();
  }
  EXPECT_GT(rests, 10000);
}

TEST(ScheduleTest, TasksOfAHostRunThereAlone) {
  int awaited = 0, raced = 0;
  for (uint64_t seed = 70001; seed <= 80000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    World world(seed, seed % 2 == 0, seed % 3 == 0, seed % 3 == 1, true);
    world.Run();
    if (HasFatalFailure()) return;
    awaited += world.awaited();
    raced += world.raced();
  }
  EXPECT_GT(awaited, 1000);
  EXPECT_GT(raced, 100);
}

// Two executors of two slots, seven tasks. The first is slow, so when the others have run it is begun again elsewhere.
class Race : public testing::Test {
 protected:
  Race() : schedule_({{}, {0}}, 4) {
    schedule_.AddPlace(Schedule::kDriver, 1);
    schedule_.AddPlace(1, 2);
    schedule_.AddPlace(2, 2);
    schedule_.SetTasks(0, std::vector<bool>(7, false));
    schedule_.SetTasks(1, {false, false, false, false});
    schedule_.MayRace(0, 100, 2);
    schedule_.Aim(0);
  }
  std::vector<Step> Begin() {
    std::vector<Step> begun;
    while (const auto step = schedule_.Next()) {
      if (step->kind == Step::kTell) {
        schedule_.Told(*step);
      } else {
        begun.push_back(*step);
      }
    }
    return begun;
  }
  // All but the first task, which take 60 each. It is 120 then.
  Step RunOthers() {
    std::optional<Step> slow;
    for (int64_t now = 0; now < 120; now += 60) {
      schedule_.Tick(now);
      const std::vector<Step> begun = Begin();
      schedule_.Tick(now + 60);
      for (const Step& step : begun) {
        if (step.task == 0) {
          slow = step;
        } else {
          schedule_.Succeeded(step);
        }
      }
    }
    return *slow;
  }

  Schedule schedule_;
};

TEST_F(Race, BeginsAStragglerElsewhereWhenItTakesTwiceTheMedian) {
  const Step slow = RunOthers();
  EXPECT_TRUE(Begin().empty());  // No more than twice 60.
  schedule_.Tick(121);
  const std::vector<Step> second = Begin();
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].task, 0);
  EXPECT_NE(second[0].place, slow.place);
  EXPECT_GT(second[0].attempt, slow.attempt);
  EXPECT_TRUE(second[0].second);
  schedule_.Tick(10000);
  EXPECT_TRUE(Begin().empty()) << "a third time";
}

TEST_F(Race, BeginsOneThatPushesLater) {
  schedule_.MayRace(0, 100, 4);
  (void)RunOthers();
  schedule_.Tick(240);
  EXPECT_TRUE(Begin().empty());
  schedule_.Tick(241);
  EXPECT_EQ(Begin().size(), 1U);
}

// A stage that comes to rest waits for a straggler, and so do all executors: that many tasks were not begun does not
// matter.
TEST_F(Race, BeginsAStragglerElsewhereWhileTheStageComesToRest) {
  const std::vector<Step> begun = Begin();
  ASSERT_EQ(begun.size(), 4U);
  schedule_.Hold(0);
  schedule_.Tick(60);
  schedule_.Succeeded(begun[1]);
  schedule_.Tick(1000);
  EXPECT_TRUE(Begin().empty()) << "one has run, three are at work";
  schedule_.Succeeded(begun[2]);
  schedule_.Succeeded(begun[3]);
  schedule_.Tick(2001);
  const std::vector<Step> second = Begin();
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].task, 0);
}

TEST_F(Race, TheFirstToEndWinsAndTheOtherIsLeftOver) {
  const Step slow = RunOthers();
  schedule_.Tick(1000);
  const Step second = Begin().at(0);
  EXPECT_TRUE(schedule_.IsRace(slow) && schedule_.IsRace(second));
  schedule_.Succeeded(second);
  EXPECT_TRUE(schedule_.Done(0) && schedule_.IsAtWork(0));
  EXPECT_EQ(schedule_.PlaceOf(0, 0), second.place);
  EXPECT_EQ(schedule_.LeftOverOf(0, 0), slow.place);
  // Its place hears nothing of the next stage before it has ended.
  schedule_.Aim(1);
  for (const Step& step : Begin()) EXPECT_EQ(step.place, second.place);
  schedule_.Dropped(slow);
  EXPECT_FALSE(schedule_.IsAtWork(0));
  for (const Step& step : Begin()) EXPECT_EQ(step.place, slow.place);
}

TEST_F(Race, TheOneThatGoesOnIsTheTaskWhenTheOtherIsLost) {
  const Step slow = RunOthers();
  schedule_.Tick(1000);
  const Step second = Begin().at(0);
  EXPECT_TRUE(schedule_.RowsLost(slow).ok());
  EXPECT_FALSE(schedule_.IsRace(second) || schedule_.Done(0));
  schedule_.Succeeded(second);
  EXPECT_TRUE(schedule_.Done(0));
}

TEST_F(Race, WhatIsLeftOverTakesThePlaceOfAWinnerThatIsLost) {
  const Step slow = RunOthers();
  schedule_.Tick(1000);
  const Step second = Begin().at(0);
  schedule_.Succeeded(second);
  schedule_.LosePlace(second.place);
  EXPECT_FALSE(schedule_.Done(0) || schedule_.IsLeftOver(slow));
  for (const Step& step : Begin()) EXPECT_NE(step.task, 0);
  schedule_.Succeeded(slow);
  EXPECT_EQ(schedule_.PlaceOf(0, 0), slow.place);
}

TEST(ScheduleTest, ATaskRunsWhereItPrefersToAsLongAsThatIsFree) {
  Schedule schedule({{}}, 4);
  schedule.AddPlace(Schedule::kDriver, 1);
  for (const int place : {1, 2, 3}) schedule.AddPlace(place, 2);
  schedule.SetTasks(0, std::vector<bool>(9, false));
  schedule.Prefer(0, {3, 3, 3, 1, 1, 7, -1, 2, 2});
  schedule.Aim(0);
  std::map<int, int> places;
  std::deque<Step> begun;
  const auto begin = [&] {
    while (const auto step = schedule.Next()) {
      if (step->kind == Step::kRun) {
        ASSERT_TRUE(places.emplace(step->task, step->place).second);
        begun.push_back(*step);
      } else {
        schedule.Told(*step);
      }
    }
  };
  begin();
  EXPECT_EQ(places, (std::map<int, int>{{0, 3}, {1, 3}, {3, 1}, {4, 1}, {7, 2}, {8, 2}}));
  // The first slot that is free takes what nobody else is preferred for, or would be free for.
  schedule.LosePlace(3);
  begun.erase(begun.begin(),
              std::find_if(begun.begin(), begun.end(), [](const Step& step) { return step.place != 3; }));
  std::erase_if(begun, [](const Step& step) { return step.place == 3; });
  places.erase(0);
  places.erase(1);
  while (!begun.empty()) {
    schedule.Succeeded(begun.front());
    begun.pop_front();
    begin();
  }
  EXPECT_TRUE(schedule.Done(0));
  EXPECT_EQ(places.size(), 9U);
}

// Nine stages, each of which reads the one before, on four slots: none waits for the slots of another one.
TEST(ScheduleTest, MoreStagesThanSlotsEnd) {
  std::vector<std::vector<int>> inputs(9);
  for (int stage = 1; stage < 9; ++stage) inputs[stage] = {stage - 1};
  Schedule schedule(inputs, 4);
  schedule.AddPlace(Schedule::kDriver, 1);
  schedule.AddPlace(1, 2);
  schedule.AddPlace(2, 2);
  int run = 0;
  for (int stage = 0; stage < 9; ++stage) {
    schedule.SetTasks(stage, std::vector<bool>(16, false));
    schedule.Aim(stage);
    while (!schedule.Done(stage)) {
      std::vector<Step> begun;
      while (const auto step = schedule.Next()) begun.push_back(*step);
      ASSERT_FALSE(begun.empty());
      ASSERT_LE(begun.size(), 4U);
      for (const Step& step : begun) {
        if (step.kind == Step::kTell) {
          schedule.Told(step);
        } else {
          schedule.Succeeded(step);
          ++run;
        }
      }
    }
  }
  EXPECT_EQ(run, 9 * 16);
}

// A thousand executors of four slots: each task is begun once, each executor told once for each stage, and deciding
// does not look at all of them each time, which would take this test minutes.
TEST(ScheduleTest, AThousandExecutorsCostStepsByTheirNumberOnly) {
  constexpr int kExecutors = 1000, kSlots = 4, kTasks = 40'000, kStages = 3;
  std::vector<std::vector<int>> inputs(kStages);
  for (int stage = 1; stage < kStages; ++stage) inputs[stage] = {stage - 1};
  Schedule schedule(inputs, 4);
  schedule.AddPlace(Schedule::kDriver, 2);
  for (int place = 1; place <= kExecutors; ++place) schedule.AddPlace(place, kSlots);
  int tells = 0, runs = 0;
  for (int stage = 0; stage < kStages; ++stage) {
    schedule.SetTasks(stage, std::vector<bool>(kTasks, false));
    schedule.Aim(stage);
    std::deque<Step> begun;
    while (!schedule.Done(stage)) {
      while (const auto step = schedule.Next()) begun.push_back(*step);
      ASSERT_FALSE(begun.empty());
      const Step step = begun.front();
      begun.pop_front();
      if (step.kind == Step::kTell) {
        ++tells;
        schedule.Told(step);
      } else {
        ++runs;
        schedule.Succeeded(step);
      }
    }
  }
  EXPECT_EQ(tells, kStages * kExecutors);
  EXPECT_EQ(runs, kStages * kTasks);
}

TEST(ScheduleTest, GivesUpATaskThatLosesFourExecutors) {
  Schedule schedule({{}}, 4);
  schedule.AddPlace(Schedule::kDriver, 1);
  schedule.SetTasks(0, {false});
  schedule.Aim(0);
  for (int place = 1; place <= 4; ++place) {
    ASSERT_TRUE(schedule.failure().ok());
    schedule.AddPlace(place, 1);
    schedule.Told(*schedule.Next());
    ASSERT_EQ(schedule.Next()->place, place);
    schedule.LosePlace(place);
  }
  EXPECT_EQ(
      schedule.failure().message(),
      "task 1 of stage 1 was tried 4 times, and each time its executor or another one that it read from was lost");
}

// Shards tell the pushes of a task's attempts apart by them.
TEST(ScheduleTest, AttemptsHaveGrowingNumbersAlsoOfWhatHadSucceeded) {
  Schedule schedule({{}}, 4);
  schedule.AddPlace(Schedule::kDriver, 1);
  schedule.SetTasks(0, {false});
  schedule.Aim(0);
  const auto run = [&](int place) {
    schedule.AddPlace(place, 1);
    schedule.Told(*schedule.Next());
    return *schedule.Next();
  };
  EXPECT_EQ(run(1).attempt, 0);
  schedule.LosePlace(1);
  const Step second = run(2);
  EXPECT_EQ(second.attempt, 1);
  schedule.Succeeded(second);
  EXPECT_TRUE(schedule.Done(0));
  schedule.LosePlace(2);
  EXPECT_EQ(run(3).attempt, 2);
}

TEST(ScheduleTest, WhatMustNotBeDoneTwiceEndsTheRunWhenItIsLost) {
  Schedule schedule({{}}, 4);
  schedule.AddPlace(Schedule::kDriver, 1);
  schedule.AddPlace(1, 1);
  schedule.AddPlace(2, 1);
  schedule.SetTasks(0, {false, false});
  schedule.GivesNoRows(0);
  schedule.RunOnce(0, "it draws lots");
  schedule.Aim(0);
  std::vector<Step> running;
  while (const auto step = schedule.Next()) {
    if (step->kind == Step::kTell) {
      schedule.Told(*step);
    } else {
      running.push_back(*step);
    }
  }
  ASSERT_EQ(running.size(), 2U);
  // Done is done, and there are no rows that could be lost.
  schedule.Succeeded(running[0]);
  schedule.LosePlace(running[0].place);
  EXPECT_TRUE(schedule.failure().ok());
  schedule.LosePlace(running[1].place);
  EXPECT_EQ(
      schedule.failure().message(),
      "task 2 of stage 1 pushes to a table and was lost with its executor; a part of its pushes may have been applied, "
      "and it is not tried again: it draws lots");
}

// The rows of a stage that has been read and released are gone; when rows made of them are lost, it runs again, too.
TEST(ScheduleTest, GoesBackAsFarAsItMust) {
  Schedule schedule({{}, {0}, {1}}, 4);
  schedule.AddPlace(Schedule::kDriver, 1);
  schedule.AddPlace(1, 1);
  const auto run_all = [&](int stage) {
    std::vector<int> ran;
    schedule.Aim(stage);
    while (!schedule.Done(stage)) {
      const auto step = schedule.Next();
      if (step->kind == Step::kTell) {
        schedule.Told(*step);
      } else {
        ran.push_back(step->stage);
        schedule.Succeeded(*step);
      }
    }
    return ran;
  };
  for (int stage = 0; stage < 3; ++stage) schedule.SetTasks(stage, {false});
  EXPECT_EQ(run_all(0), std::vector<int>{0});
  EXPECT_EQ(run_all(1), std::vector<int>{1});
  schedule.Release(0);
  schedule.LosePlace(1);
  schedule.AddPlace(2, 1);
  EXPECT_EQ(run_all(2), (std::vector<int>{0, 1, 2}));
}

}  // namespace
}  // namespace glim::cluster
