// SPDX-License-Identifier: Apache-2.0
//
// Rows to new files: one file, or a folder with one per partition. Nothing appears under its name before all of it is
// on the disk; a run that fails leaves what was there before.
//
// A file is written beside its target, as `target.tmp-PID`, in pieces of 256 KB, and renamed. A folder is written as
// `target.tmp-PID/` with files part-00000.csv, part-00001.csv, ..., each by the task of its partition, without waiting
// for the others; then `.manifest.json` (the parts with their rows and bytes), then the folder is renamed. Its name
// starts with a dot so that who reads the folder reads the parts only. An older folder is replaced when it is empty or
// has such a manifest; any other one is not ours to remove.
#pragma once

#include <memory>
#include <string>

#include "glim/sinks.h"
#include "io/compression.h"
#include "io/row_encoder.h"
#include "io/sink.h"

namespace glim::io {

inline constexpr const char* kFolderManifest = ".manifest.json";

std::unique_ptr<Sink> MakeFileSink(std::string path, std::unique_ptr<RowEncoder> encoder,
                                   Compression compression = Compression::kNone);
// `extension` of the parts: ".csv", ".csv.gz".
std::unique_ptr<Sink> MakeFolderSink(std::string path, std::unique_ptr<RowEncoder> encoder, std::string extension,
                                     Compression compression = Compression::kNone);

}  // namespace glim::io
