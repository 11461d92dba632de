// SPDX-License-Identifier: Apache-2.0
#include "ops/operator.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/try.h"

namespace glim::ops {

std::vector<int> OtherColumns(int width, std::span<const int> keys) {
  std::vector<int> others;
  for (int c = 0; c < width; ++c) {
    if (std::find(keys.begin(), keys.end(), c) == keys.end()) others.push_back(c);
  }
  return others;
}

Status Operator::EmitInPieces(const Batch& batch) {
  for (int64_t begin = 0; begin < batch.row_count() && !full(); begin += kRowsPerBatch) {
    RETURN_IF_ERROR(Emit(batch.Slice(begin, std::min(kRowsPerBatch, batch.row_count() - begin))));
  }
  return Status::Ok();
}

Status CheckColumns(const Batch& batch, std::span<const int> columns) {
  for (const int column : columns) {
    if (column >= batch.column_count()) {
      return Status::Invalid(fmt::format("there is no field {}, the row has {}: {}", column + 1, batch.column_count(),
                                         batch.RowToDebugString(0)));
    }
  }
  return Status::Ok();
}

}  // namespace glim::ops
