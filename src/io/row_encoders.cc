// SPDX-License-Identifier: Apache-2.0
//
// The small encoders of io/row_encoder.h.
#include <fmt/core.h>

#include "base/try.h"
#include "io/row_encoder.h"
#include "io/tsv.h"

namespace glim::io {
namespace {

class TextEncoder : public RowEncoder {
 public:
  explicit TextEncoder(std::string nil) : nil_(std::move(nil)) {}
  Status Append(const Batch& batch, std::string* out) const override { return AppendTsv(batch, nil_, out); }
  std::optional<std::string_view> InPlace(const Batch& batch) const override { return TsvInPlace(batch); }

 private:
  const std::string nil_;
};

class FormatEncoder : public RowEncoder {
 public:
  explicit FormatEncoder(RowFormat format) : format_(std::move(format)) {}
  Status Append(const Batch& batch, std::string* out) const override { return format_.AppendBatch(batch, out); }

 private:
  const RowFormat format_;
};

class BinaryEncoder : public RowEncoder {
 public:
  Status Append(const Batch& batch, std::string* out) const override {
    for (int64_t row = 0; row < batch.row_count(); ++row) {
      for (int i = 0; i < batch.column_count(); ++i) {
        const Cell cell = batch.At(row, i);
        if (cell.type() != Type::kBytes) {
          return Status::Invalid(
              fmt::format("column {} is {}, not bytes: {}", i + 1, TypeName(cell.type()), batch.RowToDebugString(row)));
        }
        *out += cell.as_bytes();
      }
    }
    return Status::Ok();
  }
};

}  // namespace

std::unique_ptr<RowEncoder> MakeTextEncoder(std::string nil) { return std::make_unique<TextEncoder>(std::move(nil)); }

std::unique_ptr<RowEncoder> MakeFormatEncoder(RowFormat format) {
  return std::make_unique<FormatEncoder>(std::move(format));
}

std::unique_ptr<RowEncoder> MakeBinaryEncoder() { return std::make_unique<BinaryEncoder>(); }

}  // namespace glim::io
