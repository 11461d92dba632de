// SPDX-License-Identifier: Apache-2.0
#include "io/csv_numbers.h"

#include <bit>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/decimal.h"
#include "glim/batch_builder.h"

namespace glim::io {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

enum class Kind { kText, kInt64, kDouble };

// What a field is; sets the one of the two that it is.
Kind ReadField(std::string_view text, int64_t* whole, double* decimal) {
  const char *const begin = text.data(), *const end = begin + text.size();
  const char* const digits = begin + (begin < end && *begin == '-');
  if (digits == end || !IsDigit(*digits)) return Kind::kText;
  const char* at = digits + 1;
  if (*digits == '0' && at < end && IsDigit(*at)) return Kind::kText;
  while (at < end && IsDigit(*at)) ++at;
  if (at == end) return std::from_chars(begin, end, *whole).ec == std::errc() ? Kind::kInt64 : Kind::kText;
  // A point has digits after it; an exponent too, of which ReadDecimal takes care.
  if (*at == '.' ? at + 1 == end || !IsDigit(at[1]) : *at != 'e' && *at != 'E') return Kind::kText;
  return base::ReadDecimal(text, decimal) ? Kind::kDouble : Kind::kText;
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

bool ReadWhole(const Column& texts, const BytesView& view, int64_t* value) {
  // Most are of a few digits.
  const bool short_digits = view.size > 0 && view.size <= 8 && (view.inlined[0] != '0' || view.size == 1);
  if (short_digits && ReadDigits(view.inlined, view.size, value)) return true;
  double decimal;
  return ReadField(texts.Resolve(view), value, &decimal) == Kind::kInt64;
}

bool ReadDouble(const Column& texts, const BytesView& view, double* value) {
  int64_t whole;
  return ReadField(texts.Resolve(view), &whole, value) == Kind::kDouble;
}

// All fields of a column, written into their places; nullopt when one is something else. Expects: there are no nils.
template <class Number>
std::optional<Column> ReadAll(const Column& texts, Type type, bool (*read)(const Column&, const BytesView&, Number*)) {
  const auto views = texts.Views();
  auto buffer = Buffer::Allocate(views.size() * sizeof(Number));
  auto* const values = buffer->MutableAs<Number>();
  for (size_t i = 0; i < views.size(); ++i) {
    if (!read(texts, views[i], &values[i])) return std::nullopt;
  }
  Column::Parts parts;
  parts.type = type;
  parts.length = texts.length();
  parts.values = std::move(buffer);
  return Column(std::move(parts));
}

Cell NumberOrText(const Cell& text) {
  int64_t whole;
  double decimal;
  switch (ReadField(text.as_bytes(), &whole, &decimal)) {
    case Kind::kInt64: return Cell::Int64(whole);
    case Kind::kDouble: return Cell::Double(decimal);
    case Kind::kText: break;
  }
  return text;
}

}  // namespace

Column NumbersOf(const Column& texts, std::span<const uint32_t> quoted) {
  if (quoted.empty() && texts.type() == Type::kBytes && !texts.may_have_nulls() && texts.length() > 0) {
    // Most columns are of one kind, that of their first field.
    std::optional<Column> numbers;
    const Type first = NumberOrText(texts.At(0)).type();
    if (first == Type::kInt64) numbers = ReadAll<int64_t>(texts, first, ReadWhole);
    if (first == Type::kDouble) numbers = ReadAll<double>(texts, first, ReadDouble);
    if (numbers.has_value()) return *std::move(numbers);
  }
  ColumnBuilder builder;
  bool found = false;
  auto next_quoted = quoted.begin();
  for (int64_t row = 0; row < texts.length(); ++row) {
    const bool is_quoted = next_quoted != quoted.end() && *next_quoted == row;
    next_quoted += is_quoted;
    Cell cell = texts.At(row);
    if (!cell.is_null() && !is_quoted) {
      cell = NumberOrText(cell);
      found |= cell.type() != Type::kBytes;
    }
    builder.Append(cell);
  }
  return found ? builder.Finish() : texts;
}

}  // namespace glim::io
