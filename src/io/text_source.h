// SPDX-License-Identifier: Apache-2.0
//
// Lines of text files, one row per line: TextFile and Stdin of a flow.
//
// Paths are what io/paths.h says.
//
// A big file is cut into byte ranges. A split owns the lines that *start* in its range, so its reader looks for the
// first newline from `begin - 1` on and reads past `end` up to the end of its last line: each line is read once,
// wherever the cuts fall.
//
// The reader reads blocks of 1 MB into buffers and hands out columns of views into them. The partial line at the end of
// a block is copied to the head of the next one: some hundred bytes per MB. A line longer than a block makes the block
// grow. Bytes are kept as they are ("\r" too unless asked, zero bytes, empty lines); only the newline goes. The last
// line needs none. An empty file has no rows.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "glim/sources.h"
#include "io/paths.h"
#include "io/source.h"

namespace glim::io {

std::unique_ptr<Source> MakeTextSource(std::vector<std::string> paths, TextFileOptions options);

}  // namespace glim::io
