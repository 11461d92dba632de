// SPDX-License-Identifier: Apache-2.0
//
// One compressed file, decompressed by several threads where its format allows: frames of zstd and lz4, blocks of bgzip
// (.gz), streams of pbzip2 (.bz2). For compression.cc alone.
//
// The reader cuts the input into units of whole frames, without decompressing: sizes stand in the headers, and a stream
// of bzip2 begins with a mark of ten bytes. Up to `threads` units are decompressed at a time; their bytes come out in
// order. The first unit that is not exactly a row of whole frames ends this: from its first byte on the file is read
// by one thread, as if it had been all the time. So a damaged, cut off or lying file gives what one thread gives, and
// so does a file of one large frame. Only the byte that a message names may differ, within what is read at once.
//
// Memory: per thread, a unit and what it holds, as FrameLimits says, and one more; a unit that holds more is left to
// one thread. It is kept for the units that follow.
//
// Thread: one; it starts others and waits for them.
#pragma once

#include <memory>
#include <string>

#include "io/compression.h"

namespace glim::io {

struct FrameLimits {
  size_t unit_bytes = 1 << 20;  // Frames are put together to so many.
  size_t frame_bytes_max = 16 << 20;
  size_t unpacked_bytes_max = 64 << 20;  // Of a unit.
};

// Formats other than those four are read by one thread.
std::unique_ptr<env::SequentialFile> DecompressFrames(std::unique_ptr<env::SequentialFile> file,
                                                      Compression compression, std::string path, int threads,
                                                      FrameLimits limits = {});

// What one thread does, from byte `offset` of the file on, where `file` begins.
std::unique_ptr<env::SequentialFile> DecompressFrom(uint64_t offset, std::unique_ptr<env::SequentialFile> file,
                                                    Compression compression, std::string path);

}  // namespace glim::io
