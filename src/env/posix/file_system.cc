// SPDX-License-Identifier: Apache-2.0
#include "env/posix/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "base/try.h"
#include "env/path.h"
#include "env/posix/descriptor.h"
#include "env/posix/interrupts.h"
#include "env/posix/system_error.h"

namespace glim::env {
namespace {

FileKind KindOf(mode_t mode) {
  if (S_ISREG(mode)) return FileKind::kFile;
  return S_ISDIR(mode) ? FileKind::kFolder : FileKind::kOther;
}

// Until `descriptor` is ready for `events` or has an error to tell; kCancelled when the process was interrupted first.
// After an interrupt nothing more is read, or an endless input would never end; what can be written without waiting
// still is, so that a stopped program can say why.
Status AwaitReady(int descriptor, short events, const std::string& name) {
  while (true) {
    pollfd waits[2] = {{descriptor, events, 0}, {InterruptDescriptor(), POLLIN, 0}};
    const int ready = ::poll(waits, 2, -1);
    if (ready < 0 && errno != EINTR) return SystemError(errno, name);
    if (ready <= 0) continue;
    const bool can_go_on = waits[0].revents != 0, interrupted = waits[1].revents != 0;
    if (can_go_on && (events == POLLOUT || !interrupted)) return Status::Ok();
    if (interrupted) return Status::Cancelled(name + ": interrupted");
  }
}

// Fewer bytes only at the end of the file.
Result<size_t> ReadAll(int descriptor, uint64_t offset, std::span<char> out, const std::string& path) {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t count = ::pread(descriptor, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (count == 0) break;
    if (count < 0) {
      if (errno == EINTR) continue;
      return PathError(errno, path);
    }
    done += static_cast<size_t>(count);
  }
  return done;
}

class PosixTemporaryFile : public TemporaryFile {
 public:
  PosixTemporaryFile(std::string folder, Descriptor descriptor)
      : folder_(std::move(folder)), descriptor_(std::move(descriptor)) {}

  Status WriteAt(uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t count = ::pwrite(descriptor_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (count < 0) {
        if (errno == EINTR) continue;
        return PathError(errno, folder_);
      }
      bytes.remove_prefix(static_cast<size_t>(count));
      offset += static_cast<uint64_t>(count);
    }
    return Status::Ok();
  }
  Result<size_t> ReadAt(uint64_t offset, std::span<char> out) const override {
    return ReadAll(descriptor_.get(), offset, out, folder_);
  }
  void WillRead(uint64_t offset, uint64_t size) const override {
    ::posix_fadvise(descriptor_.get(), static_cast<off_t>(offset), static_cast<off_t>(size), POSIX_FADV_WILLNEED);
  }

 private:
  const std::string folder_;
  const Descriptor descriptor_;
};

class PosixRandomFile : public RandomAccessFile {
 public:
  PosixRandomFile(std::string path, Descriptor descriptor, uint64_t size)
      : path_(std::move(path)), descriptor_(std::move(descriptor)), size_(size) {}

  Result<size_t> ReadAt(uint64_t offset, std::span<char> out) const override {
    return ReadAll(descriptor_.get(), offset, out, path_);
  }
  uint64_t size() const override { return size_; }

 private:
  const std::string path_;
  const Descriptor descriptor_;
  const uint64_t size_;
};

class PosixSequentialFile : public SequentialFile {
 public:
  // `may_wait`: not a regular file. Closes `owned`, if any.
  PosixSequentialFile(std::string name, int descriptor, Descriptor owned, bool may_wait)
      : name_(std::move(name)), descriptor_(descriptor), owned_(std::move(owned)), may_wait_(may_wait) {}

  Result<size_t> Read(std::span<char> out) override {
    while (true) {
      if (may_wait_) RETURN_IF_ERROR(AwaitReady(descriptor_, POLLIN, name_));
      const ssize_t count = ::read(descriptor_, out.data(), out.size());
      if (count >= 0) return static_cast<size_t>(count);
      if (errno == EAGAIN) {
        RETURN_IF_ERROR(AwaitReady(descriptor_, POLLIN, name_));
      } else if (errno != EINTR) {
        return SystemError(errno, name_);
      }
    }
  }

 private:
  const std::string name_;
  const int descriptor_;
  const Descriptor owned_;
  const bool may_wait_;
};

std::atomic<bool> output_closed{false};

class PosixWritableFile : public WritableFile {
 public:
  PosixWritableFile(std::string name, int descriptor, Descriptor owned, bool may_wait)
      : name_(std::move(name)), descriptor_(descriptor), owned_(std::move(owned)), may_wait_(may_wait) {}

