// SPDX-License-Identifier: Apache-2.0
//
// Joins: the right side's rows are kept and indexed by key (JoinTable), the left side's stream by.
//
// All pairs of equal keys come out; rows out: the keys, the left's other columns, the right's other columns. nil equals
// nil. Where a side has no row for a key its columns are nil, as many as that side has anywhere (not only in this
// task); of a side without any row, as many as are known
// without one. When the right side fits into memory, pairs come in the left's order, then
// the right's, and right rows without a partner last.
//
// A join of two partitioned sides builds one table per task; HashJoin builds one for all tasks, which then share it and
// which must fit. A task's right side that does not fit is dealt out to parts, and so are the left rows; each part is
// then joined by itself. What cannot be dealt out, because it has one key, is joined piece by piece: each piece of the
// right side that fits with all left rows, from disk.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "batch/join_kind.h"
#include "glim/batch_builder.h"
#include "ops/group_index.h"
#include "ops/operator.h"

namespace glim::ops {

// What the keys of both sides are, to tell who joins numbers with texts that nothing matched and why.
// Thread: any; shared by the tasks of a join.
class KeyKinds {
 public:
  explicit KeyKinds(size_t keys) : left_(keys), right_(keys) {}
  void AddLeft(const Batch& batch, const std::vector<int>& keys) { Add(batch, keys, &left_); }
  void AddRight(const Batch& batch, const std::vector<int>& keys) { Add(batch, keys, &right_); }
  void SetMatched() { matched_.store(true, std::memory_order_relaxed); }
  bool matched() const { return matched_.load(std::memory_order_relaxed); }
  // What was seen so far, for the same join's in another process, which adds it to its own.
  std::string Seen() const;
  void AddSeen(std::string_view seen);
  // "key 1 is a number on the left, bytes on the right"; empty when they may have met.
  std::string WhyNothingMatched() const;

 private:
  using Kinds = std::vector<std::atomic<uint8_t>>;  // Of each key, a bit for each kind that was seen.
  static void Add(const Batch& batch, const std::vector<int>& keys, Kinds* kinds);

  Kinds left_, right_;
  std::atomic<bool> matched_{false};
};

// Right rows by key. Thread: Add by one; afterwards any may look.
class JoinTable {
 public:
  // `width`: of the right side's rows; 0 when it has none at all and nobody knows. `kind`: of the join that will use
  // it.
  JoinTable(batch::JoinKind kind, std::vector<int> keys, int width, base::Reservation memory);

  // The caller reserves what memory_bytes() says then in memory().
  Status Add(const Batch& right);
  // What room for the keys of so many rows takes besides, if nearly all so far have one of their own; else 0.
  int64_t BytesToReserve(int64_t rows) const;
  void Reserve(int64_t rows) { index_.Reserve(static_cast<size_t>(rows)); }
  // After the last Add.
  void Finish();

  int64_t memory_bytes() const;
  base::Reservation* memory() { return &memory_; }

  // Before Finish: gives the rows added, keys first, to `to`; there are none afterwards.
  Status GiveRows(exchange::PartitionWriter* to);
  // The columns that the table keeps, keys first.
  std::vector<int> KeptColumns() const;

  const GroupIndex& index() const { return index_; }
  // All right rows, without their keys; for kLeft and kFull, nil_row() is one more, of nils. Those of group g are
  // order()[begins()[g]] .. order()[begins()[g + 1]]. Of kSemi and kAnti only the keys are kept.
  const Batch& rows() const { return rows_; }
  const std::vector<uint32_t>& begins() const { return begins_; }
  const std::vector<uint32_t>& order() const { return order_; }
  uint32_t nil_row() const { return static_cast<uint32_t>(group_of_row_.size()); }

