// SPDX-License-Identifier: Apache-2.0
#include "io/zip_source.h"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <zip.h>

#include <algorithm>

#include "base/try.h"
#include "env/path.h"
#include "glim/batch_builder.h"
#include "io/byte_scan.h"
#include "io/http_file.h"
#include "io/paths.h"

namespace glim::io {
namespace {

constexpr size_t kRowsMax = 4096;
constexpr uint64_t kBatchBytes = 1 << 20;  // A batch ends behind the member that reaches it.
constexpr uint64_t kPieceBytes = 1 << 20;  // Between two looks at the interrupt.
// Each split reads the directory of its archive, so there must not be too many of them.
constexpr uint64_t kSplitsPerArchiveMax = 64;

// The bytes of an archive, as libzip asks for them.
class ArchiveBytes {
 public:
  explicit ArchiveBytes(std::unique_ptr<env::RandomAccessFile> file) : file_(std::move(file)) {}
  ArchiveBytes(const ArchiveBytes&) = delete;
  ~ArchiveBytes() { zip_error_fini(&error_); }

  static zip_int64_t Answer(void* self, void* data, zip_uint64_t size, zip_source_cmd_t command) {
    return static_cast<ArchiveBytes*>(self)->Do(data, size, command);
  }

  // What the disk said, if it was that.
  const Status& status() const { return status_; }

 private:
  zip_int64_t Do(void* data, zip_uint64_t size, zip_source_cmd_t command) {
    switch (command) {
      case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT,
                                              ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL,
                                              ZIP_SOURCE_SUPPORTS, -1);
      case ZIP_SOURCE_OPEN: at_ = 0; return 0;
      case ZIP_SOURCE_READ: return Read({static_cast<char*>(data), size});
      case ZIP_SOURCE_STAT: {
        auto* stat = static_cast<zip_stat_t*>(data);
        zip_stat_init(stat);
        stat->size = file_->size();
        stat->valid = ZIP_STAT_SIZE;
        return sizeof(zip_stat_t);
      }
      case ZIP_SOURCE_SEEK: {
        const zip_int64_t to = zip_source_seek_compute_offset(at_, file_->size(), data, size, &error_);
        if (to < 0) return -1;
        at_ = static_cast<uint64_t>(to);
        return 0;
      }
      case ZIP_SOURCE_TELL: return static_cast<zip_int64_t>(at_);
      case ZIP_SOURCE_ERROR: return zip_error_to_data(&error_, data, size);
      default: return 0;
    }
  }

  zip_int64_t Read(std::span<char> out) {
    const auto got = file_->ReadAt(at_, out);
    if (!got.ok()) {
      status_ = got.status();
      zip_error_set(&error_, ZIP_ER_READ, 0);
      return -1;
    }
    at_ += *got;
    return static_cast<zip_int64_t>(*got);
  }

  std::unique_ptr<env::RandomAccessFile> file_;
  uint64_t at_ = 0;
  Status status_;
  zip_error_t error_ = {};
};

struct Member {
  std::string name;
  uint64_t bytes = 0;
  bool encrypted = false;
};

class Archive {
 public:
  static Result<std::unique_ptr<Archive>> Open(env::Env& env, const std::string& path) {
    ASSIGN_OR_RETURN(auto file, env.files().OpenRandom(path));
    auto archive = std::unique_ptr<Archive>(new Archive(env, path, std::move(file)));
    RETURN_IF_ERROR(archive->Start());
    return archive;
  }
  Archive(const Archive&) = delete;
  ~Archive() {
    if (zip_ != nullptr) zip_discard(zip_);
  }

  uint64_t member_count() const {
    return static_cast<uint64_t>(std::max<zip_int64_t>(zip_get_num_entries(zip_, 0), 0));
  }

  Result<Member> MemberAt(uint64_t index) const {
    zip_stat_t stat;
    if (zip_stat_index(zip_, index, 0, &stat) != 0) return Damaged(zip_strerror(zip_));
    if ((stat.valid & ZIP_STAT_NAME) == 0 || (stat.valid & ZIP_STAT_SIZE) == 0)
      return Damaged("a member without a name");
    return Member{stat.name, stat.size,
                  (stat.valid & ZIP_STAT_ENCRYPTION_METHOD) != 0 && stat.encryption_method != ZIP_EM_NONE};
  }

