// SPDX-License-Identifier: Apache-2.0
//
// Compress of compression.h: one encoder per format, at the level that its command line tool uses by default (gzip
// excepted: ISA-L has fast levels only).
#include <bzlib.h>
#include <isa-l/igzip_lib.h>
#include <lz4frame.h>
#include <lzma.h>
#include <zstd.h>

#include <algorithm>

#include "base/check.h"
#include "base/try.h"
#include "io/compression.h"

namespace glim::io {
namespace {

constexpr size_t kOutputBytes = 256 << 10;
// The libraries count in 32 bits, and lz4 wants room for the worst case.
constexpr size_t kPieceBytes = 1 << 20;

class Encoder {
 public:
  virtual ~Encoder() = default;
  virtual Status Restart() = 0;
  // Takes all of `in` (at most kPieceBytes) and appends what comes out; with `end` the member's end, too.
  virtual Status Run(std::string_view in, bool end, std::string* out) = 0;
};

// Grows `out` by `room` bytes, lets `fill(to, room)` write there and say how much it did, and shrinks it again.
template <class Fill>
void AppendBy(size_t room, std::string* out, Fill&& fill) {
  const size_t before = out->size();
  out->resize(before + room);
  out->resize(before + fill(out->data() + before, room));
}

class GzipEncoder : public Encoder {
 public:
  Status Restart() override {
    isal_deflate_init(&stream_);
    stream_.gzip_flag = IGZIP_GZIP;
    stream_.level = 2;
    level_buffer_.resize(ISAL_DEF_LVL2_DEFAULT);
    stream_.level_buf = reinterpret_cast<uint8_t*>(level_buffer_.data());
    stream_.level_buf_size = static_cast<uint32_t>(level_buffer_.size());
    return Status::Ok();
  }

  Status Run(std::string_view in, bool end, std::string* out) override {
    stream_.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uint32_t>(in.size());
    stream_.end_of_stream = end;
    int code = COMP_OK;
    do {
      AppendBy(kOutputBytes, out, [&](char* to, size_t room) {
        stream_.next_out = reinterpret_cast<uint8_t*>(to);
        stream_.avail_out = static_cast<uint32_t>(room);
        code = isal_deflate(&stream_);
        return room - stream_.avail_out;
      });
      if (code != COMP_OK) return Status::Internal("gzip: isal_deflate failed");
    } while (stream_.avail_in > 0 || stream_.avail_out == 0 || (end && stream_.internal_state.state != ZSTATE_END));
    return Status::Ok();
  }

 private:
  isal_zstream stream_;
  std::string level_buffer_;
};

class Bzip2Encoder : public Encoder {
 public:
  ~Bzip2Encoder() override { End(); }

  Status Restart() override {
    End();
    stream_ = {};
    if (BZ2_bzCompressInit(&stream_, 9, 0, 0) != BZ_OK) return Status::Exhausted("bzip2: no memory");
    open_ = true;
    return Status::Ok();
  }

  Status Run(std::string_view in, bool end, std::string* out) override {
    stream_.next_in = const_cast<char*>(in.data());
    stream_.avail_in = static_cast<unsigned>(in.size());
    int code = BZ_RUN_OK;
    while (end ? code != BZ_STREAM_END : stream_.avail_in > 0) {
      AppendBy(kOutputBytes, out, [&](char* to, size_t room) {
        stream_.next_out = to;
        stream_.avail_out = static_cast<unsigned>(room);
        code = BZ2_bzCompress(&stream_, end ? BZ_FINISH : BZ_RUN);
        return room - stream_.avail_out;
      });
      if (code < 0) return Status::Internal("bzip2: BZ2_bzCompress failed");
    }
    return Status::Ok();
  }

 private:
  void End() {
    if (open_) BZ2_bzCompressEnd(&stream_);
    open_ = false;
  }

  bz_stream stream_ = {};
  bool open_ = false;
};

class XzEncoder : public Encoder {
 public:
  ~XzEncoder() override { lzma_end(&stream_); }

  Status Restart() override {
    if (lzma_easy_encoder(&stream_, LZMA_PRESET_DEFAULT, LZMA_CHECK_CRC64) == LZMA_OK) return Status::Ok();
    return Status::Exhausted("xz: no memory");
  }

  Status Run(std::string_view in, bool end, std::string* out) override {
    stream_.next_in = reinterpret_cast<const uint8_t*>(in.data());
    stream_.avail_in = in.size();
    lzma_ret code = LZMA_OK;
    while (end ? code != LZMA_STREAM_END : stream_.avail_in > 0) {
      AppendBy(kOutputBytes, out, [&](char* to, size_t room) {
        stream_.next_out = reinterpret_cast<uint8_t*>(to);
        stream_.avail_out = room;
        code = lzma_code(&stream_, end ? LZMA_FINISH : LZMA_RUN);
        return room - stream_.avail_out;
      });
      if (code != LZMA_OK && code != LZMA_STREAM_END) return Status::Internal("xz: lzma_code failed");
    }
    return Status::Ok();
  }

 private:
  lzma_stream stream_ = LZMA_STREAM_INIT;
};

class ZstdEncoder : public Encoder {
 public:
  ~ZstdEncoder() override { ZSTD_freeCCtx(context_); }

