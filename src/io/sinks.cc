// SPDX-License-Identifier: Apache-2.0
#include "io/sinks.h"

#include <fmt/core.h>

#include <cerrno>
#include <exception>
#include <optional>

#include "base/try.h"
#include "env/path.h"
#include "io/compression.h"
#include "io/tsv.h"

namespace glim::io {
namespace {

// Printf to a file of the Env. What a batch gave is written at once: it is large enough to be worth a call, and whoever
// watches sees it.
class FormatSink : public Sink {
 public:
  FormatSink(RowFormat format, env::WritableFile* file, std::string description)
      : format_(std::move(format)), file_(file), description_(std::move(description)) {}

  std::string Describe() const override { return description_; }
  Status Open(env::Env&) override { return Status::Ok(); }
  bool wants_bytes() const override { return true; }
  Status Encode(const Batch& batch, std::string* out) const override { return format_.AppendBatch(batch, out); }
  Status WriteBytes(std::string_view bytes) override { return bytes.empty() ? Status::Ok() : file_->Append(bytes); }
  Status Finish() override { return Status::Ok(); }
  void Abort() override {}

 private:
  const RowFormat format_;
  env::WritableFile* const file_;
  const std::string description_;
};

class FormatFileSink : public Sink {
 public:
  FormatFileSink(RowFormat format, FILE* file) : format_(std::move(format)), file_(file) {}

  std::string Describe() const override {
    return fmt::format("Fprintf({})", Cell::Bytes(format_.text()).ToDebugString());
  }
  Status Open(env::Env&) override { return Status::Ok(); }
  bool wants_bytes() const override { return true; }
  Status Encode(const Batch& batch, std::string* out) const override { return format_.AppendBatch(batch, out); }
  Status WriteBytes(std::string_view bytes) override {
    return std::fwrite(bytes.data(), 1, bytes.size(), file_) == bytes.size() ? Status::Ok() : WriteError();
  }
  Status Finish() override { return std::fflush(file_) == 0 ? Status::Ok() : WriteError(); }
  void Abort() override {}

 private:
  static Status WriteError() {
    return Status::Unavailable(fmt::format("writing to the file: {}", env::ErrorWords(errno)));
  }

  const RowFormat format_;
  FILE* const file_;
};

class TextEncoder : public RowEncoder {
 public:
  Status Append(const Batch& batch, std::string* out) const override { return AppendTsv(batch, "nil", out); }
};

class FileSink : public Sink {
 public:
  FileSink(std::string path, std::unique_ptr<RowEncoder> encoder)
      : path_(std::move(path)), encoder_(std::move(encoder)) {}
  ~FileSink() override { Abort(); }

  std::string Describe() const override { return fmt::format("Write({})", env::QuotePath(path_)); }
  bool wants_bytes() const override { return true; }
  Status Encode(const Batch& batch, std::string* out) const override { return encoder_->Append(batch, out); }

  Status Open(env::Env& env) override {
    files_ = &env.files();
    auto stat = files_->Stat(path_);
    if (stat.ok() && stat->kind == env::FileKind::kFolder) {
      return Status::Invalid(fmt::format("saving {}: it is a folder", env::QuotePath(path_)));
    }
    const std::string folder(env::ParentFolder(path_));
    auto folder_stat = files_->Stat(folder);
    if (!folder_stat.ok() && folder_stat.status().code() == Code::kNotFound) {
      return Explain(Status::NotFound(env::QuotePath(folder) + ": no such folder"));
    }
    // A device or a pipe is written as it is: nobody wants /dev/null replaced by a file, nor the link /dev/stdout.
    const bool in_place =
        (stat.ok() && stat->kind == env::FileKind::kOther) || path_.starts_with("/dev/") || path_.starts_with("/proc/");
    written_path_ = in_place ? path_ : fmt::format("{}.tmp-{}", path_, env.process_id());
    auto file = files_->Create(written_path_);
    if (!file.ok()) return Explain(std::move(file).status());
    file_ = *std::move(file);
    const Compression compression = CompressionOf(path_);
    if (compression != Compression::kNone) file_ = Compress(std::move(file_), compression);
    encoder_->AppendHead(&buffer_);
    return Status::Ok();
  }

  Status WriteBytes(std::string_view bytes) override {
    if (buffer_.size() + bytes.size() < kBufferBytes) {
      buffer_ += bytes;
      return Status::Ok();
    }
    Status status = Flush();
    if (status.ok()) status = file_->Append(bytes);
    return AbortUnlessOk(std::move(status));
  }

  Status Finish() override {
    RETURN_IF_ERROR(AbortUnlessOk(WriteOut()));
    file_.reset();
    return Status::Ok();
  }

