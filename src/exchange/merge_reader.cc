// SPDX-License-Identifier: Apache-2.0
#include "exchange/merge_reader.h"

#include <algorithm>

#include "base/try.h"
#include "batch/order_prefix.h"
#include "glim/batch_builder.h"

namespace glim::exchange {
namespace {

constexpr int64_t kRowsPerBatch = 4096;
// Runs shorter than this are copied together instead of given on as slices.
constexpr int64_t kSliceMin = 512;

class MergeReader : public PartitionReader {
 public:
  MergeReader(std::vector<std::unique_ptr<PartitionReader>> parts, std::vector<batch::SortKey> keys)
      : parts_(std::move(parts)), rows_(parts_.size()), prefixes_(parts_.size()), keys_(std::move(keys)) {}

  Result<std::optional<Batch>> Next() override {
    if (!started_) RETURN_IF_ERROR(Start());
    while (!heap_.empty() || ready_.has_value()) {
      if (ready_.has_value()) {
        Batch batch = *std::move(ready_);
        ready_.reset();
        return std::optional<Batch>(std::move(batch));
      }
      ASSIGN_OR_RETURN(std::optional<Batch> full, Step());
      if (full.has_value()) return full;
    }
    if (builder_.row_count() > 0) return std::optional<Batch>(builder_.Finish());
    return std::optional<Batch>();
  }

 private:
  struct Cursor {
    uint64_t prefix;  // Of its row.
    uint32_t part;
    uint32_t row;  // Of the part's batch at hand.
  };
  bool Before(const Cursor& a, const Cursor& b) const {
    if (a.prefix != b.prefix) return a.prefix < b.prefix;
    const int order = batch::CompareRows(rows_[a.part], a.row, rows_[b.part], b.row, keys_);
    return order != 0 ? order < 0 : a.part < b.part;
  }
  struct Later {
    const MergeReader* reader;
    bool operator()(const Cursor& a, const Cursor& b) const { return reader->Before(b, a); }
  };
  Cursor At(uint32_t part, int64_t row) const {
    return {prefixes_[part][static_cast<size_t>(row)], part, static_cast<uint32_t>(row)};
  }

  Status Start() {
    started_ = true;
    for (uint32_t part = 0; part < parts_.size(); ++part) RETURN_IF_ERROR(Fetch(part));
    return Status::Ok();
  }

  // The part's next batch, if there is one.
  Status Fetch(uint32_t part) {
    ASSIGN_OR_RETURN(std::optional<Batch> batch, parts_[part]->Next());
    rows_[part] = batch.has_value() ? *std::move(batch) : Batch();
    if (rows_[part].row_count() == 0) return Status::Ok();
    batch::OrderPrefixes(rows_[part].column(keys_[0].column), keys_[0].descending, &prefixes_[part]);
    Push(At(part, 0));
    return Status::Ok();
  }

  // The bytes of a row that will be copied some rows later: it was sorted, so they lie anywhere.
  void Prefetch(const Batch& rows, int64_t row) const {
    if (row >= rows.row_count()) return;
    for (const Column& column : rows.columns()) {
      if (column.type() != Type::kBytes) continue;
      const BytesView& view = column.Views()[static_cast<size_t>(row)];
      if (view.is_inline()) continue;
      const char* const bytes = column.Resolve(view).data();
      __builtin_prefetch(bytes);
      __builtin_prefetch(bytes + std::min<uint32_t>(view.size - 1, 64));
    }
  }

  void Push(Cursor cursor) {
    constexpr int64_t kAhead = 4;
    Prefetch(rows_[cursor.part], cursor.row + kAhead);
    heap_.push_back(cursor);
    std::push_heap(heap_.begin(), heap_.end(), Later{this});
  }

  // Takes the run of rows at the front that all come from one sequence. Returns a batch when one is complete.
  Result<std::optional<Batch>> Step() {
    std::pop_heap(heap_.begin(), heap_.end(), Later{this});
    const Cursor cursor = heap_.back();
    heap_.pop_back();
    const Batch& rows = rows_[cursor.part];
    int64_t end = cursor.row + 1;
    if (heap_.empty()) {
      end = rows.row_count();
    } else {
      while (end < rows.row_count() && Before(At(cursor.part, end), heap_.front())) ++end;
    }
    std::optional<Batch> full = Give(rows, cursor.row, end);
    if (end < rows.row_count()) {
      Push(At(cursor.part, end));
    } else {
      RETURN_IF_ERROR(Fetch(cursor.part));
    }
    return full;
  }

  std::optional<Batch> Give(const Batch& rows, int64_t begin, int64_t end) {
    std::optional<Batch> before;
    const bool other_width = builder_.row_count() > 0 && builder_.column_count() != rows.column_count();
    if (end - begin >= kSliceMin) {
      if (builder_.row_count() == 0) return rows.Slice(begin, end - begin);
      ready_ = rows.Slice(begin, end - begin);
      return builder_.Finish();
    }
    if (other_width) before = builder_.Finish();
    indexes_.clear();
    for (int64_t row = begin; row < end; ++row) indexes_.push_back(static_cast<uint32_t>(row));
    builder_.AppendRows(rows, indexes_);
    if (!before.has_value() && builder_.row_count() >= kRowsPerBatch) before = builder_.Finish();
    return before;
  }

  const std::vector<std::unique_ptr<PartitionReader>> parts_;
  std::vector<Batch> rows_;                      // Of each part, the batch at hand,
  std::vector<std::vector<uint64_t>> prefixes_;  // and the prefixes of its first key.
  const std::vector<batch::SortKey> keys_;
  bool started_ = false;
  std::vector<Cursor> heap_;
  BatchBuilder builder_;
  std::optional<Batch> ready_;
  std::vector<uint32_t> indexes_;
};

class BlockReader : public PartitionReader {
 public:
  BlockReader(const spill::SpillFile* file, std::vector<spill::Block> blocks)
      : file_(file), blocks_(std::move(blocks)) {}
  Result<std::optional<Batch>> Next() override {
    if (next_ == blocks_.size()) return std::optional<Batch>();
    const spill::Block& block = blocks_[next_++];
    ASSIGN_OR_RETURN(Batch batch, file_->Read(block, next_ < blocks_.size() ? &blocks_[next_] : nullptr));
    return std::optional<Batch>(std::move(batch));
  }

 private:
  const spill::SpillFile* const file_;
  const std::vector<spill::Block> blocks_;
  size_t next_ = 0;
};

}  // namespace

std::unique_ptr<PartitionReader> MakeBlockReader(const spill::SpillFile* file, std::vector<spill::Block> blocks) {
  return std::make_unique<BlockReader>(file, std::move(blocks));
}

std::unique_ptr<PartitionReader> MakeMergeReader(std::vector<std::unique_ptr<PartitionReader>> parts,
                                                 std::vector<batch::SortKey> keys) {
  return std::make_unique<MergeReader>(std::move(parts), std::move(keys));
}

}  // namespace glim::exchange
