// SPDX-License-Identifier: Apache-2.0
#include "io/fixed_width_source.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "base/try.h"
#include "env/path.h"
#include "io/block_reader.h"
#include "io/byte_scan.h"
#include "io/paths.h"

namespace glim::io {
namespace {

constexpr size_t kRowsMax = 4096;

class FixedWidthReader : public Reader {
 public:
  FixedWidthReader(std::unique_ptr<BlockReader> blocks, uint64_t end, const std::vector<int>& widths, size_t record)
      : blocks_(std::move(blocks)), end_(end), widths_(widths), record_(record) {}

  Result<std::optional<Batch>> Next() override {
    while (blocks_->offset() + at_ < end_) {
      const uint64_t ours = std::min<uint64_t>(blocks_->filled(), end_ - blocks_->offset());
      const size_t rows = std::min(kRowsMax, (ours - at_) / record_);
      if (rows > 0) return TakeBatch(rows);
      if (blocks_->at_end()) {
        if (at_ == blocks_->filled()) break;
        return Status::Corrupt(fmt::format("{}: the file ends at byte {}, within a record of {} bytes",
                                           env::QuotePath(blocks_->path()), blocks_->offset() + blocks_->filled(),
                                           record_));
      }
      ASSIGN_OR_RETURN(const size_t moved, blocks_->More(at_));
      at_ -= moved;
    }
    return std::optional<Batch>();
  }

 private:
  std::optional<Batch> TakeBatch(size_t rows) {
    std::vector<Column> columns;
    size_t field = at_;
    for (const int width : widths_) {
      auto views = Buffer::Allocate(rows * sizeof(BytesView));
      auto* view = views->MutableAs<BytesView>();
      for (size_t row = 0; row < rows; ++row) {
        const size_t begin = field + row * record_;
        view[row] = BytesView::MakeReadable(blocks_->data() + begin, static_cast<uint32_t>(width), 0,
                                            static_cast<uint32_t>(begin));
      }
      columns.push_back(ColumnOfViews(std::move(views), static_cast<int64_t>(rows), blocks_->blocks()));
      field += static_cast<size_t>(width);
    }
    at_ += rows * record_;
    return Batch(std::move(columns), static_cast<int64_t>(rows));
  }

  std::unique_ptr<BlockReader> blocks_;
  const uint64_t end_;  // Records that start from here on are not ours.
  const std::vector<int>& widths_;
  const size_t record_;
  size_t at_ = 0;  // The next record in the block.
};

class FixedWidthSource : public Source {
 public:
  explicit FixedWidthSource(FixedWidth format)
      : format_(std::move(format)),
        record_(std::accumulate(format_.widths.begin(), format_.widths.end(), int64_t{0})) {}

  std::string Describe() const override {
    return fmt::format("FixedWidth({{\"{}\"}}, {{{}}})", fmt::join(format_.files, "\", \""),
                       fmt::join(format_.widths, ", "));
  }

  Estimate MakeEstimate(env::Env& env) const override {
    return EstimateFiles(env, format_.files,
                         {format_.options.recursive, format_.options.pattern, format_.options.per_host});
  }

  Result<std::vector<Split>> MakeSplits(env::Env& env, const SplitOptions& options) const override {
    if (format_.widths.empty()) return Status::Invalid("FixedWidth needs the width of each field");
    for (const int width : format_.widths) {
      if (width < 1) return Status::Invalid(fmt::format("FixedWidth: a field of {} bytes; write 1 or more", width));
    }
    return CutFiles(env, format_.files, {format_.options.recursive, format_.options.pattern, format_.options.per_host},
                    options, record_);
  }

  Result<std::unique_ptr<Reader>> Open(env::Env& env, const Split& split) const override {
    ASSIGN_OR_RETURN(auto blocks, BlockReader::Open(env, split.path, split.begin, split.end, split.threads));
    return std::unique_ptr<Reader>(
        std::make_unique<FixedWidthReader>(std::move(blocks), split.end, format_.widths, static_cast<size_t>(record_)));
  }

 private:
  const FixedWidth format_;
  const int64_t record_;
};

}  // namespace

std::unique_ptr<Source> MakeFixedWidthSource(FixedWidth format) {
  return std::make_unique<FixedWidthSource>(std::move(format));
}

}  // namespace glim::io
