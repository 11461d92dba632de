// SPDX-License-Identifier: Apache-2.0
//
// Decides which task of a run is tried next, and where. A state machine: no threads, no clock, no I/O; the driver
// (driver.h) asks it, and tells it what happened.
//
// Stages run one after the other, so that no stage waits for the slots of another one and nothing can deadlock. The
// rows that a task gives stay where it ran until no stage needs them any more. A place that is lost takes its rows with
// it: those still needed are made again elsewhere, and for that, as far back as it must be, the rows they were made of.
//
// Place 0 is the driver, which is never lost; executors have numbers from 1 on, none of which comes twice. A task is
// bound to the driver (its source or its sink is there), to the executors, or to those of one host, whose files it
// reads.
//
// Before tasks of a stage run at a place, the place is told how the stage is cut and where its inputs are (kTell), and
// again when an input had to be made anew, for which it has no task of that stage or of its inputs at work.
//
// A straggler is a task that takes much longer than its fellows; its machine may be busy, or its disk ill. When a slot
// has nothing else to do, it is begun a second time elsewhere. The first of both to end wins, and its rows are the
// task's; the other one is left over: what it gives is dropped, and until it has ended nobody tells its place where the
// rows are that it is about to write. Should the winner's rows be lost, it is an attempt like any other again. Only
// stages of which that was said (MayRace) have tasks at work twice.
//
// Thread: one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "glim/status.h"

namespace glim::cluster {

class Schedule {
 public:
  static constexpr int kDriver = 0;
  static constexpr int kNoHost = -1;

  // `inputs`: for each stage the stages before it whose rows its tasks read. A task is tried `attempts_max` times.
  Schedule(std::vector<std::vector<int>> inputs, int attempts_max);

  // `host`: a number of its machine, where any task is bound to one.
  void AddPlace(int place, int slots, int host = kNoHost);
  // All that ran there is to run again, and its rows are gone.
  void LosePlace(int place);
  int place_count() const { return static_cast<int>(places_.size()); }  // The driver included.

  // When the number of the stage's tasks is known. `at_driver`: for each task.
  void SetTasks(int stage, std::vector<bool> at_driver);
  // Where alone each of them can be run; kNoHost: at any executor. Before anything else is said of the stage but
  // SetTasks. Expects: none of these is bound to the driver.
  void BindToHosts(int stage, std::vector<int> hosts);
  // A host without a place, of which tasks that could be begun are waiting; kNoHost: there is none.
  int HostAwaited() const;
  // Its tasks give no rows: what ran stays done when its place is lost.
  void GivesNoRows(int stage) { stages_[stage].gives_rows = false; }
  // Its tasks do what must not be done twice, and why: one that was at work when its place was lost ends the run.
  void RunOnce(int stage, std::string why) { stages_[stage].once = std::move(why); }
  // Task i is best run where task i of that input ran.
  void RunBeside(int stage, int input) { stages_[stage].beside = input; }
  // Its tasks may be at work in two places at once: one that has taken longer than `after`, and than so many `medians`
  // of those that have run, which are as many as those at work. Where tasks push to a table, a later attempt shuts the
  // earlier one out with its first push, which may have been about to win, and ends with RowsLost then: more medians
  // are due there. Expects: it is not RunOnce.
  void MayRace(int stage, int64_t after, int medians);
  // The time, in any unit. Never goes back.
  void Tick(int64_t now) { now_ = now; }
  // Each task is best run at a place of its own, as long as that is there. Expects: SetTasks.
  void Prefer(int stage, std::vector<int> places);
  // From now on the tasks of this stage are wanted. Expects: SetTasks, also of its inputs.
  void Aim(int stage) { aim_ = stage; }
  // Tasks of the stage that were never begun stay so, until it goes on: it comes to rest.
  void Hold(int stage);
  void GoOn(int stage);
  // No task of it is at work, or was begun and must be tried again.
  bool IsAtRest(int stage) const;
  // All of its tasks have run, and none of its rows were lost since.
  bool Done(int stage) const;
  int aim() const { return aim_; }
  // Nobody needs its rows any more, unless rows made of them are lost. Expects: neither this stage nor one that reads
  // it is at work.
  void Release(int stage);
  // A task of it is, or a place is being told of it: what is made again need not be wanted any more, and goes on.
  bool IsAtWork(int stage) const;
  bool released(int stage) const { return stages_[stage].released; }

  struct Step {
    enum Kind { kTell, kRun } kind = kRun;
    int place = 0;
    int stage = 0;
    int task = 0;         // Of kRun, as is
    int attempt = 0;      // from 0, each larger than all before it, also when the task had succeeded meanwhile.
    bool second = false;  // An earlier attempt is at work, too.
  };
  // What can be begun now; nullopt: wait until something that was begun has ended.
  std::optional<Step> Next();

