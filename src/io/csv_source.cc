// SPDX-License-Identifier: Apache-2.0
#include "io/csv_source.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/try.h"
#include "env/path.h"
#include "io/block_reader.h"
#include "io/byte_scan.h"
#include "io/compression.h"
#include "io/paths.h"

namespace glim::io {
namespace {

constexpr size_t kRowsMax = 4096;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

class CsvReader : public Reader {
 public:
  CsvReader(std::unique_ptr<BlockReader> blocks, const CsvOptions& options)
      : blocks_(std::move(blocks)), options_(options), header_left_(options.header) {}

  Result<std::optional<Batch>> Next() override {
    RETURN_IF_ERROR(SkipByteOrderMark());
    while (true) {
      if (width_ > 0 && !header_left_) TakePlainRows();
      if (row_count_ == kRowsMax) return TakeBatch();
      ASSIGN_OR_RETURN(const Outcome outcome, ParseRow());
      if (outcome == Outcome::kRow) {
        RETURN_IF_ERROR(TakeRow());
        if (row_count_ == kRowsMax) return TakeBatch();
        continue;
      }
      // Views may not outlive the block's place as number 0: hand out what we have before reading on.
      if (row_count_ > 0) return TakeBatch();
      if (outcome == Outcome::kEnd) return std::optional<Batch>();
      RETURN_IF_ERROR(ReadOn());
    }
  }

  // The fields of the first row; none for a file without rows. The reader is not used for anything else then.
  Result<std::vector<std::string>> ReadNames() {
    RETURN_IF_ERROR(SkipByteOrderMark());
    while (true) {
      ASSIGN_OR_RETURN(const Outcome outcome, ParseRow());
      if (outcome == Outcome::kMore) {
        RETURN_IF_ERROR(ReadOn());
        continue;
      }
      std::vector<std::string> names;
      if (outcome == Outcome::kRow) {
        for (const Field& field : fields_) names.emplace_back(blocks_->data() + field.begin, Unquote(field));
      }
      return names;
    }
  }

 private:
  struct Field {
    size_t begin = 0;
    size_t size = 0;
    bool doubled = false;  // Has doubled quotes.
  };
  enum class Outcome { kRow, kMore, kEnd };

  Status SkipByteOrderMark() {
    if (mark_skipped_) return Status::Ok();
    while (blocks_->filled() < kByteOrderMark.size() && !blocks_->at_end()) RETURN_IF_ERROR(blocks_->More(0).status());
    if (std::string_view(blocks_->data(), blocks_->filled()).starts_with(kByteOrderMark)) row_ = kByteOrderMark.size();
    mark_skipped_ = true;
    return Status::Ok();
  }

  // Until what is left unparsed has doubled: a row is then parsed at most twice as long as it is, however small the
  // pieces in which it comes.
  Status ReadOn() {
    const size_t wanted = 2 * (blocks_->filled() - row_);
    do {
      ASSIGN_OR_RETURN(const size_t moved, blocks_->More(row_));
      row_ -= moved;
    } while (blocks_->filled() - row_ < wanted && !blocks_->at_end());
    return Status::Ok();
  }

  // Finds the fields of the row at row_ and where it ends; changes nothing else but to step over blank lines.
  Result<Outcome> ParseRow() {
    const char* data = blocks_->data();
    const size_t end = blocks_->filled();
    SkipBlankLines(data, end);
    if (row_ == end) return blocks_->at_end() ? Outcome::kEnd : Outcome::kMore;
    if (data[row_] == '\r' && row_ + 1 == end) {  // A blank line, or the beginning of one.
      if (!blocks_->at_end()) return Outcome::kMore;
      row_ = end;
      return Outcome::kEnd;
    }
    fields_.clear();
    next_line_ = line_;
    size_t at = row_;
    while (true) {
      bool row_ended = false;
      if (at < end && data[at] == options_.quote) {
        ASSIGN_OR_RETURN(const bool complete, ParseQuoted(data, end, &at, &row_ended));
        if (!complete) return Outcome::kMore;
      } else if (!ParsePlain(data, end, &at, &row_ended)) {
        return Outcome::kMore;
      }
      if (!row_ended) continue;
      next_row_ = at;
      return Outcome::kRow;
    }
  }

  void SkipBlankLines(const char* data, size_t end) {
    while (row_ < end) {
      const size_t newline = row_ + (data[row_] == '\r');
      if (newline >= end || data[newline] != '\n') return;
      row_ = newline + 1;
      ++line_;
    }
  }

  // A field without quotes, from *at on; sets *at behind its delimiter. False: it does not end here.
  bool ParsePlain(const char* data, size_t end, size_t* at, bool* row_ended) {
    size_t stop = end;
    ForEachMatch(data, *at, end, {options_.delimiter, '\n'}, [&](size_t hit) {
      stop = hit;
      return false;
    });
    if (stop == end && !blocks_->at_end()) return false;
    *row_ended = stop == end || data[stop] == '\n';
    size_t size = stop - *at;
    if (*row_ended && size > 0 && data[stop - 1] == '\r') --size;
    fields_.push_back({*at, size, false});
    if (*row_ended) ++next_line_;
    *at = std::min(stop + 1, end);
    return true;
  }

