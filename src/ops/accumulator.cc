// SPDX-License-Identifier: Apache-2.0
#include "ops/accumulator.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "glim/batch_builder.h"
#include "ops/distinct_sketch.h"
#include "ops/group_index.h"

namespace glim::ops {
namespace {

constexpr size_t kPrefetchAhead = 16;  // Of accumulators, which lie anywhere when there are many.

template <class T>
int64_t Bytes(const std::vector<T>& values) {
  return static_cast<int64_t>(values.capacity() * sizeof(T));
}

// ---- Sum, Mean ----

using Whole = __int128;

// Integers and doubles apart, so that neither spoils the other. The doubles are summed as Neumaier has it (1974):
// `rest` holds what did not fit into `sum`.
struct Total {
  Whole whole = 0;
  double sum = 0, rest = 0;
  bool has_doubles = false;

  void AddDouble(double value) {
    const double next = sum + value;
    rest += std::abs(sum) >= std::abs(value) ? (sum - next) + value : (value - next) + sum;
    sum = next;
    has_doubles = true;
  }
  // Beyond all numbers, `rest` is infinity less infinity.
  double doubles() const { return std::isfinite(sum) ? sum + rest : sum; }
  double number() const { return has_doubles ? static_cast<double>(whole) + doubles() : static_cast<double>(whole); }
  bool fits() const {
    return whole >= std::numeric_limits<int64_t>::min() && whole <= std::numeric_limits<int64_t>::max();
  }
};

// While there are only integers and all sums fit, an array of them is enough.
class SumAccumulator : public Accumulator {
 public:
  explicit SumAccumulator(bool mean) : mean_(mean) {}

  Status Add(const Column& values, std::span<const uint32_t> groups, uint32_t group_count, int64_t* failed) override {
    Resize(group_count);
    if (mean_) {
      for (const uint32_t group : groups) ++counts_[group];
    }
    int64_t row = 0;
    if (values.type() == Type::kInt64) row = AddFast(values.Int64s(), groups);
    if (row == values.length()) return Status::Ok();
    Widen();
    for (; row < values.length(); ++row) {
      const Cell cell = values.At(row);
      Total& total = totals_[groups[row]];
      if (cell.type() == Type::kDouble) {
        total.AddDouble(cell.as_double());
      } else if (cell.type() == Type::kInt64) {
        total.whole += cell.as_int64();
      } else {
        *failed = row;
        return Status::Invalid(fmt::format("{} expects numbers, got {}", mean_ ? "mean" : "sum", cell.ToDebugString()));
      }
    }
    return Status::Ok();
  }

  // Columns of a state: the low and the high half of the integers (the high one nil when it says nothing), the sum of
  // the doubles and its rest (nil when there are none), for a mean the count.
  void Merge(std::span<const Column> states, std::span<const uint32_t> groups, uint32_t group_count) override {
    Resize(group_count);
    if (mean_) {
      for (size_t i = 0; i < groups.size(); ++i) counts_[groups[i]] += states[4].At(static_cast<int64_t>(i)).as_int64();
    }
    int64_t row = 0;
    const bool only_low = states[1].type() == Type::kNull && states[2].type() == Type::kNull;
    if (only_low && states[0].type() == Type::kInt64) row = AddFast(states[0].Int64s(), groups);
    if (row == states[0].length()) return;
    Widen();
    for (; row < states[0].length(); ++row) {
      Total& total = totals_[groups[row]];
      const int64_t low = states[0].At(row).as_int64();
      const Cell high = states[1].At(row);
      total.whole += high.is_null() ? Whole{low} : Whole{high.as_int64()} << 64 | static_cast<uint64_t>(low);
      if (states[2].IsNull(row)) continue;
      const double rest = states[3].At(row).number();
      total.AddDouble(states[2].At(row).number());
      total.rest += rest;
    }
  }

  int64_t memory_bytes() const override { return Bytes(sums_) + Bytes(totals_) + Bytes(counts_); }

