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
  DistinctOperator(OperatorContext context, std::vector<int> columns, int level = 0);

 protected:
  Status DoPush(Batch batch) override;
  Status DoFinish() override;

 private:
  // The rows that none of seen_ is equal to.
  Batch Unseen(const Batch& batch, std::span<const int> columns);

  const std::vector<int> columns_;
  const int level_;
  std::map<int, GroupIndex> seen_;  // By the number of columns compared.
  base::Reservation memory_;
  std::vector<uint32_t> groups_, new_rows_;
  GroupIndex::Rows scratch_;
  // Once memory was short: what is new beside seen_, which gets no more.
  std::unique_ptr<exchange::Exchange> parts_;
  std::unique_ptr<exchange::PartitionWriter> writer_;
};

}  // namespace glim::ops
