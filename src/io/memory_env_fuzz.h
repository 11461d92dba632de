// SPDX-License-Identifier: Apache-2.0
//
// For fuzz targets of sources: an Env whose only file is the input, and the rows of a source in it. Whatever the cuts,
// the rows must be the same, or there must be an error.
//
// Thread: one.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/check.h"
#include "env/fault/faulty_file_system.h"
#include "io/source.h"

namespace glim::io {

class MemoryFile : public env::RandomAccessFile {
 public:
  explicit MemoryFile(std::string_view bytes) : bytes_(bytes) {}
  Result<size_t> ReadAt(uint64_t offset, std::span<char> out) const override {
    if (offset >= bytes_.size()) return size_t{0};
    return bytes_.copy(out.data(), out.size(), offset);
  }
  uint64_t size() const override { return bytes_.size(); }

 private:
  const std::string_view bytes_;
};

// Every path is the file `bytes`; nothing else works.
class OneFile : public env::FaultyFileSystem {
 public:
  OneFile(env::FileSystem& files, std::string_view bytes) : FaultyFileSystem(files), bytes_(bytes) {}
  Result<std::unique_ptr<env::RandomAccessFile>> OpenRandom(const std::string&) override {
    return std::unique_ptr<env::RandomAccessFile>(std::make_unique<MemoryFile>(bytes_));
  }
  Result<env::FileStat> Stat(const std::string&) override {
    return env::FileStat{env::FileKind::kFile, bytes_.size(), 0};
  }

 private:
  const std::string_view bytes_;
};

// All rows as text, or "error". The splits are read from the last to the first, so that none is helped by the one
// before.
inline std::string RowsOf(env::Env& env, const Source& source, int64_t split_bytes_max) {
  const auto splits = source.MakeSplits(env, {.split_bytes_max = split_bytes_max});
  if (!splits.ok()) return "error";
  std::string all;
  for (size_t i = splits->size(); i-- > 0;) {
    auto reader = source.Open(env, (*splits)[i]);
    if (!reader.ok()) return "error";
    std::string text;
    while (true) {
      auto batch = (*reader)->Next();
      if (!batch.ok()) return "error";
      if (!batch->has_value()) break;
      CHECK_GT((*batch)->row_count(), 0);
      for (int64_t row = 0; row < (*batch)->row_count(); ++row) text += (*batch)->RowToDebugString(row) + "\n";
    }
    all.insert(0, text);
  }
  return all;
}

// An empty file would be opened in sequence, which OneFile does not offer.
inline void CheckCutsDoNotMatter(std::string_view bytes, const Source& source) {
  if (bytes.empty()) return;
  static const auto* const real = env::MakePosixEnv().release();
  OneFile files(const_cast<env::Env*>(real)->files(), bytes);
  env::FaultyEnv env(*const_cast<env::Env*>(real), files);
  const std::string whole = RowsOf(env, source, INT64_MAX);
  for (const int64_t split_bytes : {1, 17}) CHECK(RowsOf(env, source, split_bytes) == whole);
}

}  // namespace glim::io
