// SPDX-License-Identifier: Apache-2.0
#include "io/text_source.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/try.h"
#include "io/block_reader.h"
#include "io/byte_scan.h"

namespace glim::io {
namespace {

constexpr size_t kRowsMax = 4096;

class TextReader : public Reader {
 public:
  // `host_name` counts when it is asked for.
  TextReader(std::unique_ptr<BlockReader> blocks, uint64_t end, bool skip_first, const TextFileOptions& options,
             std::string host_name)
      : blocks_(std::move(blocks)),
        end_(end),
        skipping_(skip_first),
        file_name_(options.file_name),
        offset_(options.offset),
        says_host_(options.host_name),
        host_name_(std::move(host_name)),
        strip_cr_(options.strip_cr) {}

  Result<std::optional<Batch>> Next() override {
    while (!done_) {
      if (skipping_) {
        Skip();
      } else {
        CutLines();
        if (count_ > 0) return TakeBatch();
      }
      if (done_) break;
      if (blocks_->at_end()) {
        CutLastLine();
        if (count_ > 0) return TakeBatch();
        break;
      }
      ASSIGN_OR_RETURN(const size_t moved, blocks_->More(line_));
      line_ -= moved;
      scanned_ -= moved;
    }
    return std::optional<Batch>();
  }

 private:
  // To the first line that starts in our range: the reader begins one byte before it.
  void Skip() {
    const size_t filled = blocks_->filled();
    const void* newline =
        filled > scanned_ ? std::memchr(blocks_->data() + scanned_, '\n', filled - scanned_) : nullptr;
    line_ = scanned_ = newline ? static_cast<size_t>(static_cast<const char*>(newline) - blocks_->data()) + 1 : filled;
    skipping_ = newline == nullptr;
    // A newline at end_ - 1 or later starts no line of ours.
    if (blocks_->offset() + line_ >= end_) done_ = true;
  }

  void CutLines() {
    const char* data = blocks_->data();
    const size_t filled = blocks_->filled();
    const bool strip_cr = strip_cr_;
    // Positions from here on start no line of ours.
    const size_t limit = end_ - blocks_->offset() < filled ? static_cast<size_t>(end_ - blocks_->offset()) : filled;
    size_t line = line_;
    if (line < limit) {
      BytesView* const views = Views();
      size_t count = count_;
      const bool all = ForEachMatch(data, scanned_, filled, {'\n'}, [&](size_t newline) {
        const size_t end = strip_cr && newline > line && data[newline - 1] == '\r' ? newline - 1 : newline;
        views[count++] =
            BytesView::MakeReadable(data + line, static_cast<uint32_t>(end - line), 0, static_cast<uint32_t>(line));
        if (offset_) [[unlikely]]
          starts_.push_back(static_cast<int64_t>(blocks_->offset() + line));
        line = newline + 1;
        return line < limit && count < kRowsMax;
      });
      scanned_ = all ? filled : line;
      line_ = line;
      count_ = count;
    }
    if (blocks_->offset() + line_ >= end_) done_ = true;
  }

  void CutLastLine() {
    done_ = true;
    if (skipping_ || line_ == blocks_->filled()) return;
    Views()[count_++] = BytesView::Make(blocks_->data() + line_, static_cast<uint32_t>(blocks_->filled() - line_), 0,
                                        static_cast<uint32_t>(line_));
    if (offset_) starts_.push_back(static_cast<int64_t>(blocks_->offset() + line_));
  }

  BytesView* Views() {
    if (views_ == nullptr) views_ = Buffer::Allocate(kRowsMax * sizeof(BytesView));
    return views_->MutableAs<BytesView>();
  }

  std::optional<Batch> TakeBatch() {
    const auto count = static_cast<int64_t>(std::exchange(count_, 0));
    std::vector<Column> columns;
    // A full buffer goes as it is; of a few lines a small copy.
    columns.push_back(count == kRowsMax ? ColumnOfViews(std::move(views_), count, blocks_->blocks())
                                        : ColumnOfViews(Views(), count, blocks_->blocks()));
    if (file_name_) columns.push_back(Column::Constant(Value(blocks_->path()), count));
    if (offset_) columns.push_back(Column::FromInt64s(starts_));
    if (says_host_) columns.push_back(Column::Constant(Value(host_name_), count));
    starts_.clear();
    return Batch(std::move(columns), count);
  }

  std::unique_ptr<BlockReader> blocks_;
  const uint64_t end_;  // Lines that start from here on are not ours.
  bool skipping_;       // The first newline was not seen yet.
  const bool file_name_;
  const bool offset_;
  const bool says_host_;
  const std::string host_name_;
  const bool strip_cr_;
  size_t line_ = 0;     // Where the next line starts.
  size_t scanned_ = 0;  // No newline in [line_, scanned_).
  bool done_ = false;
  std::shared_ptr<Buffer> views_;  // With room for kRowsMax, of which
  size_t count_ = 0;               // so many lines were cut.
  std::vector<int64_t> starts_;    // Of the lines in views_, in the file; only when they are asked for.
};

class TextSource : public Source {
 public:
  TextSource(std::vector<std::string> paths, TextFileOptions options)
      : paths_(std::move(paths)), options_(std::move(options)) {}

  std::string Describe() const override {
    if (paths_.size() == 1) return paths_[0] == "-" ? "Stdin()" : fmt::format("TextFile(\"{}\")", paths_[0]);
    return fmt::format("TextFile({{\"{}\"}})", fmt::join(paths_, "\", \""));
  }

  Estimate MakeEstimate(env::Env& env) const override {
    return EstimateFiles(env, paths_, {options_.recursive, options_.pattern, options_.per_host});
  }

  Result<std::vector<Split>> MakeSplits(env::Env& env, const SplitOptions& options) const override {
    return CutFiles(env, paths_, {options_.recursive, options_.pattern, options_.per_host}, options);
  }

  Result<std::unique_ptr<Reader>> Open(env::Env& env, const Split& split) const override {
    const bool skip_first = split.begin > 0;
    ASSIGN_OR_RETURN(auto blocks,
                     BlockReader::Open(env, split.path, split.begin - skip_first, split.end, split.threads));
    std::string host = options_.host_name && split.host.empty() ? env.machine().name : split.host;
    return std::unique_ptr<Reader>(
        std::make_unique<TextReader>(std::move(blocks), split.end, skip_first, options_, std::move(host)));
  }

 private:
  const std::vector<std::string> paths_;
  const TextFileOptions options_;
};

}  // namespace

std::unique_ptr<Source> MakeTextSource(std::vector<std::string> paths, TextFileOptions options) {
  return std::make_unique<TextSource>(std::move(paths), std::move(options));
}

}  // namespace glim::io
