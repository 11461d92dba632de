// SPDX-License-Identifier: Apache-2.0
#include "io/decompress_frames.h"

#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <future>
#include <optional>
#include <utility>
#include <vector>

#include "base/try.h"

namespace glim::io {
namespace {

constexpr size_t kPieceBytes = 256 << 10;

// What the first frame is: complete, with its size; or more bytes are needed; or nobody knows.
struct Frame {
  enum Kind : uint8_t { kComplete, kNeedsMore, kUnknown } kind;
  size_t size = 0;
};

uint32_t Little32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[at + static_cast<size_t>(i)]);
  return value;
}

Frame ZstdFrame(std::string_view bytes) {
  const size_t size = ZSTD_findFrameCompressedSize(bytes.data(), bytes.size());
  if (!ZSTD_isError(size)) return {Frame::kComplete, size};
  return {ZSTD_getErrorCode(size) == ZSTD_error_srcSize_wrong ? Frame::kNeedsMore : Frame::kUnknown};
}

// Header, blocks that each begin with their size, an end mark.
Frame Lz4Frame(std::string_view bytes) {
  constexpr uint32_t kMagic = 0x184D2204;
  constexpr unsigned kHasDictionary = 1, kHasChecksum = 4, kHasSize = 8, kBlocksHaveChecksums = 16;
  if (bytes.size() < 6) return {Frame::kNeedsMore};
  if (Little32(bytes, 0) != kMagic) return {Frame::kUnknown};
  const auto flags = static_cast<unsigned char>(bytes[4]);
  size_t at = 7 + ((flags & kHasSize) != 0 ? 8 : 0) + ((flags & kHasDictionary) != 0 ? 4 : 0);
  while (at + 4 <= bytes.size()) {
    const uint32_t block = Little32(bytes, at) & 0x7fffffff;
    at += 4;
    if (block == 0) {
      at += (flags & kHasChecksum) != 0 ? 4 : 0;
      return at <= bytes.size() ? Frame{Frame::kComplete, at} : Frame{Frame::kNeedsMore};
    }
    at += block + ((flags & kBlocksHaveChecksums) != 0 ? 4 : 0);
  }
  return {Frame::kNeedsMore};
}

// A member of bgzip tells its size in an extra field of its header.
Frame GzipFrame(std::string_view bytes) {
  constexpr size_t kHeader = 18;
  constexpr unsigned char kBegin[] = {0x1f, 0x8b, 8, 4}, kExtra[] = {6, 0, 'B', 'C', 2, 0};
  if (bytes.size() < kHeader) return {Frame::kNeedsMore};
  if (std::memcmp(bytes.data(), kBegin, sizeof(kBegin)) != 0 ||
      std::memcmp(bytes.data() + 10, kExtra, sizeof(kExtra)) != 0) {
    return {Frame::kUnknown};
  }
  const size_t size = (Little32(bytes, 14) >> 16) + 1;
  if (size < kHeader) return {Frame::kUnknown};
  return size <= bytes.size() ? Frame{Frame::kComplete, size} : Frame{Frame::kNeedsMore};
}

// A stream goes to the next mark. Ten bytes that look like one by chance make a unit that is no whole stream, which its
// decompression tells.
Frame Bzip2Frame(std::string_view bytes) {
  constexpr std::string_view kFirstBlock = "1AY&SY";
  constexpr size_t kMark = 10;
  for (size_t at = kMark; at + kMark <= bytes.size(); ++at) {
    at = bytes.find(kFirstBlock, at);
    if (at == std::string_view::npos) break;
    // "BZh" and a digit stand before it.
    if (at < kMark + 4) continue;
    if (bytes.substr(at - 4, 3) == "BZh" && bytes[at - 1] >= '1' && bytes[at - 1] <= '9') {
      return {Frame::kComplete, at - 4};
    }
  }
  return {Frame::kNeedsMore};
}

Frame FirstFrame(Compression compression, std::string_view bytes) {
  if (bytes.empty()) return {Frame::kNeedsMore};
  switch (compression) {
    case Compression::kZstd: return ZstdFrame(bytes);
    case Compression::kLz4: return Lz4Frame(bytes);
    case Compression::kGzip: return GzipFrame(bytes);
    case Compression::kBzip2: return Bzip2Frame(bytes);
    case Compression::kNone:
    case Compression::kXz: break;
  }
  return {Frame::kUnknown};
}

// Some bytes, and then the rest of a file, if there is one, or why it cannot be read.
class PrefixedFile : public env::SequentialFile {
 public:
  PrefixedFile(std::string prefix, std::unique_ptr<env::SequentialFile> rest, Status failure)
      : prefix_(std::move(prefix)), rest_(std::move(rest)), failure_(std::move(failure)) {}
  Result<size_t> Read(std::span<char> out) override {
    if (at_ == prefix_.size()) {
      RETURN_IF_ERROR(failure_);
      return rest_ == nullptr ? size_t{0} : rest_->Read(out);
    }
    const size_t size = prefix_.copy(out.data(), out.size(), at_);
    at_ += size;
    return size;
  }

 private:
  const std::string prefix_;
  size_t at_ = 0;
  const std::unique_ptr<env::SequentialFile> rest_;
  const Status failure_;  // Of reading what follows the prefix.
};

// What a unit holds, in pieces that are used again for other units: fresh memory costs as much as zstd takes to fill
// it, because the kernel clears it page by page.
class Unpacked {
 public:
  // False when `bytes` are not whole frames, or hold more than `bytes_max`.
  bool Fill(Compression compression, const std::string& bytes, size_t bytes_max) {
    const auto file = DecompressFrom(0, std::make_unique<PrefixedFile>(bytes, nullptr, Status::Ok()), compression, "");
    given_ = size_ = 0;
    while (size_ <= bytes_max) {
      if (size_ / kPieceBytes == pieces_.size()) pieces_.push_back(std::make_unique_for_overwrite<char[]>(kPieceBytes));
      const auto size = file->Read(Rest(size_, kPieceBytes));
      if (!size.ok()) return false;
      if (*size == 0) return true;
      size_ += *size;
    }
    return false;
  }

