// SPDX-License-Identifier: Apache-2.0
//
// Decompress of compression.h: one decoder per format, and the loop around them.
#include <bzlib.h>
#include <fmt/core.h>
#include <isa-l/igzip_lib.h>
#include <lz4frame.h>
#include <lzma.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/try.h"
#include "env/path.h"
#include "io/compression.h"
#include "io/decompress_frames.h"
#include "io/http_file.h"

namespace glim::io {
namespace {

struct Step {
  size_t taken = 0;    // Bytes of the input.
  size_t given = 0;    // Bytes of the output.
  bool ended = false;  // The member is over.
};

class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual std::string_view name() const = 0;
  // Zero bytes between members are padding, not data.
  virtual bool allows_padding() const { return false; }
  // Before each member.
  virtual Status Restart() = 0;
  // Takes some of `in`, gives some of `out`. The message of a failure is what is wrong with the bytes.
  virtual Result<Step> Run(std::string_view in, std::span<char> out) = 0;
};

// The libraries do not write to their input, but some want a pointer that could.
template <class T>
T* Pointer(std::string_view bytes) {
  return reinterpret_cast<T*>(const_cast<char*>(bytes.data()));
}

template <class T>
T* Pointer(std::span<char> bytes) {
  return reinterpret_cast<T*>(bytes.data());
}

// ISA-L inflates nearly three times as fast as zlib. It forgets what the header announced when the header comes in
// pieces, unless the header is read by a call of its own.
class GzipDecoder : public Decoder {
 public:
  std::string_view name() const override { return "gzip"; }
  bool allows_padding() const override { return true; }

  Status Restart() override {
    isal_inflate_init(&state_);
    state_.crc_flag = ISAL_GZIP_NO_HDR_VER;
    isal_gzip_header_init(&header_);
    in_header_ = true;
    return Status::Ok();
  }

  Result<Step> Run(std::string_view in, std::span<char> out) override {
    state_.next_in = Pointer<uint8_t>(in);
    state_.avail_in = static_cast<uint32_t>(in.size());
    state_.next_out = Pointer<uint8_t>(out);
    state_.avail_out = static_cast<uint32_t>(out.size());
    int code = ISAL_DECOMP_OK;
    if (in_header_) {
      code = isal_read_gzip_header(&state_, &header_);
      in_header_ = code == ISAL_END_INPUT;
    }
    if (code == ISAL_DECOMP_OK) code = isal_inflate(&state_);
    if (code < 0) return Status::Corrupt(Reason(code));
    return Step{in.size() - state_.avail_in, out.size() - state_.avail_out, state_.block_state == ISAL_BLOCK_FINISH};
  }

 private:
  static const char* Reason(int code) {
    switch (code) {
      case ISAL_INCORRECT_CHECKSUM: return "the checksum is wrong";
      case ISAL_INVALID_WRAPPER: return "no gzip header";
      default: return "damaged data";
    }
  }

  inflate_state state_;
  isal_gzip_header header_;
  bool in_header_ = true;
};

class Bzip2Decoder : public Decoder {
 public:
  ~Bzip2Decoder() override { End(); }
  std::string_view name() const override { return "bzip2"; }

  Status Restart() override {
    End();
    stream_ = {};
    if (BZ2_bzDecompressInit(&stream_, 0, 0) != BZ_OK) return Status::Exhausted("no memory");
    open_ = true;
    return Status::Ok();
  }

  Result<Step> Run(std::string_view in, std::span<char> out) override {
    stream_.next_in = Pointer<char>(in);
    stream_.avail_in = static_cast<unsigned>(in.size());
    stream_.next_out = out.data();
    stream_.avail_out = static_cast<unsigned>(out.size());
    const int code = BZ2_bzDecompress(&stream_);
    if (code == BZ_DATA_ERROR_MAGIC) return Status::Corrupt("no bzip2 header");
    if (code == BZ_MEM_ERROR) return Status::Exhausted("no memory");
    if (code != BZ_OK && code != BZ_STREAM_END) return Status::Corrupt("damaged data, or a wrong checksum");
    return Step{in.size() - stream_.avail_in, out.size() - stream_.avail_out, code == BZ_STREAM_END};
  }

