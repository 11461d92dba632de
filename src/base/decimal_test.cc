// SPDX-License-Identifier: Apache-2.0
#include "base/decimal.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

namespace glim::base {
namespace {

// std::from_chars answers the same, slower.
void ExpectLikeStandardLibrary(const std::string& text) {
  double expected = 0, value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), expected);
  const bool is_number = error == std::errc() && end == text.data() + text.size() && std::isfinite(expected);
  ASSERT_EQ(ReadDecimal(text, &value), is_number) << text;
  if (!is_number) return;
  ASSERT_EQ(std::bit_cast<uint64_t>(value), std::bit_cast<uint64_t>(expected)) << text;
}

TEST(Decimal, IsReadAsTheStandardLibraryDoes) {
  for (
      const char* text :
      {"0",
       "-0",
       "0.0",
       "-0.0e5",
       "0e999",
       "1",
       "-1.5",
       "1e3",
       "1.5E-7",
       "123456789012345678901.5",
       "1e308",
       "1.8e308",
       "1e999",
       "-1e999",
       "4.9e-324",
       "2.5e-324",
       "2.4e-324",
       "1e-400",
       "-1e-400",
       "2.2250738585072011e-308",
       "9007199254740993",
       "0.1e",
       "1e+",
       "1.",
       ".5",
       "",
       "-",
       "+1",
       "1 ",
       " 1",
       "0x10",
       "nan",
       "inf",
       "-Infinity",
       "1.7976931348623157e308",
       "1.7976931348623159e308",
       "8.988465674311580536566680e307",
       "0.000000000000000000000000000000000000000000000000000000000000000000001",
       "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887"
       "9109465555478519404026306574886715058206819089020007083836762738548458177115317644757302700698555713669596228429148"
       "19860834936475292719074168444365510704342711559699508093042880000000000000000000"}) {
    ExpectLikeStandardLibrary(text);
  }
}

RC_GTEST_PROP(Decimal, OfAnySignsIsReadAsTheStandardLibraryDoes, ()) {
  ExpectLikeStandardLibrary(*rc::gen::container<std::string>(rc::gen::element('0', '1', '9', '.', '-', '+', 'e', 'E')));
}

// All bits of doubles, in as many digits as they need and in more.
RC_GTEST_PROP(Decimal, ComesBackFromItsText, ()) {
  const auto number = std::bit_cast<double>(*rc::gen::noShrink(rc::gen::resize(1000, rc::gen::arbitrary<uint64_t>())));
  if (!std::isfinite(number)) return;
  char text[400];
  for (const int digits : {-1, 16, 17, 25}) {
    const auto end = digits < 0
                         ? std::to_chars(text, text + sizeof(text), number)
                         : std::to_chars(text, text + sizeof(text), number, std::chars_format::scientific, digits);
    const std::string_view written(text, end.ptr);
    double value = 0;
    RC_ASSERT(ReadDecimal(written, &value));
    RC_ASSERT(std::bit_cast<uint64_t>(value) == std::bit_cast<uint64_t>(number));
  }
}

}  // namespace
}  // namespace glim::base
