// SPDX-License-Identifier: Apache-2.0
#include "table/initial_values.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/hash.h"

namespace glim::table {
namespace {

uint64_t RandomBits(uint64_t seed, uint64_t key, uint32_t column, uint32_t draw) {
  // HashCombine mixes its first argument only, so the last one is hashed once more.
  uint64_t row = base::HashCombine(base::HashInt(seed), base::HashInt(key));
  return base::HashInt(base::HashCombine(row, (uint64_t{column} << 32) | draw));
}

double UnitInterval(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

// The natural logarithm of a normal number above 0: x = 2^e * m with m in [sqrt(1/2), sqrt(2)), ln m = 2 artanh((m - 1)
// / (m + 1)). Ten terms of the series leave an error below 2^-53, as the square of the argument is at most 0.0295.
double NaturalLog(double x) {
  uint64_t bits = std::bit_cast<uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0x000fffffffffffffULL) | 0x3ff0000000000000ULL);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  double s = (m - 1) / (m + 1);
  double square = s * s;
  double sum = 0;
  for (int k = 21; k >= 1; k -= 2) sum = sum * square + 1.0 / k;
  return exponent * 0.6931471805599453 + 2 * s * sum;
}

}  // namespace

double RandomUniform(uint64_t seed, uint64_t key, uint32_t column) {
  return UnitInterval(RandomBits(seed, key, column, 0));
}

double RandomNormal(uint64_t seed, uint64_t key, uint32_t column) {
  // A point in the unit circle; 79 of 100 draws are inside.
  for (uint32_t draw = 0;; draw += 2) {
    double u = 2 * UnitInterval(RandomBits(seed, key, column, draw)) - 1;
    double v = 2 * UnitInterval(RandomBits(seed, key, column, draw + 1)) - 1;
    double s = u * u + v * v;
    if (s > 0 && s < 1) return u * std::sqrt(-2 * NaturalLog(s) / s);
  }
}

template <TableValue V>
void InitialValues<V>::Fill(Key key, uint32_t first, uint32_t count, V* out) const {
  if (is_constant()) {
    std::fill_n(out, count, constant_);
    return;
  }
  if (const auto* uniform = std::get_if<Uniform>(&initial_)) {
    V below = static_cast<V>(uniform->high);
    for (uint32_t i = 0; i < count; ++i) {
      V value =
          static_cast<V>(uniform->low + (uniform->high - uniform->low) * RandomUniform(uniform->seed, key, first + i));
      // Rounding to f32 may have reached the bound.
      out[i] = value >= below && uniform->low < uniform->high ? static_cast<V>(uniform->low) : value;
    }
    return;
  }
  const auto& normal = std::get<Normal>(initial_);
  for (uint32_t i = 0; i < count; ++i) {
    out[i] = static_cast<V>(normal.mean + normal.stddev * RandomNormal(normal.seed, key, first + i));
  }
}

template class InitialValues<float>;
template class InitialValues<double>;
template class InitialValues<int32_t>;
template class InitialValues<int64_t>;

}  // namespace glim::table
