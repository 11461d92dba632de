// SPDX-License-Identifier: Apache-2.0
#include "glim/native.h"

#include <fmt/core.h>

namespace glim {
namespace {
constexpr int64_t kRowsPerBatch = 4096;
}

void Emitter::StartRow(size_t width) {
  if (builder_.column_count() == static_cast<int>(width)) [[likely]]
    return;
  // A batch has one width.
  if (builder_.row_count() > 0 && status_.ok()) status_ = output_->Push(builder_.Finish());
  if (builder_.row_count() > 0) builder_.Finish();
  builder_.SetColumnCount(static_cast<int>(width));
}

void Emitter::EndRow() {
  builder_.EndRow();
  if (builder_.row_count() < kRowsPerBatch) [[likely]]
    return;
  Batch batch = builder_.Finish();
  if (status_.ok()) status_ = output_->Push(std::move(batch));
}

Status Emitter::Flush() {
  if (status_.ok() && builder_.row_count() > 0) status_ = output_->Push(builder_.Finish());
  return status_;
}

void Counters::Add(std::string_view name, int64_t more) {
  auto sum = sums_.find(name);
  if (sum == sums_.end()) sum = sums_.emplace(name, 0).first;
  if (__builtin_add_overflow(sum->second, more, &sum->second)) sum->second = more > 0 ? INT64_MAX : INT64_MIN;
}

void Counters::Add(const Counters& others) {
  for (const auto& [name, more] : others.sums_) Add(name, more);
}

int64_t Counters::Get(std::string_view name) const {
  const auto sum = sums_.find(name);
  return sum != sums_.end() ? sum->second : 0;
}

namespace native {

Status WidthError(const Batch& batch, size_t wanted) {
  return Status::UserCode(fmt::format("the function takes {} columns, the row has {}{}", wanted, batch.column_count(),
                                      batch.row_count() > 0 ? ": " + batch.RowToDebugString(0) : ""));
}

Status TypeError(const Batch& batch, int64_t row, size_t column, const char* wanted) {
  return Status::UserCode(fmt::format("the function wants {} in column {}, got {}, row {}", wanted, column + 1,
                                      batch.At(row, static_cast<int>(column)).ToDebugString(),
                                      batch.RowToDebugString(row)));
}

Status ExceptionError(const char* what, const Batch& batch, int64_t row) {
  if (row < 0) return Status::UserCode(fmt::format("the function threw: {}", what));
  return Status::UserCode(fmt::format("the function threw: {}, row {}", what, batch.RowToDebugString(row)));
}

}  // namespace native
}  // namespace glim
