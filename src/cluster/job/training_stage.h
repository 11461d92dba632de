// SPDX-License-Identifier: Apache-2.0
//
// Snapshots in the midst of a stage that trains, on executors: when one is due no task is begun any more, those at work
// end, and so do those that must be tried again, since they have pushed a part of their rows. Then the snapshot is
// taken of the tasks that have run, and the stage goes on. What an earlier program's snapshot has is left out.
//
// A straggler holds a snapshot up, and executors have nothing to do until it is taken: the price of a snapshot that
// knows of whole tasks only.
//
// Thread: the driver's.
#pragma once

#include "cluster/job/job_log.h"
#include "cluster/job/schedule.h"
#include "exec/checkpoints.h"
#include "exec/plan_tasks.h"

namespace glim::cluster {

class TrainingStage {
 public:
  // `checkpoints` may be null: then nothing is done. All outlive this.
  TrainingStage(exec::Checkpoints* checkpoints, Schedule* schedule, JobLog* log)
      : checkpoints_(checkpoints), schedule_(*schedule), log_(*log) {}

  // A stage is aimed at, whether it trains or not, and nothing of it was begun.
  Status Begin(const plan::Plan& plan, const exec::PlanTasks& tasks, int stage);
  // Between two looks at the schedule. True: one was taken, and there are tasks to begin again.
  Result<bool> TakeSnapshot();
  // The stage is done.
  void End();

 private:
  exec::Checkpoints* const checkpoints_;
  Schedule& schedule_;
  JobLog& log_;
  int stage_ = -1;  // That trains, or -1.
  int tasks_ = 0;
  bool resting_ = false;  // No task is begun before the snapshot is taken.
};

}  // namespace glim::cluster