  // What is left, as far as there is room.
  size_t Give(std::span<char> out) {
    size_t given = 0;
    while (given < out.size() && given_ < size_) {
      const std::span<const char> rest = Rest(given_, size_ - given_);
      const size_t size = std::min(rest.size(), out.size() - given);
      std::memcpy(out.data() + given, rest.data(), size);
      given += size;
      given_ += size;
    }
    return given;
  }

 private:
  // Of the piece with byte `at`, from there on, at most `size`.
  std::span<char> Rest(size_t at, size_t size) {
    const size_t in_piece = at % kPieceBytes;
    return {pieces_[at / kPieceBytes].get() + in_piece, std::min(size, kPieceBytes - in_piece)};
  }

  std::vector<std::unique_ptr<char[]>> pieces_;
  size_t size_ = 0;
  size_t given_ = 0;
};

class FramesFile : public env::SequentialFile {
 public:
  FramesFile(std::unique_ptr<env::SequentialFile> file, Compression compression, std::string path, int threads,
             FrameLimits limits)
      : file_(std::move(file)),
        compression_(compression),
        path_(std::move(path)),
        threads_(static_cast<size_t>(threads)),
        limits_(limits) {}

  Result<size_t> Read(std::span<char> out) override {
    while (serial_ == nullptr) {
      if (const size_t size = unpacked_.Give(out); size > 0) return size;
      StartUnits();
      if (running_.empty()) {
        GoOnAlone("");
        break;
      }
      const std::shared_ptr<const std::string> bytes = running_.front().bytes;
      std::optional<Unpacked> unpacked = running_.front().unpacked.get();
      running_.pop_front();
      if (!unpacked.has_value()) {
        GoOnAlone(*bytes);
        break;
      }
      offset_ += bytes->size();
      spare_.push_back(std::exchange(unpacked_, *std::move(unpacked)));
    }
    return serial_->Read(out);
  }

 private:
  struct Unit {
    std::shared_ptr<const std::string> bytes;
    std::future<std::optional<Unpacked>> unpacked;
  };

  void StartUnits() {
    while (running_.size() < threads_ && !no_more_units_) {
      const size_t size = CutUnit();
      if (size == 0) {
        no_more_units_ = true;
        break;
      }
      auto bytes = std::make_shared<const std::string>(ahead_, 0, size);
      ahead_.erase(0, size);
      // With too many threads in the machine, the default policy works when the result is asked for.
      Unpacked memory;
      if (!spare_.empty()) {
        memory = std::move(spare_.back());
        spare_.pop_back();
      }
      auto unpacked = std::async([compression = compression_, bytes, bytes_max = limits_.unpacked_bytes_max,
                                  memory = std::move(memory)]() mutable -> std::optional<Unpacked> {
        if (!memory.Fill(compression, *bytes, bytes_max)) return std::nullopt;
        return std::move(memory);
      });
      running_.push_back({std::move(bytes), std::move(unpacked)});
    }
  }

  // The bytes of `ahead_` that are the next unit; 0 when there is none any more.
  size_t CutUnit() {
    size_t unit = 0;
    while (unit < limits_.unit_bytes) {
      const Frame frame = FirstFrame(compression_, std::string_view(ahead_).substr(unit));
      if (frame.kind == Frame::kComplete) {
        unit += frame.size;
        continue;
      }
      if (frame.kind == Frame::kUnknown || ended_ || ahead_.size() - unit > limits_.frame_bytes_max) break;
      ReadAhead();
    }
    return unit;
  }

  void ReadAhead() {
    // More each time, so that a long frame is not looked at again and again.
    const size_t filled = ahead_.size();
    ahead_.resize(filled + std::max(kPieceBytes, filled));
    const auto size = file_->Read({ahead_.data() + filled, ahead_.size() - filled});
    ahead_.resize(filled + (size.ok() ? *size : 0));
    // A failure is told behind the bytes before it.
    failure_ = size.status();
    ended_ = !size.ok() || *size == 0;
  }

  // From offset_ on, where `bytes` are, then those of the units that run, then what was read ahead.
  void GoOnAlone(std::string bytes) {
    for (const Unit& unit : running_) bytes += *unit.bytes;
    running_.clear();
    bytes += ahead_;
    ahead_.clear();
    serial_ = DecompressFrom(offset_, std::make_unique<PrefixedFile>(std::move(bytes), std::move(file_), failure_),
                             compression_, path_);
  }

  std::unique_ptr<env::SequentialFile> file_;
  const Compression compression_;
  const std::string path_;
  const size_t threads_;
  const FrameLimits limits_;
  std::string ahead_;  // Read, but in no unit yet.
  bool ended_ = false;
  Status failure_;  // Why it ended, if not because that was all.
  bool no_more_units_ = false;
  std::deque<Unit> running_;
  uint64_t offset_ = 0;  // Of the first of running_ in the compressed file.
  Unpacked unpacked_;    // Of the last unit.
  std::vector<Unpacked> spare_;
  std::unique_ptr<env::SequentialFile> serial_;  // Once one thread goes on alone.
};

}  // namespace

std::unique_ptr<env::SequentialFile> DecompressFrames(std::unique_ptr<env::SequentialFile> file,
                                                      Compression compression, std::string path, int threads,
                                                      FrameLimits limits) {
  return std::make_unique<FramesFile>(std::move(file), compression, std::move(path), threads, limits);
}

}  // namespace glim::io
