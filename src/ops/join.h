// SPDX-License-Identifier: Apache-2.0
//
// Joins in memory: the right side's rows are kept and indexed by key (JoinTable), the left side's stream by.
//
// All pairs of equal keys come out, in the left's order, then the right's; right rows without a partner come last. Rows
// out: the keys, the left's other columns, the right's other columns. nil equals nil. Where a side has no row for a key
// its columns are nil, as many as that side has anywhere (not only in this task); a side without any row has none.
//
// A join of two partitioned sides builds one table per task; HashJoin builds one for all tasks, which then share it.
#pragma once

#include <memory>
#include <vector>

#include "batch/join_kind.h"
#include "glim/batch_builder.h"
#include "ops/group_index.h"
#include "ops/operator.h"

namespace glim::ops {

// Right rows by key. Thread: Build by one; afterwards any may look.
class JoinTable {
 public:
  // `width`: of the right side's rows; 0 when it has none at all. `kind`: of the join that will use it.
  JoinTable(batch::JoinKind kind, std::vector<int> keys, int width, base::Reservation memory);

  Status Build(const Batch& right);
  // After the last Build.
  void Finish();

  const GroupIndex& index() const { return index_; }
  // All right rows, without their keys; for kLeft and kFull, nil_row() is one more, of nils. Those of group g are
  // order()[begins()[g]] .. order()[begins()[g + 1]].
  const Batch& rows() const { return rows_; }
  const std::vector<uint32_t>& begins() const { return begins_; }
  const std::vector<uint32_t>& order() const { return order_; }
  uint32_t nil_row() const { return static_cast<uint32_t>(group_of_row_.size()); }

 private:
  const batch::JoinKind kind_;
  const std::vector<int> keys_;
  const int width_;
  const std::vector<int> others_;
  GroupIndex index_;
  BatchBuilder builder_;
  Batch rows_;
  std::vector<uint32_t> group_of_row_;
  std::vector<uint32_t> begins_, order_;
  base::Reservation memory_;
  std::vector<uint32_t> groups_;
};

class JoinOperator : public Operator {
 public:
  // `left_width`: of the left side's rows, for the nils of right rows without a partner (kRight and kFull, which expect
  // the task's own table).
  JoinOperator(OperatorContext context, batch::JoinKind kind, std::vector<int> left_keys,
               std::shared_ptr<const JoinTable> table, int left_width);

 protected:
  Status DoPush(Batch batch) override;
  Status DoFinish() override;

 private:
  Status PushPairs(const Batch& left);
  Status Flush(const Batch& left);

  const batch::JoinKind kind_;
  const std::vector<int> keys_;
  const std::shared_ptr<const JoinTable> table_;
  const int left_width_;
  std::vector<bool> matched_;  // Per group.
  GroupIndex::Rows scratch_;
  std::vector<uint32_t> groups_;
  std::vector<uint32_t> left_rows_, right_rows_;  // Of the batch that is being made.
};

// A row for each key of either side: the keys, the list of the left's rows, the list of the right's rows. A row in such
// a list is the list of its other fields.
class CoGroupOperator : public Operator {
 public:
  CoGroupOperator(OperatorContext context, std::vector<int> left_keys, std::vector<int> right_keys);

  // All of the right side, before the first Push.
  Status Build(const Batch& right) { return Add(right, right_keys_, &right_).With(context().step_name); }

 protected:
  Status DoPush(Batch left) override { return Add(left, left_keys_, &left_); }
  Status DoFinish() override;

 private:
  struct Side {
    ColumnBuilder rows;  // Lists.
    std::vector<uint32_t> group_of_row;
  };
  Status Add(const Batch& batch, const std::vector<int>& keys, Side* side);
  Column Lists(Side* side) const;

  const std::vector<int> left_keys_, right_keys_;
  GroupIndex index_;
  Side left_, right_;
  base::Reservation memory_;
  std::vector<uint32_t> groups_;
};

}  // namespace glim::ops