  Result<Column> Finish(int64_t* failed) override {
    if (mean_) {
      std::vector<double> means(counts_.size());
      for (size_t g = 0; g < means.size(); ++g) {
        const double total = wide_ ? totals_[g].number() : static_cast<double>(sums_[g]);
        means[g] = total / static_cast<double>(counts_[g]);
      }
      return Column::FromDoubles(means);
    }
    if (!wide_) return Column::FromInt64s(sums_);
    ColumnBuilder builder;
    for (size_t g = 0; g < totals_.size(); ++g) {
      const Total& total = totals_[g];
      if (total.has_doubles) {
        builder.AppendDouble(total.number());
      } else if (total.fits()) {
        builder.AppendInt64(static_cast<int64_t>(total.whole));
      } else {
        *failed = static_cast<int64_t>(g);
        return Status::Invalid("the sum of these integers needs more than 64 bits; make them doubles first");
      }
    }
    return builder.Finish();
  }

  std::vector<Column> States() override {
    const auto count = static_cast<int64_t>(wide_ ? totals_.size() : sums_.size());
    std::vector<Column> states;
    if (!wide_) {
      states = {Column::FromInt64s(sums_), Column::Nulls(count), Column::Nulls(count), Column::Nulls(count)};
    } else {
      std::vector<ColumnBuilder> builders(4);
      for (const Total& total : totals_) {
        builders[0].AppendInt64(static_cast<int64_t>(total.whole));
        AppendIf(!total.fits(), static_cast<int64_t>(total.whole >> 64), &builders[1]);
        AppendIf(total.has_doubles, total.sum, &builders[2]);
        AppendIf(total.has_doubles, std::isfinite(total.sum) ? total.rest : 0.0, &builders[3]);
      }
      for (ColumnBuilder& builder : builders) states.push_back(builder.Finish());
    }
    if (mean_) states.push_back(Column::FromInt64s(counts_));
    return states;
  }

 private:
  static void AppendIf(bool has, auto value, ColumnBuilder* builder) {
    if (has) {
      builder->Append(Value(value));
    } else {
      builder->AppendNull();
    }
  }

  void Resize(uint32_t group_count) {
    if (wide_) {
      totals_.resize(group_count);
    } else {
      sums_.resize(group_count);
    }
    if (mean_) counts_.resize(group_count);
  }

  // Up to the first that does not fit, or to all.
  int64_t AddFast(std::span<const int64_t> values, std::span<const uint32_t> groups) {
    if (wide_) return 0;
    int64_t* const sums = sums_.data();
    const size_t n = values.size();
    for (size_t i = 0; i < n; ++i) {
      if (i + kPrefetchAhead < n) __builtin_prefetch(&sums[groups[i + kPrefetchAhead]], 1);
      int64_t sum;
      if (__builtin_add_overflow(sums[groups[i]], values[i], &sum)) return static_cast<int64_t>(i);
      sums[groups[i]] = sum;
    }
    return static_cast<int64_t>(n);
  }

  void Widen() {
    if (wide_) return;
    wide_ = true;
    totals_.resize(sums_.size());
    for (size_t g = 0; g < sums_.size(); ++g) totals_[g].whole = sums_[g];
    sums_ = {};
  }

  const bool mean_;
  bool wide_ = false;
  std::vector<int64_t> sums_;  // While not wide_.
  std::vector<Total> totals_;
  std::vector<int64_t> counts_;  // Of Mean.
};

// ---- Count ----

class CountAccumulator : public Accumulator {
 public:
  Status Add(const Column&, std::span<const uint32_t> groups, uint32_t group_count, int64_t*) override {
    counts_.resize(group_count);
    int64_t* const counts = counts_.data();
    for (size_t i = 0; i < groups.size(); ++i) {
      if (i + kPrefetchAhead < groups.size()) __builtin_prefetch(&counts[groups[i + kPrefetchAhead]], 1);
      ++counts[groups[i]];
    }
    return Status::Ok();
  }
  void Merge(std::span<const Column> states, std::span<const uint32_t> groups, uint32_t group_count) override {
    counts_.resize(group_count);
    for (size_t i = 0; i < groups.size(); ++i) counts_[groups[i]] += states[0].At(static_cast<int64_t>(i)).as_int64();
  }
  int64_t memory_bytes() const override { return Bytes(counts_); }
  Result<Column> Finish(int64_t*) override { return Column::FromInt64s(counts_); }
  std::vector<Column> States() override { return {Column::FromInt64s(counts_)}; }