  // The ends of a kTell. What it takes from inputs could not be read: it is to be told again.
  void Told(const Step& step);
  Status NotTold(const Step& step);
  // The ends of a kRun. `rows_lost`: an input could not be read, it is to be tried again; fails when it was tried often
  // enough. What comes of a place that was lost meanwhile is not to be told.
  void Succeeded(const Step& step);
  Status RowsLost(const Step& step);
  // Nobody needs the rows of a task that has not run: it counts as run, at the driver, without rows. An attempt at work
  // is left over. False, and nothing is done, when two are.
  bool Skip(int stage, int task);
  // The rows of the task are there without what this attempt gave. Its end is told by Dropped alone.
  bool IsLeftOver(const Step& step) const;
  void Dropped(const Step& step);
  // Another attempt of the task is at work, too: after RowsLost it goes on.
  bool IsRace(const Step& step) const;
  // Where an attempt of a task that has run, or was skipped, is left over.
  std::optional<int> LeftOverOf(int stage, int task) const;
  // Where the step looked for rows is not where they are, or will be: it can be tried again at once.
  bool InputsMovedSince(const Step& step) const;
  // Somebody else has the rows of the task now.
  void Move(int stage, int task, int place);
  // They are gone.
  void LoseRows(int stage, int task);

  // Why the run cannot go on: a task was tried often enough, or must not be tried again.
  const Status& failure() const { return failure_; }
  // Where the rows of a task are. Expects: it has run.
  int PlaceOf(int stage, int task) const { return stages_[stage].tasks[task].place; }
  bool HasRun(int stage, int task) const { return stages_[stage].tasks[task].state == Task::kDone; }

 private:
  struct Task {
    enum State : uint8_t { kWaiting, kRunning, kDone } state = kWaiting;
    bool at_driver = false;
    int host = kNoHost;
    int place = -1;      // Of kRunning and kDone.
    int attempts = 0;    // Begun.
    int avoid = -1;      // It failed there.
    int64_t begun = 0;   // When, of the first attempt of those at work.
    bool raced = false;  // It was begun a second time; that is done once.
  };
  struct Stage {
    std::vector<int> inputs;
    int beside = -1;
    std::vector<Task> tasks;
    // Those of kWaiting, for executors, for the driver and for hosts, but for those that are held.
    std::set<int> waiting, waiting_at_driver;
    std::map<int, std::set<int>> waiting_at_host;
    std::set<int> held;
    std::vector<int> preferred;                // Of each task; empty: all places are alike.
    std::map<int, std::set<int>> waiting_for;  // Those of `waiting` that prefer a place.
    int done = 0;
    bool released = false;
    bool gives_rows = true;
    std::string once;      // Why; empty: they may run again.
    uint64_t version = 1;  // Counts the changes of where its inputs are.
    int not_told = 0;
    std::optional<int64_t> race_after;
    int race_medians = 0;
    std::map<int, int> others;                // Of tasks at work twice or left over: where else than at Task::place.
    std::set<std::pair<int64_t, int>> since;  // With race_after, tasks at work that were not raced: when begun, which.
    std::vector<int64_t> took;                // And those that have run.
    std::pair<size_t, int64_t> median = {0, 0};  // Of the first so many in `took`.
  };
  struct Place {
    int slots = 0;
    int host = kNoHost;
    int running = 0;
    bool telling = false;
    int telling_of = -1;                  // The stage.
    int listed = 0;                       // With so many free slots it is in free_; 0: it is not.
    std::map<int, uint64_t> told;         // By stage: which version.
    std::map<int, int> running_of_stage;  // By stage.
  };

  static std::set<int>& WaitingLike(Stage& stage, const Task& task);
  // The stage whose tasks are to run so that those of `stage` can: itself, or an input that is not whole.
  int Missing(int stage);
  // What it gave is gone.
  void MarkWaiting(int stage, int task);
  // An attempt at work has ended without rows, or its place has. True: the other one goes on.
  bool GoesOn(Stage& stage, int task, int place);
  void Wait(int stage, int task);
  Step Begin(int stage, int task, int place);
  // After its slots or what it is told has changed.
  void List(int number);
  bool IsFree(const Stage& stage, int stage_number, const Place& place) const;
  void KeepFailure(Status status);
  // Where rows of this stage are has changed.
  void Moved(int stage);
  std::optional<int> PlaceFor(int stage, int task) const;
  // A task that waits, and a place that it prefers and that is free.
  std::optional<std::pair<int, int>> Preferred(int stage) const;
  // A task that waits for a host, and a place on it that is free.
  std::optional<std::pair<int, int>> AtItsHost(int stage) const;
  std::optional<Step> Race(int stage);
  static int64_t MedianOf(Stage& stage);
  void EndRun(const Step& step);
  Status TriedOften(const Step& step) const;

  const int attempts_max_;
  std::vector<Stage> stages_;
  std::map<int, Place> places_;
  // Executors that could run a task: those with the most free slots first. With a thousand of them nobody looks at all.
  std::set<std::pair<int, int>> free_;  // Minus their number, and the place.
  int aim_ = -1;
  int at_work_on_ = -1;  // The stage whose tasks were to be begun last.
  int64_t now_ = 0;
  Status failure_;
};

}  // namespace glim::cluster
