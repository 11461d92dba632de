// SPDX-License-Identifier: Apache-2.0
//
// A known fold at work: one state per group, for one column of values. States leave as columns (before an exchange, or
// for the disk) and are merged elsewhere, in any order.
//
// Nils do not come here: ops/folds.cc takes them out, and makes nil what belongs to a group without values.
//
// Thread: its task's.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "glim/batch.h"
#include "glim/folds.h"
#include "glim/status.h"

namespace glim::ops {

class Accumulator {
 public:
  virtual ~Accumulator() = default;
  // Value i goes to groups[i], which is below `group_count`; groups not seen before start empty. A failure is about
  // value *failed.
  virtual Status Add(const Column& values, std::span<const uint32_t> groups, uint32_t group_count, int64_t* failed) = 0;
  // States of groups that had values, as States gave them; the first column has no nils.
  virtual void Merge(std::span<const Column> states, std::span<const uint32_t> groups, uint32_t group_count) = 0;
  virtual int64_t memory_bytes() const = 0;
  // One row per group. The accumulator is not used afterwards. A failure is about group *failed.
  virtual Result<Column> Finish(int64_t* failed) = 0;
  virtual std::vector<Column> States() = 0;
};

std::unique_ptr<Accumulator> MakeAccumulator(const Fold& fold);
// How many columns its states have.
int StateWidth(const Fold& fold);

}  // namespace glim::ops
