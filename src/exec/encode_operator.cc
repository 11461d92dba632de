// SPDX-License-Identifier: Apache-2.0
#include "exec/encode_operator.h"

#include "base/try.h"
#include "glim/batch_builder.h"

namespace glim::exec {
namespace {

// So much is a write call's worth, and little beside a task's memory.
constexpr size_t kPieceBytes = 256 << 10;

}  // namespace

Status EncodeOperator::DoPush(Batch batch) {
  RETURN_IF_ERROR((*encoder_)->Append(batch, &bytes_));
  rows_ += batch.row_count();
  return bytes_.size() < kPieceBytes ? Status::Ok() : Flush();
}

Status EncodeOperator::Flush() {
  if (bytes_.empty()) return Status::Ok();
  BatchBuilder pieces(2);
  for (size_t begin = 0; begin < bytes_.size(); begin += kPieceBytes) {
    const std::string_view piece = std::string_view(bytes_).substr(begin, kPieceBytes);
    pieces.column(0).AppendBytes(piece);
    pieces.column(1).AppendInt64(begin + piece.size() == bytes_.size() ? rows_ : 0);
    pieces.EndRow();
  }
  bytes_.clear();
  rows_ = 0;
  return Emit(pieces.Finish());
}

Status CheckEncoded(const Batch& batch) {
  const bool as_given = batch.column_count() == 2 && batch.column(0).type() == Type::kBytes &&
                        !batch.column(0).may_have_nulls() && batch.column(1).type() == Type::kInt64 &&
                        !batch.column(1).may_have_nulls();
  return as_given ? Status::Ok() : Status::Corrupt("an executor gave rows that are no bytes");
}

int64_t RowsEncoded(const Batch& batch) {
  int64_t rows = 0;
  for (const int64_t ended : batch.column(1).Int64s()) rows += ended;
  return rows;
}

}  // namespace glim::exec