 private:
  std::vector<int64_t> counts_;
};

// ---- Min, Max ----

// Of one type while one type comes, else of values.
template <bool kMax>
class ExtremeAccumulator : public Accumulator {
 public:
  Status Add(const Column& values, std::span<const uint32_t> groups, uint32_t group_count, int64_t*) override {
    const size_t before = size_;
    size_ = group_count;
    if (groups.empty() && before > 0) {  // Only new groups without values.
    } else if (before == 0) {
      type_ = values.type() == Type::kInt64 || values.type() == Type::kDouble ? values.type() : Type::kAny;
    } else if (type_ != values.type()) {
      ToValues(before);
    }
    if (type_ == Type::kInt64) {
      AddAll<int64_t>(values, groups, &ints_, kMax ? INT64_MIN : INT64_MAX);
    } else if (type_ == Type::kDouble) {  // NaN is above all numbers.
      AddAll<double>(values, groups, &doubles_, kMax ? -std::numeric_limits<double>::infinity() : std::nan(""));
    } else {
      values_.resize(group_count);
      for (size_t i = 0; i < groups.size(); ++i) {
        Value& kept = values_[groups[i]];
        const Cell cell = values.At(static_cast<int64_t>(i));
        if (kept.type() != Type::kNull && !Better(cell, kept.cell())) continue;
        value_bytes_ += (cell.type() == Type::kBytes ? kStringBytes + cell.as_bytes().size() : 0);
        value_bytes_ -= (kept.type() == Type::kBytes ? kStringBytes + kept.as_bytes().size() : 0);
        kept = Value(cell);
      }
    }
    return Status::Ok();
  }
  void Merge(std::span<const Column> states, std::span<const uint32_t> groups, uint32_t group_count) override {
    int64_t failed;
    const Status status = Add(states[0], groups, group_count, &failed);
    CHECK(status.ok());
  }
  int64_t memory_bytes() const override {
    return Bytes(ints_) + Bytes(doubles_) + Bytes(values_) + static_cast<int64_t>(value_bytes_);
  }
  Result<Column> Finish(int64_t*) override { return States()[0]; }
  std::vector<Column> States() override {
    if (type_ == Type::kInt64) return {Column::FromInt64s(ints_)};
    if (type_ == Type::kDouble) return {Column::FromDoubles(doubles_)};
    ColumnBuilder builder;
    for (const Value& value : values_) builder.Append(value);
    return {builder.Finish()};
  }

 private:
  static constexpr size_t kStringBytes = 64;  // Beside its text.

  static bool Better(int64_t a, int64_t b) { return kMax ? a > b : a < b; }
  static bool Better(double a, double b) {
    if constexpr (kMax) return a > b || (std::isnan(a) && !std::isnan(b));
    return a < b || (std::isnan(b) && !std::isnan(a));
  }
  static bool Better(const Cell& a, const Cell& b) { return kMax ? b < a : a < b; }

  template <class T>
  void AddAll(const Column& column, std::span<const uint32_t> groups, std::vector<T>* kept, T worst) {
    kept->resize(size_, worst);
    if (groups.empty()) return;
    const T* values;
    if constexpr (std::is_same_v<T, int64_t>) {
      values = column.Int64s().data();
    } else {
      values = column.Doubles().data();
    }
    T* const at = kept->data();
    for (size_t i = 0; i < groups.size(); ++i) {
      if (i + kPrefetchAhead < groups.size()) __builtin_prefetch(&at[groups[i + kPrefetchAhead]], 1);
      if (Better(values[i], at[groups[i]])) at[groups[i]] = values[i];
    }
  }

  void ToValues(size_t count) {
    values_.resize(count);
    if (type_ == Type::kInt64) std::copy(ints_.begin(), ints_.end(), values_.begin());
    if (type_ == Type::kDouble) std::copy(doubles_.begin(), doubles_.end(), values_.begin());
    ints_ = {};
    doubles_ = {};
    type_ = Type::kAny;
  }

