// SPDX-License-Identifier: Apache-2.0
//
// The work on rows that were found: apply the update rule, make a fresh row, copy a row out. One class per (value type,
// rule), behind plain virtual calls that are made once for a group of rows (16 of them or more), so that the stores
// (dense, sparse, variable) need not be compiled for each rule.
//
// A row in memory: `width` values, then `slots` state values for each of them (all first slots, then all second ones),
// then `extras` state values of the row, all of the table's value type. ftrl has the slots z and n: 12 bytes for a row
// of one f32, and w is kept rather than computed from z and n, since a push needs it as well and a pull is then a copy.
//
// FTRL starts from any initial value: z is chosen such that the rule, asked for w, gives it.
//
// Thread: immutable after it is made; rows belong to the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "glim/table_spec.h"

namespace glim::table {

// Rows of the caller's buffer for a group of keys: row i is at base + (positions ? positions[i] : first + i) * row
// length.
struct RowOrder {
  const uint32_t* positions = nullptr;
  uint32_t first = 0;
  uint32_t operator[](size_t i) const { return positions ? positions[i] : first + static_cast<uint32_t>(i); }
  RowOrder From(uint32_t i) const { return positions ? RowOrder{positions + i, 0} : RowOrder{nullptr, first + i}; }
};

// How many values a row has, and where its slots are: `capacity` values apart. Equal but in rows of variable length.
struct RowShape {
  uint32_t width;
  uint32_t capacity;
};

class RowKernel {
 public:
  virtual ~RowKernel() = default;

  uint32_t value_bytes() const { return value_bytes_; }
  uint32_t slots() const { return slots_; }
  uint32_t extras() const { return extras_; }
  // Bytes of a row with its state.
  size_t CellBytes(uint32_t capacity) const { return (size_t{capacity} * (1 + slots_) + extras_) * value_bytes_; }
  bool initial_is_constant() const { return initial_is_constant_; }
  // What was in the row does not matter to a push: the rule is assign.
  bool replaces() const { return replaces_; }

  // What a fresh row holds in its columns `first` .. width - 1, with the state to begin with (extras only when first is
  // 0).
  virtual void Start(Key key, uint32_t first, RowShape shape, std::byte* row) const = 0;
  // The state that fits the values in the row, as if it were fresh.
  virtual void StartState(RowShape shape, std::byte* row) const = 0;
  // The initial row, without state.
  virtual void Initial(Key key, uint32_t width, std::byte* out) const = 0;
  // Applies row order[i] of `values`, which are `shape.width` long, to rows[i], one after the other.
  virtual void Apply(std::span<std::byte* const> rows, RowShape shape, const std::byte* values,
                     RowOrder order) const = 0;
  // The same for `count` rows of one value that lie back to back, without state beside them or between them: slots()
  // and extras() are 0.
  virtual void ApplyRun(std::byte* rows, const std::byte* values, size_t count) const = 0;
  virtual bool HasNonZero(const std::byte* row, uint32_t width) const = 0;

 protected:
  uint32_t value_bytes_ = 0;
  uint32_t slots_ = 0;
  uint32_t extras_ = 0;
  bool initial_is_constant_ = true;
  bool replaces_ = false;
};

// Expects: CheckTableSpec accepted it.
std::unique_ptr<const RowKernel> MakeRowKernel(const TableSpec& spec);

// The index of the first value that the rule of `spec` cannot take, or values.size() / value bytes: NaN; infinities for
// rules that compute with the value; for rules that square it, what is too large to be squared.
size_t FindBadValue(const TableSpec& spec, std::span<const std::byte> values);

}  // namespace glim::table