 private:
  void End() {
    if (open_) BZ2_bzDecompressEnd(&stream_);
    open_ = false;
  }

  bz_stream stream_ = {};
  bool open_ = false;
};

class XzDecoder : public Decoder {
 public:
  ~XzDecoder() override { lzma_end(&stream_); }
  std::string_view name() const override { return "xz"; }
  bool allows_padding() const override { return true; }

  Status Restart() override {
    if (lzma_stream_decoder(&stream_, kWindowBytesMax, 0) == LZMA_OK) return Status::Ok();
    return Status::Exhausted("no memory");
  }

  Result<Step> Run(std::string_view in, std::span<char> out) override {
    stream_.next_in = Pointer<uint8_t>(in);
    stream_.avail_in = in.size();
    stream_.next_out = Pointer<uint8_t>(out);
    stream_.avail_out = out.size();
    const lzma_ret code = lzma_code(&stream_, LZMA_RUN);
    switch (code) {
      case LZMA_OK:
      case LZMA_STREAM_END:
      case LZMA_BUF_ERROR: break;  // The last one: more input is needed.
      case LZMA_FORMAT_ERROR: return Status::Corrupt("no xz header");
      case LZMA_MEM_ERROR: return Status::Exhausted("no memory");
      case LZMA_MEMLIMIT_ERROR:
        return Status::Exhausted(fmt::format("a dictionary that needs {} MiB, more than {}",
                                             lzma_memusage(&stream_) >> 20, kWindowBytesMax >> 20));
      default: return Status::Corrupt("damaged data, or a wrong checksum");
    }
    return Step{in.size() - stream_.avail_in, out.size() - stream_.avail_out, code == LZMA_STREAM_END};
  }

 private:
  lzma_stream stream_ = LZMA_STREAM_INIT;
};

class ZstdDecoder : public Decoder {
 public:
  ~ZstdDecoder() override { ZSTD_freeDStream(stream_); }
  std::string_view name() const override { return "zstd"; }

  Status Restart() override {
    if (stream_ == nullptr) stream_ = ZSTD_createDStream();
    if (stream_ == nullptr || ZSTD_isError(ZSTD_initDStream(stream_))) return Status::Exhausted("no memory");
    return Status::Ok();
  }

  Result<Step> Run(std::string_view in, std::span<char> out) override {
    ZSTD_inBuffer from = {in.data(), in.size(), 0};
    ZSTD_outBuffer to = {out.data(), out.size(), 0};
    const size_t left = ZSTD_decompressStream(stream_, &to, &from);
    if (ZSTD_isError(left)) return Status::Corrupt(ZSTD_getErrorName(left));
    return Step{from.pos, to.pos, left == 0};
  }

 private:
  ZSTD_DStream* stream_ = nullptr;
};

class Lz4Decoder : public Decoder {
 public:
  ~Lz4Decoder() override { LZ4F_freeDecompressionContext(context_); }
  std::string_view name() const override { return "lz4"; }

  Status Restart() override {
    if (context_ == nullptr && LZ4F_isError(LZ4F_createDecompressionContext(&context_, LZ4F_VERSION))) {
      return Status::Exhausted("no memory");
    }
    LZ4F_resetDecompressionContext(context_);
    return Status::Ok();
  }

  Result<Step> Run(std::string_view in, std::span<char> out) override {
    size_t taken = in.size(), given = out.size();
    const size_t left = LZ4F_decompress(context_, out.data(), &given, in.data(), &taken, nullptr);
    if (LZ4F_isError(left)) return Status::Corrupt(LZ4F_getErrorName(left));
    return Step{taken, given, left == 0};
  }

