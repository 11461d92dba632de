// SPDX-License-Identifier: Apache-2.0
//
// Tables as a step of a task pushes to them, so that a task that is run again pushes once: under a name that follows
// from job, stage, partition and step, with the number of the attempt. A shard numbers what that name pushes, and
//
//   - passes over the pushes that an earlier attempt had brought to it, and takes those that come after;
//   - refuses an earlier attempt that is still at work, from the first word of a later one on: its calls answer kStale.
//
// That holds for attempts in one process or in several, and whatever becomes of servers and connections, under these
// conditions on the task:
//
//   - Each attempt makes the same pushes to a table: the same keys and values in the same order and in the same cuts (a
//     push of 100 rows is not two of 50). So its input is the same, batch by batch, its random numbers are seeded by
//     the task, and what it pushes does not depend on what it pulls while others push.
//   - It pushes from one thread at a time; a push that follows others (`after`) waits for them in the call.
//   - All its pushes are done before it says that it is (WaitForPushes), and an attempt in which a call failed has
//     failed. Where a part of a push was not made in time, the table takes no more of that attempt.
//
// A PushPull of a later attempt gives the rows as they are then, not as the first attempt saw them. All else (Save,
// Describe, Join and so on) is the table's; workers with a clock have attempts of their own.
//
// Shards keep 40 bytes for each task that has pushed.
//
// Thread: the task's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "glim/table.h"
#include "glim/udf.h"
#include "param/replication/messages.h"

namespace glim::param {

struct TaskAttempt {
  std::string job;  // Of one run of one flow, and no other.
  uint32_t stage = 0;
  uint32_t partition = 0;
  uint32_t step = 0;     // Steps of a task take turns as their rows come, so each has a name of its own.
  uint64_t attempt = 0;  // Later ones have larger numbers.
};
Producer ProducerOf(const TaskAttempt& task);

class PushesOfTask;

// The tables of a step in one attempt; keep it as long as the attempt runs, and make one only: a second one would
// number its pushes from 1 on, too, and they would pass for those of the first.
class TaskTables final : public TablesOfTask {
 public:
  explicit TaskTables(TaskAttempt task);
  ~TaskTables() override;
  TaskTables(const TaskTables&) = delete;

  // The same handle for the same table. A table that is not on servers, or that is a worker, is given back as it is.
  Result<TableHandle> Of(const TableHandle& table) override;
  // Until all pushes are done, whatever became of them, also those whose futures were let go of.
  void WaitForPushes();
  // Why the attempt has failed, also when nobody looked at what became of a push: one of them is not made, or not known
  // to be. A push that made no sense (kInvalid) makes none in any attempt.
  Status failure() const;

 private:
  const TaskAttempt task_;
  const std::shared_ptr<PushesOfTask> pushes_;
  std::map<TableHandle, TableHandle> tables_;
};

}  // namespace glim::param
