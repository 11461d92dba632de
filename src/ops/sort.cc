// SPDX-License-Identifier: Apache-2.0
#include "ops/sort.h"

#include <algorithm>

#include "base/check.h"
#include "base/try.h"
#include "batch/order_prefix.h"
#include "exchange/merge_reader.h"

namespace glim::ops {
namespace {

constexpr int64_t kRunBlockBytes = 128 << 10;

}  // namespace

SortOperator::SortOperator(OperatorContext context, std::vector<batch::SortKey> keys, int64_t count,
                           int64_t runs_given_max)
    : Operator(std::move(context)),
      keys_(std::move(keys)),
      count_(count),
      runs_to_give_(runs_given_max),
      memory_(Reserve()),
      file_(this->context().space) {
  for (const batch::SortKey& key : keys_) key_columns_.push_back(key.column);
}

Status SortOperator::DoPush(Batch batch) {
  RETURN_IF_ERROR(CheckColumns(batch, key_columns_));
  Keep(batch);
  constexpr int64_t kTopSlack = 64 << 10;
  if (count_ != kAll && row_count_ > 4 * count_ + kTopSlack) {
    Sort();
    std::vector<Batch> first;
    while (std::optional<Batch> rows = NextSorted()) first.push_back(*std::move(rows));
    for (const Batch& rows : first) Keep(rows);
  }
  ASSIGN_OR_RETURN(const bool fits, Fits(&memory_, MemoryBytes()));
  if (fits) return Status::Ok();
  return runs_to_give_-- > 0 ? GiveRun() : WriteRun();
}

void SortOperator::Keep(const Batch& batch) {
  auto chunk = std::find_if(chunks_.begin(), chunks_.end(),
                            [&](const Chunk& c) { return c.builder.column_count() == batch.column_count(); });
  if (chunk == chunks_.end()) {
    chunks_.push_back({BatchBuilder(batch.column_count()), Batch()});
    chunk = chunks_.end() - 1;
  }
  for (int c = 0; c < batch.column_count(); ++c) chunk->builder.column(c).AppendColumn(batch.column(c));
  chunk->builder.EndRows(batch.row_count());
  row_count_ += batch.row_count();
}

int64_t SortOperator::MemoryBytes() const {
  // stable_sort takes half as much again.
  int64_t bytes = row_count_ * static_cast<int64_t>(sizeof(Entry)) * 3 / 2;
  for (const Chunk& chunk : chunks_) bytes += chunk.builder.memory_bytes();
  return bytes;
}

void SortOperator::Sort() {
  for (Chunk& chunk : chunks_) {
    chunk.rows = chunk.builder.Finish();
    CHECK_LE(chunk.rows.row_count(), int64_t{UINT32_MAX});
  }
  const batch::SortKey first = keys_[0];
  entries_.clear();
  next_entry_ = 0;
  entries_.reserve(row_count_);
  for (uint32_t c = 0; c < chunks_.size(); ++c) {
    const Batch& rows = chunks_[c].rows;
    if (rows.row_count() == 0) continue;
    std::vector<uint64_t> prefixes;
    for (int64_t begin = 0; begin < rows.row_count(); begin += kRowsPerBatch) {
      const int64_t count = std::min(kRowsPerBatch, rows.row_count() - begin);
      batch::OrderPrefixes(rows.column(first.column).Slice(begin, count), first.descending, &prefixes);
      for (int64_t i = 0; i < count; ++i) entries_.push_back({prefixes[i], c, static_cast<uint32_t>(begin + i)});
    }
  }
  std::stable_sort(entries_.begin(), entries_.end(), [&](const Entry& a, const Entry& b) {
    if (a.prefix != b.prefix) return a.prefix < b.prefix;
    return batch::CompareRows(chunks_[a.chunk].rows, a.row, chunks_[b.chunk].rows, b.row, keys_) < 0;
  });
  if (static_cast<int64_t>(entries_.size()) > count_) entries_.resize(count_);
}

std::optional<Batch> SortOperator::NextSorted() {
  if (next_entry_ == entries_.size()) {
    for (Chunk& chunk : chunks_) chunk.rows = Batch();
    entries_ = {};
    next_entry_ = 0;
    row_count_ = 0;
    return std::nullopt;
  }
  const uint32_t chunk = entries_[next_entry_].chunk;
  std::vector<uint32_t> rows;
  for (; next_entry_ < entries_.size() && entries_[next_entry_].chunk == chunk && rows.size() < kRowsPerBatch;
       ++next_entry_) {
    rows.push_back(entries_[next_entry_].row);
  }
  return chunks_[chunk].rows.Gather(rows);
}

Status SortOperator::GiveRun() {
  Sort();
  // Texts go with the rows that are given, whoever gets them counts them; the order and what has a fixed width are
  // copied, and stay until all are given.
  int64_t fixed = 0, texts = 0;
  for (const Chunk& chunk : chunks_) {
    for (const Column& column : chunk.rows.columns()) {
      if (column.parts().values != nullptr) fixed += static_cast<int64_t>(column.parts().values->size());
    }
    texts += chunk.rows.OwnBytes();
  }
  texts = std::max<int64_t>(texts - fixed, 0);
  const int64_t staying = fixed + static_cast<int64_t>(entries_.capacity() * sizeof(Entry));
  const auto count = static_cast<double>(entries_.size());
  while (!full()) {
    std::optional<Batch> rows = NextSorted();
    if (!rows.has_value()) break;
    const double left = 1 - static_cast<double>(next_entry_) / count;
    memory_.ForceResize(staying + static_cast<int64_t>(static_cast<double>(texts) * left));
    RETURN_IF_ERROR(Emit(*std::move(rows)));
  }
  memory_.Clear();
  return Status::Ok();
}

Status SortOperator::WriteRun() {
  Sort();
  Run run;
  while (std::optional<Batch> rows = NextSorted()) RETURN_IF_ERROR(file_.Write(*rows, kRunBlockBytes, &run));
  runs_.push_back(std::move(run));
  memory_.Clear();
  return Status::Ok();
}

std::unique_ptr<exchange::PartitionReader> SortOperator::MakeMerge(size_t count) {
  std::vector<std::unique_ptr<exchange::PartitionReader>> parts;
  for (size_t i = 0; i < count; ++i) parts.push_back(exchange::MakeBlockReader(&file_, runs_[i]));
  return exchange::MakeMergeReader(std::move(parts), keys_);
}

Status SortOperator::MergeRuns(size_t count) {
  const auto merge = MakeMerge(count);
  Run run;
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<Batch> rows, merge->Next());
    if (!rows.has_value()) break;
    RETURN_IF_ERROR(file_.Write(*rows, kRunBlockBytes, &run));
  }
  // Their places stay neighbours, so that equal rows keep their order.
  runs_.erase(runs_.begin() + 1, runs_.begin() + static_cast<int64_t>(count));
  runs_[0] = std::move(run);
  return Status::Ok();
}

Status SortOperator::DoFinish() {
  if (runs_.empty()) return GiveRun();
  if (row_count_ > 0) RETURN_IF_ERROR(WriteRun());
  chunks_.clear();
  const auto runs_max = static_cast<size_t>(std::max<int64_t>(context().memory_share / kRunBlockBytes / 2, 8));
  while (runs_.size() > runs_max) RETURN_IF_ERROR(MergeRuns(std::min(runs_max, runs_.size() - runs_max + 1)));
  const auto merge = MakeMerge(runs_.size());
  for (int64_t left = count_; left > 0 && !full();) {
    ASSIGN_OR_RETURN(std::optional<Batch> rows, merge->Next());
    if (!rows.has_value()) break;
    if (rows->row_count() > left) rows = rows->Slice(0, left);
    left -= rows->row_count();
    RETURN_IF_ERROR(Emit(*std::move(rows)));
  }
  return Status::Ok();
}

}  // namespace glim::ops
