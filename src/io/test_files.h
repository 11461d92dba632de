// SPDX-License-Identifier: Apache-2.0
//
// For the tests of this folder: a temporary folder with files, and rows as strings.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "env/env.h"
#include "io/block_reader.h"
#include "io/source.h"

namespace glim::io {

inline std::string ReadWhole(env::Env& env, const std::string& path) {
  auto file = env.files().OpenRandom(path);
  if (!file.ok()) {
    ADD_FAILURE() << file.status().ToString();
    return "";
  }
  std::string bytes((*file)->size(), '\0');
  EXPECT_EQ(*(*file)->ReadAt(0, bytes), bytes.size());
  return bytes;
}

// What is written is appended to `*out`.
class StringFile : public env::WritableFile {
 public:
  explicit StringFile(std::string* out) : out_(out) {}
  Status Append(std::string_view bytes) override {
    *out_ += bytes;
    return Status::Ok();
  }
  Status Sync() override { return Status::Ok(); }
  Status Close() override { return Status::Ok(); }

 private:
  std::string* const out_;
};

// Goes away with everything in it.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(env::Env& env) : env_(env), path_(*env.files().MakeTemporaryFolder("io_test")) {}
  ~TemporaryFolder() { EXPECT_TRUE(env_.files().RemoveAll(path_).ok()); }

  const std::string& path() const { return path_; }
  std::string Path(std::string_view name) const { return path_ + "/" + std::string(name); }

  // Writes a file, and makes its folders. Returns its path.
  std::string Write(std::string_view name, std::string_view bytes) {
    const std::string path = Path(name);
    EXPECT_TRUE(env_.files().MakeFolders(path.substr(0, path.rfind('/'))).ok());
    auto file = env_.files().Create(path);
    EXPECT_TRUE(file.ok());
    EXPECT_TRUE((*file)->Append(bytes).ok());
    EXPECT_TRUE((*file)->Close().ok());
    return path;
  }

 private:
  env::Env& env_;
  const std::string path_;
};

using Texts = std::vector<std::vector<std::string>>;

inline void AppendTexts(const Batch& batch, Texts* rows) {
  for (int64_t row = 0; row < batch.row_count(); ++row) {
    std::vector<std::string> texts;
    for (int i = 0; i < batch.column_count(); ++i) texts.push_back(batch.At(row, i).ToString());
    rows->push_back(std::move(texts));
  }
}

// All rows of all splits, in order. Batches are looked at when all of them are there: their bytes must last. With
// `in_sequence` each split is a whole file read as a pipe would be.
inline Result<Texts> ReadAll(env::Env& env, const Source& source, int64_t split_bytes_max = 4 << 20,
                             bool in_sequence = false) {
  auto splits = source.MakeSplits(env, {.split_bytes_max = split_bytes_max});
  if (!splits.ok()) return splits.status();
  std::vector<Batch> batches;
  for (Split& split : *splits) {
    if (in_sequence) split.end = kSequentialEnd;
    auto reader = source.Open(env, split);
    if (!reader.ok()) return reader.status();
    while (true) {
      auto batch = (*reader)->Next();
      if (!batch.ok()) return batch.status();
      if (!batch->has_value()) break;
      EXPECT_GT((*batch)->row_count(), 0);
      EXPECT_LE((*batch)->row_count(), 4096);
      batches.push_back(**std::move(batch));
    }
  }
  Texts rows;
  for (const Batch& batch : batches) AppendTexts(batch, &rows);
  return rows;
}

}  // namespace glim::io