  Type type_ = Type::kAny;
  size_t size_ = 0;
  std::vector<int64_t> ints_;
  std::vector<double> doubles_;
  std::vector<Value> values_;
  size_t value_bytes_ = 0;  // Of texts, beside values_.
};

// ---- CountDistinct, Quantiles: states are lists ----

// The elements of the lists as a column, and which group each belongs to.
Column Elements(const Column& lists, std::span<const uint32_t> groups, std::vector<uint32_t>* element_groups) {
  ColumnBuilder elements;
  element_groups->clear();
  for (size_t i = 0; i < groups.size(); ++i) {
    const Cell list = lists.At(static_cast<int64_t>(i));
    if (list.list_size() == 0) continue;
    elements.AppendColumn(list.list_column()->Slice(list.list_begin(), list.list_size()));
    element_groups->insert(element_groups->end(), static_cast<size_t>(list.list_size()), groups[i]);
  }
  return elements.Finish();
}

// Numbers the pairs of group and value.
class DistinctAccumulator : public Accumulator {
 public:
  Status Add(const Column& values, std::span<const uint32_t> groups, uint32_t group_count, int64_t*) override {
    group_count_ = group_count;
    if (groups.empty()) return Status::Ok();
    const std::vector<int64_t> numbers(groups.begin(), groups.end());
    constexpr int kBoth[] = {0, 1};
    pairs_.Insert(Batch({Column::FromInt64s(numbers), values}, values.length()), kBoth, &pair_of_row_);
    return Status::Ok();
  }
  void Merge(std::span<const Column> states, std::span<const uint32_t> groups, uint32_t group_count) override {
    const Column elements = Elements(states[0], groups, &element_groups_);
    int64_t failed;
    const Status status = Add(elements, element_groups_, group_count, &failed);
    CHECK(status.ok());
  }
  int64_t memory_bytes() const override { return pairs_.memory_bytes(); }
  Result<Column> Finish(int64_t*) override {
    std::vector<int64_t> counts(group_count_);
    for (const uint32_t group : GroupOfPair(pairs_.Keys())) ++counts[group];
    return Column::FromInt64s(counts);
  }
  std::vector<Column> States() override {
    const std::vector<Column> keys = pairs_.Keys();
    std::vector<uint32_t> begins, order;
    OrderByGroup(GroupOfPair(keys), group_count_, &begins, &order);
    return {ListsOf(keys[1].Gather(order), begins)};
  }

 private:
  static std::vector<uint32_t> GroupOfPair(const std::vector<Column>& keys) {
    if (keys[0].length() == 0) return {};
    const auto numbers = keys[0].Int64s();
    return {numbers.begin(), numbers.end()};
  }

  GroupIndex pairs_{2};
  uint32_t group_count_ = 0;
  std::vector<uint32_t> pair_of_row_;
  std::vector<uint32_t> element_groups_;
};

// Keeps all values.
class QuantilesAccumulator : public Accumulator {
 public:
  explicit QuantilesAccumulator(std::vector<double> at) : at_(std::move(at)) {}

  Status Add(const Column& values, std::span<const uint32_t> groups, uint32_t group_count, int64_t*) override {
    group_count_ = group_count;
    values_.AppendColumn(values);
    group_of_value_.insert(group_of_value_.end(), groups.begin(), groups.end());
    return Status::Ok();
  }
  void Merge(std::span<const Column> states, std::span<const uint32_t> groups, uint32_t group_count) override {
    const Column elements = Elements(states[0], groups, &element_groups_);
    int64_t failed;
    const Status status = Add(elements, element_groups_, group_count, &failed);
    CHECK(status.ok());
  }
  int64_t memory_bytes() const override { return values_.memory_bytes() + Bytes(group_of_value_); }

