// SPDX-License-Identifier: Apache-2.0
//
// A file with stored rows of a table: part of a saved model. docs/format/table.md has it byte by byte: a header that
// says what rows they are, blocks of about a megabyte, and an end block with the number of rows. Everything is covered
// by a CRC-32C of its block, and the whole file by one in the model's manifest.
//
// Thread: one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "env/env.h"
#include "glim/status.h"
#include "glim/table_spec.h"

namespace glim::table {

// What a file says of its rows, and which file it is.
struct RowsFormat {
  uint64_t model_id = 0;
  uint32_t part = 0;
  ValueType value_type = ValueType::kF32;
  uint32_t width = 1;  // Or kVariableWidth.
  // State values beside each value, and beside each row. Both 0 without rule state.
  uint32_t slots = 0;
  uint32_t extras = 0;

  bool operator==(const RowsFormat&) const = default;
  // Of a row of `length` values, with its state.
  size_t CellBytes(uint32_t length) const { return (size_t{length} * (1 + slots) + extras) * ValueBytes(value_type); }
};

// What the manifest knows of a file.
struct RowsFileInfo {
  std::string name;
  uint64_t rows = 0;
  uint64_t bytes = 0;
  uint32_t crc = 0;  // Of the whole file.
  bool operator==(const RowsFileInfo&) const = default;
};

class RowsFileWriter {
 public:
  // `path` must not be there yet, or be of no worth.
  static Result<std::unique_ptr<RowsFileWriter>> Create(env::FileSystem& files, const std::string& path,
                                                        const RowsFormat& format);
  // As Shard::Scan gives them, with state when the format has any.
  Status Append(const RowChunk& chunk);
  // Writes the end.
  Status Finish();
  Status SyncAndClose();
  // Without a name. After Finish.
  const RowsFileInfo& info() const { return info_; }

 private:
  RowsFileWriter(std::unique_ptr<env::WritableFile> file, const RowsFormat& format)
      : file_(std::move(file)), format_(format) {}
  Status Write(std::string_view bytes);
  Status WriteBlock(uint32_t rows, std::string_view payload);

  std::unique_ptr<env::WritableFile> file_;
  const RowsFormat format_;
  RowsFileInfo info_;
  std::string payload_;
};

class RowsFileReader {
 public:
  // Checks the header and the length.
  static Result<std::unique_ptr<RowsFileReader>> Open(env::FileSystem& files, const std::string& path,
                                                      const RowsFormat& format, const RowsFileInfo& info);
  // The next rows; an empty chunk at the end, when the whole file has been checked. kCorrupt for anything that is not
  // as it was written.
  Status Next(RowChunk* chunk);

 private:
  RowsFileReader(std::unique_ptr<env::RandomAccessFile> file, std::string path, const RowsFormat& format,
                 const RowsFileInfo& info)
      : file_(std::move(file)), path_(std::move(path)), format_(format), info_(info) {}
  Status Corrupt(std::string_view why) const;
  Status ReadHeader();
  // Exactly this many bytes.
  Status Read(size_t count, std::string* bytes);
  Status Decode(uint32_t rows, RowChunk* chunk) const;
  Status CheckEnd();

  std::unique_ptr<env::RandomAccessFile> file_;
  const std::string path_;
  const RowsFormat format_;
  const RowsFileInfo info_;
  uint64_t offset_ = 0;
  uint64_t rows_ = 0;
  uint32_t crc_ = 0;
  bool ended_ = false;
  std::string header_;
  std::string payload_;
};

}  // namespace glim::table
