// SPDX-License-Identifier: Apache-2.0
//
// A file read into blocks: what the readers of lines and of CSV rows have in common.
//
// The reader looks at data()[0, filled()), cuts what is complete, and asks for More. As long as the block has room more
// bytes are put behind; when it is full the unfinished rest moves to the head of a new block, twice as large when the
// rest is large. Bytes that were handed out in a batch are never touched again, so the block is shared with the batches
// while its end is still being filled.
//
// Thread: one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "io/source.h"

namespace glim::io {

// Split::end of what is read in sequence: compressed files, pipes, terminals, "-", and files that claim to be empty (as
// those of /proc do).
inline constexpr uint64_t kSequentialEnd = UINT64_MAX;

// The one split of such a file.
inline Split SequentialSplit(std::string path) { return {std::move(path), 0, kSequentialEnd, 0}; }

class BlockReader {
 public:
  // Starts at byte `begin`. `end` is where the caller will probably stop: reading goes past it in small steps only.
  // With kSequentialEnd, and when the file is compressed, it is read in sequence, and `begin` must be 0. Of a
  // compressed file we see the bytes that it stands for; `offset()` counts those.
  // `threads` may decompress it.
  static Result<std::unique_ptr<BlockReader>> Open(env::Env& env, const std::string& path, uint64_t begin, uint64_t end,
                                                   int threads = 1);

  const char* data() const { return block_ ? block_->data() : nullptr; }
  // For rewriting bytes that no batch has seen.
  char* mutable_data() { return block_->mutable_data(); }
  size_t filled() const { return filled_; }
  // Nothing follows data()[0, filled()).
  bool at_end() const { return at_end_; }
  // Of data()[0] in the file.
  uint64_t offset() const { return offset_; }
  // For the columns with views into the present block, which has number 0.
  const Blocks& blocks() const { return blocks_; }
  const std::string& path() const { return path_; }

  // Reads at least one byte more, or sets at_end(). Bytes before `keep` are not needed any more. Returns by how much
  // the rest has moved towards the head: positions must be reduced by it. An error when data()[keep, filled()) has 4
  // GB, which is more than a view can hold.
  Result<size_t> More(size_t keep);

 private:
  BlockReader(std::string path, uint64_t begin, uint64_t end) : path_(std::move(path)), end_(end), offset_(begin) {}
  Result<size_t> MakeRoom(size_t keep);

  std::string path_;
  uint64_t end_;
  uint64_t offset_;
  std::unique_ptr<env::RandomAccessFile> random_;  // One of the two.
  env::SequentialFile* sequential_ = nullptr;
  std::unique_ptr<env::SequentialFile> owned_sequential_;  // Null when it is stdin.
  std::shared_ptr<Buffer> block_;
  Blocks blocks_;
  size_t filled_ = 0;
  bool at_end_ = false;
};

// Newlines in the file's bytes [0, end), for messages that name a line. 0 when the file cannot be read any more.
int64_t CountLines(env::Env& env, const std::string& path, uint64_t end);

}  // namespace glim::io
