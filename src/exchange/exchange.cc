// SPDX-License-Identifier: Apache-2.0
#include "exchange/exchange.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "base/try.h"
#include "batch/batch_codec.h"
#include "exchange/merge_reader.h"
#include "exchange/parallel_merge.h"
#include "glim/batch_builder.h"

namespace glim::exchange {
namespace {

constexpr int64_t kRowsPerBatch = 4096;

constexpr int64_t kBatchBytesMax = 1 << 20;
// With less memory than this, batches are small and kept packed, each in one piece of memory that goes back to the
// system when the batch goes to disk. The buffers of small columns lie between those that stay, of use to nobody.
constexpr int64_t kPackBytesMax = 64 << 20;
// A merge has a block of each of its sequences in memory, so they are small.
constexpr int64_t kMergeBlockBytesMin = 16 << 10, kMergeBlockBytesMax = 128 << 10;

int64_t MergeBlockBytes(int64_t limit_bytes) {
  return std::clamp(limit_bytes / 256, kMergeBlockBytesMin, kMergeBlockBytesMax);
}

}  // namespace

// The batches of some slots, one slot after the other; or a run of one slot: those in [begin, end) of what it holds.
class SlotReader : public PartitionReader {
 public:
  SlotReader(Exchange* exchange, std::vector<size_t> slots, bool take)
      : exchange_(exchange), slots_(std::move(slots)), take_(take) {}
  SlotReader(Exchange* exchange, size_t slot, size_t begin, size_t end, bool take)
      : exchange_(exchange), slots_({slot}), take_(take), next_(begin), end_(end) {}

  Result<std::optional<Batch>> Next() override {
    while (true) {
      if (next_block_ < blocks_.size()) {
        const spill::Block& block = blocks_[next_block_++];
        const spill::Block* const next = next_block_ < blocks_.size() ? &blocks_[next_block_] : nullptr;
        ASSIGN_OR_RETURN(Batch batch, exchange_->file_.Read(block, next));
        return std::optional<Batch>(std::move(batch));
      }
      if (slot_ == slots_.size()) return std::optional<Batch>();
      if (PartitionReader* fetched = FetchAhead()) {
        ASSIGN_OR_RETURN(std::optional<Batch> batch, fetched->Next());
        if (batch.has_value()) return batch;
        NextSlot();
        continue;
      }
      std::unique_lock lock(exchange_->mutex_);
      Exchange::Slot& slot = exchange_->slots_[slots_[slot_]];
      if (next_ == std::min(end_, slot.held.size())) {
        NextSlot();
        continue;
      }
      Exchange::Held& held = slot.held[next_++];
      blocks_ = held.blocks;
      next_block_ = 0;
      if (held.bytes == 0) continue;
      const Exchange::Held kept = Exchange::Share(held);
      if (take_) {
        exchange_->budget_->Release(held.bytes);
        slot.bytes -= held.bytes;
        held.bytes = 0;
        held.batch = Batch();
        held.packed = nullptr;
      }
      lock.unlock();
      ASSIGN_OR_RETURN(Batch batch, Exchange::RowsOf(kept));
      return std::optional<Batch>(std::move(batch));
    }
  }

 private:
  // So many slots are asked for before they are needed: each answer takes a round trip.
  static constexpr size_t kAhead = 4;

  // That of the slot at hand; null when its rows are here.
  PartitionReader* FetchAhead() {
    for (; opened_ < std::min(slot_ + kAhead, slots_.size()); ++opened_) {
      const size_t number = slots_[opened_];
      std::shared_ptr<ElsewhereRows> elsewhere;
      {
        const std::lock_guard lock(exchange_->mutex_);
        const Exchange::Slot& slot = exchange_->slots_[number];
        if (slot.row_count > 0) elsewhere = slot.elsewhere;
      }
      fetched_.push_back(
          elsewhere == nullptr
              ? nullptr
              : elsewhere->Read(exchange_->ProducerOf(number), exchange_->ConsumerOf(number), exchange_->block_bytes_));
    }
    return fetched_.front().get();
  }

