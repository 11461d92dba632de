// SPDX-License-Identifier: Apache-2.0
//
// Inner join in memory: the right side's rows of a partition are kept and indexed by key, the left side's stream by.
// All pairs come out, in the left's order, then the right's. Rows out: the keys, the left's other columns, the right's
// other columns. nil equals nil.
//
// The task first gives all right batches to Build, then pushes the left ones.
#pragma once

#include <vector>

#include "glim/batch_builder.h"
#include "ops/group_index.h"
#include "ops/operator.h"

namespace glim::ops {

class JoinOperator : public Operator {
 public:
  JoinOperator(OperatorContext context, std::vector<int> keys);

  Status Build(const Batch& right);
  // After the last Build.
  void EndBuild();

 protected:
  Status DoPush(Batch batch) override;

 private:
  Status DoBuild(const Batch& right);

  const std::vector<int> keys_;
  GroupIndex index_;
  BatchBuilder builder_;
  Batch right_;  // All right rows, without their keys.
  int right_width_ = -1;
  std::vector<uint32_t> group_of_row_;
  std::vector<uint32_t> begins_, order_;  // Right rows by group.
  base::Reservation memory_;
  std::vector<uint32_t> groups_;
};

}  // namespace glim::ops