  // A field in quotes, likewise.
  Result<bool> ParseQuoted(const char* data, size_t end, size_t* at, bool* row_ended) {
    const bool at_end = blocks_->at_end();
    const int64_t opened_line = next_line_;
    Field field{*at + 1, 0, false};
    size_t close = field.begin;
    for (;; ++close) {
      const void* hit = close < end ? std::memchr(data + close, options_.quote, end - close) : nullptr;
      const size_t found = hit ? static_cast<size_t>(static_cast<const char*>(hit) - data) : end;
      next_line_ += std::count(data + close, data + found, '\n');
      close = found;
      if (close == end && at_end) return Fail(opened_line, "a quote is opened and never closed");
      if (close == end || (close + 1 == end && !at_end)) return false;
      if (close + 1 == end || data[close + 1] != options_.quote) break;
      field.doubled = true;
      ++close;
    }
    field.size = close - field.begin;
    fields_.push_back(field);
    size_t next = close + 1;
    if (next < end && data[next] == options_.delimiter) {
      *at = next + 1;
      return true;
    }
    if (next < end && data[next] == '\r') ++next;
    if (next == end && !at_end) return false;
    if (next < end && data[next] != '\n') return Fail(next_line_, "bytes after a closing quote");
    *row_ended = true;
    ++next_line_;
    *at = std::min(next + 1, end);
    return true;
  }

  // Rows that need no thought, from row_ on: as many columns as expected, no field in quotes, no blank line. One walk
  // over the bytes for all of them; whatever else comes up is left to ParseRow, with its messages. Most rows of most
  // files are taken here, three times as fast.
  void TakePlainRows() {
    const char* data = blocks_->data();
    const char delimiter = options_.delimiter;
    const size_t last = width_ - 1, first_row = row_count_;
    BytesView* const* columns = columns_.data();
    size_t row = row_count_, row_begin = row_, field = row_, column = 0;
    ForEachMatch(data, row_, blocks_->filled(), {delimiter, '\n', options_.quote}, [&](size_t hit) {
      const char c = data[hit];
      size_t end = hit;
      if (c == delimiter) {
        if (column == last) return false;
      } else if (c == '\n') {
        if (hit > field && data[hit - 1] == '\r') --end;
        if (column != last || (last == 0 && end == field)) return false;
      } else {
        return hit != field;  // A quote within a field is a byte like others.
      }
      columns[column][row] =
          MakeViewFast(data + field, static_cast<uint32_t>(end - field), 0, static_cast<uint32_t>(field));
      field = hit + 1;
      if (column++ != last) return true;
      column = 0;
      row_begin = field;
      return ++row < kRowsMax;
    });
    row_ = row_begin;
    row_count_ = row;
    line_ += static_cast<int64_t>(row - first_row);
  }

  // The row that was parsed becomes a row of the batch, unless it is the header.
  Status TakeRow() {
    const size_t width = fields_.size();
    if (width_ == 0) {
      width_ = width;
      buffers_.resize(width);
      columns_.resize(width);
      for (size_t i = 0; i < width; ++i) StartColumn(i);
    }
    if (width != width_) {
      return Fail(line_, fmt::format("{} column{}, expected {}", width, width == 1 ? "" : "s", width_));
    }
    if (!header_left_) {
      for (size_t i = 0; i < width; ++i) {
        const auto begin = static_cast<uint32_t>(fields_[i].begin);
        const auto size = static_cast<uint32_t>(Unquote(fields_[i]));
        columns_[i][row_count_] = MakeViewFast(blocks_->data() + begin, size, 0, begin);
      }
      ++row_count_;
    }
    header_left_ = false;
    row_ = next_row_;
    line_ = next_line_;
    return Status::Ok();
  }

  // Undoubles the quotes of a field in place: its row is complete, and no batch has seen it yet. Returns its size.
  size_t Unquote(const Field& field) {
    if (!field.doubled) return field.size;
    char* from = blocks_->mutable_data() + field.begin;
    char* to = from;
    for (const char* end = from + field.size; from < end; ++from) {
      *to++ = *from;
      if (*from == options_.quote) ++from;
    }
    return static_cast<size_t>(to - (blocks_->data() + field.begin));
  }

  void StartColumn(size_t i) {
    buffers_[i] = Buffer::Allocate(kRowsMax * sizeof(BytesView));
    columns_[i] = buffers_[i]->MutableAs<BytesView>();
  }

  std::optional<Batch> TakeBatch() {
    const auto count = static_cast<int64_t>(row_count_);
    std::vector<Column> columns;
    for (size_t i = 0; i < width_; ++i) {
      // A full buffer goes as it is; of a few rows a small copy.
      if (row_count_ == kRowsMax) {
        columns.push_back(ColumnOfViews(std::move(buffers_[i]), count, blocks_->blocks()));
        StartColumn(i);
      } else {
        columns.push_back(ColumnOfViews(columns_[i], count, blocks_->blocks()));
      }
    }
    row_count_ = 0;
    return Batch(std::move(columns), count);
  }

