// SPDX-License-Identifier: Apache-2.0
#include "exec/cached_source.h"

#include <fmt/format.h>

#include <optional>
#include <utility>
#include <vector>

namespace glim::exec {
namespace {

class CachedReader : public io::Reader {
 public:
  explicit CachedReader(flow::CachedRows::Reader next) : next_(std::move(next)) {}
  Result<std::optional<Batch>> Next() override { return next_(); }

 private:
  const flow::CachedRows::Reader next_;
};

class CachedSource : public io::Source {
 public:
  explicit CachedSource(std::shared_ptr<const flow::CachedRows> rows) : rows_(std::move(rows)) {}
  std::string Describe() const override {
    return rows_->name.empty() ? "Cache()" : fmt::format("FromDisk(\"{}\")", rows_->name);
  }
  io::Estimate MakeEstimate(env::Env&) const override { return {rows_->row_count, rows_->bytes}; }
  Result<std::vector<io::Split>> MakeSplits(env::Env&, const io::SplitOptions&) const override {
    const int64_t count = rows_->partition_count;
    std::vector<io::Split> splits;
    for (int64_t i = 0; i < count; ++i) {
      splits.push_back({"", static_cast<uint64_t>(i), static_cast<uint64_t>(i) + 1, rows_->bytes / count});
    }
    return splits;
  }
  Result<std::unique_ptr<io::Reader>> Open(env::Env&, const io::Split& split) const override {
    if (rows_->read == nullptr) return Status::Stale("the rows of the cache are not there");
    return std::unique_ptr<io::Reader>(std::make_unique<CachedReader>(rows_->read(split.begin)));
  }

 private:
  const std::shared_ptr<const flow::CachedRows> rows_;
};

}  // namespace

std::unique_ptr<io::Source> MakeCachedSource(std::shared_ptr<const flow::CachedRows> rows) {
  return std::make_unique<CachedSource>(std::move(rows));
}

}  // namespace glim::exec
