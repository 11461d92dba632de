// SPDX-License-Identifier: Apache-2.0
//
// Files that are compressed, known by their extension: .gz .bz2 .xz .zst .lz4. A source reads them as if they were not;
// a sink writes them so.
//
// Decompressing is streaming: a window of the format (at most kWindowBytesMax) and 64 KB of input, however large the
// file. Members (gzip), streams (bzip2, xz) and frames (zstd, lz4) may follow each other; what they hold is joined.
// Bytes that are damaged, and a file that ends before its last member does (an empty one, too), are kCorrupt with the
// file's name and the byte of the compressed file where it shows; checksums of the formats are checked.
//
// A compressed file is read by one task, because none of these formats can be entered in the middle in general; where
// it has frames, threads of its own decompress them ahead of the task. Many files are read side by side.
//
// Thread: one per file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "env/env.h"

namespace glim::io {

enum class Compression : uint8_t { kNone, kGzip, kBzip2, kXz, kZstd, kLz4 };

// What a format may ask for to be read; xz -9 wants 65 MB, zstd --ultra -22 128 MB.
inline constexpr uint64_t kWindowBytesMax = 256 << 20;

// By the extension; kNone when it is none of ours.
Compression CompressionOf(std::string_view path);
// "gz", "bz2", "xz", "zst", "lz4". kInvalid for others.
Result<Compression> CompressionNamed(std::string_view name);

// `path` is for messages. With more than one thread, frames and the like are decompressed side by side
// (io/decompress_frames.h).
std::unique_ptr<env::SequentialFile> Decompress(std::unique_ptr<env::SequentialFile> file, Compression compression,
                                                std::string path, int threads = 1);

// Sync and Close end a member; what is appended later begins another one. A file that got no bytes holds an empty
// member.
std::unique_ptr<env::WritableFile> Compress(std::unique_ptr<env::WritableFile> file, Compression compression);

}  // namespace glim::io
