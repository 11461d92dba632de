// SPDX-License-Identifier: Apache-2.0
#include "exchange/parallel_merge.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "base/try.h"
#include "env/thread.h"
#include "exchange/merge_reader.h"

namespace glim::exchange {
namespace {

constexpr size_t kStackBytes = 8 << 20;  // Lists in lists are compared by recursion.

// Batches that are there.
class BatchesReader : public PartitionReader {
 public:
  explicit BatchesReader(std::vector<Batch> batches) : batches_(std::move(batches)) {}
  Result<std::optional<Batch>> Next() override {
    if (next_ == batches_.size()) return std::optional<Batch>();
    return std::optional<Batch>(std::exchange(batches_[next_++], Batch()));
  }

 private:
  std::vector<Batch> batches_;
  size_t next_ = 0;
};

// A sequence, and what was read of it and is in no unit yet.
class Part {
 public:
  explicit Part(std::unique_ptr<PartitionReader> reader) : reader_(std::move(reader)) {}

  int64_t ready() const { return ready_; }
  // What is ready is all.
  bool ended() const { return ended_; }

  // Reads until `count` rows are ready or there are no more. Adds what it read to the sums.
  Status Read(int64_t count, int64_t* rows, int64_t* bytes) {
    while (!ended_ && ready_ < count) {
      ASSIGN_OR_RETURN(std::optional<Batch> batch, reader_->Next());
      ended_ = !batch.has_value();
      if (ended_ || batch->row_count() == 0) continue;
      ready_ += batch->row_count();
      *rows += batch->row_count();
      *bytes += batch->OwnBytes();
      batches_.push_back(*std::move(batch));
    }
    return Status::Ok();
  }

  // The batch and row of ready row `i`.
  std::pair<const Batch*, int64_t> At(int64_t i) const {
    i += taken_;
    size_t batch = 0;
    for (; i >= batches_[batch].row_count(); ++batch) i -= batches_[batch].row_count();
    return {&batches_[batch], i};
  }

  // The first `count` of those that are ready.
  std::vector<Batch> Take(int64_t count) {
    std::vector<Batch> taken;
    ready_ -= count;
    while (count > 0) {
      const Batch& front = batches_.front();
      const int64_t some = std::min(front.row_count() - taken_, count);
      taken.push_back(front.Slice(taken_, some));
      taken_ += some;
      count -= some;
      if (taken_ < front.row_count()) continue;
      batches_.pop_front();
      taken_ = 0;
    }
    return taken;
  }

 private:
  const std::unique_ptr<PartitionReader> reader_;
  std::deque<Batch> batches_;
  int64_t taken_ = 0;  // Rows of the first batch.
  int64_t ready_ = 0;
  bool ended_ = false;
};

// Rows that are merged by themselves: first what to merge, at last the merged rows.
struct Unit {
  enum class State : uint8_t { kWaiting, kMerging, kDone };
  State state = State::kWaiting;
  std::vector<std::vector<Batch>> parts;
  std::deque<Batch> merged;
  Status status;
};

class ParallelMerge : public PartitionReader {
 public:
  ParallelMerge(std::vector<std::unique_ptr<PartitionReader>> parts, std::vector<batch::SortKey> keys,
                ParallelMergeOptions options)
      : keys_(std::move(keys)), options_(options) {
    for (auto& part : parts) parts_.emplace_back(std::move(part));
  }

  ~ParallelMerge() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    news_.notify_all();
    for (env::Thread& helper : helpers_) helper.Join();
  }

  Result<std::optional<Batch>> Next() override {
    while (true) {
      RETURN_IF_ERROR(CutAhead());
      std::unique_lock lock(mutex_);
      if (units_.empty()) return std::optional<Batch>();
      Unit& first = units_.front();
      if (first.state != Unit::State::kDone) {
        if (!MergeOne(&lock)) news_.wait(lock);
        continue;
      }
      RETURN_IF_ERROR(first.status);
      if (!first.merged.empty()) {
        Batch batch = std::move(first.merged.front());
        first.merged.pop_front();
        return std::optional<Batch>(std::move(batch));
      }
      units_.pop_front();
    }
  }

 private:
  // So many units that nobody waits, and not more.
  Status CutAhead() {
    const auto units_max = static_cast<size_t>(2 * options_.threads);
    while (!all_cut_) {
      {
        const std::lock_guard lock(mutex_);
        if (units_.size() >= units_max) return Status::Ok();
      }
      ASSIGN_OR_RETURN(std::vector<std::vector<Batch>> cut, Cut());
      if (cut.empty()) {
        all_cut_ = true;
        break;
      }
      const std::lock_guard lock(mutex_);
      units_.emplace_back().parts = std::move(cut);
      if (units_.size() > 1) StartHelpers();
      news_.notify_all();
    }
    return Status::Ok();
  }

