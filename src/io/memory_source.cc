// SPDX-License-Identifier: Apache-2.0
#include "io/memory_source.h"

#include <fmt/core.h>

#include <algorithm>
#include <span>

#include "glim/batch_builder.h"

namespace glim::io {
namespace {

constexpr uint64_t kRowsMax = 4096;
constexpr uint64_t kSplitsMax = 1024;  // More help no scheduler, and Range may be endless in practice.

// Rows [0, count) in pieces of one size.
std::vector<Split> CutRows(uint64_t count, int64_t row_bytes, const SplitOptions& options) {
  std::vector<Split> splits;
  if (count == 0) return splits;
  const auto rows_max =
      static_cast<uint64_t>(std::max<int64_t>(1, options.split_bytes_max / std::max<int64_t>(1, row_bytes)));
  const uint64_t pieces = std::min(kSplitsMax, (count - 1) / rows_max + 1);
  const uint64_t piece = (count - 1) / pieces + 1;
  uint64_t begin = 0;
  while (begin < count) {
    const uint64_t end = begin + std::min(piece, count - begin);
    const double bytes = static_cast<double>(end - begin) * static_cast<double>(row_bytes);
    splits.push_back({"", begin, end, static_cast<int64_t>(std::min(bytes, 1e18))});
    begin = end;
  }
  return splits;
}

// Calls `make(begin, end)` for the next rows of the split; it gives rows from `begin` on, at least one, at most up to
// `end`.
template <class Make>
class RowRangeReader : public Reader {
 public:
  RowRangeReader(const Split& split, Make make) : next_(split.begin), end_(split.end), make_(std::move(make)) {}

  Result<std::optional<Batch>> Next() override {
    if (next_ >= end_) return std::optional<Batch>();
    Batch batch = make_(next_, next_ + std::min(kRowsMax, end_ - next_));
    next_ += static_cast<uint64_t>(batch.row_count());
    return std::optional<Batch>(std::move(batch));
  }

 private:
  uint64_t next_;
  const uint64_t end_;
  const Make make_;
};

template <class Make>
std::unique_ptr<Reader> MakeRowRangeReader(const Split& split, Make make) {
  return std::make_unique<RowRangeReader<Make>>(split, std::move(make));
}

Batch OneColumn(Column column) {
  const int64_t rows = column.length();
  std::vector<Column> columns;
  columns.push_back(std::move(column));
  return Batch(std::move(columns), rows);
}

// Of so many rows. More than an int64_t holds is as good as endless.
Estimate Count(uint64_t rows) { return {static_cast<int64_t>(std::min<uint64_t>(rows, INT64_MAX)), std::nullopt}; }

class StringsSource : public Source {
 public:
  explicit StringsSource(std::vector<std::string> values)
      : values_(std::make_shared<const std::vector<std::string>>(std::move(values))) {}

  std::string Describe() const override { return fmt::format("Strings({} values)", values_->size()); }

  Estimate MakeEstimate(env::Env&) const override { return Count(values_->size()); }

  Result<std::vector<Split>> MakeSplits(env::Env&, const SplitOptions& options) const override {
    size_t bytes = 0;
    for (const std::string& value : *values_) bytes += value.size() + 1;
    const size_t mean = values_->empty() ? 1 : bytes / values_->size();
    return CutRows(values_->size(), static_cast<int64_t>(mean), options);
  }

  Result<std::unique_ptr<Reader>> Open(env::Env&, const Split& split) const override {
    return MakeRowRangeReader(split, [values = values_](uint64_t begin, uint64_t end) {
      ColumnBuilder column;
      for (uint64_t i = begin; i < end; ++i) column.AppendBytes((*values)[i]);
      return OneColumn(column.Finish());
    });
  }

 private:
  std::shared_ptr<const std::vector<std::string>> values_;
};

class IntsSource : public Source {
 public:
  explicit IntsSource(std::vector<int64_t> values)
      : values_(std::make_shared<const std::vector<int64_t>>(std::move(values))) {}

  std::string Describe() const override { return fmt::format("Ints({} values)", values_->size()); }

  Estimate MakeEstimate(env::Env&) const override { return Count(values_->size()); }

