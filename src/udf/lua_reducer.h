// SPDX-License-Identifier: Apache-2.0
//
// Folds with a Lua function. One column of numbers is folded in an array of doubles: x + y by a loop here, other
// functions by a loop in Lua over FFI pointers, which the JIT compiles together with the function. When a value or a
// result is something else, the accumulators move into Lua tables, at exactly the row where it happened, so that the
// function is called once per row all the same.
//
// Thread: its task's.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "glim/udf.h"
#include "udf/lua_instance.h"

namespace glim::udf {

class LuaReducer : public Reducer {
 public:
  // `sums`: the function is x + y, and need not be called for numbers.
  LuaReducer(std::unique_ptr<LuaInstance> instance, bool sums)
      : instance_(std::move(instance)), state_(instance_->state()), sums_(sums) {}
  ~LuaReducer() override;

  Status Update(const Batch& values, std::span<const uint32_t> groups, uint32_t group_count) override;
  int64_t memory_bytes() const override;
  Result<Batch> Finish() override;
  int64_t failed() const override { return failed_; }

 private:
  Status Fold(const Batch& values, std::span<const uint32_t> groups, uint32_t group_count);
  // For sums_.
  template <class T>
  void AddNumbers(std::span<const T> values, std::span<const uint32_t> groups);
  // All rows, or up to and with the first whose result is no number; *row is the row after.
  Status UpdateNumbers(const double* values, const Batch& batch, std::span<const uint32_t> groups, uint32_t group_count,
                       int64_t* row);
  // Puts the first value of each new group where it belongs; gives the rows that are left, and *values to them.
  std::span<const uint32_t> StartGroups(const double** values, std::span<const uint32_t> groups);
  Status UpdateAny(const Batch& batch, std::span<const uint32_t> groups, int64_t row);
  Status At(Status status, const Batch& batch, int64_t row);
  // Accumulators into Lua tables.
  void StopNumbers();
  Status MakeDriver();
  void CountTexts();

  const std::unique_ptr<LuaInstance> instance_;
  LuaState* const state_;
  const bool sums_;
  int width_ = -1;
  bool numbers_ = true;
  uint32_t count_ = 0;                // Groups that have an accumulator.
  std::vector<double> accumulators_;  // While numbers_.
  int64_t texts_bytes_ = 0;           // What the state has grown by since there are tables,
  int64_t others_bytes_ = 0;          // and what it had then.
  int driver_ = 0;                    // References; 0: none.
  std::vector<int> tables_;           // One per column, when not numbers_.
  std::vector<double> converted_;
  // Of a batch with new groups, the rows that are to be folded.
  std::vector<uint32_t> rows_;
  std::vector<uint32_t> row_groups_;
  std::vector<double> row_values_;
  int64_t failed_ = -1;
};

}  // namespace glim::udf
