// SPDX-License-Identifier: Apache-2.0
#include "io/sql/postgres_rows.h"

#include <fmt/core.h>

#include <charconv>
#include <cmath>

#include "base/try.h"

namespace glim::io {
namespace {

constexpr uint32_t kBool = 16, kInt8 = 20, kInt2 = 21, kInt4 = 23, kOid = 26, kFloat4 = 700, kFloat8 = 701;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

Status Strange(std::string_view text) {
  return Status::Corrupt(fmt::format("the server sent {}, which makes no sense", Cell::Bytes(text).ToDebugString()));
}

template <class Number>
bool Parse(std::string_view text, Number* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

char Unescaped(char c) {
  switch (c) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'v': return '\v';
    default: return c;
  }
}

}  // namespace

Status PostgresRowDecoder::AppendValue(uint32_t type, std::string_view text, ColumnBuilder* column) {
  int64_t whole = 0;
  double number = 0;
  float single = 0;
  switch (type) {
    case kBool:
      if (text != "t" && text != "f") return Strange(text);
      column->AppendBool(text == "t");
      return Status::Ok();
    case kInt8:
    case kInt4:
    case kInt2:
    case kOid:
      if (!Parse(text, &whole)) return Strange(text);
      column->AppendInt64(whole);
      return Status::Ok();
    case kFloat4:
      // What is stored is a float; its text read as a double would be another number.
      if (!Parse(text, &single)) return Strange(text);
      column->AppendDouble(single);
      return Status::Ok();
    case kFloat8:
      if (!Parse(text, &number)) return Strange(text);
      column->AppendDouble(number);
      return Status::Ok();
    case kPostgresBytea:
      if (!text.starts_with("\\x") || text.size() % 2 != 0) return Strange(text);
      bytes_.clear();
      for (size_t i = 2; i < text.size(); i += 2) {
        const int high = HexDigit(text[i]), low = HexDigit(text[i + 1]);
        if (high < 0 || low < 0) return Strange(text);
        bytes_ += static_cast<char>(high << 4 | low);
      }
      column->AppendBytes(bytes_);
      return Status::Ok();
    default: column->AppendBytes(text); return Status::Ok();
  }
}

Status PostgresRowDecoder::Decode(std::string_view row, BatchBuilder* rows) {
  for (size_t i = 0; i < types_.size(); ++i) {
    // A tab within a value is written as \t, so a tab ends a field.
    const size_t end = row.find('\t');
    if ((end == std::string_view::npos) != (i + 1 == types_.size())) return Strange(row);
    std::string_view text = row.substr(0, end);
    row.remove_prefix(end == std::string_view::npos ? row.size() : end + 1);
    ColumnBuilder& column = rows->column(static_cast<int>(i));
    if (text == "\\N") {
      column.AppendNull();
      continue;
    }
    if (text.find('\\') != std::string_view::npos) {
      field_.clear();
      for (size_t at = 0; at < text.size(); ++at) {
        const bool escaped = text[at] == '\\' && at + 1 < text.size();
        field_ += escaped ? Unescaped(text[++at]) : text[at];
      }
      text = field_;
    }
    RETURN_IF_ERROR(AppendValue(types_[i], text, &column));
  }
  rows->EndRow();
  return Status::Ok();
}

void AppendPostgresValue(const Cell& cell, bool binary, std::string* out) {
  switch (cell.type()) {
    case Type::kBool: *out += cell.as_bool() ? "true" : "false"; break;
    case Type::kInt64: fmt::format_to(std::back_inserter(*out), "{}", cell.as_int64()); break;
    case Type::kDouble: {
      const double number = cell.as_double();
      if (std::isfinite(number)) {
        fmt::format_to(std::back_inserter(*out), "{}", number);
      } else {
        *out += std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
      }
      break;
    }
    case Type::kBytes:
      if (binary) {
        constexpr std::string_view kDigits = "0123456789abcdef";
        *out += "\\\\x";
        for (const char c : cell.as_bytes()) {
          const auto byte = static_cast<unsigned char>(c);
          *out += kDigits[byte >> 4];
          *out += kDigits[byte & 15];
        }
        break;
      }
      for (const char c : cell.as_bytes()) {
        switch (c) {
          case '\\': *out += "\\\\"; break;
          case '\t': *out += "\\t"; break;
          case '\n': *out += "\\n"; break;
          case '\r': *out += "\\r"; break;
          default: *out += c;
        }
      }
      break;
    default: *out += "\\N";
  }
}

}  // namespace glim::io
