// SPDX-License-Identifier: Apache-2.0
//
// Batches as bytes, and back exactly as they were: types, nils, 4 and 4.0 apart. For what leaves memory for a while
// (spill files).
//
// A batch is two 32-bit numbers, of rows and of columns, and its columns. A column is a byte for its type, a byte that
// is 1 when a bit for each row follows (1 = there is a value), and by type:
//   bool         a bit for each row
//   int64 double 8 bytes for each row
//   bytes        32-bit sizes, then the bytes
//   list         32-bit counts, a 64-bit number of elements, the column of the elements
//   any          a byte for each row's type, 8 bytes for each row (the value; the size of bytes; the count of a list),
//                the bytes, a 64-bit number of elements of lists, their column unless it is 0
// Little-endian.
//
// Thread: any.
#pragma once

#include <string>

#include "glim/batch.h"
#include "glim/status.h"

namespace glim::batch {

void EncodeBatch(const Batch& batch, std::string* out);

// What `bytes` hold from `begin` on, less than 4 GiB in all. Values of bytes stay there: the batch keeps `bytes` alive.
// Any other bytes are kCorrupt.
Result<Batch> DecodeBatch(const BufferRef& bytes, size_t begin = 0);

}  // namespace glim::batch