  // All bytes of the member. Expects: no more than a Buffer may have.
  Result<BufferRef> Unpack(uint64_t index, const Member& member) const {
    const std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> file(zip_fopen_index(zip_, index, 0), &zip_fclose);
    if (file == nullptr) return Damaged(member, zip_strerror(zip_));
    // One byte more: what lies behind the end of the member is asked for, so that its checksum is looked at.
    const std::shared_ptr<Buffer> buffer = Buffer::Allocate(member.bytes + 1);
    uint64_t filled = 0;
    while (true) {
      if (env_.interrupted()) return Status::Cancelled("interrupted");
      const zip_int64_t got =
          zip_fread(file.get(), buffer->mutable_data() + filled, std::min(kPieceBytes, member.bytes + 1 - filled));
      if (got < 0) return Damaged(member, zip_file_strerror(file.get()));
      if (got == 0) break;
      filled += static_cast<uint64_t>(got);
      if (filled > member.bytes) {
        return Damaged(member, fmt::format("it holds more than the {} bytes that the archive tells", member.bytes));
      }
    }
    if (filled == member.bytes) return BufferRef(buffer);
    return Damaged(member, fmt::format("it holds {} of the {} bytes that the archive tells", filled, member.bytes));
  }

  std::string Shown(const Member& member) const {
    return fmt::format("{}: member {}", env::QuotePath(path_), env::QuotePath(member.name));
  }

 private:
  Archive(env::Env& env, std::string path, std::unique_ptr<env::RandomAccessFile> file)
      : env_(env), path_(std::move(path)), bytes_(std::move(file)) {}

  Status Start() {
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t* source = zip_source_function_create(&ArchiveBytes::Answer, &bytes_, &error);
    zip_ = source == nullptr ? nullptr : zip_open_from_source(source, ZIP_RDONLY, &error);
    Status status;
    if (zip_ == nullptr) {
      status = Damaged(zip_error_code_zip(&error) == ZIP_ER_NOZIP ? "no zip archive, or one that was cut off"
                                                                  : zip_error_strerror(&error));
      if (source != nullptr) zip_source_free(source);
    }
    zip_error_fini(&error);
    return status;
  }

  Status Damaged(std::string_view why) const {
    if (!bytes_.status().ok()) return bytes_.status();
    return Status::Corrupt(fmt::format("{}: {}", env::QuotePath(path_), why));
  }
  Status Damaged(const Member& member, std::string_view why) const {
    if (!bytes_.status().ok()) return bytes_.status();
    return Status::Corrupt(fmt::format("{}: {}", Shown(member), why));
  }

  env::Env& env_;
  const std::string path_;
  ArchiveBytes bytes_;  // Outlives zip_.
  zip_t* zip_ = nullptr;
};

bool Wanted(const Member& member, const ZipFileOptions& options) {
  if (member.name.ends_with('/')) return false;  // A folder.
  return options.pattern.empty() || MatchesName(options.pattern, member.name);
}

class ZipReader : public Reader {
 public:
  ZipReader(std::unique_ptr<Archive> archive, const Split& split, const ZipFileOptions& options)
      : archive_(std::move(archive)), path_(split.path), next_(split.begin), end_(split.end), options_(options) {}

  Result<std::optional<Batch>> Next() override {
    ColumnBuilder names;
    std::vector<BytesView> views;
    std::vector<BufferRef> blocks;
    uint64_t bytes = 0;
    for (; next_ < end_ && views.size() < kRowsMax && bytes < kBatchBytes; ++next_) {
      ASSIGN_OR_RETURN(const Member member, archive_->MemberAt(next_));
      if (!Wanted(member, options_)) continue;
      RETURN_IF_ERROR(Check(member));
      ASSIGN_OR_RETURN(BufferRef block, archive_->Unpack(next_, member));
      names.AppendBytes(member.name);
      views.push_back(
          BytesView::Make(block->data(), static_cast<uint32_t>(member.bytes), static_cast<uint32_t>(blocks.size()), 0));
      blocks.push_back(std::move(block));
      bytes += member.bytes;
    }
    if (views.empty()) return std::optional<Batch>();
    const auto rows = static_cast<int64_t>(views.size());
    std::vector<Column> columns;
    columns.push_back(names.Finish());
    columns.push_back(
        ColumnOfViews(views.data(), rows, std::make_shared<const std::vector<BufferRef>>(std::move(blocks))));
    if (options_.file_name) columns.push_back(Column::Constant(Value(path_), rows));
    return std::optional<Batch>(Batch(std::move(columns), rows));
  }

