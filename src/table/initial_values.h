// SPDX-License-Identifier: Apache-2.0
//
// What a row holds before the first push: a function of (spec, key, column) and of nothing else, so every shard layout,
// every process and every replica sees the same numbers, and rows that nobody pushed to need not be stored.
//
// Random values come from hashing (seed, key, column), not from a generator with a state. A normal value is made by
// Marsaglia's polar method (1964) with a logarithm of our own: +, -, *, / and sqrt are rounded the same everywhere, the
// logarithms of C libraries are not. The numbers are part of the format: a test holds some of them.
//
// Thread: an immutable value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "glim/table_spec.h"

namespace glim::table {

// In [0, 1), with 53 random bits.
double RandomUniform(uint64_t seed, uint64_t key, uint32_t column);
// Mean 0, standard deviation 1; never beyond 12.
double RandomNormal(uint64_t seed, uint64_t key, uint32_t column);

template <TableValue V>
class InitialValues {
 public:
  // Expects: CheckTableSpec accepted it.
  explicit InitialValues(const Initial& initial) : initial_(initial) {
    if (const auto* constant = std::get_if<Constant>(&initial_)) {
      constant_ = constant->is_integer ? static_cast<V>(constant->integer) : static_cast<V>(constant->real);
    }
  }

  bool is_constant() const { return initial_.index() == 0; }
  V constant() const { return constant_; }

  // Columns first .. first + count - 1 of the row of `key`.
  void Fill(Key key, uint32_t first, uint32_t count, V* out) const;

 private:
  Initial initial_;
  V constant_ = 0;
};

}  // namespace glim::table