  Status Append(std::string_view bytes) override {
    while (!bytes.empty()) {
      size_t piece = std::min(bytes.size(), kWriteMax);
      // A pipe that is ready takes PIPE_BUF bytes without waiting; a larger write could wait where Ctrl-C does not
      // reach it.
      if (may_wait_ && InterruptDescriptor() >= 0) {
        RETURN_IF_ERROR(AwaitReady(descriptor_, POLLOUT, name_));
        piece = std::min(piece, kPipeWriteMax);
      }
      const ssize_t count = ::write(descriptor_, bytes.data(), piece);
      if (count >= 0) {
        bytes.remove_prefix(static_cast<size_t>(count));
      } else if (errno == EAGAIN) {
        RETURN_IF_ERROR(AwaitReady(descriptor_, POLLOUT, name_));
      } else if (errno == EPIPE && descriptor_ == STDOUT_FILENO) {
        NoteOutputClosed();
        return Status::Cancelled(name_ + ": nobody reads it any more");
      } else if (errno != EINTR) {
        return SystemError(errno, name_);
      }
    }
    return Status::Ok();
  }

  Status Sync() override {
    while (::fdatasync(descriptor_) != 0) {
      if (errno == EINTR) continue;
      // Pipes, terminals and the like have nothing to keep.
      if (errno == EINVAL || errno == ENOTSUP || errno == EROFS) return Status::Ok();
      return SystemError(errno, name_);
    }
    return Status::Ok();
  }

  Status Close() override {
    if (!owned_.valid()) return Status::Ok();
    // After an error, EINTR included, Linux has closed the descriptor: closing again would hit somebody else's.
    if (::close(owned_.Release()) != 0 && errno != EINTR) return SystemError(errno, name_);
    return Status::Ok();
  }

 private:
  static constexpr size_t kWriteMax = size_t{1} << 30;  // Linux takes at most 2 GiB in one call.
  static constexpr size_t kPipeWriteMax = 4096;
  const std::string name_;
  const int descriptor_;
  Descriptor owned_;
  const bool may_wait_;
};

class PosixFileLock : public FileLock {
 public:
  explicit PosixFileLock(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}

 private:
  const Descriptor descriptor_;
};

bool MayWait(int descriptor) {
  struct stat found = {};
  return ::fstat(descriptor, &found) != 0 || !S_ISREG(found.st_mode);
}

class PosixFileSystem : public FileSystem {
 public:
  Result<std::unique_ptr<RandomAccessFile>> OpenRandom(const std::string& path) override {
    // O_NONBLOCK: opening a named pipe would wait for its writer, and it is no file for us anyway.
    Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!descriptor.valid()) return PathError(errno, path);
    struct stat found = {};
    if (::fstat(descriptor.get(), &found) != 0) return PathError(errno, path);
    if (S_ISDIR(found.st_mode)) return PathError(EISDIR, path);
    if (!S_ISREG(found.st_mode)) return Status::Invalid(QuotePath(path) + ": not a regular file");
    return std::unique_ptr<RandomAccessFile>(
        std::make_unique<PosixRandomFile>(path, std::move(descriptor), static_cast<uint64_t>(found.st_size)));
  }

  Result<std::unique_ptr<SequentialFile>> OpenSequential(const std::string& path) override {
    if (path == "-") return BorrowForReading(STDIN_FILENO, "standard input");
    // A named pipe opens at once; Read then waits in poll() for the first writer.
    Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!descriptor.valid()) return PathError(errno, path);
    struct stat found = {};
    if (::fstat(descriptor.get(), &found) != 0) return PathError(errno, path);
    if (S_ISDIR(found.st_mode)) return PathError(EISDIR, path);
    const int number = descriptor.get();
    return std::unique_ptr<SequentialFile>(
        std::make_unique<PosixSequentialFile>(QuotePath(path), number, std::move(descriptor), !S_ISREG(found.st_mode)));
  }

  Result<std::unique_ptr<WritableFile>> Create(const std::string& path) override {
    return OpenForWriting(path, O_TRUNC, 0644);
  }

  Result<std::unique_ptr<WritableFile>> CreateSecret(const std::string& path) override {
    return OpenForWriting(path, O_EXCL, 0600);
  }

