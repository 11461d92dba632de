// SPDX-License-Identifier: Apache-2.0
#include "exec/dataset_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/try.h"
#include "exec/archive.h"
#include "net/bytes.h"

namespace glim::exec {
namespace {

constexpr std::string_view kBegin = "GLIMDATA";
constexpr std::string_view kEnd = "DATAGLIM";
constexpr uint32_t kVersion = 1;  // To be raised when bytes of batches (batch/batch_codec.h) change, too.
constexpr size_t kHeadBytes = 12;
constexpr size_t kEndBytes = 8 + 8 + 4 + 8;  // The index's offset and size, its checksum, kEnd.
constexpr int64_t kBlockBytes = 1 << 20;
// So that a damaged end does not make us ask for the memory of the machine. 24 bytes for each megabyte of rows.
constexpr uint64_t kIndexBytesMax = uint64_t{1} << 30;

struct NoContext {};
using IndexWriter = Writer<NoContext>;
using IndexReader = Reader<NoContext>;

struct Index {
  DatasetHead head;
  std::vector<std::vector<spill::Block>> partitions;
};

}  // namespace

template <class A>
void Travel(A& archive, spill::Block& block) {
  archive(block.offset, block.stored_bytes, block.plain_bytes, block.checksum, block.row_count);
}

Result<std::unique_ptr<DatasetFileWriter>> DatasetFileWriter::Create(env::FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(auto file, files.Create(path));
  std::unique_ptr<DatasetFileWriter> writer(new DatasetFileWriter(std::move(file)));
  std::string head(kBegin);
  net::PutNumber(kVersion, &head);
  RETURN_IF_ERROR(writer->Write(head));
  return writer;
}

Status DatasetFileWriter::Write(std::string_view bytes) {
  RETURN_IF_ERROR(file_->Append(bytes));
  offset_ += bytes.size();
  return Status::Ok();
}

Status DatasetFileWriter::Append(const Batch& batch) {
  CHECK(!partitions_.empty());
  const int64_t rows = batch.row_count();
  if (rows == 0) return Status::Ok();
  const int64_t pieces = std::clamp<int64_t>(batch.OwnBytes() / kBlockBytes, 1, rows);
  for (int64_t i = 0; i < pieces; ++i) {
    const int64_t begin = rows * i / pieces, end = rows * (i + 1) / pieces;
    spill::Block block;
    block.offset = offset_;
    ASSIGN_OR_RETURN(const std::string_view stored,
                     spill::PackBlock(batch.Slice(begin, end - begin), &scratch_, &block));
    RETURN_IF_ERROR(Write(stored));
    partitions_.back().push_back(block);
  }
  return Status::Ok();
}

Status DatasetFileWriter::Finish(DatasetHead head) {
  IndexWriter index(NoContext{});
  index(head, partitions_);
  RETURN_IF_ERROR(index.status());
  const std::string bytes = index.TakeBytes();
  std::string end;
  net::PutNumber(offset_, &end);
  net::PutNumber(static_cast<uint64_t>(bytes.size()), &end);
  net::PutNumber(base::Crc32c(bytes), &end);
  end += kEnd;
  RETURN_IF_ERROR(Write(bytes));
  RETURN_IF_ERROR(Write(end));
  RETURN_IF_ERROR(file_->Sync());
  return file_->Close();
}

Result<std::shared_ptr<const DatasetFile>> DatasetFile::Open(env::FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(auto opened, files.OpenRandom(path));
  std::shared_ptr<DatasetFile> file(new DatasetFile(path, std::move(opened)));
  RETURN_IF_ERROR(file->ReadIndex());
  return std::shared_ptr<const DatasetFile>(std::move(file));
}

Status DatasetFile::Damaged() const { return Status::Corrupt(fmt::format("\"{}\" is damaged", path_)); }

Status DatasetFile::ReadIndex() {
  const uint64_t size = file_->size();
  if (size < kHeadBytes + kEndBytes) return Damaged();
  const auto read = [this](uint64_t offset, uint64_t count) -> Result<std::string> {
    std::string bytes(count, '\0');
    ASSIGN_OR_RETURN(const size_t got, file_->ReadAt(offset, bytes));
    if (got != count) return Damaged();
    return bytes;
  };
  ASSIGN_OR_RETURN(const std::string head, read(0, kHeadBytes));
  if (!head.starts_with(kBegin)) return Damaged();
  if (const auto version = net::NumberAt<uint32_t>(head.data() + kBegin.size()); version != kVersion) {
    return Status::Invalid(
        fmt::format("\"{}\" is of version {}, this program knows version {}", path_, version, kVersion));
  }
  ASSIGN_OR_RETURN(const std::string end, read(size - kEndBytes, kEndBytes));
  const auto begin = net::NumberAt<uint64_t>(end.data()), bytes = net::NumberAt<uint64_t>(end.data() + 8);
  const bool fits = bytes <= std::min(size - kHeadBytes - kEndBytes, kIndexBytesMax);
  if (!end.ends_with(kEnd) || !fits || begin != size - kEndBytes - bytes) return Damaged();
  ASSIGN_OR_RETURN(const std::string text, read(begin, bytes));
  if (base::Crc32c(text) != net::NumberAt<uint32_t>(end.data() + 16)) return Damaged();
  IndexReader index(text, NoContext{});
  index(head_, partitions_);
  if (!index.ok() || index.left() != 0 || head_.user_partitions < 0) return Damaged();
  for (const auto& partition : partitions_) {
    for (const spill::Block& block : partition) {
      if (block.offset > begin || block.stored_bytes > begin - block.offset) return Damaged();
      row_count_ += block.row_count;
      plain_bytes_ += block.plain_bytes;
    }
  }
  return Status::Ok();
}

Result<std::vector<Batch>> DatasetFile::ReadPiece(int partition, exchange::SlotPosition* position, int64_t bytes_max,
                                                  size_t batches_max) const {
  if (partition < 0 || partition >= partition_count()) return Status::Invalid("there is no such partition");
  const std::vector<spill::Block>& blocks = partitions_[partition];
  const auto read = [this](uint64_t offset, std::span<char> out) { return file_->ReadAt(offset, out); };
  std::vector<Batch> batches;
  spill::Scratch scratch;
  for (int64_t bytes = 0; position->held < blocks.size() && (batches.empty() || bytes < bytes_max) &&
                          batches.size() < std::max<size_t>(batches_max, 1);
       ++position->held) {
    const spill::Block& block = blocks[position->held];
    ASSIGN_OR_RETURN(Batch batch, spill::UnpackBlock(block, read, Damaged(), &scratch));
    if (batch.row_count() != block.row_count) return Damaged();
    bytes += block.plain_bytes;
    batches.push_back(std::move(batch));
  }
  return batches;
}

void Fill(flow::CachedRows* cache, std::shared_ptr<const DatasetFile> file) {
  cache->user_partitions = file->head().user_partitions;
  cache->in_order = file->head().in_order;
  cache->names = file->head().names;
  cache->partition_count = file->partition_count();
  cache->row_count = file->row_count();
  cache->bytes = file->plain_bytes();
  cache->id = NewCacheId();
  cache->kept = file;
  cache->read = [file = std::move(file)](size_t partition) -> flow::CachedRows::Reader {
    return [file, partition, at = exchange::SlotPosition()]() mutable -> Result<std::optional<Batch>> {
      ASSIGN_OR_RETURN(std::vector<Batch> next, file->ReadPiece(static_cast<int>(partition), &at, 1, 1));
      return next.empty() ? std::optional<Batch>() : std::optional<Batch>(std::move(next[0]));
    };
  };
  cache->filled = true;
}

}  // namespace glim::exec
