// SPDX-License-Identifier: Apache-2.0
//
// Any bytes are an error or a batch; a batch is written as bytes that give the same rows again.
#include <algorithm>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "batch/batch_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace glim;
  auto buffer = Buffer::Allocate(size);
  std::copy_n(reinterpret_cast<const char*>(data), size, buffer->mutable_data());
  const auto batch = batch::DecodeBatch(buffer);
  // Nils take no bytes, so a short input may have any number of rows.
  if (!batch.ok() || batch->row_count() > 1'000'000) return 0;
  std::string bytes;
  batch::EncodeBatch(*batch, &bytes);
  auto copy = Buffer::Allocate(bytes.size());
  std::copy(bytes.begin(), bytes.end(), copy->mutable_data());
  const auto again = batch::DecodeBatch(copy);
  CHECK(again.ok());
  CHECK_EQ(again->row_count(), batch->row_count());
  CHECK_EQ(again->column_count(), batch->column_count());
  for (int64_t row = 0; row < std::min<int64_t>(batch->row_count(), 1000); ++row) {
    for (int c = 0; c < batch->column_count(); ++c) CHECK(again->At(row, c) == batch->At(row, c));
  }
  return 0;
}
