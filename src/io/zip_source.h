// SPDX-License-Identifier: Apache-2.0
//
// Members of zip archives, one row each: its name and its bytes. ZipFile of a flow.
//
// Paths are what io/paths.h says, but what is read in sequence (stdin, http) is refused: a zip archive has its
// directory at the end. Of a folder, the files with names that end in .zip.
//
// A split is a range of members of one archive, so a large archive is read by all cores. A member is unpacked whole
// into one buffer, of the size that the directory says and at most ZipFileOptions::member_bytes_max: one that claims
// more, or turns out to hold more than it claims, fails the run before it takes the memory. Checksums are checked.
//
// Thread: as io/source.h says; each reader opens the archive for itself.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "glim/sources.h"
#include "io/source.h"

namespace glim::io {

std::unique_ptr<Source> MakeZipSource(std::vector<std::string> paths, ZipFileOptions options);

}  // namespace glim::io