  void NextSlot() {
    ++slot_;
    next_ = 0;
    fetched_.pop_front();
  }

  Exchange* const exchange_;
  const std::vector<size_t> slots_;
  const bool take_;
  size_t slot_ = 0;
  size_t next_ = 0;
  const size_t end_ = SIZE_MAX;
  std::vector<spill::Block> blocks_;  // Of the batch at hand, when it is on disk.
  size_t next_block_ = 0;
  std::deque<std::unique_ptr<PartitionReader>> fetched_;  // Of slots [slot_, opened_).
  size_t opened_ = 0;
};

// Reads with room for what the reader has at hand, which is asked for with the first row.
class ReaderWithRoom : public PartitionReader {
 public:
  ReaderWithRoom(std::unique_ptr<PartitionReader> reader, base::Reservation memory, int64_t bytes)
      : bytes_(bytes), memory_(std::move(memory)), reader_(std::move(reader)) {}

  Result<std::optional<Batch>> Next() override {
    if (memory_.bytes() == 0) {
      ASSIGN_OR_RETURN(const bool fits, memory_.TryResize(bytes_));
      if (!fits) memory_.ForceResize(bytes_);
    }
    return reader_->Next();
  }

 private:
  const int64_t bytes_;
  base::Reservation memory_;
  const std::unique_ptr<PartitionReader> reader_;
};

class Writer : public PartitionWriter {
 public:
  Writer(Exchange* exchange, int producer, const uint64_t* split, int64_t rows_before, bool in_runs)
      : exchange_(exchange),
        producer_(producer),
        in_runs_(in_runs),
        split_(exchange->spec_.deal == batch::Deal::kBySplit ? split : nullptr),
        builders_(exchange->consumers_),
        rows_(exchange->consumers_),
        next_(exchange->spec_.deal == batch::Deal::kByTask ? producer : rows_before),
        memory_(exchange->budget_, exchange->name_) {}

  Status Push(Batch batch) override {
    if (batch.row_count() == 0) return Status::Ok();
    switch (exchange_->spec_.kind) {
      case batch::ExchangeKind::kNone: return Status::Ok();
      case batch::ExchangeKind::kMergeSorted: {
        // Already compact (a sort made it): kept as it is.
        const int64_t bytes = batch.OwnBytes();
        const bool new_run = in_runs_ && StepsBack(batch);
        return exchange_->Keep(producer_, Neighbour(), std::move(batch), bytes, new_run);
      }
      case batch::ExchangeKind::kKeep: return Append(batch, producer_);
      case batch::ExchangeKind::kGather: return Append(batch, Neighbour());
      case batch::ExchangeKind::kBroadcast: return Append(batch, 0);
      case batch::ExchangeKind::kHash: return Scatter(batch);
      case batch::ExchangeKind::kRoundRobin: return Deal(batch);
    }
    return Status::Ok();
  }

  Status Finish() override {
    for (int c = 0; c < exchange_->consumers_; ++c) RETURN_IF_ERROR(Flush(c));
    Account();
    return Status::Ok();
  }

 private:
  // Neighbouring producers to one consumer.
  int Neighbour() const {
    return static_cast<int>(static_cast<int64_t>(producer_) * exchange_->consumers_ / exchange_->producers_);
  }

  // Its first row comes before the last one of the batch before. A copy of that row is kept, for the batch shares its
  // memory with others.
  bool StepsBack(const Batch& batch) {
    const bool back =
        last_row_.row_count() > 0 && batch::CompareRows(batch, 0, last_row_, 0, exchange_->spec_.sort_keys) < 0;
    BatchBuilder last(batch.column_count());
    const auto row = static_cast<uint32_t>(batch.row_count() - 1);
    last.AppendRows(batch, {&row, 1});
    last_row_ = last.Finish();
    return back;
  }

  Status Append(const Batch& batch, int consumer) {
    all_.resize(batch.row_count());
    std::iota(all_.begin(), all_.end(), 0);
    RETURN_IF_ERROR(AppendRows(batch, consumer, all_));
    Account();
    return Status::Ok();
  }