 private:
  Status Check(const Member& member) const {
    if (member.encrypted) {
      return Status::Invalid(fmt::format("{} is encrypted, which cannot be read", archive_->Shown(member)));
    }
    if (member.bytes > static_cast<uint64_t>(options_.member_bytes_max)) {
      return Status::Exhausted(fmt::format("{} has {} bytes, more than member_bytes_max = {}", archive_->Shown(member),
                                           member.bytes, options_.member_bytes_max));
    }
    return Status::Ok();
  }

  const std::unique_ptr<Archive> archive_;
  const std::string path_;
  uint64_t next_;
  const uint64_t end_;
  const ZipFileOptions& options_;
};

class ZipSource : public Source {
 public:
  ZipSource(std::vector<std::string> paths, ZipFileOptions options)
      : paths_(std::move(paths)), options_(std::move(options)) {}

  std::string Describe() const override { return fmt::format("ZipFile({{\"{}\"}})", fmt::join(paths_, "\", \"")); }

  // Members, and the bytes in them.
  Estimate MakeEstimate(env::Env& env) const override {
    const auto paths = ExpandPaths(env, paths_, {options_.recursive, "*.zip", options_.per_host});
    int64_t rows = 0, bytes = 0;
    for (size_t i = 0; paths.ok() && i < paths->size(); ++i) {
      const auto archive = Archive::Open(env, (*paths)[i]);
      if (!archive.ok()) return {};
      for (uint64_t m = 0; m < (*archive)->member_count(); ++m) {
        const auto member = (*archive)->MemberAt(m);
        if (!member.ok()) return {};
        if (!Wanted(*member, options_)) continue;
        ++rows;
        bytes += static_cast<int64_t>(std::min(member->bytes, static_cast<uint64_t>(options_.member_bytes_max)));
      }
    }
    return paths.ok() ? Estimate{rows, bytes} : Estimate{};
  }

  Result<std::vector<Split>> MakeSplits(env::Env& env, const SplitOptions& options) const override {
    constexpr int64_t kMemberBytesMax = UINT32_MAX - 1;  // What a view can say.
    if (options_.member_bytes_max < 1 || options_.member_bytes_max > kMemberBytesMax) {
      return Status::Invalid(
          fmt::format("member_bytes_max is a number from 1 to {}, got {}", kMemberBytesMax, options_.member_bytes_max));
    }
    ASSIGN_OR_RETURN(const auto paths, ExpandPaths(env, paths_, {options_.recursive, "*.zip", options_.per_host}));
    std::vector<Split> splits;
    for (const std::string& path : paths) {
      if (path == "-" || IsHttp(path)) {
        return Status::Invalid(fmt::format("{}: the directory of a zip archive is at its end; save it to a file first",
                                           env::QuotePath(path)));
      }
      RETURN_IF_ERROR(Cut(env, path, options, &splits));
    }
    return splits;
  }

  Result<std::unique_ptr<Reader>> Open(env::Env& env, const Split& split) const override {
    ASSIGN_OR_RETURN(auto archive, Archive::Open(env, split.path));
    return std::unique_ptr<Reader>(std::make_unique<ZipReader>(std::move(archive), split, options_));
  }

 private:
  Status Cut(env::Env& env, const std::string& path, const SplitOptions& options, std::vector<Split>* splits) const {
    ASSIGN_OR_RETURN(const auto archive, Archive::Open(env, path));
    std::vector<uint64_t> sizes(archive->member_count());
    uint64_t total = 0;
    for (uint64_t i = 0; i < sizes.size(); ++i) {
      ASSIGN_OR_RETURN(const Member member, archive->MemberAt(i));
      // What is larger fails the run. So nothing that the archive says can make the sum overflow.
      if (Wanted(member, options_)) sizes[i] = std::min(member.bytes, static_cast<uint64_t>(options_.member_bytes_max));
      total += sizes[i];
    }
    const uint64_t bytes_max =
        std::max(static_cast<uint64_t>(options.split_bytes_max), total / kSplitsPerArchiveMax + 1);
    Split split{path, 0, 0, 0};
    for (uint64_t i = 0; i < sizes.size(); ++i) {
      split.end = i + 1;
      split.estimated_bytes += static_cast<int64_t>(sizes[i]);
      if (static_cast<uint64_t>(split.estimated_bytes) < bytes_max && split.end < sizes.size()) continue;
      splits->push_back(split);
      split = {path, i + 1, 0, 0};
    }
    return Status::Ok();
  }

  const std::vector<std::string> paths_;
  const ZipFileOptions options_;
};

}  // namespace

std::unique_ptr<Source> MakeZipSource(std::vector<std::string> paths, ZipFileOptions options) {
  return std::make_unique<ZipSource>(std::move(paths), std::move(options));
}

}  // namespace glim::io
