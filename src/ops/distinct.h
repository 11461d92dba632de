// SPDX-License-Identifier: Apache-2.0
//
// Distinct: the first row of each key, or of all equal rows. Runs before the exchange, to send less, and behind it.
#pragma once

#include <map>
#include <vector>

#include "ops/group_index.h"
#include "ops/operator.h"

namespace glim::ops {

class DistinctOperator : public Operator {
 public:
  // No columns: whole rows are compared; rows of different width differ.
  DistinctOperator(OperatorContext context, std::vector<int> columns);

 protected:
  Status DoPush(Batch batch) override;

 private:
  const std::vector<int> columns_;
  std::map<int, GroupIndex> seen_;  // By the number of columns compared.
  base::Reservation memory_;
  std::vector<uint32_t> groups_, new_rows_;
};

}  // namespace glim::ops
