// SPDX-License-Identifier: Apache-2.0
#include "io/file_sink.h"

#include <fmt/core.h>

#include <atomic>
#include <map>
#include <mutex>

#include "base/try.h"
#include "env/path.h"

namespace glim::io {
namespace {

class FileSink : public Sink {
 public:
  // The encoder outlives the sink.
  FileSink(std::string path, const RowEncoder* encoder, Compression compression)
      : path_(std::move(path)), encoder_(encoder), compression_(compression) {}
  ~FileSink() override { Abort(); }

  std::string Describe() const override { return fmt::format("Write({})", env::QuotePath(path_)); }
  bool wants_bytes() const override { return true; }
  Status Encode(const Batch& batch, std::string* out) const override { return encoder_->Append(batch, out); }
  std::optional<std::string_view> InPlace(const Batch& batch) const override { return encoder_->InPlace(batch); }

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
    Result<std::string> target = in_place ? Result<std::string>(path_) : files_->FollowLink(path_);
    if (!target.ok()) return Explain(std::move(target).status());
    target_ = *std::move(target);
    written_path_ = in_place ? path_ : fmt::format("{}.tmp-{}", target_, env.process_id());
    auto file = files_->Create(written_path_);
    if (!file.ok()) return Explain(std::move(file).status());
    file_ = *std::move(file);
    if (compression_ != Compression::kNone) file_ = Compress(std::move(file_), compression_);
    encoder_->AppendHead(&buffer_);
    return Status::Ok();
  }

