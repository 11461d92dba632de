// SPDX-License-Identifier: Apache-2.0
#include "io/row_format.h"

#include <fmt/core.h>

#include <charconv>
#include <cstring>

#include "base/try.h"

namespace glim::io {

namespace {

std::string Quoted(std::string_view format) { return Cell::Bytes(format).ToDebugString(); }

}  // namespace

// Reads a format from left to right into the pieces of a RowFormat.
class FormatParser {
 public:
  explicit FormatParser(std::string_view text) : text_(text) {}

  Result<RowFormat> Parse() {
    format_.text_ = text_;
    std::string literal;
    while (at_ < text_.size()) {
      const size_t percent = std::min(text_.find('%', at_), text_.size());
      literal += text_.substr(at_, percent - at_);
      if (percent == text_.size()) break;
      at_ = percent + 1;
      if (at_ < text_.size() && text_[at_] == '%') {
        literal += '%';
        ++at_;
        continue;
      }
      RETURN_IF_ERROR(ParseVerb(percent));
      format_.literals_.push_back(std::move(literal));
      literal.clear();
    }
    format_.literals_.push_back(std::move(literal));
    return std::move(format_);
  }

 private:
  // From behind the percent sign at `percent`.
  Status ParseVerb(size_t percent) {
    Verb verb;
    while (at_ < text_.size() && ParseFlag(text_[at_], &verb)) ++at_;
    RETURN_IF_ERROR(ParseNumber(percent, &verb.width));
    if (at_ < text_.size() && text_[at_] == '.') {
      ++at_;
      verb.precision = 0;
      RETURN_IF_ERROR(ParseNumber(percent, &verb.precision));
    }
    if (at_ == text_.size()) return Fail(percent, "the format ends before the verb");
    verb.letter = text_[at_];
    if (std::strchr("sdvqfFeEgGxXobct", verb.letter) == nullptr || verb.letter == '\0') {
      return Fail(percent,
                  fmt::format("no verb {}; there are %v %s %d %q %f %e %g %x %o %b %c %t %%", verb.ToString()));
    }
    ++at_;
    format_.verbs_.push_back(verb);
    return Status::Ok();
  }

  static bool ParseFlag(char c, Verb* verb) {
    switch (c) {
      case '-': return verb->minus = true;
      case '+': return verb->plus = true;
      case '0': return verb->zero = true;
      case ' ': return verb->space = true;
      case '#': return verb->sharp = true;
      default: return false;
    }
  }

  // Digits at at_, if there are any.
  Status ParseNumber(size_t percent, int* number) {
    constexpr int kMax = 1000000;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), *number);
    if (at_ < text_.size() && (text_[at_] < '0' || text_[at_] > '9')) return Status::Ok();
    if (error == std::errc::result_out_of_range || *number > kMax) {
      return Fail(percent, fmt::format("a width or precision above {}", kMax));
    }
    at_ = static_cast<size_t>(end - text_.data());
    return Status::Ok();
  }

  Status Fail(size_t percent, std::string_view what) const {
    return Status::Invalid(fmt::format("format {}, byte {}: {}", Quoted(text_), percent + 1, what));
  }

  std::string_view text_;
  size_t at_ = 0;
  RowFormat format_;
};

Result<RowFormat> RowFormat::Parse(std::string_view format) { return FormatParser(format).Parse(); }

Status RowFormat::Append(const Batch& batch, int64_t row, std::string* out) const {
  if (batch.column_count() != width()) return WidthError(batch, row);
  const size_t before = out->size();
  for (int i = 0; i < width(); ++i) {
    *out += literals_[i];
    Status status = AppendCell(verbs_[i], batch.At(row, i), out);
    if (!status.ok()) {
      out->resize(before);
      status = std::move(status).With(fmt::format("format {}, column {}", Quoted(text_), i + 1));
      return Status(status.code(), fmt::format("{}, row {}", status.message(), batch.RowToDebugString(row)));
    }
  }
  *out += literals_.back();
  return Status::Ok();
}

Status RowFormat::AppendBatch(const Batch& batch, std::string* out) const {
  if (batch.row_count() == 0) return Status::Ok();
  if (batch.column_count() != width()) return WidthError(batch, 0);
  if (IsFast(batch)) {
    AppendFast(batch, out);
    return Status::Ok();
  }
  for (int64_t row = 0; row < batch.row_count(); ++row) RETURN_IF_ERROR(Append(batch, row, out));
  return Status::Ok();
}

bool RowFormat::IsFast(const Batch& batch) const {
  for (int i = 0; i < width(); ++i) {
    const Column& column = batch.column(i);
    const char letter = verbs_[i].letter;
    if (!verbs_[i].is_plain() || column.may_have_nulls()) return false;
    const bool is_text = letter == 's' || letter == 'v';
    if (column.type() == Type::kBytes ? !is_text : column.type() != Type::kInt64 || (!is_text && letter != 'd')) {
      return false;
    }
  }
  return true;
}

// Reserves for the longest case once, then writes without looking back.
void RowFormat::AppendFast(const Batch& batch, std::string* out) const {
  constexpr size_t kIntMax = 20;
  constexpr size_t kSlack = 16;  // Short bytes are copied sixteen at a time.
  struct Piece {
    const int64_t* ints;
    const BytesView* views;
    const Column* column;
    const char* literal;
    size_t literal_size;
  };
  const auto rows = static_cast<size_t>(batch.row_count());
  size_t size = rows * literals_.back().size() + kSlack;
  std::vector<Piece> pieces;
  for (int i = 0; i < width(); ++i) {
    const Column& column = batch.column(i);
    Piece piece{nullptr, nullptr, &column, literals_[i].data(), literals_[i].size()};
    size += rows * literals_[i].size();
    if (column.type() == Type::kInt64) {
      piece.ints = column.Int64s().data();
      size += rows * kIntMax;
    } else {
      piece.views = column.Views().data();
      for (const BytesView& view : column.Views()) size += view.size;
    }
    pieces.push_back(piece);
  }
  const size_t before = out->size();
  out->resize(before + size);
  char* to = out->data() + before;
  const auto copy = [&](const char* from, size_t count) {
    if (count == 1) {
      *to = *from;
    } else {
      std::memcpy(to, from, count);
    }
    to += count;
  };
  for (size_t row = 0; row < rows; ++row) {
    for (const Piece& piece : pieces) {
      if (piece.literal_size > 0) copy(piece.literal, piece.literal_size);
      if (piece.ints != nullptr) {
        to = std::to_chars(to, to + kIntMax, piece.ints[row]).ptr;
      } else if (piece.views[row].is_inline()) {
        std::memcpy(to, piece.views[row].inlined, BytesView::kInlineMax);
        to += piece.views[row].size;
      } else {
        const std::string_view bytes = piece.column->Resolve(piece.views[row]);
        std::memcpy(to, bytes.data(), bytes.size());
        to += bytes.size();
      }
    }
    copy(literals_.back().data(), literals_.back().size());
  }
  out->resize(static_cast<size_t>(to - out->data()));
}

Status RowFormat::WidthError(const Batch& batch, int64_t row) const {
  return Status::Invalid(fmt::format("format {} takes {} column{}, the row has {}: {}", Quoted(text_), width(),
                                     width() == 1 ? "" : "s", batch.column_count(), batch.RowToDebugString(row)));
}

}  // namespace glim::io
