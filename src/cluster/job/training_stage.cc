// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/training_stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/try.h"

namespace glim::cluster {

Status TrainingStage::Begin(const plan::Plan& plan, const exec::PlanTasks& tasks, int stage) {
  resting_ = false;
  stage_ = checkpoints_ != nullptr && exec::Trains(plan, stage) ? stage : -1;
  if (stage_ < 0) return Status::Ok();
  const exec::TrainingParts parts = exec::PartsOf(plan, tasks, stage);
  tasks_ = parts.count;
  ASSIGN_OR_RETURN(const std::vector<bool> done, checkpoints_->Begin(parts));
  for (int task = 0; task < tasks_; ++task) {
    if (done[task]) (void)schedule_.Skip(stage, task);
  }
  if (const auto skipped = std::count(done.begin(), done.end(), true); skipped > 0)
    log_.Say(fmt::format("stage {}: {} tasks are in the snapshot that it goes on from", stage + 1, skipped));
  return Status::Ok();
}

Result<bool> TrainingStage::TakeSnapshot() {
  if (stage_ < 0 || schedule_.Done(stage_)) return false;
  if (!resting_ && checkpoints_->Due()) {
    schedule_.Hold(stage_);
    resting_ = true;
  }
  if (!resting_ || !schedule_.IsAtRest(stage_)) return false;
  std::vector<bool> done;
  for (int task = 0; task < tasks_; ++task) done.push_back(schedule_.HasRun(stage_, task));
  RETURN_IF_ERROR(checkpoints_->Take(done));
  schedule_.GoOn(stage_);
  resting_ = false;
  log_.Say(fmt::format("stage {}: a snapshot with {} of {} tasks was taken", stage_ + 1,
                       std::count(done.begin(), done.end(), true), tasks_));
  return true;
}

void TrainingStage::End() {
  if (stage_ >= 0) checkpoints_->End();
}

}  // namespace glim::cluster
