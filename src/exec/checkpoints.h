// SPDX-License-Identifier: Apache-2.0
//
// How a run that trains tables leaves traces from which a later program can go on (glim/training.h): between two tasks
// of a stage that trains, with none at work, the tables are as a set of whole tasks has made them. Whoever runs the
// stage brings it to rest when a snapshot is due, says which tasks have run, and goes on; a later run of the same flow
// leaves these out.
//
// A stage trains when its rows go nowhere: it ends in ForEach, ForEachBatch or PushTo. A task of it is a part of the
// data, so its input must be that of its namesake in the other program; CanGoOnWithin tells.
//
// Thread: Due from any; the rest from the one that runs the plan, while no task runs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "glim/status.h"
#include "plan/processes.h"

namespace glim::exec {

class PlanTasks;

// The parts that the tasks of a stage are.
struct TrainingParts {
  int step = -1;             // That the stage ends with.
  std::string name;          // Of that step, for messages.
  uint64_t fingerprint = 0;  // Equal for equal files, cut alike, behind the same steps.
  int count = 0;
};

class Checkpoints {
 public:
  virtual ~Checkpoints() = default;
  // Such a run begins whose stages cannot be gone on with, and why: they are not asked about.
  virtual Status BetweenPassesOnly(const Status& why) = 0;
  // A stage begins. Which of its tasks are in the tables already; kInvalid when the snapshot that the program goes on
  // from is of other parts.
  virtual Result<std::vector<bool>> Begin(const TrainingParts& parts) = 0;
  // It is time for a snapshot.
  virtual bool Due() = 0;
  // Takes it: of that stage the tasks `done` have run, and no other has begun. It may be written later.
  virtual Status Take(const std::vector<bool>& done) = 0;
  // All tasks of the stage have run.
  virtual void End() = 0;
};

// Whether the stage trains, as a stage of its own.
bool Trains(const plan::Plan& plan, int stage);
// Of a stage that trains. Expects: it and those before it are shaped.
TrainingParts PartsOf(const plan::Plan& plan, const PlanTasks& tasks, int stage);
// A program that builds the same flow later has the same rows in each task of its stages that train, as far as can be
// seen. Else why not: for the log.
Status CanGoOnWithin(const plan::SpreadPlan& spread, const std::vector<plan::FunctionFacts>& facts);

}  // namespace glim::exec
