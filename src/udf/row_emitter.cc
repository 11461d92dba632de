// SPDX-License-Identifier: Apache-2.0
#include "udf/row_emitter.h"

#include <lua.hpp>

#include "udf/lua_values.h"

namespace glim::udf {

bool RowEmitter::AppendRow(lua_State* L, int first, int count, std::string* error) {
  constexpr int64_t kRowsPerBatch = 4096;
  if (builder_.column_count() != count) {
    if (builder_.row_count() > 0) {
      Batch batch = builder_.Finish();
      if (status_.ok()) status_ = output_->Push(std::move(batch));
    }
    builder_.SetColumnCount(count);
  }
  for (int i = 0; i < count; ++i) {
    if (AppendLuaValue(L, first + i, &builder_.column(i), error)) continue;
    // Rows before this one are lost with the run, which fails now.
    builder_ = BatchBuilder();
    return false;
  }
  builder_.EndRow();
  if (builder_.row_count() >= kRowsPerBatch) {
    Batch batch = builder_.Finish();
    if (status_.ok()) status_ = output_->Push(std::move(batch));
  }
  return true;
}

Status RowEmitter::Flush() {
  if (status_.ok() && builder_.row_count() > 0) status_ = output_->Push(builder_.Finish());
  return status_;
}

}  // namespace glim::udf
