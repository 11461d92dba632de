// SPDX-License-Identifier: Apache-2.0
#include "table/rows_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/try.h"

namespace glim::table {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the format is little-endian, and written as it lies in memory");

constexpr std::string_view kMagic = "GLIMROWS";
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 64;
constexpr size_t kBlockHeaderBytes = 16;
constexpr size_t kBlockBytes = 1 << 20;     // A block is closed when it has as many.
constexpr size_t kBlockBytesMax = 1 << 28;  // One with the longest row, and room to spare.

void Put(std::string* out, const auto& value) { out->append(reinterpret_cast<const char*>(&value), sizeof(value)); }
void PutBytes(std::string* out, const void* bytes, size_t count) {
  out->append(static_cast<const char*>(bytes), count);
}

template <class T>
T Take(std::string_view bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

std::string Header(const RowsFormat& format) {
  std::string header(kMagic);
  Put(&header, kVersion);
  Put(&header, format.part);
  Put(&header, format.model_id);
  Put(&header, static_cast<uint32_t>(format.value_type));
  Put(&header, format.width);
  Put(&header, format.slots);
  Put(&header, format.extras);
  header.resize(kHeaderBytes - sizeof(uint32_t));
  Put(&header, base::Crc32c(header));
  return header;
}

}  // namespace

Result<std::unique_ptr<RowsFileWriter>> RowsFileWriter::Create(env::FileSystem& files, const std::string& path,
                                                               const RowsFormat& format) {
  ASSIGN_OR_RETURN(auto file, files.Create(path));
  std::unique_ptr<RowsFileWriter> writer(new RowsFileWriter(std::move(file), format));
  RETURN_IF_ERROR(writer->Write(Header(format)));
  return writer;
}

Status RowsFileWriter::Append(const RowChunk& chunk) {
  const bool variable = format_.width == kVariableWidth;
  const std::byte* cells = chunk.values.data();
  for (size_t begin = 0; begin < chunk.keys.size();) {
    // As many rows as fill a block.
    size_t end = begin, bytes = 0;
    while (end < chunk.keys.size() && (end == begin || bytes < kBlockBytes)) {
      bytes += format_.CellBytes(variable ? chunk.lengths[end] : format_.width);
      if (variable && chunk.lengths[end] == 0) bytes -= format_.CellBytes(0);
      ++end;
    }
    payload_.clear();
    PutBytes(&payload_, chunk.keys.data() + begin, (end - begin) * sizeof(Key));
    if (variable) PutBytes(&payload_, chunk.lengths.data() + begin, (end - begin) * sizeof(uint32_t));
    if (bytes > 0) PutBytes(&payload_, cells, bytes);
    cells += bytes;
    RETURN_IF_ERROR(WriteBlock(static_cast<uint32_t>(end - begin), payload_));
    info_.rows += end - begin;
    begin = end;
  }
  CHECK(cells == chunk.values.data() + chunk.values.size());
  return Status::Ok();
}

Status RowsFileWriter::Finish() {
  payload_.clear();
  Put(&payload_, info_.rows);
  return WriteBlock(0, payload_);
}

Status RowsFileWriter::SyncAndClose() {
  RETURN_IF_ERROR(file_->Sync());
  return file_->Close();
}

Status RowsFileWriter::WriteBlock(uint32_t rows, std::string_view payload) {
  CHECK_LE(payload.size(), kBlockBytesMax);
  std::string header;
  Put(&header, static_cast<uint32_t>(payload.size()));
  Put(&header, rows);
  Put(&header, base::Crc32c(payload));
  Put(&header, base::Crc32c(header));
  RETURN_IF_ERROR(Write(header));
  return Write(payload);
}

Status RowsFileWriter::Write(std::string_view bytes) {
  RETURN_IF_ERROR(file_->Append(bytes));
  info_.crc = base::Crc32c(bytes, info_.crc);
  info_.bytes += bytes.size();
  return Status::Ok();
}

Result<std::unique_ptr<RowsFileReader>> RowsFileReader::Open(env::FileSystem& files, const std::string& path,
                                                             const RowsFormat& format, const RowsFileInfo& info) {
  ASSIGN_OR_RETURN(auto file, files.OpenRandom(path));
  const uint64_t size = file->size();
  std::unique_ptr<RowsFileReader> reader(new RowsFileReader(std::move(file), path, format, info));
  if (size != info.bytes)
    return reader->Corrupt(fmt::format("it has {} bytes, the manifest says {}", size, info.bytes));
  RETURN_IF_ERROR(reader->ReadHeader());
  return reader;
}

Status RowsFileReader::Next(RowChunk* chunk) {
  chunk->keys.clear();
  chunk->values.clear();
  chunk->lengths.clear();
  if (ended_) return Status::Ok();
  RETURN_IF_ERROR(Read(kBlockHeaderBytes, &header_));
  if (base::Crc32c(std::string_view(header_).substr(0, 12)) != Take<uint32_t>(header_, 12)) {
    return Corrupt("a block header fails its checksum");
  }
  const uint32_t bytes = Take<uint32_t>(header_, 0), rows = Take<uint32_t>(header_, 4);
  if (bytes > kBlockBytesMax) return Corrupt("a block is too large");
  RETURN_IF_ERROR(Read(bytes, &payload_));
  if (base::Crc32c(payload_) != Take<uint32_t>(header_, 8)) return Corrupt("a block fails its checksum");
  if (rows == 0) return CheckEnd();
  rows_ += rows;
  return Decode(rows, chunk);
}

Status RowsFileReader::Corrupt(std::string_view why) const {
  return Status::Corrupt(fmt::format("\"{}\" is damaged before byte {}: {}", path_, offset_, why));
}

Status RowsFileReader::ReadHeader() {
  RETURN_IF_ERROR(Read(kHeaderBytes, &header_));
  if (header_.substr(0, kMagic.size()) != kMagic) return Corrupt("it is not a file of table rows");
  if (uint32_t version = Take<uint32_t>(header_, 8); version != kVersion) {
    return Corrupt(fmt::format("it has version {}, this program reads version {}", version, kVersion));
  }
  if (header_ != Header(format_)) return Corrupt("its header is not that of the file that the manifest names");
  return Status::Ok();
}

Status RowsFileReader::Read(size_t count, std::string* bytes) {
  if (count > info_.bytes - offset_) {
    bytes->clear();
    return Corrupt("it ends too early");
  }
  bytes->resize(count);
  ASSIGN_OR_RETURN(size_t got, file_->ReadAt(offset_, *bytes));
  if (got != count) return Corrupt("it ends too early");
  crc_ = base::Crc32c(*bytes, crc_);
  offset_ += count;
  return Status::Ok();
}

Status RowsFileReader::Decode(uint32_t rows, RowChunk* chunk) const {
  const bool variable = format_.width == kVariableWidth;
  const uint64_t fixed = uint64_t{rows} * (sizeof(Key) + (variable ? sizeof(uint32_t) : 0));
  if (payload_.size() < fixed) return Corrupt("a block is too short for its rows");
  const char* from = payload_.data();
  chunk->keys.resize(rows);
  std::memcpy(chunk->keys.data(), from, rows * sizeof(Key));
  from += rows * sizeof(Key);
  uint64_t bytes = rows * format_.CellBytes(variable ? 0 : format_.width);
  if (variable) {
    chunk->lengths.resize(rows);
    std::memcpy(chunk->lengths.data(), from, rows * sizeof(uint32_t));
    from += rows * sizeof(uint32_t);
    bytes = 0;
    for (uint32_t length : chunk->lengths) bytes += length == 0 ? 0 : format_.CellBytes(length);
  }
  if (payload_.size() - fixed != bytes) return Corrupt("a block's size is not that of its rows");
  const auto* cells = reinterpret_cast<const std::byte*>(from);
  chunk->values.assign(cells, cells + bytes);
  return Status::Ok();
}

Status RowsFileReader::CheckEnd() {
  if (payload_.size() != sizeof(uint64_t) || Take<uint64_t>(payload_, 0) != rows_ || rows_ != info_.rows) {
    return Corrupt("the number of its rows is wrong");
  }
  if (offset_ != info_.bytes) return Corrupt("something follows its end");
  if (crc_ != info_.crc) return Corrupt("it fails the manifest's checksum");
  ended_ = true;
  return Status::Ok();
}

}  // namespace glim::table
