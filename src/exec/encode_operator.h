// SPDX-License-Identifier: Apache-2.0
//
// Rows on their way to a sink in another process, as the bytes that it writes of them. What it gives on has two
// columns: a piece of the bytes, and how many rows end in it.
//
// Thread: its task's.
#pragma once

#include <memory>
#include <string>

#include "io/row_encoder.h"
#include "ops/operator.h"

namespace glim::exec {

class EncodeOperator : public ops::Operator {
 public:
  EncodeOperator(ops::OperatorContext context, Result<std::unique_ptr<io::RowEncoder>> encoder)
      : Operator(std::move(context)), encoder_(std::move(encoder)) {}

 protected:
  Status DoOpen() override { return encoder_.status(); }
  Status DoPush(Batch batch) override;
  Status DoFinish() override { return Flush(); }

 private:
  Status Flush();

  const Result<std::unique_ptr<io::RowEncoder>> encoder_;
  std::string bytes_;
  int64_t rows_ = 0;
};

// kCorrupt when it is not what the operator gives.
Status CheckEncoded(const Batch& batch);
int64_t RowsEncoded(const Batch& batch);

}  // namespace glim::exec
