// SPDX-License-Identifier: Apache-2.0
//
// Rows as bytes, such that equal rows (in the total order's sense) have equal bytes: 4 and 4.0 are written alike, so
// are all NaNs, 0 and -0. Keys of aggregations and joins are kept like this.
//
// A value is a tag byte and its payload: nil, false, true; int64 as 8 bytes; double as 8 bytes; bytes as a 4-byte
// length and the bytes; list as a 4-byte count and its elements. Little-endian. In memory only: nothing on disk or wire
// depends on it.
#pragma once

#include <string>
#include <string_view>

#include "glim/batch.h"
#include "glim/batch_builder.h"

namespace glim::batch {

void AppendEncoded(const Cell& cell, std::string* out);

// Appends the value at the front of `*bytes` to `column` and takes it off. Expects bytes written by AppendEncoded.
void DecodeInto(std::string_view* bytes, ColumnBuilder* column);

}  // namespace glim::batch
