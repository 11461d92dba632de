// SPDX-License-Identifier: Apache-2.0
#include "io/csv_numbers.h"

#include <bit>
#include <charconv>
#include <cstring>
#include <optional>
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

// Up to 8 digits that begin at `text`, of which 8 bytes may be read, all at once: each step joins neighbours. False
// when there is another byte among them.
bool ReadDigits(const char* text, uint32_t size, int64_t* value) {
  uint64_t bytes;
  std::memcpy(&bytes, text, sizeof(bytes));
  if constexpr (std::endian::native != std::endian::little) bytes = __builtin_bswap64(bytes);
  // Shifted so that the last digit is the last byte; zeros come in at the front.
  const uint32_t missing = 8 * (8 - size);
  bytes = missing == 0 ? bytes : bytes << missing | uint64_t{0x3030303030303030} >> (8 * size);
  const uint64_t more = bytes + 0x0606060606060606;  // Carries into the high half of a byte above '9'.
  constexpr uint64_t kHigh = 0xF0F0F0F0F0F0F0F0, kDigits = 0x3030303030303030;
  if ((((bytes ^ kDigits) | (more ^ kDigits)) & kHigh) != 0) return false;
  bytes = (bytes & 0x0F0F0F0F0F0F0F0F) * 2561 >> 8;
  bytes = (bytes & 0x00FF00FF00FF00FF) * 6553601 >> 16;
  *value = static_cast<int64_t>((bytes & 0x0000FFFF0000FFFF) * 42949672960001 >> 32);
  return true;
}

// A column in which all are whole numbers of a few digits, as most numbers are; nullopt when one is not.
std::optional<Column> ShortWholeNumbers(const Column& texts) {
  const auto views = texts.Views();
  auto buffer = Buffer::Allocate(views.size() * sizeof(int64_t));
  auto* const values = buffer->MutableAs<int64_t>();
  for (size_t i = 0; i < views.size(); ++i) {
    const BytesView& view = views[i];
    if (view.size == 0 || view.size > 8 || (view.size > 1 && view.inlined[0] == '0')) return std::nullopt;
    if (!ReadDigits(view.inlined, view.size, &values[i])) return std::nullopt;
  }
  Column::Parts parts;
  parts.type = Type::kInt64;
  parts.length = texts.length();
  parts.values = std::move(buffer);
  return Column(std::move(parts));
}

}  // namespace

Column NumbersOf(const Column& texts, std::span<const uint32_t> quoted) {
  if (quoted.empty() && texts.type() == Type::kBytes && !texts.may_have_nulls() && texts.length() > 0) {
    if (auto numbers = ShortWholeNumbers(texts)) return *std::move(numbers);
  }
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