  Result<Column> Finish(int64_t*) override {
    const Column values = values_.Finish();
    std::vector<uint32_t> begins, order, picked, list_begins{0};
    OrderByGroup(group_of_value_, group_count_, &begins, &order);
    for (uint32_t group = 0; group < group_count_; ++group) {
      const auto first = order.begin() + begins[group], last = order.begin() + begins[group + 1];
      Sort(values, first, last);
      const auto count = static_cast<double>(last - first);
      for (const double at : at_) {
        if (count == 0) continue;
        picked.push_back(first[std::max<int64_t>(0, static_cast<int64_t>(std::ceil(at * count)) - 1)]);
      }
      // A group without values becomes nil; alone, its place must be taken.
      if (count == 0 && at_.size() == 1) picked.push_back(0);
      list_begins.push_back(static_cast<uint32_t>(picked.size()));
    }
    if (values.length() == 0) return Column::Nulls(group_count_);
    const Column chosen = values.Gather(picked);
    return at_.size() == 1 ? chosen : ListsOf(chosen, list_begins);
  }

  std::vector<Column> States() override {
    std::vector<uint32_t> begins, order;
    OrderByGroup(group_of_value_, group_count_, &begins, &order);
    return {ListsOf(values_.Finish().Gather(order), begins)};
  }

 private:
  using Iterator = std::vector<uint32_t>::iterator;
  static void Sort(const Column& values, Iterator first, Iterator last) {
    if (values.type() == Type::kInt64) {
      const auto ints = values.Int64s();
      std::sort(first, last, [&](uint32_t a, uint32_t b) { return ints[a] < ints[b]; });
    } else {
      std::sort(first, last, [&](uint32_t a, uint32_t b) { return values.At(a) < values.At(b); });
    }
  }

  const std::vector<double> at_;
  uint32_t group_count_ = 0;
  ColumnBuilder values_;
  std::vector<uint32_t> group_of_value_;
  std::vector<uint32_t> element_groups_;
};

// ---- ApproxCountDistinct: states are sketches as bytes ----

class ApproxDistinctAccumulator : public Accumulator {
 public:
  Status Add(const Column& values, std::span<const uint32_t> groups, uint32_t group_count, int64_t*) override {
    sketches_.resize(group_count);
    for (size_t i = 0; i < groups.size(); ++i)
      bytes_ += sketches_[groups[i]].Add(values.At(static_cast<int64_t>(i)).Hash());
    return Status::Ok();
  }
  void Merge(std::span<const Column> states, std::span<const uint32_t> groups, uint32_t group_count) override {
    sketches_.resize(group_count);
    for (size_t i = 0; i < groups.size(); ++i)
      bytes_ += sketches_[groups[i]].Merge(states[0].At(static_cast<int64_t>(i)).as_bytes());
  }
  int64_t memory_bytes() const override { return Bytes(sketches_) + bytes_; }
  Result<Column> Finish(int64_t*) override {
    std::vector<int64_t> counts(sketches_.size());
    for (size_t g = 0; g < counts.size(); ++g) counts[g] = sketches_[g].Estimate();
    return Column::FromInt64s(counts);
  }
  std::vector<Column> States() override {
    ColumnBuilder builder;
    for (const DistinctSketch& sketch : sketches_) builder.AppendBytes(sketch.bytes());
    return {builder.Finish()};
  }

 private:
  std::vector<DistinctSketch> sketches_;
  int64_t bytes_ = 0;  // Of all sketches.
};

}  // namespace

std::unique_ptr<Accumulator> MakeAccumulator(const Fold& fold) {
  switch (fold.kind) {
    case Fold::Kind::kSum: return std::make_unique<SumAccumulator>(false);
    case Fold::Kind::kCount: return std::make_unique<CountAccumulator>();
    case Fold::Kind::kMin: return std::make_unique<ExtremeAccumulator<false>>();
    case Fold::Kind::kMax: return std::make_unique<ExtremeAccumulator<true>>();
    case Fold::Kind::kMean: return std::make_unique<SumAccumulator>(true);
    case Fold::Kind::kCountDistinct: return std::make_unique<DistinctAccumulator>();
    case Fold::Kind::kApproxCountDistinct: return std::make_unique<ApproxDistinctAccumulator>();
    case Fold::Kind::kQuantiles: return std::make_unique<QuantilesAccumulator>(fold.at);
  }
  CHECK(false);
}

int StateWidth(const Fold& fold) {
  if (fold.kind == Fold::Kind::kSum) return 4;
  return fold.kind == Fold::Kind::kMean ? 5 : 1;
}

}  // namespace glim::ops
