// SPDX-License-Identifier: Apache-2.0
//
// A Lua function of Map, Filter or FlatMap that was read (reader.h), at work on batches: what the machine computes
// becomes columns, rows that it leaves are run in Lua at their place.
//
// Thread: its task's.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "udf/kernel/machine.h"
#include "udf/lua_kernels.h"
#include "udf/row_emitter.h"

namespace glim::udf {

class FunctionKernel : public LuaKernel {
 public:
  FunctionKernel(Program program, FunctionRole role) : machine_(std::move(program)), role_(role) {}

  const std::set<std::string>& uses() const override { return machine_.program().uses; }
  bool Fits(const Batch&) const override { return true; }
  Status Run(const Batch& in, BatchOutput& out, const RowInLua& in_lua) override;
  // Most rows went to Lua, and had better go there at once.
  bool is_worth_it() const override { return rows_ < kSliceRows || rows_in_lua_ < rows_ / 2; }

 private:
  Status FilterSlice(const RowInLua& in_lua, int64_t begin, uint32_t count, RowEmitter& emitter,
                     std::vector<uint32_t>* kept);
  Status MapSlice(const Batch& slice, const RowInLua& in_lua, int64_t begin, RowEmitter& emitter);
  Status IterateRow(const Block& block, uint32_t row, const RowInLua& in_lua, int64_t begin, RowEmitter& emitter);
  // The block that each row returned from; null: it is for Lua.
  void SortByRow(uint32_t count);
  Column ResultColumn(const Batch& slice, int value);
  Column Constants(int value, int64_t rows);
  void AppendResult(const Batch& slice, int value, uint32_t row, ColumnBuilder* column);

  Machine machine_;
  const FunctionRole role_;
  int64_t rows_ = 0;
  int64_t rows_in_lua_ = 0;
  std::vector<const Block*> by_row_;
  std::vector<std::pair<int, Column>> constants_;  // By value: batch after batch shares one buffer.
};

}  // namespace glim::udf