  Result<FileStat> Stat(const std::string& path) override {
    struct stat found = {};
    if (::stat(path.c_str(), &found) != 0) return PathError(errno, path);
    FileStat stat;
    stat.kind = KindOf(found.st_mode);
    stat.size_bytes = static_cast<uint64_t>(found.st_size);
    stat.permissions = found.st_mode & 07777;
    stat.modified_wall_nanos = found.st_mtim.tv_sec * int64_t{1'000'000'000} + found.st_mtim.tv_nsec;
    return stat;
  }

  Result<std::string> FollowLink(const std::string& path) override {
    struct stat found = {};
    if (::lstat(path.c_str(), &found) != 0 || !S_ISLNK(found.st_mode)) return path;
    const std::unique_ptr<char, void (*)(void*)> target(::realpath(path.c_str(), nullptr), &std::free);
    if (target != nullptr) return std::string(target.get());
    if (errno == ENOENT) return Status::NotFound(QuotePath(path) + ": a link to what is not there");
    return PathError(errno, path);
  }

  Result<std::vector<DirectoryEntry>> List(const std::string& folder) override {
    DIR* open = ::opendir(folder.c_str());
    if (open == nullptr) return FolderError(errno, folder);
    const std::unique_ptr<DIR, int (*)(DIR*)> closer(open, ::closedir);
    std::vector<DirectoryEntry> entries;
    while (true) {
      errno = 0;
      const dirent* entry = ::readdir(open);
      if (entry == nullptr) {
        if (errno != 0) return PathError(errno, folder);
        break;
      }
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      DirectoryEntry made{std::string(name), FileKind::kFile};
      if (entry->d_type == DT_DIR) {
        made.kind = FileKind::kFolder;
      } else if (entry->d_type != DT_REG) {
        struct stat found = {};
        if (::fstatat(::dirfd(open), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0) continue;
        made.is_link = S_ISLNK(found.st_mode);
        if (made.is_link && ::fstatat(::dirfd(open), entry->d_name, &found, 0) != 0) continue;
        made.kind = KindOf(found.st_mode);
      }
      entries.push_back(std::move(made));
    }
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return entries;
  }

  Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) == 0) return Status::Ok();
    return PathError(errno, from).With("renaming to " + QuotePath(to));
  }

  Status RemoveFile(const std::string& path) override {
    return ::unlink(path.c_str()) == 0 ? Status::Ok() : PathError(errno, path);
  }

  Status RemoveAll(const std::string& path) override {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    return error ? PathError(error.value(), path) : Status::Ok();
  }

  Status MakeFolders(const std::string& path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) return PathError(error.value(), path);
    // It says nothing when the last part is a file.
    if (!std::filesystem::is_directory(path, error)) {
      return Status::Invalid(QuotePath(path) + ": is a file, not a folder");
    }
    return Status::Ok();
  }

  Status SyncFolder(const std::string& folder) override {
    const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!descriptor.valid()) return FolderError(errno, folder);
    // Some file systems have nothing to sync in a folder and say EINVAL.
    if (::fsync(descriptor.get()) != 0 && errno != EINVAL) return PathError(errno, folder);
    return Status::Ok();
  }

  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    Descriptor descriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!descriptor.valid()) return PathError(errno, path);
    // Of the open file, not of the process: two in one process exclude each other, too.
    while (::flock(descriptor.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno == EWOULDBLOCK) return Status::Unavailable(QuotePath(path) + ": somebody else has locked it");
      return PathError(errno, path);
    }
    return std::unique_ptr<FileLock>(std::make_unique<PosixFileLock>(std::move(descriptor)));
  }

  Result<std::string> MakeTemporaryFolder(std::string_view prefix) override {
    const char* chosen = ::getenv("TMPDIR");
    std::string path = JoinPath(chosen != nullptr && *chosen != '\0' ? chosen : "/tmp", prefix);
    path += "XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return PathError(errno, path);
    return path;
  }

  Result<std::unique_ptr<TemporaryFile>> CreateTemporary(const std::string& folder) override {
    Descriptor descriptor(::open(folder.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
    if (!descriptor.valid() && (errno == EOPNOTSUPP || errno == EISDIR)) {
      // A file system that cannot make a file without a name.
      std::string path = JoinPath(folder, "glim-XXXXXX");
      descriptor = Descriptor(::mkostemp(path.data(), O_CLOEXEC));
      if (descriptor.valid() && ::unlink(path.c_str()) != 0) return PathError(errno, path);
    }
    if (!descriptor.valid()) return FolderError(errno, folder);
    return std::unique_ptr<TemporaryFile>(std::make_unique<PosixTemporaryFile>(folder, std::move(descriptor)));
  }

 private:
  static Result<std::unique_ptr<WritableFile>> OpenForWriting(const std::string& path, int flags, mode_t mode) {
    Descriptor descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, mode));
    if (!descriptor.valid() && errno == EEXIST) return Status::Invalid(QuotePath(path) + ": is there already");
    if (!descriptor.valid()) return PathError(errno, path);
    const int number = descriptor.get();
    return std::unique_ptr<WritableFile>(
        std::make_unique<PosixWritableFile>(QuotePath(path), number, std::move(descriptor), MayWait(number)));
  }

  static Status FolderError(int error, const std::string& folder) {
    if (error == ENOENT) return Status::NotFound(QuotePath(folder) + ": no such folder");
    if (error == ENOTDIR) return Status::Invalid(QuotePath(folder) + ": not a folder");
    return PathError(error, folder);
  }
};

}  // namespace

std::unique_ptr<FileSystem> MakePosixFileSystem() { return std::make_unique<PosixFileSystem>(); }

std::unique_ptr<SequentialFile> BorrowForReading(int descriptor, std::string name) {
  return std::make_unique<PosixSequentialFile>(std::move(name), descriptor, Descriptor(), MayWait(descriptor));
}

std::string CurrentFolder() {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::current_path(error);
  return error ? "/" : path.string();
}

Status ChangeFolder(const std::string& path) {
  return ::chdir(path.c_str()) == 0 ? Status::Ok() : PathError(errno, path);
}

void NoteOutputClosed() { output_closed.store(true, std::memory_order_relaxed); }

bool OutputClosed() { return output_closed.load(std::memory_order_relaxed); }

std::unique_ptr<WritableFile> BorrowForWriting(int descriptor, std::string name) {
  return std::make_unique<PosixWritableFile>(std::move(name), descriptor, Descriptor(), MayWait(descriptor));
}

}  // namespace glim::env
