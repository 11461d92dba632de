// SPDX-License-Identifier: Apache-2.0
#include "base/decimal.h"

#include <fast_float/fast_float.h>

#include <cmath>

namespace glim::base {
namespace {

bool IsZero(std::string_view text) {
  return text.substr(0, text.find_first_of("eE")).find_first_of("123456789") == std::string_view::npos;
}

}  // namespace

bool ReadDecimal(std::string_view text, double* value) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = fast_float::from_chars(text.data(), end, *value);
  if (error != std::errc() || stop != end) return false;
  // Its versions differ in whether a number out of range is an error.
  return std::isfinite(*value) && (*value != 0 || IsZero(text));
}

}  // namespace glim::base
