// SPDX-License-Identifier: Apache-2.0
//
// Folds that Reduce, ReduceBy and their Local kin know by name, in the place of a function:
//
//   sales.ReduceBy(glim::Sum());                                    // Each field that is no key.
//   sales.ReduceBy({glim::Sum(), glim::Max()}, Field("city"));      // A fold for each.
//   words.ReduceBy(glim::Count());                                  // Rows of keys alone are counted, too.
//
// They run a column at a time, and what they give does not depend on partitions or threads, save the last bits of a sum
// of doubles. nil is no value: it is passed over, and where a key has nothing else the fold of its values is nil, their
// count 0.
//
// Thread: values.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace glim {

// Also update rules of tables, hence types (glim/table_spec.h). Of a Fold: the least and the greatest value in the
// order of values, over all types.
struct Min;
struct Max;

struct Fold {
  enum class Kind { kSum, kCount, kMin, kMax, kMean, kCountDistinct, kApproxCountDistinct, kQuantiles };
  Fold(Kind kind, std::vector<double> at = {}) : kind(kind), at(std::move(at)) {}
  Fold(const Min&) : kind(Kind::kMin) {}
  Fold(const Max&) : kind(Kind::kMax) {}
  Kind kind;
  std::vector<double> at;  // Of kQuantiles.
};

// Of numbers. Integers are summed exactly, and a sum beyond 64 bits fails the run; with a double among them the sum is
// a double (compensated, so nearly exact).
inline Fold Sum() { return {Fold::Kind::kSum}; }
// Of values that are not nil; of rows, where there are only keys.
inline Fold Count() { return {Fold::Kind::kCount}; }
// Of numbers, a double.
inline Fold Mean() { return {Fold::Kind::kMean}; }
// How many different values there are, exactly; the values of one key must fit into memory.
inline Fold CountDistinct() { return {Fold::Kind::kCountDistinct}; }
// About how many (HyperLogLog): within 5 percent 99 times of 100, in at most 4 KiB for each key.
inline Fold ApproxCountDistinct() { return {Fold::Kind::kApproxCountDistinct}; }
// For each of `at` (0 to 1) the smallest value such that at least so large a part of the values is not above it: 0 is
// the least, 0.5 the median, 1 the greatest. One `at` gives a value, several a list. Exact, of any type; the values of
// one key must fit into memory.
inline Fold Quantiles(std::vector<double> at) { return {Fold::Kind::kQuantiles, std::move(at)}; }

// `sum`, `quantiles(0.5, 0.99)`: its name in Lua.
std::string ToString(const Fold& fold);

}  // namespace glim
