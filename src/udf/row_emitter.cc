// SPDX-License-Identifier: Apache-2.0
#include "udf/row_emitter.h"

#include <lua.hpp>

#include "udf/lua_values.h"

namespace glim::udf {

bool RowEmitter::AppendRow(lua_State* L, int first, int count, std::string* error) {
  StartRow(count);
  for (int i = 0; i < count; ++i) {
    if (AppendLuaValue(L, first + i, &builder_.column(i), error)) continue;
    // The columns have unequal lengths now. The function may catch this error (pcall), so the rows before must stay.
    std::vector<Column> columns;
    for (int c = 0; c < count; ++c) {
      Column column = builder_.column(c).Finish();
      if (builder_.row_count() > 0) columns.push_back(column.Slice(0, builder_.row_count()));
    }
    const int64_t rows = builder_.row_count();
    builder_ = BatchBuilder();
    if (rows > 0) PushBatch(Batch(std::move(columns), rows));
    return false;
  }
  EndRow();
  return true;
}

void RowEmitter::StartRow(int columns) {
  if (builder_.column_count() == columns) return;
  if (builder_.row_count() > 0) PushBatch(builder_.Finish());
  builder_.SetColumnCount(columns);
}

void RowEmitter::EndRow() {
  builder_.EndRow();
  if (builder_.row_count() >= kRowsPerBatch) PushBatch(builder_.Finish());
}

Status RowEmitter::Flush() {
  if (builder_.row_count() > 0) PushBatch(builder_.Finish());
  return status_;
}

void RowEmitter::PushBatch(Batch batch) {
  if (status_.ok()) status_ = output_->Push(std::move(batch));
  stopped_ = full();
}

}  // namespace glim::udf
