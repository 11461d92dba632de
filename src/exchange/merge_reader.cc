// SPDX-License-Identifier: Apache-2.0
#include "exchange/merge_reader.h"

#include <algorithm>

#include "glim/batch_builder.h"

namespace glim::exchange {
namespace {

constexpr int64_t kRowsPerBatch = 4096;
// Runs shorter than this are copied together instead of given on as slices.
constexpr int64_t kSliceMin = 512;

class MergeReader : public PartitionReader {
 public:
  MergeReader(std::vector<const std::vector<Batch>*> parts, std::vector<batch::SortKey> keys) : keys_(std::move(keys)) {
    for (const std::vector<Batch>* part : parts) {
      if (!part->empty()) heap_.push_back({part, static_cast<int>(heap_.size()), 0, 0});
    }
    std::make_heap(heap_.begin(), heap_.end(), Later{this});
  }

  Result<std::optional<Batch>> Next() override {
    while (!heap_.empty() || ready_.has_value()) {
      if (ready_.has_value()) {
        Batch batch = *std::move(ready_);
        ready_.reset();
        return std::optional<Batch>(std::move(batch));
      }
      if (std::optional<Batch> full = Step()) return full;
    }
    if (builder_.row_count() > 0) return std::optional<Batch>(builder_.Finish());
    return std::optional<Batch>();
  }

 private:
  struct Cursor {
    const std::vector<Batch>* part;
    int order;
    size_t batch;
    int64_t row;
    const Batch& rows() const { return (*part)[batch]; }
  };
  bool Before(const Cursor& a, int64_t row_a, const Cursor& b) const {
    const int order = batch::CompareRows(a.rows(), row_a, b.rows(), b.row, keys_);
    return order != 0 ? order < 0 : a.order < b.order;
  }
  struct Later {
    const MergeReader* reader;
    bool operator()(const Cursor& a, const Cursor& b) const { return reader->Before(b, b.row, a); }
  };

  // Takes the run of rows at the front that all come from one sequence. Returns a batch when one is complete.
  std::optional<Batch> Step() {
    std::pop_heap(heap_.begin(), heap_.end(), Later{this});
    Cursor cursor = heap_.back();
    heap_.pop_back();
    const Batch& rows = cursor.rows();
    const int64_t begin = cursor.row;
    int64_t end = begin + 1;
    if (heap_.empty()) {
      end = rows.row_count();
    } else {
      while (end < rows.row_count() && Before(cursor, end, heap_.front())) ++end;
    }
    Advance(cursor, end);
    return Give(rows, begin, end);
  }

  void Advance(Cursor cursor, int64_t row) {
    cursor.row = row;
    if (cursor.row == cursor.rows().row_count()) {
      cursor.row = 0;
      if (++cursor.batch == cursor.part->size()) return;
    }
    heap_.push_back(cursor);
    std::push_heap(heap_.begin(), heap_.end(), Later{this});
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

  const std::vector<batch::SortKey> keys_;
  std::vector<Cursor> heap_;
  BatchBuilder builder_;
  std::optional<Batch> ready_;
  std::vector<uint32_t> indexes_;
};

}  // namespace

std::unique_ptr<PartitionReader> MakeMergeReader(std::vector<const std::vector<Batch>*> parts,
                                                 std::vector<batch::SortKey> keys) {
  return std::make_unique<MergeReader>(std::move(parts), std::move(keys));
}

}  // namespace glim::exchange
