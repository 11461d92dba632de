// SPDX-License-Identifier: Apache-2.0
#include "io/csv_numbers.h"

#include <charconv>
#include <string_view>

#include "glim/batch_builder.h"

namespace glim::io {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// The number, or the text itself.
Cell NumberOf(std::string_view text) {
  const Cell as_it_is = Cell::Bytes(text);
  const char *at = text.data(), *const end = at + text.size();
  const bool negative = at < end && *at == '-';
  const char* const digits = at + negative;
  if (digits == end || !IsDigit(*digits)) return as_it_is;
  if (*digits == '0' && digits + 1 < end && IsDigit(digits[1])) return as_it_is;
  int64_t whole = 0;
  const auto [whole_end, error] = std::from_chars(at, end, whole);
  if (whole_end == end) return error == std::errc() ? Cell::Int64(whole) : as_it_is;
  // A point has digits after it, an exponent also; from_chars stops before a part that has not.
  if (*whole_end != '.' && *whole_end != 'e' && *whole_end != 'E') return as_it_is;
  if (*whole_end == '.' && (whole_end + 1 == end || !IsDigit(whole_end[1]))) return as_it_is;
  double value = 0;
  const auto [stop, double_error] = std::from_chars(at, end, value);
  if (stop != end || double_error != std::errc()) return as_it_is;
  return Cell::Double(value);
}

}  // namespace

Column NumbersOf(const Column& texts, std::span<const uint32_t> quoted) {
  ColumnBuilder builder;
  bool found = false;
  auto next_quoted = quoted.begin();
  for (int64_t row = 0; row < texts.length(); ++row) {
    const bool is_quoted = next_quoted != quoted.end() && *next_quoted == row;
    next_quoted += is_quoted;
    Cell cell = texts.At(row);
    if (!cell.is_null() && !is_quoted) {
      cell = NumberOf(cell.as_bytes());
      found |= cell.type() != Type::kBytes;
    }
    builder.Append(cell);
  }
  return found ? builder.Finish() : texts;
}

}  // namespace glim::io
