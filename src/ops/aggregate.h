// SPDX-License-Identifier: Apache-2.0
//
// Operators that fold or collect the rows of each key: ReduceBy and Reduce (ReduceOperator), GroupBy (GroupOperator).
//
// ReduceBy runs twice: a combining one in each task before the exchange, and a merging one behind it. When memory is
// short, the combining one gives its groups away and starts anew, because the merging one will join them; the merging
// one deals its groups, and GroupOperator its rows, out to parts that are done one after the other. What one key needs
// must fit.
//
// Where nearly each row has a key of its own, combining costs more than it saves: the rows pass as they are for a
// while, each the state of a group.
#pragma once

#include <memory>
#include <vector>

#include "glim/batch_builder.h"
#include "ops/group_index.h"
#include "ops/operator.h"

namespace glim::ops {

// What a ReduceOperator takes and gives: rows, or states of groups that another one goes on with.
enum class ReducePhase {
  kCombine,  // Rows, states.
  kMerge,    // States, rows.
  kWhole,    // Rows, rows.
};

// Rows out: the keys in the order given, then the folded values. No keys: one group of all rows.
class ReduceOperator : public Operator {
 public:
  ReduceOperator(OperatorContext context, std::vector<int> keys, std::shared_ptr<const Function> function,
                 ReducePhase phase, int level = 0);

 protected:
  Status DoOpen() override;
  Status DoPush(Batch batch) override;
  Status DoFinish() override;

 private:
  Status Restart();
  // Are most rows so far groups of their own, and would there be a million groups and more, at the rate at which the
  // batch brought new ones?
  bool TooManyKeys(int64_t rows, int64_t new_groups) const;
  // Each row as the state of a group.
  Status PassOn(const Batch& batch);
  // Gives the groups so far, keys first, as states or as rows, to the parts, or on when `parts` is null. There are none
  // afterwards.
  Status GiveGroups(bool states, exchange::PartitionWriter* parts);
  Status Spill();
  // `keys`: of the rows or groups that the reducer was at.
  Status WithKey(Status status, const Batch& keys) const;

  const std::vector<int> keys_;
  const std::shared_ptr<const Function> function_;
  const ReducePhase phase_;
  const int level_;
  std::vector<int> values_;  // The columns that are no keys, once the width is known.
  int width_ = -1;
  int64_t combined_rows_ = 0;  // In the groups.
  int64_t passing_rows_ = 0;   // So many rows are not combined.
  std::unique_ptr<GroupIndex> index_;
  std::unique_ptr<Reducer> reducer_;
  base::Reservation memory_;
  std::vector<uint32_t> groups_;
  std::unique_ptr<exchange::Exchange> parts_;  // Once memory was short: groups, keys first.
  std::unique_ptr<exchange::PartitionWriter> writer_;
};

// Rows out: the keys, then for each other column the list of its values in the order they came.
class GroupOperator : public Operator {
 public:
  GroupOperator(OperatorContext context, std::vector<int> keys, int level = 0);

 protected:
  Status DoPush(Batch batch) override;
  Status DoFinish() override;

 private:
  // Moves the rows so far to the parts.
  Status Spill();

  const std::vector<int> keys_;
  const int level_;
  std::vector<int> values_;
  int width_ = -1;
  std::unique_ptr<GroupIndex> index_;
  BatchBuilder rows_;  // The value columns of all rows.
  std::vector<uint32_t> group_of_row_;
  base::Reservation memory_;
  std::vector<uint32_t> groups_;
  std::unique_ptr<exchange::Exchange> parts_;  // Once memory was short: rows, keys first.
  std::unique_ptr<exchange::PartitionWriter> writer_;
};

}  // namespace glim::ops