  Status Restart() override {
    if (context_ == nullptr) context_ = ZSTD_createCCtx();
    if (context_ == nullptr) return Status::Exhausted("zstd: no memory");
    ZSTD_CCtx_reset(context_, ZSTD_reset_session_only);
    ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, 1);
    return Status::Ok();
  }

  Status Run(std::string_view in, bool end, std::string* out) override {
    ZSTD_inBuffer from = {in.data(), in.size(), 0};
    size_t left = 1;
    while (end ? left != 0 : from.pos < from.size) {
      AppendBy(kOutputBytes, out, [&](char* to, size_t room) {
        ZSTD_outBuffer target = {to, room, 0};
        left = ZSTD_compressStream2(context_, &target, &from, end ? ZSTD_e_end : ZSTD_e_continue);
        return target.pos;
      });
      if (ZSTD_isError(left)) return Status::Internal(std::string("zstd: ") + ZSTD_getErrorName(left));
    }
    return Status::Ok();
  }

 private:
  ZSTD_CCtx* context_ = nullptr;
};

class Lz4Encoder : public Encoder {
 public:
  ~Lz4Encoder() override { LZ4F_freeCompressionContext(context_); }

  Status Restart() override {
    if (context_ == nullptr && LZ4F_isError(LZ4F_createCompressionContext(&context_, LZ4F_VERSION))) {
      return Status::Exhausted("lz4: no memory");
    }
    preferences_.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
    begun_ = false;
    return Status::Ok();
  }

  Status Run(std::string_view in, bool end, std::string* out) override {
    size_t code = 0;
    const auto append = [&](size_t room, auto&& call) {
      if (LZ4F_isError(code)) return;
      AppendBy(room, out, [&](char* to, size_t size) {
        code = call(to, size);
        return LZ4F_isError(code) ? 0 : code;
      });
    };
    if (!begun_) {
      begun_ = true;
      append(LZ4F_HEADER_SIZE_MAX,
             [&](char* to, size_t room) { return LZ4F_compressBegin(context_, to, room, &preferences_); });
    }
    append(LZ4F_compressBound(in.size(), &preferences_), [&](char* to, size_t room) {
      return LZ4F_compressUpdate(context_, to, room, in.data(), in.size(), nullptr);
    });
    if (end) {
      append(LZ4F_compressBound(0, &preferences_),
             [&](char* to, size_t room) { return LZ4F_compressEnd(context_, to, room, nullptr); });
    }
    if (LZ4F_isError(code)) return Status::Internal(std::string("lz4: ") + LZ4F_getErrorName(code));
    return Status::Ok();
  }

 private:
  LZ4F_cctx* context_ = nullptr;
  LZ4F_preferences_t preferences_ = LZ4F_INIT_PREFERENCES;
  bool begun_ = false;
};

std::unique_ptr<Encoder> MakeEncoder(Compression compression) {
  switch (compression) {
    case Compression::kNone: break;
    case Compression::kGzip: return std::make_unique<GzipEncoder>();
    case Compression::kBzip2: return std::make_unique<Bzip2Encoder>();
    case Compression::kXz: return std::make_unique<XzEncoder>();
    case Compression::kZstd: return std::make_unique<ZstdEncoder>();
    case Compression::kLz4: return std::make_unique<Lz4Encoder>();
  }
  CHECK(false);
}

class CompressedFile : public env::WritableFile {
 public:
  CompressedFile(std::unique_ptr<env::WritableFile> file, Compression compression)
      : file_(std::move(file)), encoder_(MakeEncoder(compression)) {}

  Status Append(std::string_view bytes) override {
    if (!bytes.empty() && !in_member_) RETURN_IF_ERROR(Begin());
    while (!bytes.empty()) {
      const std::string_view piece = bytes.substr(0, kPieceBytes);
      RETURN_IF_ERROR(encoder_->Run(piece, false, &out_));
      bytes.remove_prefix(piece.size());
      if (out_.size() >= kOutputBytes) RETURN_IF_ERROR(WriteOut());
    }
    return Status::Ok();
  }

  Status Sync() override {
    RETURN_IF_ERROR(End());
    return file_->Sync();
  }

  Status Close() override {
    RETURN_IF_ERROR(End());
    return file_->Close();
  }

 private:
  Status Begin() {
    in_member_ = has_members_ = true;
    return encoder_->Restart();
  }

  Status End() {
    if (!has_members_) RETURN_IF_ERROR(Begin());
    if (!in_member_) return Status::Ok();
    in_member_ = false;
    RETURN_IF_ERROR(encoder_->Run({}, true, &out_));
    return WriteOut();
  }

  Status WriteOut() {
    RETURN_IF_ERROR(file_->Append(out_));
    out_.clear();
    return Status::Ok();
  }

  std::unique_ptr<env::WritableFile> file_;
  std::unique_ptr<Encoder> encoder_;
  std::string out_;  // Compressed, not written yet.
  bool in_member_ = false;
  bool has_members_ = false;
};

}  // namespace

std::unique_ptr<env::WritableFile> Compress(std::unique_ptr<env::WritableFile> file, Compression compression) {
  return std::make_unique<CompressedFile>(std::move(file), compression);
}

}  // namespace glim::io