  Status Scatter(const Batch& batch) {
    for (const int column : exchange_->spec_.columns) {
      if (column >= batch.column_count()) {
        return Status::Invalid(exchange_->name_ + ": there is no field " + std::to_string(column + 1) +
                               ", the row has " + std::to_string(batch.column_count()) + ": " +
                               batch.RowToDebugString(0));
      }
    }
    hashes_.resize(batch.row_count());
    std::vector<int> columns = exchange_->spec_.columns;
    if (columns.empty()) {
      columns.resize(batch.column_count());
      std::iota(columns.begin(), columns.end(), 0);
    }
    batch::HashRows(batch, columns, hashes_);
    if (exchange_->spec_.level > 0) {
      for (uint64_t& hash : hashes_) hash = base::HashInt(hash + static_cast<uint64_t>(exchange_->spec_.level));
    }
    for (int64_t row = 0; row < batch.row_count(); ++row) {
      rows_[base::HashToRange(hashes_[row], static_cast<uint32_t>(rows_.size()))].push_back(static_cast<uint32_t>(row));
    }
    return AppendAll(batch);
  }

  Status Deal(const Batch& batch) {
    if (split_ != nullptr && *split_ != last_split_) next_ = last_split_ = *split_;
    for (int64_t row = 0; row < batch.row_count(); ++row)
      rows_[next_++ % rows_.size()].push_back(static_cast<uint32_t>(row));
    return AppendAll(batch);
  }

  Status AppendAll(const Batch& batch) {
    for (size_t c = 0; c < rows_.size(); ++c) {
      if (rows_[c].empty()) continue;
      RETURN_IF_ERROR(AppendRows(batch, static_cast<int>(c), rows_[c]));
      rows_[c].clear();
    }
    Account();
    return Status::Ok();
  }

  Status AppendRows(const Batch& batch, int consumer, std::span<const uint32_t> rows) {
    BatchBuilder& builder = builders_[consumer];
    if (builder.row_count() > 0 && builder.column_count() != batch.column_count()) RETURN_IF_ERROR(Flush(consumer));
    builder.AppendRows(batch, rows);
    const bool full = builder.row_count() >= kRowsPerBatch || builder.memory_bytes() >= exchange_->batch_bytes_max_;
    return full ? Flush(consumer) : Status::Ok();
  }

  Status Flush(int consumer) {
    BatchBuilder& builder = builders_[consumer];
    if (builder.row_count() == 0) return Status::Ok();
    const int64_t bytes = builder.memory_bytes();
    const Batch batch = builder.Finish();
    // Only a single row can be so large here.
    if (!exchange_->packs_ || bytes > 2 * kBatchBytesMax) return exchange_->Keep(producer_, consumer, batch, bytes);
    packed_.clear();
    batch::EncodeBatch(batch, &packed_);
    return exchange_->KeepPacked(producer_, consumer, packed_, batch.row_count(), batch.column_count());
  }

  // Of the builders, which are few and small, and must be there.
  void Account() {
    int64_t bytes = 0;
    for (const BatchBuilder& builder : builders_) bytes += builder.memory_bytes();
    memory_.ForceResize(bytes);
  }