  void Abort() override {
    if (file_ == nullptr) return;
    file_.reset();
    // The run has failed already; that a temporary file could not be removed is not worth another word.
    if (written_path_ != path_) static_cast<void>(files_->RemoveFile(written_path_));
  }

 private:
  static constexpr size_t kBufferBytes = 256 << 10;

  Status Flush() {
    if (file_ == nullptr) return Status::Invalid("writing after the sink was closed");
    if (buffer_.empty()) return Status::Ok();
    RETURN_IF_ERROR(file_->Append(buffer_));
    buffer_.clear();
    return Status::Ok();
  }

  Status WriteOut() {
    RETURN_IF_ERROR(Flush());
    const bool in_place = written_path_ == path_;
    if (!in_place) RETURN_IF_ERROR(file_->Sync());
    RETURN_IF_ERROR(file_->Close());
    if (in_place) return Status::Ok();
    RETURN_IF_ERROR(files_->Rename(written_path_, path_));
    return files_->SyncFolder(std::string(env::ParentFolder(path_)));
  }

  Status AbortUnlessOk(Status status) {
    if (status.ok()) return status;
    Abort();
    return Explain(std::move(status));
  }

  Status Explain(Status status) const {
    return std::move(status).With(fmt::format("saving {}", env::QuotePath(path_)));
  }

  const std::string path_;
  const std::unique_ptr<RowEncoder> encoder_;
  std::string written_path_;
  env::FileSystem* files_ = nullptr;
  std::unique_ptr<env::WritableFile> file_;  // Null before Open and once it is over.
  std::string buffer_;
};

// A sink that takes rows as they are and has nothing to close.
class BatchSink : public Sink {
 public:
  Status Open(env::Env&) override { return Status::Ok(); }
  bool wants_bytes() const override { return false; }
  Status Finish() override { return Status::Ok(); }
  void Abort() override {}
};

class CallbackSink : public BatchSink {
 public:
  explicit CallbackSink(std::function<Status(const Batch&)> take) : take_(std::move(take)) {}
  std::string Describe() const override { return "Output()"; }
  Status WriteBatch(const Batch& batch) override {
    // The user's code: what it throws ends here.
    try {
      return take_(batch);
    } catch (const std::exception& e) {
      return Status::UserCode(fmt::format("the function threw: {}", e.what()));
    } catch (...) {
      return Status::UserCode("the function threw: an exception that is not a std::exception");
    }
  }

 private:
  const std::function<Status(const Batch&)> take_;
};

class CollectSink : public BatchSink {
 public:
  explicit CollectSink(std::vector<Row>* rows) : rows_(rows) {}
  std::string Describe() const override { return "Collect()"; }
  Status WriteBatch(const Batch& batch) override {
    for (int64_t row = 0; row < batch.row_count(); ++row) rows_->push_back(batch.RowAt(row));
    return Status::Ok();
  }

 private:
  std::vector<Row>* const rows_;
};

class FirstRowSink : public BatchSink {
 public:
  explicit FirstRowSink(std::function<Status(const Row&)> save) : save_(std::move(save)) {}
  std::string Describe() const override { return "SaveFirstRowTo()"; }
  bool full() const override { return full_; }
  Status WriteBatch(const Batch& batch) override {
    if (full_ || batch.row_count() == 0) return Status::Ok();
    full_ = true;
    return save_(batch.RowAt(0));
  }

 private:
  const std::function<Status(const Row&)> save_;
  bool full_ = false;
};

}  // namespace

std::unique_ptr<Sink> MakeFormatSink(RowFormat format, env::WritableFile* file, std::string description) {
  return std::make_unique<FormatSink>(std::move(format), file, std::move(description));
}

std::unique_ptr<Sink> MakeFormatFileSink(RowFormat format, FILE* file) {
  return std::make_unique<FormatFileSink>(std::move(format), file);
}

std::unique_ptr<RowEncoder> MakeTextEncoder() { return std::make_unique<TextEncoder>(); }

std::unique_ptr<Sink> MakeFileSink(std::string path, std::unique_ptr<RowEncoder> encoder) {
  return std::make_unique<FileSink>(std::move(path), std::move(encoder));
}

std::unique_ptr<Sink> MakeCallbackSink(std::function<Status(const Batch&)> take) {
  return std::make_unique<CallbackSink>(std::move(take));
}

std::unique_ptr<Sink> MakeCollectSink(std::vector<Row>* rows) { return std::make_unique<CollectSink>(rows); }

std::unique_ptr<Sink> MakeFirstRowSink(std::function<Status(const Row&)> save) {
  return std::make_unique<FirstRowSink>(std::move(save));
}

}  // namespace glim::io
