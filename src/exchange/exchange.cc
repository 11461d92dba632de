// SPDX-License-Identifier: Apache-2.0
#include "exchange/exchange.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/hash.h"
#include "base/try.h"
#include "exchange/merge_reader.h"
#include "glim/batch_builder.h"

namespace glim::exchange {
namespace {

constexpr int64_t kRowsPerBatch = 4096;

class ConcatenatingReader : public PartitionReader {
 public:
  explicit ConcatenatingReader(std::vector<const std::vector<Batch>*> parts) : parts_(std::move(parts)) {}
  Result<std::optional<Batch>> Next() override {
    while (part_ < parts_.size()) {
      if (next_ < parts_[part_]->size()) return std::optional<Batch>((*parts_[part_])[next_++]);
      ++part_;
      next_ = 0;
    }
    return std::optional<Batch>();
  }

 private:
  std::vector<const std::vector<Batch>*> parts_;
  size_t part_ = 0;
  size_t next_ = 0;
};

// What a batch holds, however many others share its blocks.
int64_t OwnBytes(const Batch& batch) {
  int64_t bytes = 0;
  for (const Column& column : batch.columns()) {
    bytes += column.MemoryBytes(false);
    if (column.type() != Type::kBytes) continue;
    for (const BytesView& view : column.Views()) bytes += view.is_inline() ? 0 : view.size;
  }
  return bytes;
}

}  // namespace

class Writer : public PartitionWriter {
 public:
  Writer(Exchange* exchange, int producer)
      : exchange_(exchange),
        producer_(producer),
        builders_(exchange->consumers_),
        rows_(exchange->consumers_),
        next_(producer) {}

  Status Push(Batch batch) override {
    if (batch.row_count() == 0) return Status::Ok();
    switch (exchange_->spec_.kind) {
      case batch::ExchangeKind::kNone: return Status::Ok();
      case batch::ExchangeKind::kMergeSorted: {
        // Already compact (a sort made it): kept as it is.
        kept_bytes_ += OwnBytes(batch);
        Slot(Neighbour()).push_back(std::move(batch));
        return Account();
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
    for (int c = 0; c < exchange_->consumers_; ++c) Flush(c);
    return Account();
  }

 private:
  std::vector<Batch>& Slot(int consumer) { return exchange_->batches_[producer_ * exchange_->consumers_ + consumer]; }

  // Neighbouring producers to one consumer.
  int Neighbour() const {
    return static_cast<int>(static_cast<int64_t>(producer_) * exchange_->consumers_ / exchange_->producers_);
  }

  Status Append(const Batch& batch, int consumer) {
    all_.resize(batch.row_count());
    std::iota(all_.begin(), all_.end(), 0);
    AppendRows(batch, consumer, all_);
    return Account();
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
    for (int64_t row = 0; row < batch.row_count(); ++row) {
      rows_[base::HashToRange(hashes_[row], static_cast<uint32_t>(rows_.size()))].push_back(static_cast<uint32_t>(row));
    }
    return AppendAll(batch);
  }

  Status Deal(const Batch& batch) {
    for (int64_t row = 0; row < batch.row_count(); ++row)
      rows_[next_++ % rows_.size()].push_back(static_cast<uint32_t>(row));
    return AppendAll(batch);
  }

  Status AppendAll(const Batch& batch) {
    for (size_t c = 0; c < rows_.size(); ++c) {
      if (rows_[c].empty()) continue;
      AppendRows(batch, static_cast<int>(c), rows_[c]);
      rows_[c].clear();
    }
    return Account();
  }

  void AppendRows(const Batch& batch, int consumer, std::span<const uint32_t> rows) {
    BatchBuilder& builder = builders_[consumer];
    if (builder.row_count() > 0 && builder.column_count() != batch.column_count()) Flush(consumer);
    builder.AppendRows(batch, rows);
    if (builder.row_count() >= kRowsPerBatch) Flush(consumer);
  }

  void Flush(int consumer) {
    if (builders_[consumer].row_count() == 0) return;
    kept_bytes_ += builders_[consumer].memory_bytes();
    Slot(consumer).push_back(builders_[consumer].Finish());
  }

  Status Account() {
    int64_t bytes = kept_bytes_;
    for (const BatchBuilder& builder : builders_) bytes += builder.memory_bytes();
    return exchange_->memory_[producer_].Resize(bytes);
  }

  Exchange* const exchange_;
  const int producer_;
  std::vector<BatchBuilder> builders_;
  std::vector<std::vector<uint32_t>> rows_;
  std::vector<uint32_t> all_;
  std::vector<uint64_t> hashes_;
  size_t next_;
  int64_t kept_bytes_ = 0;
};

Exchange::Exchange(batch::ExchangeSpec spec, int producers, int consumers, base::MemoryBudget* budget, std::string name)
    : spec_(std::move(spec)),
      producers_(producers),
      consumers_(consumers),
      budget_(budget),
      name_(std::move(name)),
      batches_(static_cast<size_t>(producers) * consumers),
      memory_(producers) {
  for (base::Reservation& memory : memory_) memory = base::Reservation(budget_, name_);
}

std::unique_ptr<PartitionWriter> Exchange::MakeWriter(int producer) {
  CHECK_LT(producer, producers_);
  return std::make_unique<Writer>(this, producer);
}

std::unique_ptr<PartitionReader> Exchange::MakeReader(int begin, int end) const {
  CHECK(begin >= 0 && begin <= end && end <= consumers_);
  std::vector<const std::vector<Batch>*> parts;
  for (int consumer = begin; consumer < end; ++consumer) {
    for (int producer = 0; producer < producers_; ++producer) parts.push_back(&Slot(producer, consumer));
  }
  if (spec_.kind == batch::ExchangeKind::kMergeSorted) return MakeMergeReader(std::move(parts), spec_.sort_keys);
  return std::make_unique<ConcatenatingReader>(std::move(parts));
}

bool Exchange::Empty(int begin, int end) const {
  for (int producer = 0; producer < producers_; ++producer) {
    for (int consumer = begin; consumer < end; ++consumer) {
      if (!Slot(producer, consumer).empty()) return false;
    }
  }
  return true;
}

int64_t Exchange::RowCount(int begin, int end) const {
  int64_t rows = 0;
  for (int producer = 0; producer < producers_; ++producer) {
    for (int consumer = begin; consumer < end; ++consumer) {
      for (const Batch& batch : Slot(producer, consumer)) rows += batch.row_count();
    }
  }
  return rows;
}

std::vector<Batch> Exchange::BatchesOf(int consumer) const {
  std::vector<Batch> all;
  for (int producer = 0; producer < producers_; ++producer) {
    const std::vector<Batch>& part = Slot(producer, consumer);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

int Exchange::width() const {
  int width = 0;
  for (const std::vector<Batch>& part : batches_) {
    for (const Batch& batch : part) width = std::max(width, batch.column_count());
  }
  return width;
}

}  // namespace glim::exchange