  Exchange* const exchange_;
  const int producer_;
  const bool in_runs_;
  const uint64_t* const split_;
  uint64_t last_split_ = 0;
  std::vector<BatchBuilder> builders_;
  std::vector<std::vector<uint32_t>> rows_;
  std::vector<uint32_t> all_;
  std::vector<uint64_t> hashes_;
  Batch last_row_;  // Of sorted rows.
  std::string packed_;
  size_t next_;
  base::Reservation memory_;
};

Exchange::Exchange(batch::ExchangeSpec spec, int producers, int consumers, base::MemoryBudget* budget,
                   spill::Space* space, std::string name)
    : spec_(std::move(spec)),
      producers_(producers),
      consumers_(consumers),
      budget_(budget),
      name_(std::move(name)),
      batch_bytes_max_(
          std::clamp(budget->limit_bytes() / (32 * std::max(consumers, 1)), int64_t{16} << 10, kBatchBytesMax)),
      packs_(budget->limit_bytes() <= kPackBytesMax),
      block_bytes_(spec_.kind == batch::ExchangeKind::kMergeSorted ? MergeBlockBytes(budget->limit_bytes())
                                                                   : kBatchBytesMax),
      file_(space),
      slots_(static_cast<size_t>(producers) * consumers),
      widths_(producers) {
  budget_->AddEvictor(this);
}

Exchange::~Exchange() {
  budget_->RemoveEvictor(this);
  for (const Slot& slot : slots_) budget_->Release(slot.bytes);
}

std::unique_ptr<PartitionWriter> Exchange::MakeWriter(int producer, const uint64_t* split, int64_t rows_before,
                                                      bool in_runs) {
  CHECK_LT(producer, producers_);
  return std::make_unique<Writer>(this, producer, split, rows_before, in_runs);
}

Status Exchange::Keep(int producer, int consumer, Batch batch, int64_t bytes, bool new_run) {
  const int width = batch.column_count();
  Held held;
  held.row_count = static_cast<uint32_t>(batch.row_count());
  // Nils take nothing, but 0 would mean that the batch is not here.
  held.bytes = std::max<int64_t>(bytes, 1);
  held.batch = std::move(batch);
  return Keep(producer, consumer, std::move(held), width, new_run);
}

Status Exchange::KeepPacked(int producer, int consumer, std::string_view packed, int64_t row_count, int width) {
  const auto piece = Buffer::Allocate(packed.size());
  std::memcpy(piece->mutable_data(), packed.data(), packed.size());
  Held held;
  held.row_count = static_cast<uint32_t>(row_count);
  held.bytes = static_cast<int64_t>(packed.size() + sizeof(Held));
  held.packed = piece;
  return Keep(producer, consumer, std::move(held), width, false);
}

Status Exchange::Keep(int producer, int consumer, Held held, int width, bool new_run) {
  const Result<bool> fits = budget_->Reserve(held.bytes);
  if (!fits.ok()) return Status(fits.status()).With(name_);
  if (!*fits) {
    if (Status status = Write(held, &held.blocks); !status.ok()) return std::move(status).With(name_);
    held.batch = Batch();
    held.packed = nullptr;
    held.bytes = 0;
  }
  const std::lock_guard lock(mutex_);
  Slot& slot = slots_[SlotNumber(producer, consumer)];
  slot.row_count += held.row_count;
  slot.bytes += held.bytes;
  widths_[producer] = std::max(widths_[producer], width);
  if (new_run) slot.runs.push_back(slot.held.size());
  slot.held.push_back(std::move(held));
  return Status::Ok();
}

Status Exchange::Write(const Held& held, std::vector<spill::Block>* blocks) {
  if (held.packed == nullptr) return file_.Write(held.batch, block_bytes_, blocks);
  return file_.WriteEncoded({held.packed->data(), held.packed->size()}, held.row_count, blocks);
}

Exchange::Held Exchange::Share(const Held& held) {
  return {.batch = held.batch, .packed = held.packed, .row_count = held.row_count, .bytes = 0, .blocks = {}};
}

Result<Batch> Exchange::RowsOf(const Held& held) {
  if (held.packed != nullptr) return batch::DecodeBatch(held.packed);
  return held.batch;
}

Result<int64_t> Exchange::Evict(int64_t bytes) {
  int64_t released = 0;
  for (int consumer = consumers_; consumer-- > 0 && released < bytes;) {
    for (int producer = 0; producer < producers_ && released < bytes; ++producer) {
      ASSIGN_OR_RETURN(const int64_t some, EvictFrom(SlotNumber(producer, consumer), bytes - released));
      released += some;
    }
  }
  return released;
}

Result<int64_t> Exchange::EvictFrom(size_t number, int64_t bytes) {
  // The batches that a sort made share their buffers, which are free when the last of them is on disk.
  if (spec_.kind == batch::ExchangeKind::kMergeSorted) bytes = INT64_MAX;
  std::unique_lock lock(mutex_);
  Slot& slot = slots_[number];
  int64_t released = 0;
  for (size_t i = slot.held.size(); i-- > 0 && slot.bytes > 0 && released < bytes;) {
    if (slot.held[i].bytes == 0) continue;
    const Held kept = Share(slot.held[i]);
    const int clears = slot.clears;
    lock.unlock();
    std::vector<spill::Block> blocks;
    // Whoever asked for room gives the failure its name.
    RETURN_IF_ERROR(Write(kept, &blocks));
    lock.lock();
    // It may have been cleared or taken meanwhile.
    if (slot.clears != clears) break;
    Held& held = slot.held[i];
    if (held.bytes == 0) continue;
    held.blocks = std::move(blocks);
    held.batch = Batch();
    held.packed = nullptr;
    slot.bytes -= held.bytes;
    released += held.bytes;
    budget_->Release(std::exchange(held.bytes, 0));
  }
  return released;
}

std::unique_ptr<PartitionReader> Exchange::MakeReader(int begin, int end, bool take, int threads) {
  CHECK(begin >= 0 && begin <= end && end <= consumers_);
  std::vector<size_t> slots;
  for (int consumer = begin; consumer < end; ++consumer) {
    for (int producer = 0; producer < producers_; ++producer) slots.push_back(SlotNumber(producer, consumer));
  }
  if (spec_.kind != batch::ExchangeKind::kMergeSorted) {
    return std::make_unique<SlotReader>(this, std::move(slots), take);
  }
  std::vector<std::unique_ptr<PartitionReader>> parts;
  for (const size_t slot : slots) {
    std::vector<size_t> ends;
    {
      const std::lock_guard lock(mutex_);
      ends = slots_[slot].runs;
    }
    ends.push_back(SIZE_MAX);
    size_t run = 0;
    for (const size_t end : ends)
      parts.push_back(std::make_unique<SlotReader>(this, slot, std::exchange(run, end), end, take));
  }
  if (parts.size() == 1) return std::move(parts[0]);
  // A block of each.
  int64_t bytes = static_cast<int64_t>(parts.size()) * block_bytes_;
  std::unique_ptr<PartitionReader> merge;
  if (threads == 1) {
    merge = MakeMergeReader(std::move(parts), spec_.sort_keys);
  } else {
    const int64_t unit_bytes = std::clamp(budget_->limit_bytes() / 64 / threads, int64_t{64} << 10, int64_t{1} << 20);
    bytes += 2 * threads * unit_bytes;
    merge = MakeParallelMerge(std::move(parts), spec_.sort_keys, {.threads = threads, .unit_bytes = unit_bytes});
  }
  return std::make_unique<ReaderWithRoom>(std::move(merge), base::Reservation(budget_, name_), bytes);
}

Result<std::vector<Batch>> Exchange::ReadSlot(int producer, int consumer, SlotPosition* position, int64_t bytes_max,
                                              size_t batches_max) {
  if (producer < 0 || producer >= producers_ || consumer < 0 || consumer >= consumers_)
    return Status::Invalid("there is no such part of an exchange");
  std::vector<Batch> batches;
  int64_t bytes = 0;
  while (batches.empty() || (bytes < bytes_max && batches.size() < batches_max)) {
    std::optional<spill::Block> on_disk;
    {
      const std::lock_guard lock(mutex_);
      const Slot& slot = slots_[SlotNumber(producer, consumer)];
      if (slot.elsewhere != nullptr) return Status::Stale("the rows are not here any more");
      if (position->held >= slot.held.size()) break;
      const Held& held = slot.held[position->held];
      if (held.bytes > 0) {
        ASSIGN_OR_RETURN(Batch batch, RowsOf(held));
        batches.push_back(std::move(batch));
        bytes += held.bytes;
        *position = {.held = position->held + 1, .block = 0};
        continue;
      }
      if (position->block >= held.blocks.size()) {
        *position = {.held = position->held + 1, .block = 0};
        continue;
      }
      on_disk = held.blocks[position->block++];
    }
    ASSIGN_OR_RETURN(Batch batch, file_.Read(*on_disk));
    bytes += on_disk->plain_bytes;
    batches.push_back(std::move(batch));
  }
  return batches;
}

Status Exchange::BringHere(int producer) {
  std::vector<std::shared_ptr<ElsewhereRows>> elsewhere(consumers_);
  {
    const std::lock_guard lock(mutex_);
    for (int consumer = 0; consumer < consumers_; ++consumer) {
      Slot& slot = slots_[SlotNumber(producer, consumer)];
      if (slot.row_count > 0) elsewhere[consumer] = slot.elsewhere;
    }
  }
  Clear(producer);
  const auto bring = [&](int consumer) -> Status {
    const auto reader = elsewhere[consumer]->Read(producer, consumer, block_bytes_);
    while (true) {
      ASSIGN_OR_RETURN(std::optional<Batch> batch, reader->Next());
      if (!batch.has_value()) return Status::Ok();
      const int64_t bytes = batch->OwnBytes();
      RETURN_IF_ERROR(Keep(producer, consumer, *std::move(batch), bytes));
    }
  };
  const int slots = spec_.kind == batch::ExchangeKind::kBroadcast ? 1 : consumers_;
  for (int consumer = 0; consumer < slots; ++consumer) {
    if (elsewhere[consumer] == nullptr) continue;
    if (Status status = bring(consumer); !status.ok()) {
      Clear(producer);
      return status;
    }
  }
  return Status::Ok();
}

void Exchange::ClearSlot(Slot* slot) {
  budget_->Release(slot->bytes);
  const int clears = slot->clears + 1;
  *slot = Slot();
  slot->clears = clears;
}

void Exchange::SetElsewhere(int producer, std::shared_ptr<ElsewhereRows> from, const ProducerRows& rows) {
  CHECK(producer >= 0 && producer < producers_ && static_cast<int>(rows.row_counts.size()) == consumers_);
  const std::lock_guard lock(mutex_);
  for (int consumer = 0; consumer < consumers_; ++consumer) {
    Slot& slot = slots_[SlotNumber(producer, consumer)];
    ClearSlot(&slot);
    slot.row_count = rows.row_counts[consumer];
    slot.elsewhere = from;
  }
  widths_[producer] = rows.width;
}

void Exchange::Clear(int producer) {
  const std::lock_guard lock(mutex_);
  for (int consumer = 0; consumer < consumers_; ++consumer) ClearSlot(&slots_[SlotNumber(producer, consumer)]);
  widths_[producer] = 0;
}

ProducerRows Exchange::RowsOf(int producer) const {
  const std::lock_guard lock(mutex_);
  ProducerRows rows{.row_counts = std::vector<int64_t>(consumers_), .width = widths_[producer]};
  for (int consumer = 0; consumer < consumers_; ++consumer)
    rows.row_counts[consumer] = slots_[SlotNumber(producer, consumer)].row_count;
  return rows;
}

int Exchange::width() const {
  const std::lock_guard lock(mutex_);
  return widths_.empty() ? 0 : *std::max_element(widths_.begin(), widths_.end());
}

int64_t Exchange::RowCount(int begin, int end) const {
  const std::lock_guard lock(mutex_);
  int64_t rows = 0;
  for (int producer = 0; producer < producers_; ++producer) {
    for (int consumer = begin; consumer < end; ++consumer) rows += slots_[SlotNumber(producer, consumer)].row_count;
  }
  return rows;
}

int64_t Exchange::KeptBytes() const {
  const std::lock_guard lock(mutex_);
  int64_t bytes = 0;
  for (const Slot& slot : slots_) {
    bytes += slot.bytes;
    for (const Held& held : slot.held) {
      for (const spill::Block& block : held.blocks) bytes += block.plain_bytes;
    }
  }
  return bytes;
}

}  // namespace glim::exchange
