// SPDX-License-Identifier: Apache-2.0
//
// Steps that work on a table: Lookup pulls the row of each key, PushTo pushes each row. One request per batch.
//
// A key is an integer (or a double without fraction); in a sparse table a negative one is the key with the same 64
// bits. Bytes are no keys: hash them first.
#pragma once

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
  PushToOperator(OperatorContext context, TableHandle table) : Operator(std::move(context)), table_(std::move(table)) {}

 protected:
  Status DoOpen() override;
  Status DoPush(Batch batch) override;

 private:
  TableHandle table_;
};

// Rows of a table (`values`: back to back, of the spec's type) as one column per value.
std::vector<Column> TableColumns(const TableSpec& spec, std::span<const std::byte> values, int64_t rows);

}  // namespace glim::ops
