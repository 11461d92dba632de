// SPDX-License-Identifier: Apache-2.0
//
// Builds columns and batches value by value. A column takes the type of its first value and widens by itself: nils
// before and after are fine; integers and doubles mix as doubles while every integer stays exact (below 2^53); anything
// else becomes an `any` column.
//
// Bytes are copied into blocks of the builder, except when they are given as views into blocks that the builder was
// told to share.
//
// Thread: one.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "glim/batch.h"

namespace glim {

class ColumnBuilder {
 public:
  ColumnBuilder();
  ColumnBuilder(ColumnBuilder&&) noexcept;
  ColumnBuilder& operator=(ColumnBuilder&&) noexcept;
  ~ColumnBuilder();

  void AppendNull();
  void AppendBool(bool value);
  void AppendInt64(int64_t value);
  void AppendDouble(double value);
  // Copies.
  void AppendBytes(std::string_view value);
  // Of any type; bytes are copied.
  void Append(const Cell& value);
  void Append(const Value& value) { Append(value.cell()); }
  // All rows of `column` named by `rows`; bytes are copied, so that the blocks of `column` are not kept.
  void AppendRows(const Column& column, std::span<const uint32_t> rows);
  void AppendColumn(const Column& column);

  // Bytes without a copy: first ShareBlocks, then views of that column's blocks. Sharing other blocks later is allowed.
  // `base` is what must be added to a view's block number (done by AppendView).
  void ShareBlocks(const Blocks& blocks);
  void AppendView(const BytesView& view);
  // Part of a block shared last: `data` lies in its block number `block` at `offset`.
  void AppendShared(const char* data, uint32_t size, uint32_t block, uint32_t offset);

  // Room for `count` rows behind those that are there, which the caller writes himself: AddRows says how many of them
  // count. Null when the column is of another type or has nils. Between the two nothing but LongView may be called.
  int64_t* Int64Room(int64_t count);
  double* DoubleRoom(int64_t count);
  BytesView* BytesRoom(int64_t count);
  void AddRows(int64_t written);
  // A view for BytesRoom of bytes that it does not hold itself. If they lie in a block of `near` (may be null), that
  // block is shared, else they are copied.
  BytesView LongView(std::string_view value, const Blocks& near);

  // The list of the elements appended to `elements()` since the last call.
  ColumnBuilder& elements();
  void AppendList();

  int64_t length() const;
  // Roughly, without shared blocks.
  int64_t memory_bytes() const;
  // The column so far; the builder is empty afterwards.
  Column Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class BatchBuilder {
 public:
  // Starts with no columns; the first row decides how many there are unless `column_count` is given.
  explicit BatchBuilder(int column_count = 0) { columns_.resize(column_count); }

  int column_count() const { return static_cast<int>(columns_.size()); }
  ColumnBuilder& column(int i) { return columns_[i]; }
  int64_t row_count() const { return row_count_; }
  // Call once after each row's columns were appended.
  void EndRow() { ++row_count_; }
  // For kernels that append whole columns.
  void EndRows(int64_t count) { row_count_ += count; }
  // Expects: as many values as columns, or no row yet.
  void AppendRow(const Row& row);
  // Copies rows of `batch`. Expects: the same number of columns, or no row yet.
  void AppendRows(const Batch& batch, std::span<const uint32_t> rows);
  // Drops all columns and makes `count` new ones. Expects: no rows.
  void SetColumnCount(int count);
  int64_t memory_bytes() const;
  // The rows so far; the builder keeps its number of columns and is empty afterwards.
  Batch Finish();

 private:
  std::vector<ColumnBuilder> columns_;
  int64_t row_count_ = 0;
};

}  // namespace glim
