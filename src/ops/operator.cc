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

Result<bool> Operator::Fits(base::Reservation* memory, int64_t bytes) const {
  if (bytes > context_.memory_share) return false;
  // The share is promised; what is in its way lies between stages, or is small.
  ASSIGN_OR_RETURN(const bool fits, memory->TryResize(bytes));
  if (!fits) memory->ForceResize(bytes);
  return true;
}

std::unique_ptr<exchange::Exchange> Operator::MakeParts(std::vector<int> keys, int level) const {
  batch::ExchangeSpec spec;
  spec.kind = batch::ExchangeKind::kHash;
  spec.columns = std::move(keys);
  spec.level = level;
  return std::make_unique<exchange::Exchange>(std::move(spec), 1, kParts, context_.budget, context_.space, "its parts");
}

Status Operator::RunNested(Operator* nested, exchange::PartitionReader* rows) {
  nested->next_ = next_;
  const auto run = [&] {
    RETURN_IF_ERROR(nested->DoOpen());
    RETURN_IF_ERROR(Feed(nested, rows));
    return nested->DoFinish();
  };
  Status status = run();
  downstream_failed_ |= nested->downstream_failed_;
  return status;
}

Status Operator::Feed(Operator* nested, exchange::PartitionReader* rows) {
  while (!full()) {
    if (context_.cancelled->load(std::memory_order_relaxed)) return Status::Cancelled("cancelled");
    ASSIGN_OR_RETURN(std::optional<Batch> batch, rows->Next());
    if (!batch.has_value()) break;
    RETURN_IF_ERROR(nested->DoPush(*std::move(batch)));
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