 private:
  LZ4F_dctx* context_ = nullptr;
};

std::unique_ptr<Decoder> MakeDecoder(Compression compression) {
  switch (compression) {
    case Compression::kNone: break;
    case Compression::kGzip: return std::make_unique<GzipDecoder>();
    case Compression::kBzip2: return std::make_unique<Bzip2Decoder>();
    case Compression::kXz: return std::make_unique<XzDecoder>();
    case Compression::kZstd: return std::make_unique<ZstdDecoder>();
    case Compression::kLz4: return std::make_unique<Lz4Decoder>();
  }
  CHECK(false);
}

class DecompressedFile : public env::SequentialFile {
 public:
  // `offset`: where the file begins in the one that messages count in; members were before it.
  DecompressedFile(std::unique_ptr<env::SequentialFile> file, Compression compression, std::string path,
                   uint64_t offset)
      : file_(std::move(file)),
        decoder_(MakeDecoder(compression)),
        path_(std::move(path)),
        buffer_(kInputBytes, '\0'),
        offset_(offset),
        members_(offset > 0) {}

  Result<size_t> Read(std::span<char> out) override {
    // What the libraries count in 32 bits.
    out = out.first(std::min<size_t>(out.size(), 1 << 30));
    while (true) {
      if (in_.empty() && !input_ended_) RETURN_IF_ERROR(ReadInput());
      if (between_members_) {
        if (members_ > 0 && decoder_->allows_padding()) Take(std::min(in_.find_first_not_of('\0'), in_.size()));
        if (in_.empty() && !input_ended_) continue;
        if (in_.empty() && members_ > 0) return size_t{0};
        if (Status status = decoder_->Restart(); !status.ok()) return Explain(std::move(status));
        between_members_ = false;
      }
      auto step = decoder_->Run(in_, out);
      if (!step.ok()) return Explain(std::move(step).status());
      Take(step->taken);
      if (step->ended) {
        between_members_ = true;
        ++members_;
      } else if (step->taken == 0 && step->given == 0) {
        if (!in_.empty()) return Explain(Status::Corrupt("damaged data"));
        if (input_ended_) return Explain(Status::Corrupt("the file ends too early"));
      }
      if (step->given > 0) return step->given;
    }
  }

 private:
  static constexpr size_t kInputBytes = 64 << 10;

  Status ReadInput() {
    ASSIGN_OR_RETURN(const size_t size, file_->Read(buffer_));
    in_ = std::string_view(buffer_).substr(0, size);
    input_ended_ = size == 0;
    return Status::Ok();
  }

  void Take(size_t size) {
    in_.remove_prefix(size);
    offset_ += size;
  }

  Status Explain(Status status) const {
    return std::move(status).With(
        fmt::format("{}: reading {} data at byte {}", env::QuotePath(path_), decoder_->name(), offset_));
  }

  std::unique_ptr<env::SequentialFile> file_;
  std::unique_ptr<Decoder> decoder_;
  const std::string path_;
  std::string buffer_;
  std::string_view in_;  // Of buffer_, not taken yet.
  uint64_t offset_;      // Of in_ in the compressed file.
  int64_t members_;      // That are over.
  bool between_members_ = true;
  bool input_ended_ = false;
};

}  // namespace

Compression CompressionOf(std::string_view path) {
  // What stands behind a question mark is no part of an address's name.
  const size_t end = IsHttp(path) ? path.find_first_of("?#") : std::string_view::npos;
  const std::string_view name = env::FileName(path.substr(0, end));
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return Compression::kNone;
  return CompressionNamed(name.substr(dot + 1)).value_or(Compression::kNone);
}

Result<Compression> CompressionNamed(std::string_view name) {
  if (name == "gz") return Compression::kGzip;
  if (name == "bz2") return Compression::kBzip2;
  if (name == "xz") return Compression::kXz;
  if (name == "zst") return Compression::kZstd;
  if (name == "lz4") return Compression::kLz4;
  return Status::Invalid(fmt::format("no compression {}; there are gz bz2 xz zst lz4", env::QuotePath(name)));
}

std::unique_ptr<env::SequentialFile> Decompress(std::unique_ptr<env::SequentialFile> file, Compression compression,
                                                std::string path, int threads) {
  if (threads > 1) return DecompressFrames(std::move(file), compression, std::move(path), threads);
  return DecompressFrom(0, std::move(file), compression, std::move(path));
}

std::unique_ptr<env::SequentialFile> DecompressFrom(uint64_t offset, std::unique_ptr<env::SequentialFile> file,
                                                    Compression compression, std::string path) {
  return std::make_unique<DecompressedFile>(std::move(file), compression, std::move(path), offset);
}

}  // namespace glim::io
