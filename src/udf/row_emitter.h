// SPDX-License-Identifier: Apache-2.0
//
// Rows out of Lua: values from the stack become rows of batches, pushed on when there are enough. A batch has one
// width, so a row of another width begins a new batch.
//
// AppendRow never fails on behalf of the output, because Lua may be calling it; the output's failure is kept and told
// by Flush. Whoever gives rows in a loop asks `stopped` after each one.
//
// Thread: its task's.
#pragma once

#include <cstdint>
#include <string>

#include "glim/batch_builder.h"
#include "glim/udf.h"

struct lua_State;

namespace glim::udf {

// What functions give goes on in batches of at most so many rows.
constexpr int64_t kRowsPerBatch = 4096;

class RowEmitter {
 public:
  explicit RowEmitter(BatchOutput* output) : output_(output) {}

  // The `count` values from stack index `first` on as one row. False, with the reason, when one cannot be a value.
  bool AppendRow(lua_State* L, int first, int count, std::string* error);
  // The same for values that are not in Lua: StartRow, one value to each column(i), EndRow.
  void StartRow(int columns);
  ColumnBuilder& column(int i) { return builder_.column(i); }
  void EndRow();
  // Are there rows that were not pushed?
  bool has_rows() const { return builder_.row_count() > 0; }
  // Pushes rows as they are. Expects: no rows.
  void PushBatch(Batch batch);
  // Pushes what is left.
  Status Flush();
  bool full() const { return !status_.ok() || output_->full(); }
  // Nobody wants more rows, as far as was known at the last push; costs nothing to ask.
  bool stopped() const { return stopped_; }

 private:
  BatchOutput* output_;
  BatchBuilder builder_;
  Status status_;
  bool stopped_ = false;
};

}  // namespace glim::udf
