// SPDX-License-Identifier: Apache-2.0
//
// Steps that work on a table: Lookup pulls the row of each key, PushTo pushes each row. One request per batch; but the
// pushes of a task that may be run again are cut by the number of rows alone, so that each attempt makes the same ones
// (param/task_table.h), and a few of them are under way at once.
//
// A key is an integer (or a double without fraction); in a sparse table a negative one is the key with the same 64
// bits. Bytes are no keys: hash them first.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "glim/table.h"
#include "ops/operator.h"

namespace glim::ops {

// Rows out: all columns, then the table's row: as many columns as the table is wide.
class LookupOperator : public Operator {
 public:
  LookupOperator(OperatorContext context, TableHandle table, int key_column)
      : Operator(std::move(context)), table_(std::move(table)), key_column_(key_column) {}

 protected:
  Status DoOpen() override;
  Status DoPush(Batch batch) override;

 private:
  TableHandle table_;
  int key_column_;
};

// Rows in: the key, then as many values as the table is wide. No rows out.
class PushToOperator : public Operator {
 public:
  // `again`: the task may be run again, and `table` is the task's.
  PushToOperator(OperatorContext context, TableHandle table, bool again = false)
      : Operator(std::move(context)), table_(std::move(table)), again_(again) {}

  // Of a push of a task that may be run again: 4096 rows, but fewer of wide ones.
  static size_t RowsPerPush(const TableSpec& spec);

 protected:
  Status DoOpen() override;
  Status DoPush(Batch batch) override;
  Status DoFinish() override;

 private:
  static constexpr size_t kUnderWayMax = 8;

  // Pushes what was gathered, once it is `rows_min` rows.
  Status PushGathered(size_t rows_min);

  const TableHandle table_;
  const bool again_;
  std::vector<Key> keys_;
  std::vector<std::byte> values_;
  std::deque<Future<void>> under_way_;
};

// Rows of a table (`values`: back to back, of the spec's type) as one column per value.
std::vector<Column> TableColumns(const TableSpec& spec, std::span<const std::byte> values, int64_t rows);

}  // namespace glim::ops
