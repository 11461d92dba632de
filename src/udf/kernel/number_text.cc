// SPDX-License-Identifier: Apache-2.0
#include "udf/kernel/number_text.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/decimal.h"

namespace glim::udf {
namespace {

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Decimal digits with a point and an exponent, and nothing else?
bool IsDecimal(std::string_view text) {
  size_t at = 0;
  const auto digits = [&] {
    const size_t begin = at;
    while (at < text.size() && IsDigit(text[at])) ++at;
    return at - begin;
  };
  size_t count = digits();
  if (at < text.size() && text[at] == '.') {
    ++at;
    count += digits();
  }
  if (count == 0) return false;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    if (digits() == 0) return false;
  }
  return at == text.size();
}

}  // namespace

size_t WriteNumber(double number, char* out) {
  constexpr double kShortMax = 1e14;  // From here on "%.14g" writes an exponent.
  if (std::abs(number) < kShortMax && number == std::floor(number) && !(number == 0 && std::signbit(number))) {
    return std::to_chars(out, out + kNumberTextMax, static_cast<int64_t>(number)).ptr - out;
  }
  if (std::isnan(number)) {
    std::memcpy(out, "nan", 3);
    return 3;
  }
  if (std::isfinite(number)) {
    // The digits beyond those that are written: "d.dddddddddddddddd", perhaps with a sign.
    std::to_chars(out, out + kNumberTextMax, number, std::chars_format::scientific, 16);
    const std::string_view digits(out + (number < 0 ? 1 : 0), 18);
    if (digits.substr(15) == "500") return 0;
  }
  return std::to_chars(out, out + kNumberTextMax, number, std::chars_format::general, 14).ptr - out;
}

bool IsInTheMiddle(double number, int digits) {
  constexpr int kDigitsMax = 15;
  constexpr long double kExactMax = 0x1p62L;
  if (number == std::floor(number)) return false;
  if (digits > kDigitsMax) return true;
  long double shifted = std::abs(static_cast<long double>(number));
  for (int i = 0; i < digits; ++i) shifted *= 10;
  return !(shifted < kExactMax) || shifted - std::floor(shifted) == 0.5L;
}

NumberText ReadNumber(std::string_view text, double* number) {
  constexpr size_t kSizeMax = 100;
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  if (text.empty()) return NumberText::kNone;
  const bool negative = text[0] == '-';
  if (negative || text[0] == '+') text.remove_prefix(1);
  // Neither digits nor inf or nan.
  if (text.empty() || !(IsDigit(text[0]) || std::strchr(".iInN", text[0]) != nullptr)) return NumberText::kNone;
  if (text.size() > kSizeMax || !IsDecimal(text)) return NumberText::kUnclear;
  double value = 0;
  // Too large, or so small that digits are lost.
  if (!base::ReadDecimal(text, &value)) return NumberText::kUnclear;
  if (value != 0 && value < std::numeric_limits<double>::min()) return NumberText::kUnclear;
  *number = negative ? -value : value;
  return NumberText::kNumber;
}

}  // namespace glim::udf
