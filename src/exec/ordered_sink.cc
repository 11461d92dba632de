// SPDX-License-Identifier: Apache-2.0
#include "exec/ordered_sink.h"

#include <chrono>

#include "base/try.h"
#include "exec/encode_operator.h"

namespace glim::exec {

Status OrderedSink::Write(int task, const Batch& batch) {
  // Whose turn it is writes bytes from where they lie.
  if (encoded_) {
    RETURN_IF_ERROR(CheckEncoded(batch));
    // There is nothing to do before one's turn.
    std::unique_lock lock(mutex_);
    RETURN_IF_ERROR(WaitWhile(lock, [&] { return task != current_; }));
    for (int64_t piece = 0; piece < batch.row_count(); ++piece)
      RETURN_IF_ERROR(WriteThrough(batch.At(piece, 0).as_bytes()));
    return Status::Ok();
  }
  if (const auto bytes = sink_->InPlace(batch)) {
    const std::lock_guard lock(mutex_);
    if (task == current_) return WriteThrough(*bytes);
  }
  ASSIGN_OR_RETURN(Chunk chunk, MakeChunk(batch));
  std::unique_lock lock(mutex_);
  RETURN_IF_ERROR(
      WaitWhile(lock, [&] { return task != current_ && pending_bytes_ + chunk.size > pending_bytes_max_; }));
  if (task == current_) {
    return WriteThrough(chunk);
  }
  pending_bytes_ += chunk.size;
  pending_[task].chunks.push_back(std::move(chunk));
  return Status::Ok();
}

template <class Condition>
Status OrderedSink::WaitWhile(std::unique_lock<std::mutex>& lock, const Condition& condition) {
  constexpr auto kLook = std::chrono::milliseconds(100);
  while (condition()) {
    if (cancelled_->load(std::memory_order_relaxed)) return Status::Cancelled("cancelled");
    turn_.wait_for(lock, kLook);
  }
  return Status::Ok();
}

Result<OrderedSink::Chunk> OrderedSink::MakeChunk(const Batch& batch) const {
  Chunk chunk;
  if (sink_->wants_bytes()) {
    RETURN_IF_ERROR(sink_->Encode(batch, &chunk.bytes));
    chunk.size = static_cast<int64_t>(chunk.bytes.capacity());
  } else {
    chunk.batch = batch;
    chunk.size = batch.MemoryBytes();
  }
  return chunk;
}

Status OrderedSink::WriteThrough(const Chunk& chunk) {
  if (sink_->wants_bytes()) return WriteThrough(chunk.bytes);
  if (full()) return Status::Ok();
  RETURN_IF_ERROR(sink_->WriteBatch(chunk.batch));
  if (sink_->full()) full_.store(true, std::memory_order_relaxed);
  return Status::Ok();
}

Status OrderedSink::WriteThrough(std::string_view bytes) {
  if (full()) return Status::Ok();
  RETURN_IF_ERROR(sink_->WriteBytes(bytes));
  if (sink_->full()) full_.store(true, std::memory_order_relaxed);
  return Status::Ok();
}

Status OrderedSink::EndTask(int task) {
  std::lock_guard lock(mutex_);
  if (task != current_) {
    pending_[task].ended = true;
    return Status::Ok();
  }
  // Hand the turn on; a task that ended already is written here, one that still runs writes the rest by itself.
  for (bool ended = true; ended;) {
    ++current_;
    ended = false;
    const auto next = pending_.find(current_);
    if (next == pending_.end()) break;
    for (Chunk& chunk : next->second.chunks) {
      RETURN_IF_ERROR(WriteThrough(chunk));
      pending_bytes_ -= chunk.size;
      chunk = Chunk();
    }
    ended = next->second.ended;
    pending_.erase(next);
  }
  turn_.notify_all();
  return Status::Ok();
}

}  // namespace glim::exec
