// SPDX-License-Identifier: Apache-2.0
#include "io/csv_reader.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/try.h"
#include "env/path.h"
#include "io/byte_scan.h"
#include "io/csv_numbers.h"

namespace glim::io {
namespace {

constexpr size_t kRowsMax = 4096;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

Result<CsvReader::FirstRow> CsvReader::ReadFirstRow(env::Env& env, const std::string& path, const CsvOptions& options) {
  // Reading in small steps: one row is wanted, not a block.
  ASSIGN_OR_RETURN(auto blocks, BlockReader::Open(env, path, 0, 0));
  CsvReader reader(env, std::move(blocks), kSequentialEnd, options, nullptr);
  auto row = reader.ParseFirstRow();
  // Nothing but a byte order mark has been left behind.
  if (path == "-") env.ReturnToStandardInput({reader.blocks_->data(), reader.blocks_->filled()});
  return row;
}

Result<CsvReader::FirstRow> CsvReader::ParseFirstRow() {
  RETURN_IF_ERROR(SkipByteOrderMark());
  while (true) {
    ASSIGN_OR_RETURN(const Outcome outcome, ParseRow());
    if (outcome == Outcome::kRow) return FirstRow{FieldTexts(), blocks_->offset() + row_};
    if (outcome == Outcome::kEnd) return FirstRow{};
    RETURN_IF_ERROR(ReadOn());
  }
}

Result<std::unique_ptr<CsvReader>> CsvReader::Open(env::Env& env, const Split& split, const CsvOptions& options,
                                                   CsvQuotes* quotes, std::atomic<int64_t>* skipped) {
  const bool first = split.begin == 0;
  CsvQuotes::Start start{.row = split.begin};
  if (!first && quotes != nullptr) {
    ASSIGN_OR_RETURN(start, quotes->StartAt(env, split.begin));
  } else if (!first) {
    start.row = 0;
  }
  const bool search = !first && start.row == 0;
  const uint64_t begin = search ? split.begin - CsvQuotes::kContext : start.row;
  ASSIGN_OR_RETURN(auto blocks, BlockReader::Open(env, split.path, begin, split.end, split.threads));
  auto reader = std::unique_ptr<CsvReader>(new CsvReader(env, std::move(blocks), split.end, options, quotes));
  reader->skipped_ = skipped;
  if (first) return reader;
  reader->prepared_ = true;
  reader->lines_from_ = begin;
  if (search) {
    reader->skipping_ = start.state;
    reader->row_ = 1;
  }
  ASSIGN_OR_RETURN(const FirstRow row, ReadFirstRow(env, split.path, options));
  reader->header_left_ = options.header && row.offset >= split.begin;
  if (!row.fields.empty()) RETURN_IF_ERROR(reader->ChooseColumns(row.fields));
  return reader;
}

Result<std::optional<Batch>> CsvReader::Next() {
  RETURN_IF_ERROR(SkipByteOrderMark());
  RETURN_IF_ERROR(SkipToRow());
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
    if (outcome == Outcome::kEnd) {
      const uint64_t row = blocks_->offset() + row_;
      if (quotes_ != nullptr && row >= end_) quotes_->Tell(end_, row);
      return std::optional<Batch>();
    }
    RETURN_IF_ERROR(ReadOn());
  }
}

Status CsvReader::SkipByteOrderMark() {
  if (prepared_) return Status::Ok();
  while (blocks_->filled() < kByteOrderMark.size() && !blocks_->at_end()) RETURN_IF_ERROR(blocks_->More(0).status());
  if (std::string_view(blocks_->data(), blocks_->filled()).starts_with(kByteOrderMark)) row_ = kByteOrderMark.size();
  prepared_ = true;
  return Status::Ok();
}

// Behind the first newline outside of quotes.
Status CsvReader::SkipToRow() {
  while (skipping_.has_value()) {
    const char* data = blocks_->data();
    for (; row_ < blocks_->filled(); ++row_) {
      const char c = data[row_];
      *skipping_ = NextQuoteState(*skipping_, data[row_ - 1], c, options_.delimiter, options_.quote);
      line_ += c == '\n';
      if (c == '\n' && *skipping_ != QuoteState::kInside) {
        ++row_;
        skipping_.reset();
        return Status::Ok();
      }
    }
    if (blocks_->at_end()) {
      skipping_.reset();
    } else {
      const size_t keep = row_ > 0 ? row_ - 1 : 0;
      ASSIGN_OR_RETURN(const size_t moved, blocks_->More(std::min(keep, blocks_->filled())));
      row_ -= moved;
    }
  }
  return Status::Ok();
}

// Until what is left unparsed has doubled: a row is then parsed at most twice as long as it is, however small the
// pieces in which it comes.
Status CsvReader::ReadOn() {
  const size_t wanted = 2 * (blocks_->filled() - row_);
  do {
    ASSIGN_OR_RETURN(const size_t moved, blocks_->More(row_));
    row_ -= moved;
  } while (blocks_->filled() - row_ < wanted && !blocks_->at_end());
  return Status::Ok();
}

// Finds the fields of the row at row_ and where it ends; changes nothing else but to step over blank lines.
Result<CsvReader::Outcome> CsvReader::ParseRow() {
  const char* data = blocks_->data();
  const size_t end = blocks_->filled();
  SkipBlankLines(data, end);
  if (blocks_->offset() + row_ >= end_) return Outcome::kEnd;
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
    if (options_.quote != 0 && at < end && data[at] == options_.quote) {
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

void CsvReader::SkipBlankLines(const char* data, size_t end) {
  while (row_ < end) {
    const size_t newline = row_ + (data[row_] == '\r');
    if (newline >= end || data[newline] != '\n') return;
    row_ = newline + 1;
    ++line_;
  }
}

// A field without quotes, from *at on; sets *at behind its delimiter. False: it does not end here.
bool CsvReader::ParsePlain(const char* data, size_t end, size_t* at, bool* row_ended) {
  size_t stop = end;
  ForEachMatch(data, *at, end, {options_.delimiter, '\n'}, [&](size_t hit) {
    stop = hit;
    return false;
  });
  if (stop == end && !blocks_->at_end()) return false;
  *row_ended = stop == end || data[stop] == '\n';
  size_t size = stop - *at;
  if (*row_ended && size > 0 && data[stop - 1] == '\r') --size;
  fields_.push_back({*at, size});
  if (*row_ended) ++next_line_;
  *at = std::min(stop + 1, end);
  return true;
}

// A field in quotes, likewise.
Result<bool> CsvReader::ParseQuoted(const char* data, size_t end, size_t* at, bool* row_ended) {
  const bool at_end = blocks_->at_end();
  const int64_t opened_line = next_line_;
  Field field{.begin = *at + 1, .quoted = true};
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
void CsvReader::TakePlainRows() {
  const char* data = blocks_->data();
  const char delimiter = options_.delimiter;
  const size_t last = width_ - 1, first_row = row_count_;
  BytesView* const* columns = columns_.data();
  // Positions from here on start no row of ours.
  const size_t limit =
      end_ - blocks_->offset() < blocks_->filled() ? static_cast<size_t>(end_ - blocks_->offset()) : blocks_->filled();
  if (row_ >= limit) return;
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
        BytesView::MakeReadable(data + field, static_cast<uint32_t>(end - field), 0, static_cast<uint32_t>(field));
    field = hit + 1;
    if (column++ != last) return true;
    column = 0;
    row_begin = field;
    return ++row < kRowsMax && field < limit;
  });
  row_ = row_begin;
  row_count_ = row;
  line_ += static_cast<int64_t>(row - first_row);
}

// The row that was parsed becomes a row of the batch, unless it is the header.
Status CsvReader::TakeRow() {
  const size_t width = fields_.size();
  if (width_ == 0) RETURN_IF_ERROR(ChooseColumns(FieldTexts()));
  if (width != width_ && skipped_ == nullptr) {
    return Fail(line_, fmt::format("{} column{}, expected {}", width, width == 1 ? "" : "s", width_));
  }
  if (width != width_) {
    skipped_->fetch_add(1, std::memory_order_relaxed);
  } else if (!header_left_) {
    for (size_t i = 0; i < width; ++i) {
      const auto begin = static_cast<uint32_t>(fields_[i].begin);
      const auto size = static_cast<uint32_t>(Unquote(fields_[i]));
      columns_[i][row_count_] = BytesView::MakeReadable(blocks_->data() + begin, size, 0, begin);
      if (fields_[i].quoted && options_.null.has_value()) quoted_[i].push_back(static_cast<uint32_t>(row_count_));
    }
    ++row_count_;
  }
  header_left_ = false;
  row_ = next_row_;
  line_ = next_line_;
  return Status::Ok();
}

// Undoubles the quotes of a field in place: its row is complete, and no batch has seen it yet. Returns its size.
size_t CsvReader::Unquote(const Field& field) {
  if (!field.doubled) return field.size;
  char* from = blocks_->mutable_data() + field.begin;
  char* to = from;
  for (const char* end = from + field.size; from < end; ++from) {
    *to++ = *from;
    if (*from == options_.quote) ++from;
  }
  return static_cast<size_t>(to - (blocks_->data() + field.begin));
}

// Of the row that was parsed; it stays as it is.
std::vector<std::string> CsvReader::FieldTexts() {
  std::vector<std::string> texts;
  for (const Field& field : fields_) {
    std::string text;
    for (size_t i = 0; i < field.size; ++i) {
      text += blocks_->data()[field.begin + i];
      if (field.doubled && text.back() == options_.quote) ++i;
    }
    texts.push_back(std::move(text));
  }
  return texts;
}

Status CsvReader::ChooseColumns(const std::vector<std::string>& first_row) {
  width_ = first_row.size();
  for (const CsvColumn& column : options_.columns) {
    const auto found = std::find(first_row.begin(), first_row.end(), column.name);
    const size_t index =
        column.number > 0 ? static_cast<size_t>(column.number) - 1 : static_cast<size_t>(found - first_row.begin());
    if (index >= width_) {
      const std::string wanted =
          column.number > 0 ? std::to_string(column.number) : Cell::Bytes(column.name).ToDebugString();
      return Status::Invalid(fmt::format("{}: no column {}, it has {}{}", env::QuotePath(blocks_->path()), wanted,
                                         width_,
                                         options_.header ? fmt::format(": {}", fmt::join(first_row, ", ")) : ""));
    }
    chosen_.push_back(index);
  }
  for (size_t i = 0; options_.columns.empty() && i < width_; ++i) chosen_.push_back(i);
  buffers_.resize(width_ + 1);
  columns_.resize(width_ + 1);
  quoted_.resize(width_);
  StartColumn(width_);
  for (size_t i = 0; i < width_; ++i) {
    columns_[i] = columns_[width_];
    if (std::find(chosen_.begin(), chosen_.end(), i) != chosen_.end()) StartColumn(i);
  }
  return Status::Ok();
}

void CsvReader::StartColumn(size_t i) {
  buffers_[i] = Buffer::Allocate(kRowsMax * sizeof(BytesView));
  columns_[i] = buffers_[i]->MutableAs<BytesView>();
}

std::optional<Batch> CsvReader::TakeBatch() {
  const auto count = static_cast<int64_t>(row_count_);
  std::vector<Column> made(width_);
  std::vector<Column> columns;
  for (const size_t i : chosen_) {
    if (made[i].length() == 0) made[i] = MakeColumn(i);
    columns.push_back(made[i]);
  }
  for (auto& rows : quoted_) rows.clear();
  row_count_ = 0;
  return Batch(std::move(columns), count);
}

Column CsvReader::MakeColumn(size_t i) {
  const auto count = static_cast<int64_t>(row_count_);
  Column::Parts parts;
  parts.type = Type::kBytes;
  parts.length = count;
  parts.blocks = blocks_->blocks();
  if (options_.null.has_value()) {
    const std::string& null = *options_.null;
    const Column plain = ColumnOfViews(columns_[i], count, blocks_->blocks());
    auto validity = Buffer::Allocate((row_count_ + 7) / 8);
    std::memset(validity->mutable_data(), 0, validity->size());
    auto* bits = validity->MutableAs<uint8_t>();
    auto quoted = quoted_[i].begin();
    for (int64_t row = 0; row < count; ++row) {
      const bool is_quoted = quoted != quoted_[i].end() && *quoted == row;
      quoted += is_quoted;
      if (!is_quoted && columns_[i][row].size == null.size() && plain.BytesAt(row) == null) {
        ++parts.null_count;
      } else {
        bits[row >> 3] |= static_cast<uint8_t>(1 << (row & 7));
      }
    }
    if (parts.null_count > 0) parts.validity = std::move(validity);
  }
  if (options_.numbers) {
    parts.values = ColumnOfViews(columns_[i], count, nullptr).parts().values;
    return NumbersOf(Column(std::move(parts)), quoted_[i]);
  }
  // A full buffer goes as it is; of a few rows a small copy.
  if (row_count_ == kRowsMax) {
    parts.values = std::move(buffers_[i]);
    StartColumn(i);
  } else {
    parts.values = ColumnOfViews(columns_[i], count, nullptr).parts().values;
  }
  return Column(std::move(parts));
}

Status CsvReader::Fail(int64_t line, std::string_view what) const {
  if (lines_from_ > 0) line += CountLines(env_, blocks_->path(), lines_from_);
  return Status::Invalid(fmt::format("{} line {}: {}", env::QuotePath(blocks_->path()), line, what));
}

}  // namespace glim::io