  Status Fail(int64_t line, std::string_view what) const {
    return Status::Invalid(fmt::format("{} line {}: {}", env::QuotePath(blocks_->path()), line, what));
  }

  std::unique_ptr<BlockReader> blocks_;
  const CsvOptions options_;
  bool mark_skipped_ = false;
  bool header_left_;
  size_t width_ = 0;  // 0: no row was read.
  size_t row_ = 0;    // Where the next row starts, and its line, from 1.
  int64_t line_ = 1;
  size_t next_row_ = 0;  // Behind the row that was parsed last.
  int64_t next_line_ = 1;
  std::vector<Field> fields_;
  std::vector<std::shared_ptr<Buffer>> buffers_;  // The views of the batch's columns, room for kRowsMax each,
  std::vector<BytesView*> columns_;               // and where they lie.
  size_t row_count_ = 0;
};

class CsvSource : public Source {
 public:
  CsvSource(std::vector<std::string> files, const CsvOptions& options) : files_(std::move(files)), options_(options) {}

  std::string Describe() const override {
    if (files_.size() == 1) return fmt::format("Csv(\"{}\")", files_[0]);
    return fmt::format("Csv({{\"{}\"}})", fmt::join(files_, "\", \""));
  }

  Result<std::vector<Split>> MakeSplits(env::Env& env, const SplitOptions&) const override {
    RETURN_IF_ERROR(CheckOptions());
    ASSIGN_OR_RETURN(std::vector<Split> splits, CutFiles(env, files_, {}, INT64_MAX));
    if (options_.header) RETURN_IF_ERROR(CheckHeaders(env, splits));
    return splits;
  }

  Result<std::unique_ptr<Reader>> Open(env::Env& env, const Split& split) const override {
    ASSIGN_OR_RETURN(auto reader, OpenCsv(env, split));
    return std::unique_ptr<Reader>(std::move(reader));
  }

 private:
  Status CheckOptions() const {
    const char delimiter = options_.delimiter, quote = options_.quote;
    const auto ends_row = [](char c) { return c == '\n' || c == '\r'; };
    if (delimiter != quote && !ends_row(delimiter) && !ends_row(quote)) return Status::Ok();
    return Status::Invalid(fmt::format("{}: delimiter and quote must differ, and be no line ends", Describe()));
  }

  Result<std::unique_ptr<CsvReader>> OpenCsv(env::Env& env, const Split& split) const {
    ASSIGN_OR_RETURN(auto blocks, BlockReader::Open(env, split.path, split.begin, split.end));
    return std::make_unique<CsvReader>(std::move(blocks), options_);
  }

  // A pipe can be read only once, so its header is not looked at here.
  Status CheckHeaders(env::Env& env, const std::vector<Split>& splits) const {
    const Split* first = nullptr;
    std::vector<std::string> expected;
    for (const Split& split : splits) {
      if (split.end == kSequentialEnd && CompressionOf(split.path) == Compression::kNone) continue;
      ASSIGN_OR_RETURN(std::vector<std::string> names, ReadNames(env, split));
      if (names.empty()) continue;
      if (first == nullptr) {
        first = &split;
        expected = std::move(names);
      } else if (names != expected) {
        return HeaderError(split.path, names, first->path, expected);
      }
    }
    return Status::Ok();
  }

  Result<std::vector<std::string>> ReadNames(env::Env& env, const Split& split) const {
    // Reading in small steps: one row is wanted, not a block.
    ASSIGN_OR_RETURN(auto blocks, BlockReader::Open(env, split.path, 0, 0));
    CsvReader reader(std::move(blocks), options_);
    return reader.ReadNames();
  }

  static Status HeaderError(const std::string& path, const std::vector<std::string>& names,
                            const std::string& other_path, const std::vector<std::string>& expected) {
    const std::string shown = env::QuotePath(path), other = env::QuotePath(other_path);
    if (names.size() != expected.size()) {
      return Status::Invalid(fmt::format("{} has {} column{}, {} has {}", shown, names.size(),
                                         names.size() == 1 ? "" : "s", other, expected.size()));
    }
    size_t i = 0;
    while (names[i] == expected[i]) ++i;
    return Status::Invalid(fmt::format("{}: column {} is {}, in {} it is {}", shown, i + 1,
                                       Cell::Bytes(names[i]).ToDebugString(), other,
                                       Cell::Bytes(expected[i]).ToDebugString()));
  }

  const std::vector<std::string> files_;
  const CsvOptions options_;
};

}  // namespace

std::unique_ptr<Source> MakeCsvSource(std::vector<std::string> files, CsvOptions options) {
  return std::make_unique<CsvSource>(std::move(files), options);
}

}  // namespace glim::io
