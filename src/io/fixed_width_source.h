// SPDX-License-Identifier: Apache-2.0
//
// Records of one size, such as those of gensort: no separators, no newlines, a column of bytes for each field.
//
// Files are cut at whole records. A file that ends within a record is an error that names it and the byte.
//
// Thread: a Source is immutable; a Reader belongs to one task.
#pragma once

#include <memory>

#include "glim/sources.h"
#include "io/source.h"

namespace glim::io {

std::unique_ptr<Source> MakeFixedWidthSource(FixedWidth format);

}  // namespace glim::io
