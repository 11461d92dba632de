// SPDX-License-Identifier: Apache-2.0
#include "ops/folds.h"

#include <fmt/core.h>

#include <numeric>
#include <optional>

#include "base/try.h"
#include "glim/batch_builder.h"
#include "ops/accumulator.h"

namespace glim::ops {
namespace {

// Which groups had a value, for one column. While no nil came, all of them.
class Present {
 public:
  // The rows of `column` that are not nil; nullopt: all.
  std::optional<std::vector<uint32_t>> Rows(const Column& column, std::span<const uint32_t> groups,
                                            uint32_t group_count) {
    std::vector<uint32_t> rows;
    const bool may_have_nulls = column.may_have_nulls();
    for (int64_t i = 0; may_have_nulls && i < column.length(); ++i) {
      if (!column.IsNull(i)) rows.push_back(static_cast<uint32_t>(i));
    }
    const bool all = !may_have_nulls || static_cast<int64_t>(rows.size()) == column.length();
    if (all && has_.empty()) {
      group_count_ = group_count;
      return std::nullopt;
    }
    has_.resize(group_count_, true);  // Those from before the first nil.
    has_.resize(group_count, false);
    group_count_ = group_count;
    if (all) {
      for (const uint32_t group : groups) has_[group] = true;
      return std::nullopt;
    }
    for (const uint32_t row : rows) has_[groups[row]] = true;
    return rows;
  }
  // `column` with nil for groups that had none.
  Column Of(const Column& column) const {
    if (has_.empty()) return column;
    ColumnBuilder builder;
    for (int64_t group = 0; group < column.length(); ++group) {
      if (has_[group]) {
        builder.Append(column.At(group));
      } else {
        builder.AppendNull();
      }
    }
    return builder.Finish();
  }
  int64_t memory_bytes() const { return static_cast<int64_t>(has_.capacity() / 8); }

 private:
  uint32_t group_count_ = 0;
  std::vector<bool> has_;  // Empty: no nil came so far.
};

class FoldReducer : public Reducer {
 public:
  FoldReducer(const std::vector<Fold>& folds, bool merges) : folds_(folds), merges_(merges) {}

  Status Update(const Batch& values, std::span<const uint32_t> groups, uint32_t group_count) override {
    failed_ = -1;
    if (columns_.empty()) RETURN_IF_ERROR(Start(values));
    group_count_ = group_count;
    int column = 0;
    for (PerColumn& one : columns_) {
      const int width = merges_ ? StateWidth(*one.fold) : 1;
      if (values.column_count() == 0) {
        RETURN_IF_ERROR(
            one.accumulator->Add(Column::Constant(true, values.row_count()), groups, group_count, &failed_));
        continue;
      }
      RETURN_IF_ERROR(Update(&one, values, column, width, groups, group_count));
      column += width;
    }
    return Status::Ok();
  }

  int64_t memory_bytes() const override {
    int64_t bytes = 0;
    for (const PerColumn& one : columns_) bytes += one.accumulator->memory_bytes() + one.present.memory_bytes();
    return bytes;
  }

  Result<Batch> Finish() override {
    std::vector<Column> columns;
    for (PerColumn& one : columns_) {
      ASSIGN_OR_RETURN(Column column, one.accumulator->Finish(&failed_));
      const bool counts = one.fold->kind == Fold::Kind::kCount || one.fold->kind == Fold::Kind::kCountDistinct ||
                          one.fold->kind == Fold::Kind::kApproxCountDistinct;
      columns.push_back(counts ? std::move(column) : one.present.Of(column));
    }
    return Batch(std::move(columns), group_count_);
  }

  Result<Batch> FinishStates() override {
    std::vector<Column> columns;
    for (PerColumn& one : columns_) {
      for (const Column& column : one.accumulator->States()) columns.push_back(one.present.Of(column));
    }
    return Batch(std::move(columns), group_count_);
  }

  int64_t failed() const override { return failed_; }

 private:
  struct PerColumn {
    const Fold* fold;
    std::unique_ptr<Accumulator> accumulator;
    Present present;
  };

  Status Start(const Batch& values) {
    const int width = values.column_count();
    int count = static_cast<int>(folds_.size());
    if (count == 1) count = merges_ ? width / StateWidth(folds_[0]) : std::max(width, 1);
    if (!merges_ && count != width && width > 0) {
      return Status::Invalid(fmt::format("there are {} folds for {} {} besides the key", folds_.size(), width,
                                         width == 1 ? "field" : "fields"));
    }
    for (int i = 0; i < count; ++i) {
      const Fold& fold = folds_.size() == 1 ? folds_[0] : folds_[i];
      columns_.push_back({&fold, MakeAccumulator(fold), {}});
    }
    return Status::Ok();
  }

  Status Update(PerColumn* one, const Batch& values, int first, int width, std::span<const uint32_t> groups,
                uint32_t group_count) {
    const auto begin = values.columns().begin() + first;
    std::vector<Column> columns(begin, begin + width);
    const auto rows = one->present.Rows(columns[0], groups, group_count);
    if (rows.has_value()) {
      for (Column& column : columns) column = column.Gather(*rows);
      kept_groups_.clear();
      for (const uint32_t row : *rows) kept_groups_.push_back(groups[row]);
      groups = kept_groups_;
    }
    if (merges_) {
      one->accumulator->Merge(columns, groups, group_count);
      return Status::Ok();
    }
    Status status = one->accumulator->Add(columns[0], groups, group_count, &failed_);
    if (!status.ok() && rows.has_value()) failed_ = (*rows)[failed_];
    return status;
  }

  const std::vector<Fold>& folds_;  // Of the function, which outlives this.
  const bool merges_;
  uint32_t group_count_ = 0;
  std::vector<PerColumn> columns_;
  std::vector<uint32_t> kept_groups_;
  int64_t failed_ = -1;
};

class FoldFunction : public Function {
 public:
  explicit FoldFunction(std::vector<Fold> folds) : folds_(std::move(folds)) {}

  std::string Describe() const override { return "folds"; }  // The step shows them.
  Result<std::unique_ptr<BatchFunction>> Instantiate(FunctionRole, TaskContext&) const override {
    return Status::Internal("a fold in the place of a function");
  }
  Result<std::unique_ptr<Reducer>> InstantiateReducer(TaskContext&) const override {
    return std::unique_ptr<Reducer>(std::make_unique<FoldReducer>(folds_, false));
  }
  Result<std::unique_ptr<Reducer>> InstantiateMerger(TaskContext&) const override {
    return std::unique_ptr<Reducer>(std::make_unique<FoldReducer>(folds_, true));
  }
  bool counts_rows() const override { return folds_.size() == 1 && folds_[0].kind == Fold::Kind::kCount; }

 private:
  const std::vector<Fold> folds_;
};

}  // namespace

std::shared_ptr<const Function> MakeFoldFunction(std::vector<Fold> folds) {
  return std::make_shared<FoldFunction>(std::move(folds));
}

}  // namespace glim::ops