  // The rows of the next unit, part by part; none at the end.
  Result<std::vector<std::vector<Batch>>> Cut() {
    const int64_t ahead = RowsAhead();
    int64_t ready = 0;
    for (Part& part : parts_) {
      RETURN_IF_ERROR(part.Read(ahead, &rows_read_, &bytes_read_));
      ready += part.ready();
    }
    std::vector<std::vector<Batch>> cut;
    if (ready == 0) return cut;
    const size_t bounding = FindBound(ahead);
    // Known before any is taken, for the bound lies in one of them.
    std::vector<int64_t> counts;
    for (size_t i = 0; i < parts_.size(); ++i) counts.push_back(CountUpTo(i, bounding, ahead));
    for (size_t i = 0; i < parts_.size(); ++i) {
      if (counts[i] > 0) cut.push_back(parts_[i].Take(counts[i]));
    }
    return cut;
  }

  // Of a sequence, what a unit has about, when all have alike.
  int64_t RowsAhead() const {
    constexpr int64_t kFirst = 64;  // Nothing is known of the rows yet.
    if (rows_read_ == 0) return kFirst;
    int64_t left = 0;
    for (const Part& part : parts_) left += !part.ended() || part.ready() > 0;
    const int64_t row_bytes = bytes_read_ / rows_read_ + 1;
    return std::max<int64_t>(options_.unit_bytes / row_bytes / std::max<int64_t>(left, 1), 1);
  }

  static constexpr size_t kNone = SIZE_MAX;

  // A part that has more than it has ahead, or may have, bounds the unit. The one whose row there comes first does;
  // kNone: all rows that are left are ready, and few.
  size_t FindBound(int64_t ahead) const {
    size_t first = kNone;
    for (size_t i = 0; i < parts_.size(); ++i) {
      if (parts_[i].ended() && parts_[i].ready() <= ahead) continue;
      if (first == kNone || Compare(i, LastAhead(i, ahead), first, LastAhead(first, ahead)) < 0) first = i;
    }
    return first;
  }

  int64_t LastAhead(size_t part, int64_t ahead) const { return std::min(parts_[part].ready(), ahead) - 1; }

  // How many rows of the part come before the bound or are it; of equal ones those of earlier parts.
  int64_t CountUpTo(size_t part, size_t bounding, int64_t ahead) const {
    if (bounding == kNone) return parts_[part].ready();
    const int64_t bound = LastAhead(bounding, ahead);
    if (part == bounding) return bound + 1;
    int64_t begin = 0, end = std::min(parts_[part].ready(), ahead);
    while (begin < end) {
      const int64_t middle = begin + (end - begin) / 2;
      const int order = Compare(part, middle, bounding, bound);
      if (order < 0 || (order == 0 && part < bounding)) {
        begin = middle + 1;
      } else {
        end = middle;
      }
    }
    return begin;
  }

  int Compare(size_t part_a, int64_t row_a, size_t part_b, int64_t row_b) const {
    const auto [a, at_a] = parts_[part_a].At(row_a);
    const auto [b, at_b] = parts_[part_b].At(row_b);
    return batch::CompareRows(*a, at_a, *b, at_b, keys_);
  }

  // Expects: the mutex is held.
  void StartHelpers() {
    while (helpers_.size() + 1 < static_cast<size_t>(options_.threads)) {
      helpers_.emplace_back(kStackBytes, [this] {
        std::unique_lock lock(mutex_);
        while (!stopping_) {
          if (!MergeOne(&lock)) news_.wait(lock);
        }
      });
    }
  }

  // Merges a unit that waits, the mutex released meanwhile; false when there is none.
  bool MergeOne(std::unique_lock<std::mutex>* lock) {
    const auto unit = std::find_if(units_.begin(), units_.end(),
                                   [](const Unit& some) { return some.state == Unit::State::kWaiting; });
    if (unit == units_.end()) return false;
    Unit& at_work = *unit;  // Stays where it is: units go only when they are done.
    at_work.state = Unit::State::kMerging;
    lock->unlock();
    Merge(&at_work);
    lock->lock();
    at_work.state = Unit::State::kDone;
    news_.notify_all();
    return true;
  }

  void Merge(Unit* unit) const {
    std::vector<std::unique_ptr<PartitionReader>> readers;
    for (std::vector<Batch>& part : unit->parts) readers.push_back(std::make_unique<BatchesReader>(std::move(part)));
    unit->parts.clear();
    const auto merge = MakeMergeReader(std::move(readers), keys_);
    while (true) {
      Result<std::optional<Batch>> batch = merge->Next();
      if (!batch.ok()) unit->status = std::move(batch).status();
      if (!unit->status.ok() || !batch->has_value()) return;
      unit->merged.push_back(**std::move(batch));
    }
  }

  const std::vector<batch::SortKey> keys_;
  const ParallelMergeOptions options_;
  // Of the reader's thread.
  std::deque<Part> parts_;
  int64_t rows_read_ = 0, bytes_read_ = 0;
  bool all_cut_ = false;
  std::vector<env::Thread> helpers_;

  std::mutex mutex_;  // Of the following; what is in a unit belongs to who merges it, then to the reader's thread.
  std::condition_variable news_;
  std::deque<Unit> units_;
  bool stopping_ = false;
};

}  // namespace

std::unique_ptr<PartitionReader> MakeParallelMerge(std::vector<std::unique_ptr<PartitionReader>> parts,
                                                   std::vector<batch::SortKey> keys, ParallelMergeOptions options) {
  return std::make_unique<ParallelMerge>(std::move(parts), std::move(keys), options);
}

}  // namespace glim::exchange