 private:
  const batch::JoinKind kind_;
  const std::vector<int> keys_;
  const int width_;
  std::vector<int> others_;
  GroupIndex index_;
  BatchBuilder builder_;
  Batch rows_;
  std::vector<uint32_t> group_of_row_;
  std::vector<uint32_t> begins_, order_;
  base::Reservation memory_;
  std::vector<uint32_t> groups_;
};

// The right side of a join, as its operator gets it.
struct RightSide {
  std::vector<int> keys;
  int width = 0;                                      // 0: it has no rows anywhere, and nobody knows.
  std::shared_ptr<const JoinTable> table;             // That of all tasks, or
  std::unique_ptr<exchange::PartitionReader> reader;  // the task's rows:
  int64_t rows = 0;                                   // so many.
};

class JoinOperator : public Operator {
 public:
  // `left_width`: of the left side's rows, for the nils of right rows without a partner (kRight and kFull, which expect
  // the task's own rows).
  JoinOperator(OperatorContext context, batch::JoinKind kind, std::vector<int> left_keys, RightSide right,
               int left_width, KeyKinds* kinds = nullptr, int level = 0);

 protected:
  // Reads the right side.
  Status DoOpen() override;
  Status DoPush(Batch batch) override;
  Status DoFinish() override;

 private:
  // The next piece of the right side that fits; false when some is left.
  Result<bool> BuildTable();
  Status DealOut(JoinTable* table);
  // Rows of a batch, given their groups in the table.
  Status Match(const Batch& left);
  Status PushPairs(const Batch& left, bool keep_left);
  Status Flush(const Batch& left);
  // Right rows without a partner.
  Status PushRightAlone();
  Status JoinParts();
  Status JoinPieces();
  Status JoinPiece();
  // Left rows that met no piece, or for kSemi those that did.
  Status PushLeftAlone();

  const batch::JoinKind kind_;
  const std::vector<int> keys_;
  RightSide right_;
  const int left_width_;
  KeyKinds* const kinds_;  // May be null.
  const int level_;
  std::shared_ptr<const JoinTable> table_;
  std::vector<bool> matched_;  // Per group.
  GroupIndex::Rows scratch_;
  std::vector<uint32_t> groups_;
  std::vector<uint32_t> left_rows_, right_rows_;  // Of the batch that is being made.

  // Once memory was short: the left rows, and the right ones unless they come piece by piece.
  std::unique_ptr<exchange::Exchange> left_parts_, right_parts_;
  std::unique_ptr<exchange::PartitionWriter> left_writer_;
  std::vector<bool> left_matched_;  // Piece by piece: per left row.
};

// A row for each key of either side: the keys, the list of the left's rows, the list of the right's rows. A row in such
// a list is the list of its other fields. Sides that do not fit are dealt out to parts; what one key has must fit.
class CoGroupOperator : public Operator {
 public:
  CoGroupOperator(OperatorContext context, std::vector<int> left_keys, RightSide right, int level = 0);

 protected:
  // Reads the right side.
  Status DoOpen() override;
  Status DoPush(Batch left) override { return Add(left, keys_, &left_side_); }
  Status DoFinish() override;

 private:
  struct Side {
    ColumnBuilder rows;  // Lists.
    std::vector<uint32_t> group_of_row;
    std::unique_ptr<exchange::Exchange> parts;  // Once memory was short: rows of the keys and such a list.
    std::unique_ptr<exchange::PartitionWriter> writer;
  };
  Status Add(const Batch& batch, const std::vector<int>& keys, Side* side);
  // The rows with all but the keys in a list.
  Batch Packed(const Batch& batch, const std::vector<int>& keys) const;
  Status Spill();
  Status Spill(Side* side);
  Status GiveGroups();

  const std::vector<int> keys_;
  RightSide right_;
  const int level_;  // Above 0, rows are packed.
  std::unique_ptr<GroupIndex> index_;
  Side left_side_, right_side_;
  base::Reservation memory_;
  std::vector<uint32_t> groups_;
};

}  // namespace glim::ops