  Result<std::vector<Split>> MakeSplits(env::Env&, const SplitOptions& options) const override {
    return CutRows(values_->size(), sizeof(int64_t), options);
  }

  Result<std::unique_ptr<Reader>> Open(env::Env&, const Split& split) const override {
    return MakeRowRangeReader(split, [values = values_](uint64_t begin, uint64_t end) {
      return OneColumn(Column::FromInt64s(std::span(*values).subspan(begin, end - begin)));
    });
  }

 private:
  std::shared_ptr<const std::vector<int64_t>> values_;
};

class RangeSource : public Source {
 public:
  RangeSource(int64_t begin, int64_t end) : begin_(begin), end_(end) {}

  std::string Describe() const override { return fmt::format("Range({}, {})", begin_, end_); }

  Estimate MakeEstimate(env::Env&) const override {
    return Count(begin_ < end_ ? static_cast<uint64_t>(end_) - static_cast<uint64_t>(begin_) : 0);
  }

  Result<std::vector<Split>> MakeSplits(env::Env&, const SplitOptions& options) const override {
    // Unsigned: the difference of two int64_t may be too large for a third.
    const uint64_t count = begin_ < end_ ? static_cast<uint64_t>(end_) - static_cast<uint64_t>(begin_) : 0;
    return CutRows(count, sizeof(int64_t), options);
  }

  Result<std::unique_ptr<Reader>> Open(env::Env&, const Split& split) const override {
    return MakeRowRangeReader(split, [first = static_cast<uint64_t>(begin_)](uint64_t begin, uint64_t end) {
      const auto count = static_cast<size_t>(end - begin);
      auto values = Buffer::Allocate(count * sizeof(int64_t));
      for (size_t i = 0; i < count; ++i) values->MutableAs<int64_t>()[i] = static_cast<int64_t>(first + begin + i);
      Column::Parts parts;
      parts.type = Type::kInt64;
      parts.length = static_cast<int64_t>(count);
      parts.values = std::move(values);
      return OneColumn(Column(std::move(parts)));
    });
  }

 private:
  const int64_t begin_, end_;
};

class RowsSource : public Source {
 public:
  explicit RowsSource(std::vector<Row> rows) : rows_(std::make_shared<const std::vector<Row>>(std::move(rows))) {}

  std::string Describe() const override { return fmt::format("Rows({} rows)", rows_->size()); }

  Estimate MakeEstimate(env::Env&) const override { return Count(rows_->size()); }

  Result<std::vector<Split>> MakeSplits(env::Env&, const SplitOptions& options) const override {
    size_t values = 0;
    for (const Row& row : *rows_) values += row.size() + 1;
    const size_t mean = rows_->empty() ? 1 : values / rows_->size();
    constexpr size_t kValueBytes = 12;  // A guess; looking at every value would cost more than it helps.
    return CutRows(rows_->size(), static_cast<int64_t>(mean * kValueBytes), options);
  }

  Result<std::unique_ptr<Reader>> Open(env::Env&, const Split& split) const override {
    return MakeRowRangeReader(split, [rows = rows_](uint64_t begin, uint64_t end) {
      const size_t width = (*rows)[begin].size();
      BatchBuilder batch(static_cast<int>(width));
      for (uint64_t i = begin; i < end && (*rows)[i].size() == width; ++i) batch.AppendRow((*rows)[i]);
      return batch.Finish();
    });
  }

 private:
  std::shared_ptr<const std::vector<Row>> rows_;
};

}  // namespace

std::unique_ptr<Source> MakeStringsSource(std::vector<std::string> values) {
  return std::make_unique<StringsSource>(std::move(values));
}

std::unique_ptr<Source> MakeIntsSource(std::vector<int64_t> values) {
  return std::make_unique<IntsSource>(std::move(values));
}

std::unique_ptr<Source> MakeRangeSource(int64_t begin, int64_t end) {
  return std::make_unique<RangeSource>(begin, end);
}

std::unique_ptr<Source> MakeRowsSource(std::vector<Row> rows) { return std::make_unique<RowsSource>(std::move(rows)); }

}  // namespace glim::io
