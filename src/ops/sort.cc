// SPDX-License-Identifier: Apache-2.0
#include "ops/sort.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/try.h"

namespace glim::ops {
namespace {

// The most significant bits of a cell's place in the total order: a < b implies Prefix(a) <= Prefix(b).
uint64_t Prefix(const Cell& cell) {
  // Two bits of rank on top, so that types mix.
  switch (cell.type()) {
    case Type::kNull: return 0;
    case Type::kBool: return 1 + cell.as_bool();
    case Type::kInt64:
    case Type::kDouble: {
      const double number = cell.number();
      if (std::isnan(number)) return (uint64_t{1} << 62) | ((~uint64_t{0}) >> 2);
      const auto bits = std::bit_cast<uint64_t>(number == 0 ? 0.0 : number);
      const uint64_t ordered = (bits >> 63) != 0 ? ~bits : bits | (uint64_t{1} << 63);
      return (uint64_t{1} << 62) | (ordered >> 2);
    }
    case Type::kBytes: {
      uint64_t head = 0;
      const std::string_view bytes = cell.as_bytes();
      std::memcpy(&head, bytes.data(), std::min<size_t>(bytes.size(), 8));
      return (uint64_t{2} << 62) | (__builtin_bswap64(head) >> 2);
    }
    case Type::kList: return uint64_t{3} << 62;
    case Type::kAny: break;
  }
  return 0;
}

}  // namespace

SortOperator::SortOperator(OperatorContext context, std::vector<batch::SortKey> keys, int64_t count)
    : Operator(std::move(context)), keys_(std::move(keys)), count_(count), memory_(Reserve()) {
  for (const batch::SortKey& key : keys_) key_columns_.push_back(key.column);
}

Status SortOperator::DoPush(Batch batch) {
  RETURN_IF_ERROR(CheckColumns(batch, key_columns_));
  RETURN_IF_ERROR(Keep(batch));
  constexpr int64_t kTopSlack = 64 << 10;
  if (count_ != kAll && row_count_ > 4 * count_ + kTopSlack) {
    for (const Batch& kept : Take()) RETURN_IF_ERROR(Keep(kept));
  }
  return Status::Ok();
}

Status SortOperator::Keep(const Batch& batch) {
  auto chunk = std::find_if(chunks_.begin(), chunks_.end(),
                            [&](const Chunk& c) { return c.builder.column_count() == batch.column_count(); });
  if (chunk == chunks_.end()) {
    chunks_.push_back({BatchBuilder(batch.column_count()), Batch()});
    chunk = chunks_.end() - 1;
  }
  for (int c = 0; c < batch.column_count(); ++c) chunk->builder.column(c).AppendColumn(batch.column(c));
  chunk->builder.EndRows(batch.row_count());
  row_count_ += batch.row_count();
  int64_t bytes = row_count_ * static_cast<int64_t>(sizeof(Entry));
  for (const Chunk& c : chunks_) bytes += c.builder.memory_bytes();
  return memory_.Resize(bytes);
}

void SortOperator::Sorted(std::vector<Entry>* entries) {
  const batch::SortKey first = keys_[0];
  entries->reserve(row_count_);
  for (uint32_t c = 0; c < chunks_.size(); ++c) {
    const Batch& rows = chunks_[c].rows;
    const Column& column = rows.column(first.column);
    for (int64_t row = 0; row < rows.row_count(); ++row) {
      const uint64_t prefix = Prefix(column.At(row));
      entries->push_back({first.descending ? ~prefix : prefix, c, static_cast<uint32_t>(row)});
    }
  }
  std::stable_sort(entries->begin(), entries->end(), [&](const Entry& a, const Entry& b) {
    if (a.prefix != b.prefix) return a.prefix < b.prefix;
    return batch::CompareRows(chunks_[a.chunk].rows, a.row, chunks_[b.chunk].rows, b.row, keys_) < 0;
  });
}

std::vector<Batch> SortOperator::Take() {
  for (Chunk& chunk : chunks_) {
    chunk.rows = chunk.builder.Finish();
    CHECK_LE(chunk.rows.row_count(), int64_t{UINT32_MAX});
  }
  std::vector<Entry> entries;
  Sorted(&entries);
  if (static_cast<int64_t>(entries.size()) > count_) entries.resize(count_);
  std::vector<Batch> out;
  std::vector<uint32_t> rows;
  for (size_t i = 0; i < entries.size();) {
    const uint32_t chunk = entries[i].chunk;
    rows.clear();
    for (; i < entries.size() && entries[i].chunk == chunk && rows.size() < kRowsPerBatch; ++i)
      rows.push_back(entries[i].row);
    out.push_back(chunks_[chunk].rows.Gather(rows));
  }
  for (Chunk& chunk : chunks_) chunk.rows = Batch();
  row_count_ = 0;
  return out;
}

Status SortOperator::DoFinish() {
  for (Batch& batch : Take()) {
    if (full()) break;
    RETURN_IF_ERROR(Emit(std::move(batch)));
  }
  return Status::Ok();
}

}  // namespace glim::ops
