// SPDX-License-Identifier: Apache-2.0
#include "exec/cached_source.h"

namespace glim::exec {
namespace {

class CachedReader : public io::Reader {
 public:
  CachedReader(std::shared_ptr<const flow::CachedRows> rows, size_t partition)
      : rows_(std::move(rows)), batches_(rows_->partitions[partition]) {}

  Result<std::optional<Batch>> Next() override {
    if (next_ == batches_.size()) return std::optional<Batch>();
    return std::optional<Batch>(batches_[next_++]);
  }

 private:
  const std::shared_ptr<const flow::CachedRows> rows_;
  const std::vector<Batch>& batches_;
  size_t next_ = 0;
};

class ElsewhereReader : public io::Reader {
 public:
  ElsewhereReader(std::shared_ptr<const flow::CachedRows> rows, size_t partition)
      : rows_(std::move(rows)), next_(rows_->elsewhere(partition)) {}

  Result<std::optional<Batch>> Next() override { return next_(); }

 private:
  const std::shared_ptr<const flow::CachedRows> rows_;
  const flow::CachedRows::Reader next_;
};

class CachedSource : public io::Source {
 public:
  explicit CachedSource(std::shared_ptr<const flow::CachedRows> rows) : rows_(std::move(rows)) {}
  std::string Describe() const override { return "Cache()"; }
  io::Estimate MakeEstimate(env::Env&) const override {
    int64_t rows = 0;
    for (const std::vector<Batch>& partition : rows_->partitions) {
      for (const Batch& batch : partition) rows += batch.row_count();
    }
    return {rows, rows_->bytes};
  }
  Result<std::vector<io::Split>> MakeSplits(env::Env&, const io::SplitOptions&) const override {
    const auto count = static_cast<int64_t>(rows_->partitions.size());
    std::vector<io::Split> splits;
    for (int64_t i = 0; i < count; ++i) {
      splits.push_back({"", static_cast<uint64_t>(i), static_cast<uint64_t>(i) + 1, rows_->bytes / count});
    }
    return splits;
  }
  Result<std::unique_ptr<io::Reader>> Open(env::Env&, const io::Split& split) const override {
    if (rows_->elsewhere != nullptr)
      return std::unique_ptr<io::Reader>(std::make_unique<ElsewhereReader>(rows_, split.begin));
    if (split.begin >= rows_->partitions.size()) return Status::Stale("the rows of the cache are not there");
    return std::unique_ptr<io::Reader>(std::make_unique<CachedReader>(rows_, split.begin));
  }

 private:
  const std::shared_ptr<const flow::CachedRows> rows_;
};

}  // namespace

std::unique_ptr<io::Source> MakeCachedSource(std::shared_ptr<const flow::CachedRows> rows) {
  return std::make_unique<CachedSource>(std::move(rows));
}

}  // namespace glim::exec