  Status WriteBytes(std::string_view bytes) override {
    if (buffer_.size() + bytes.size() < kBufferBytes && bytes.size() < kCopiedMax) {
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
    if (written_path_ != target_) static_cast<void>(files_->RemoveFile(written_path_));
  }

 private:
  static constexpr size_t kBufferBytes = 256 << 10;
  static constexpr size_t kCopiedMax = 64 << 10;  // Writing more costs less than a copy of it.

  Status Flush() {
    if (file_ == nullptr) return Status::Invalid("writing after the sink was closed");
    if (buffer_.empty()) return Status::Ok();
    RETURN_IF_ERROR(file_->Append(buffer_));
    buffer_.clear();
    return Status::Ok();
  }

  Status WriteOut() {
    RETURN_IF_ERROR(Flush());
    const bool in_place = written_path_ == target_;
    if (!in_place) RETURN_IF_ERROR(file_->Sync());
    RETURN_IF_ERROR(file_->Close());
    if (in_place) return Status::Ok();
    RETURN_IF_ERROR(files_->Rename(written_path_, target_));
    return files_->SyncFolder(std::string(env::ParentFolder(target_)));
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
  const RowEncoder* const encoder_;
  const Compression compression_;
  std::string target_;        // path_, or where that link leads: a link stays one.
  std::string written_path_;  // Until it is complete.
  env::FileSystem* files_ = nullptr;
  std::unique_ptr<env::WritableFile> file_;  // Null before Open and once it is over.
  std::string buffer_;
};

// A FileSink with its own encoder.
class OneFileSink : public FileSink {
 public:
  OneFileSink(std::string path, std::unique_ptr<RowEncoder> encoder, Compression compression)
      : FileSink(std::move(path), encoder.get(), compression), encoder_(std::move(encoder)) {}

 private:
  const std::unique_ptr<RowEncoder> encoder_;
};

class FolderSink : public Sink {
 public:
  FolderSink(std::string path, std::unique_ptr<RowEncoder> encoder, std::string extension, Compression compression)
      : path_(std::move(path)),
        encoder_(std::move(encoder)),
        extension_(std::move(extension)),
        compression_(compression) {
    while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
  }
  ~FolderSink() override { Abort(); }

  std::string Describe() const override { return fmt::format("Write({})", env::QuotePath(path_)); }
  bool wants_bytes() const override { return true; }
  bool in_parts() const override { return true; }

  Status Open(env::Env& env) override {
    auto stat = env.files().Stat(path_);
    if (stat.ok() && stat->kind != env::FileKind::kFolder) return Explain(Status::Invalid("it is no folder"));
    if (stat.ok()) {
      ASSIGN_OR_RETURN(const auto entries, env.files().List(path_));
      const bool ours = entries.empty() || env.files().Stat(env::JoinPath(path_, kFolderManifest)).ok();
      if (!ours) return Explain(Status::Invalid("the folder has files that no flow wrote; take another name"));
    }
    auto target = env.files().FollowLink(path_);
    if (!target.ok()) return Explain(std::move(target).status());
    target_ = *std::move(target);
    env_ = &env;
    staging_ = fmt::format("{}.tmp-{}", target_, env.process_id());
    RETURN_IF_ERROR(Explain(env.files().RemoveAll(staging_)));
    return Explain(env.files().MakeFolders(staging_));
  }

  Result<std::unique_ptr<SinkPart>> OpenPart(int number) override {
    auto part = std::make_unique<Part>(this, number);
    RETURN_IF_ERROR(part->file.Open(*env_));
    return std::unique_ptr<SinkPart>(std::move(part));
  }

  Status Finish() override {
    Status status = Publish();
    if (!status.ok()) Abort();
    return Explain(std::move(status));
  }

  void Abort() override {
    if (env_ == nullptr) return;
    static_cast<void>(env_->files().RemoveAll(staging_));
    env_ = nullptr;
  }

 private:
  struct Written {
    std::string name;
    int64_t rows = 0;
  };

  class Part : public SinkPart {
   public:
    Part(FolderSink* folder, int number)
        : file(env::JoinPath(folder->staging_, folder->PartName(number)), folder->encoder_.get(), folder->compression_),
          folder_(folder),
          number_(number) {}
    Status Write(const Batch& batch) override {
      bytes_.clear();
      RETURN_IF_ERROR(file.Encode(batch, &bytes_));
      rows_ += batch.row_count();
      return file.WriteBytes(bytes_);
    }
    Status Finish() override {
      RETURN_IF_ERROR(file.Finish());
      std::lock_guard lock(folder_->mutex_);
      folder_->written_[number_] = {folder_->PartName(number_), rows_};
      return Status::Ok();
    }

    FileSink file;

   private:
    FolderSink* const folder_;
    const int number_;
    int64_t rows_ = 0;
    std::string bytes_;
  };

  std::string PartName(int number) const { return fmt::format("part-{:05}{}", number, extension_); }

  Status Publish() {
    RETURN_IF_ERROR(WriteManifest());
    env::FileSystem& files = env_->files();
    RETURN_IF_ERROR(files.SyncFolder(staging_));
    const std::string old = fmt::format("{}.old-{}", target_, env_->process_id());
    const bool replaces = files.Stat(target_).ok();
    if (replaces) RETURN_IF_ERROR(files.Rename(target_, old));
    if (Status status = files.Rename(staging_, target_); !status.ok()) {
      if (replaces) static_cast<void>(files.Rename(old, target_));
      return status;
    }
    RETURN_IF_ERROR(files.SyncFolder(std::string(env::ParentFolder(target_))));
    env_ = nullptr;
    return replaces ? files.RemoveAll(old) : Status::Ok();
  }

  Status WriteManifest() {
    int64_t rows = 0;
    std::string parts;
    for (const auto& [number, part] : written_) {
      ASSIGN_OR_RETURN(const auto stat, env_->files().Stat(env::JoinPath(staging_, part.name)));
      parts += fmt::format("{}\n    {{\"file\": \"{}\", \"rows\": {}, \"bytes\": {}}}", parts.empty() ? "" : ",",
                           part.name, part.rows, stat.size_bytes);
      rows += part.rows;
    }
    ASSIGN_OR_RETURN(auto file, env_->files().Create(env::JoinPath(staging_, kFolderManifest)));
    RETURN_IF_ERROR(file->Append(fmt::format("{{\n  \"rows\": {},\n  \"parts\": [{}\n  ]\n}}\n", rows, parts)));
    RETURN_IF_ERROR(file->Sync());
    return file->Close();
  }

  Status Explain(Status status) const {
    return std::move(status).With(fmt::format("saving {}", env::QuotePath(path_)));
  }

  std::string path_;
  const std::unique_ptr<RowEncoder> encoder_;
  const std::string extension_;
  const Compression compression_;
  env::Env* env_ = nullptr;  // Null before Open and once it is over.
  std::string target_;       // path_, or where that link leads.
  std::string staging_;
  std::mutex mutex_;
  std::map<int, Written> written_;  // By number; guarded by mutex_.
};

}  // namespace

std::unique_ptr<Sink> MakeFileSink(std::string path, std::unique_ptr<RowEncoder> encoder, Compression compression) {
  return std::make_unique<OneFileSink>(std::move(path), std::move(encoder), compression);
}

std::unique_ptr<Sink> MakeFolderSink(std::string path, std::unique_ptr<RowEncoder> encoder, std::string extension,
                                     Compression compression) {
  return std::make_unique<FolderSink>(std::move(path), std::move(encoder), std::move(extension), compression);
}

}  // namespace glim::io
