// SPDX-License-Identifier: Apache-2.0
#include "io/block_reader.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/try.h"
#include "env/path.h"
#include "io/compression.h"
#include "io/http_file.h"

namespace glim::io {
namespace {

constexpr size_t kBlockBytes = 1 << 20;
constexpr size_t kBlockBytesMax = UINT32_MAX;  // What the offset of a view can say.
constexpr size_t kStepPastEnd = 16 << 10;      // Most lines end within it.

Result<std::unique_ptr<env::SequentialFile>> OpenInSequence(env::Env& env, const std::string& path) {
  return IsHttp(path) ? OpenHttp(env, path) : env.files().OpenSequential(path);
}

}  // namespace

Result<std::unique_ptr<BlockReader>> BlockReader::Open(env::Env& env, const std::string& path, uint64_t begin,
                                                       uint64_t end, int threads) {
  auto reader = std::unique_ptr<BlockReader>(new BlockReader(path, begin, end));
  if (path == "-") {
    reader->sequential_ = &env.standard_input();
  } else if (const Compression compression = CompressionOf(path); compression != Compression::kNone) {
    CHECK_EQ(begin, 0u);
    ASSIGN_OR_RETURN(auto file, OpenInSequence(env, path));
    reader->owned_sequential_ = Decompress(std::move(file), compression, path, threads);
    reader->sequential_ = reader->owned_sequential_.get();
  } else if (end == kSequentialEnd || IsHttp(path)) {
    CHECK_EQ(begin, 0u);
    ASSIGN_OR_RETURN(reader->owned_sequential_, OpenInSequence(env, path));
    reader->sequential_ = reader->owned_sequential_.get();
  } else {
    ASSIGN_OR_RETURN(reader->random_, env.files().OpenRandom(path));
  }
  return reader;
}

Result<size_t> BlockReader::More(size_t keep) {
  CHECK_LE(keep, filled_);
  if (at_end_) return size_t{0};
  ASSIGN_OR_RETURN(const size_t moved, MakeRoom(keep));
  size_t room = block_->size() - filled_;
  char* to = block_->mutable_data() + filled_;
  size_t got = 0;
  if (sequential_ != nullptr) {
    ASSIGN_OR_RETURN(got, sequential_->Read({to, room}));
  } else {
    const uint64_t at = offset_ + filled_;
    const uint64_t left = at < end_ ? end_ - at : 0;
    room = std::min<uint64_t>(room, left + kStepPastEnd);
    ASSIGN_OR_RETURN(got, random_->ReadAt(at, {to, room}));
  }
  if (got == 0) at_end_ = true;
  filled_ += got;
  return moved;
}

Result<size_t> BlockReader::MakeRoom(size_t keep) {
  if (block_ != nullptr && filled_ < block_->size()) return size_t{0};
  const size_t rest = filled_ - keep;
  if (rest >= kBlockBytesMax) {
    return Status::Invalid(fmt::format("{}: a line or row of more than 4 GB", env::QuotePath(path_)));
  }
  size_t size = std::max(kBlockBytes, std::min(kBlockBytesMax, 2 * rest));
  if (random_ != nullptr) {
    // A small file gets a small block. One byte more, so that the last read sees the end. A file that has grown since
    // it was opened is read on in steps.
    const uint64_t at = offset_ + filled_;
    const uint64_t room = at <= random_->size() ? random_->size() - at + 1 : kStepPastEnd;
    size = std::min<uint64_t>(size, rest + room);
  }
  std::shared_ptr<Buffer> block = Buffer::Allocate(size);
  if (rest > 0) std::memcpy(block->mutable_data(), block_->data() + keep, rest);
  block_ = std::move(block);
  blocks_ = std::make_shared<const std::vector<BufferRef>>(std::vector<BufferRef>{block_});
  offset_ += keep;
  filled_ = rest;
  return keep;
}

int64_t CountLines(env::Env& env, const std::string& path, uint64_t end) {
  int64_t lines = 0;
  auto file = env.files().OpenRandom(path);
  std::string buffer(256 << 10, '\0');
  for (uint64_t at = 0; file.ok() && at < end;) {
    const auto got = (*file)->ReadAt(at, {buffer.data(), std::min<uint64_t>(buffer.size(), end - at)});
    if (!got.ok() || *got == 0) break;
    lines += std::count(buffer.data(), buffer.data() + *got, '\n');
    at += *got;
  }
  return lines;
}

}  // namespace glim::io
