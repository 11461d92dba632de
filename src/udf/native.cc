// SPDX-License-Identifier: Apache-2.0
#include "glim/native.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace glim {
namespace {
constexpr int64_t kRowsPerBatch = 4096;
}

Emitter::Emitter(BatchOutput* output, const Batch* in, int64_t row_count) : output_(output), expected_(row_count) {
  if (in == nullptr) return;
  for (const Column& column : in->columns()) {
    if (column.type() != Type::kBytes || column.parts().blocks == nullptr || column.parts().blocks->empty()) continue;
    near_ = column.parts().blocks;
    const auto views = column.Views();
    const auto first =
        std::find_if(views.begin(), views.end(), [](const BytesView& view) { return !view.is_inline(); });
    if (first == views.end()) return;
    const Buffer& block = *(*near_)[first->ref.block];
    if (block.size() < sizeof(BytesView)) return;
    readable_begin_ = reinterpret_cast<uintptr_t>(block.data());
    readable_size_ = block.size() - sizeof(BytesView) + 1;
    return;
  }
}

void Emitter::StartRow(size_t width) {
  constexpr int64_t kRoomMin = 64;
  AddRows();
  const bool is_other = builder_.column_count() != static_cast<int>(width);
  if (is_other || builder_.row_count() >= kRowsPerBatch) PushRows();
  if (is_other) builder_.SetColumnCount(static_cast<int>(width));  // A batch has one width.
  shape_ = 0;
  lanes_.resize(width);
  for (size_t i = 0; i < width; ++i) lanes_[i] = {.column = static_cast<int>(i)};
  const int64_t rows = builder_.row_count();
  room_ = std::min(std::max({rows, expected_ - row_count_, kRoomMin}), kRowsPerBatch - rows);
}

bool Emitter::FindRoom(Lane& lane, Lane::Kind kind) {
  ColumnBuilder& column = builder_.column(lane.column);
  if (lane.kind == Lane::Kind::kUnknown) {
    lane.room = kind == Lane::Kind::kBytes   ? static_cast<void*>(column.BytesRoom(room_))
                : kind == Lane::Kind::kInt64 ? static_cast<void*>(column.Int64Room(room_))
                                             : static_cast<void*>(column.DoubleRoom(room_));
    lane.kind = lane.room != nullptr ? kind : Lane::Kind::kBuilder;
    return lane.room != nullptr;
  }
  BuilderOf(lane);
  return false;
}

ColumnBuilder& Emitter::BuilderOf(Lane& lane) {
  ColumnBuilder& column = builder_.column(lane.column);
  if (lane.kind != Lane::Kind::kBuilder && lane.kind != Lane::Kind::kUnknown) column.AddRows(written_);
  lane.kind = Lane::Kind::kBuilder;
  shape_ = 0;
  return column;
}

BytesView Emitter::LongView(const void* room, std::string_view value) {
  const auto lane = std::find_if(lanes_.begin(), lanes_.end(), [room](const Lane& one) { return one.room == room; });
  return builder_.column(lane->column).LongView(value, near_);
}

void Emitter::RememberShape(uint32_t shape) {
  uint32_t rest = shape;
  for (size_t i = lanes_.size(); i-- > 0; rest >>= kShapeBits) {
    if (lanes_[i].kind != static_cast<Lane::Kind>(rest & ((1U << kShapeBits) - 1))) return;
    rooms_[i] = lanes_[i].room;
  }
  shape_ = shape;
}

void Emitter::AddRows() {
  for (Lane& lane : lanes_) BuilderOf(lane);
  row_count_ += written_;
  builder_.EndRows(std::exchange(written_, 0));
  room_ = 0;
}

void Emitter::PushRows() {
  if (builder_.row_count() == 0) return;
  Batch batch = builder_.Finish();
  if (status_.ok()) status_ = output_->Push(std::move(batch));
}

Status Emitter::Flush() {
  AddRows();
  PushRows();
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
