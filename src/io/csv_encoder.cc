// SPDX-License-Identifier: Apache-2.0
//
// MakeCsvEncoder of io/row_encoder.h. What it writes, io/csv_reader.h reads back as it was.
#include <fmt/core.h>

#include <algorithm>
#include <atomic>

#include "base/try.h"
#include "io/byte_scan.h"
#include "io/row_encoder.h"
#include "io/row_format.h"

namespace glim::io {
namespace {

class CsvEncoder : public RowEncoder {
 public:
  explicit CsvEncoder(CsvWriteOptions options)
      : options_(std::move(options)), width_(static_cast<int>(options_.header.size())) {
    special_[0] = options_.delimiter;
    special_[1] = options_.quote == 0 ? options_.delimiter : options_.quote;
    for (const char c : {special_[0], special_[1], '\n', '\r', '\xEF'}) watched_.Add(static_cast<unsigned char>(c));
  }

  Status CheckOptions() const {
    const auto ends_row = [](char c) { return c == '\n' || c == '\r'; };
    if (options_.delimiter == options_.quote || ends_row(options_.delimiter) || ends_row(options_.quote)) {
      return Status::Invalid("delimiter and quote must differ, and be no line ends");
    }
    if (HasSpecial(options_.null)) {
      return Status::Invalid(fmt::format("the text for nil, {}, has a delimiter, quote or line end",
                                         Cell::Bytes(options_.null).ToDebugString()));
    }
    std::string head;
    for (const std::string& name : options_.header) RETURN_IF_ERROR(AppendField(name, &head));
    return Status::Ok();
  }

  void AppendHead(std::string* out) const override {
    for (size_t i = 0; i < options_.header.size(); ++i) {
      if (i > 0) *out += options_.delimiter;
      // Names were tried by CheckOptions.
      static_cast<void>(AppendField(options_.header[i], out));
    }
    if (!options_.header.empty()) *out += '\n';
  }

  Status Append(const Batch& batch, std::string* out) const override {
    if (batch.row_count() == 0) return Status::Ok();
    RETURN_IF_ERROR(CheckWidth(batch));
    const size_t before = out->size();
    ASSIGN_OR_RETURN(const bool plain, AppendPlain(batch, out));
    if (plain) return Status::Ok();
    out->resize(before);
    std::string text;
    for (int64_t row = 0; row < batch.row_count(); ++row) {
      for (int i = 0; i < batch.column_count(); ++i) {
        if (i > 0) *out += options_.delimiter;
        const Cell cell = batch.At(row, i);
        if (cell.is_null()) {
          *out += options_.null;
        } else if (cell.type() == Type::kBytes) {
          RETURN_IF_ERROR(AppendField(cell.as_bytes(), out));
        } else {
          text.clear();
          RETURN_IF_ERROR(AppendCell({}, cell, &text));
          RETURN_IF_ERROR(AppendField(text, out));
        }
      }
      // An empty line would be no row.
      if (batch.column_count() == 1 && (out->empty() || out->back() == '\n') && options_.quote != 0) {
        out->append(2, options_.quote);
      }
      *out += '\n';
    }
    return Status::Ok();
  }

 private:
  Status CheckWidth(const Batch& batch) const {
    int expected = 0;
    const int width = batch.column_count();
    if (width_.compare_exchange_strong(expected, width) || expected == width) return Status::Ok();
    return Status::Invalid(fmt::format("{} column{}, {} {}: {}", width, width == 1 ? "" : "s",
                                       options_.header.empty() ? "other rows have" : "the header has", expected,
                                       batch.RowToDebugString(0)));
  }

  // Writes all fields without quotes, and looks at all of it then: more bytes that mean something than there are fields
  // mean that a field has one. False: some field may need quotes, and what was appended is of no use.
  Result<bool> AppendPlain(const Batch& batch, std::string* out) const {
    const std::string& nil = options_.null;
    const bool is_number = !nil.empty() && (nil[0] == '-' || (nil[0] >= '0' && nil[0] <= '9'));
    for (const Column& column : batch.columns()) {
      if (column.type() != Type::kBytes) {
        if (is_number) return false;
        continue;
      }
      const auto taken_for_nil = [&](const BytesView& view) {
        return view.size == nil.size() || (view.size == 0 && batch.column_count() == 1);
      };
      if (column.may_have_nulls() || std::ranges::any_of(column.Views(), taken_for_nil)) return false;
    }
    std::string text;
    for (int i = 0; i < batch.column_count(); ++i) {
      if (i > 0) text.append(options_.delimiter == '%' ? 2 : 1, options_.delimiter);
      text += "%v";
    }
    ASSIGN_OR_RETURN(const RowFormat format, RowFormat::Parse(text + '\n'));
    if (!format.IsFast(batch)) return false;
    const size_t before = out->size();
    RETURN_IF_ERROR(format.AppendBatch(batch, out));
    return CountMembers(watched_, out->data() + before, out->size() - before) ==
           static_cast<size_t>(batch.row_count()) * static_cast<size_t>(batch.column_count());
  }

  bool HasSpecial(std::string_view text) const {
    for (const char c : text) {
      if (c == special_[0] || c == special_[1] || c == '\n' || c == '\r') return true;
    }
    return text.starts_with("\xEF\xBB\xBF");
  }

  Status AppendField(std::string_view text, std::string* out) const {
    if (!HasSpecial(text) && text != options_.null) {
      *out += text;
      return Status::Ok();
    }
    if (options_.quote == 0) {
      return Status::Invalid(
          fmt::format("{} would need quotes, and there are none", Cell::Bytes(text).ToDebugString()));
    }
    *out += options_.quote;
    for (const char c : text) {
      *out += c;
      if (c == options_.quote) *out += c;
    }
    *out += options_.quote;
    return Status::Ok();
  }

  const CsvWriteOptions options_;
  char special_[2];
  base::ByteTables
      watched_;  // What ends a field or a row, or makes quotes necessary, as the head of a byte order mark.
  mutable std::atomic<int> width_;  // 0: no row was seen.
};

}  // namespace

Result<std::unique_ptr<RowEncoder>> MakeCsvEncoder(CsvWriteOptions options) {
  auto encoder = std::make_unique<CsvEncoder>(std::move(options));
  RETURN_IF_ERROR(encoder->CheckOptions());
  return std::unique_ptr<RowEncoder>(std::move(encoder));
}

}  // namespace glim::io
