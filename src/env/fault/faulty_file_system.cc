// SPDX-License-Identifier: Apache-2.0
#include "env/fault/faulty_file_system.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "base/try.h"
#include "env/path.h"

namespace glim::env {
namespace {

constexpr int kOperations = static_cast<int>(FileOperation::kSyncFolder) + 1;
constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

std::string_view NameOf(FileOperation operation) {
  switch (operation) {
    case FileOperation::kOpen: return "open";
    case FileOperation::kRead: return "read";
    case FileOperation::kCreate: return "create";
    case FileOperation::kWrite: return "write";
    case FileOperation::kSync: return "sync";
    case FileOperation::kClose: return "close";
    case FileOperation::kStat: return "stat";
    case FileOperation::kList: return "list";
    case FileOperation::kRename: return "rename";
    case FileOperation::kRemove: return "remove";
    case FileOperation::kMakeFolder: return "make folder";
    case FileOperation::kSyncFolder: return "sync folder";
  }
  return "unknown";
}

}  // namespace

class FaultyFileSystem::State {
 public:
  struct Fault {
    std::optional<FileOperation> operation;  // Nothing: any.
    int64_t at = 0;                          // Of `counts_`, or of all.
    bool and_after = false;
    size_t taken = 0;
    Status error;
  };

  void Add(std::optional<FileOperation> operation, int64_t n, bool and_after, size_t taken, Status error) {
    const std::lock_guard lock(mutex_);
    const int64_t now = operation.has_value() ? counts_[static_cast<int>(*operation)] : total_;
    faults_.push_back({operation, now + n, and_after, taken, std::move(error)});
  }

  // Counts the operation; its failure, if it shall fail. A write learns in `taken` how many of its bytes go through.
  Status Begin(FileOperation operation, const std::string& what, size_t* taken = nullptr) {
    const std::lock_guard lock(mutex_);
    const int64_t count = ++counts_[static_cast<int>(operation)];
    ++total_;
    log_.push_back(fmt::format("{} {}", NameOf(operation), what));
    for (const Fault& fault : faults_) {
      if (fault.operation.has_value() && *fault.operation != operation) continue;
      const int64_t now = fault.operation.has_value() ? count : total_;
      if (now == fault.at || (fault.and_after && now > fault.at)) {
        if (taken != nullptr) *taken = fault.taken;
        return fault.error;
      }
    }
    return Status::Ok();
  }

  // How many of `bytes` the disk still takes.
  size_t TakeDisk(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const size_t taken = std::min(bytes, disk_bytes_);
    if (disk_bytes_ != kNoLimit) disk_bytes_ -= taken;
    return taken;
  }

  void Heal() {
    const std::lock_guard lock(mutex_);
    faults_.clear();
    log_.clear();
    std::fill_n(counts_, kOperations, 0);
    total_ = 0;
    disk_bytes_ = read_bytes_max_ = kNoLimit;
  }
  void SetDiskBytes(size_t bytes) {
    const std::lock_guard lock(mutex_);
    disk_bytes_ = bytes;
  }
  void SetReadBytesMax(size_t bytes) {
    const std::lock_guard lock(mutex_);
    read_bytes_max_ = bytes;
  }
  size_t read_bytes_max() const {
    const std::lock_guard lock(mutex_);
    return read_bytes_max_;
  }
  int64_t count(FileOperation operation) const {
    const std::lock_guard lock(mutex_);
    return counts_[static_cast<int>(operation)];
  }
  int64_t total() const {
    const std::lock_guard lock(mutex_);
    return total_;
  }
  std::vector<std::string> log() const {
    const std::lock_guard lock(mutex_);
    return log_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Fault> faults_;
  std::vector<std::string> log_;
  int64_t counts_[kOperations] = {};
  int64_t total_ = 0;
  size_t disk_bytes_ = kNoLimit;
  size_t read_bytes_max_ = kNoLimit;
};

namespace {

using State = FaultyFileSystem::State;

class FaultyRandomFile : public RandomAccessFile {
 public:
  FaultyRandomFile(std::unique_ptr<RandomAccessFile> real, std::shared_ptr<State> state, std::string name)
      : real_(std::move(real)), state_(std::move(state)), name_(std::move(name)) {}
  Result<size_t> ReadAt(uint64_t offset, std::span<char> out) const override {
    RETURN_IF_ERROR(state_->Begin(FileOperation::kRead, name_));
    return real_->ReadAt(offset, out);
  }
  uint64_t size() const override { return real_->size(); }

 private:
  const std::unique_ptr<RandomAccessFile> real_;
  const std::shared_ptr<State> state_;
  const std::string name_;
};

class FaultySequentialFile : public SequentialFile {
 public:
  FaultySequentialFile(std::unique_ptr<SequentialFile> real, std::shared_ptr<State> state, std::string name)
      : real_(std::move(real)), state_(std::move(state)), name_(std::move(name)) {}
  Result<size_t> Read(std::span<char> out) override {
    RETURN_IF_ERROR(state_->Begin(FileOperation::kRead, name_));
    return real_->Read(out.first(std::min(out.size(), state_->read_bytes_max())));
  }

 private:
  const std::unique_ptr<SequentialFile> real_;
  const std::shared_ptr<State> state_;
  const std::string name_;
};

class FaultyWritableFile : public WritableFile {
 public:
  FaultyWritableFile(std::unique_ptr<WritableFile> real, std::shared_ptr<State> state, std::string name)
      : real_(std::move(real)), state_(std::move(state)), name_(std::move(name)) {}

  Status Append(std::string_view bytes) override {
    size_t taken = 0;
    if (Status planned = state_->Begin(FileOperation::kWrite, name_, &taken); !planned.ok()) {
      RETURN_IF_ERROR(real_->Append(bytes.substr(0, taken)));
      return planned;
    }
    taken = state_->TakeDisk(bytes.size());
    RETURN_IF_ERROR(real_->Append(bytes.substr(0, taken)));
    return taken == bytes.size() ? Status::Ok() : Status::Exhausted(name_ + ": disk full");
  }
  Status Sync() override {
    RETURN_IF_ERROR(state_->Begin(FileOperation::kSync, name_));
    return real_->Sync();
  }
  Status Close() override {
    RETURN_IF_ERROR(state_->Begin(FileOperation::kClose, name_));
    return real_->Close();
  }

 private:
  const std::unique_ptr<WritableFile> real_;
  const std::shared_ptr<State> state_;
  const std::string name_;
};

class FaultyTemporaryFile : public TemporaryFile {
 public:
  FaultyTemporaryFile(std::unique_ptr<TemporaryFile> real, std::shared_ptr<State> state, std::string name)
      : real_(std::move(real)), state_(std::move(state)), name_(std::move(name)) {}

  Status WriteAt(uint64_t offset, std::string_view bytes) override {
    RETURN_IF_ERROR(state_->Begin(FileOperation::kWrite, name_));
    const size_t taken = state_->TakeDisk(bytes.size());
    RETURN_IF_ERROR(real_->WriteAt(offset, bytes.substr(0, taken)));
    return taken == bytes.size() ? Status::Ok() : Status::Exhausted(name_ + ": disk full");
  }
  Result<size_t> ReadAt(uint64_t offset, std::span<char> out) const override {
    RETURN_IF_ERROR(state_->Begin(FileOperation::kRead, name_));
    return real_->ReadAt(offset, out);
  }
  void WillRead(uint64_t offset, uint64_t size) const override { real_->WillRead(offset, size); }

 private:
  const std::unique_ptr<TemporaryFile> real_;
  const std::shared_ptr<State> state_;
  const std::string name_;
};

// `Made` around what `open` gives.
template <class Made, class File>
Result<std::unique_ptr<File>> Around(Result<std::unique_ptr<File>> opened, const std::shared_ptr<State>& state,
                                     const std::string& path) {
  if (!opened.ok()) return opened;
  return std::unique_ptr<File>(std::make_unique<Made>(*std::move(opened), state, QuotePath(path)));
}

}  // namespace

FaultyFileSystem::FaultyFileSystem(FileSystem& real) : real_(real), state_(std::make_shared<State>()) {}

FaultyFileSystem::~FaultyFileSystem() = default;

void FaultyFileSystem::FailAt(FileOperation operation, int64_t n, Status error) {
  state_->Add(operation, n, false, 0, std::move(error));
}

void FaultyFileSystem::FailFrom(FileOperation operation, int64_t n, Status error) {
  state_->Add(operation, n, true, 0, std::move(error));
}

void FaultyFileSystem::CutWriteAt(int64_t n, size_t taken, Status error) {
  state_->Add(FileOperation::kWrite, n, false, taken, std::move(error));
}

void FaultyFileSystem::SetDiskBytes(int64_t bytes) { state_->SetDiskBytes(static_cast<size_t>(bytes)); }

void FaultyFileSystem::SetReadBytesMax(size_t bytes) { state_->SetReadBytesMax(bytes); }

void FaultyFileSystem::Heal() { state_->Heal(); }

int64_t FaultyFileSystem::count(FileOperation operation) const { return state_->count(operation); }

std::vector<std::string> FaultyFileSystem::log() const { return state_->log(); }

int64_t FaultyFileSystem::total_count() const { return state_->total(); }

void FaultyFileSystem::FailAnyAt(int64_t n, Status error) { state_->Add(std::nullopt, n, false, 0, std::move(error)); }

Result<std::unique_ptr<RandomAccessFile>> FaultyFileSystem::OpenRandom(const std::string& path) {
  RETURN_IF_ERROR(state_->Begin(FileOperation::kOpen, QuotePath(path)));
  return Around<FaultyRandomFile>(real_.OpenRandom(path), state_, path);
}

Result<std::unique_ptr<SequentialFile>> FaultyFileSystem::OpenSequential(const std::string& path) {
  RETURN_IF_ERROR(state_->Begin(FileOperation::kOpen, QuotePath(path)));
  return Around<FaultySequentialFile>(real_.OpenSequential(path), state_, path);
}

Result<std::unique_ptr<WritableFile>> FaultyFileSystem::Create(const std::string& path) {
  RETURN_IF_ERROR(state_->Begin(FileOperation::kCreate, QuotePath(path)));
  return Around<FaultyWritableFile>(real_.Create(path), state_, path);
}

Result<std::unique_ptr<WritableFile>> FaultyFileSystem::CreateSecret(const std::string& path) {
  RETURN_IF_ERROR(state_->Begin(FileOperation::kCreate, QuotePath(path)));
  return Around<FaultyWritableFile>(real_.CreateSecret(path), state_, path);
}

Result<FileStat> FaultyFileSystem::Stat(const std::string& path) {
  RETURN_IF_ERROR(state_->Begin(FileOperation::kStat, QuotePath(path)));
  return real_.Stat(path);
}

Result<std::vector<DirectoryEntry>> FaultyFileSystem::List(const std::string& folder) {
  RETURN_IF_ERROR(state_->Begin(FileOperation::kList, QuotePath(folder)));
  return real_.List(folder);
}

Status FaultyFileSystem::Rename(const std::string& from, const std::string& to) {
  RETURN_IF_ERROR(state_->Begin(FileOperation::kRename, QuotePath(from) + " " + QuotePath(to)));
  return real_.Rename(from, to);
}

Status FaultyFileSystem::RemoveFile(const std::string& path) {
  RETURN_IF_ERROR(state_->Begin(FileOperation::kRemove, QuotePath(path)));
  return real_.RemoveFile(path);
}

Status FaultyFileSystem::RemoveAll(const std::string& path) {
  RETURN_IF_ERROR(state_->Begin(FileOperation::kRemove, QuotePath(path)));
  return real_.RemoveAll(path);
}

Status FaultyFileSystem::MakeFolders(const std::string& path) {
  RETURN_IF_ERROR(state_->Begin(FileOperation::kMakeFolder, QuotePath(path)));
  return real_.MakeFolders(path);
}

Status FaultyFileSystem::SyncFolder(const std::string& folder) {
  RETURN_IF_ERROR(state_->Begin(FileOperation::kSyncFolder, QuotePath(folder)));
  return real_.SyncFolder(folder);
}

Result<std::unique_ptr<FileLock>> FaultyFileSystem::Lock(const std::string& path) {
  RETURN_IF_ERROR(state_->Begin(FileOperation::kCreate, QuotePath(path)));
  return real_.Lock(path);
}

Result<std::string> FaultyFileSystem::MakeTemporaryFolder(std::string_view prefix) {
  RETURN_IF_ERROR(state_->Begin(FileOperation::kMakeFolder, QuotePath(prefix)));
  return real_.MakeTemporaryFolder(prefix);
}

Result<std::unique_ptr<TemporaryFile>> FaultyFileSystem::CreateTemporary(const std::string& folder) {
  RETURN_IF_ERROR(state_->Begin(FileOperation::kCreate, QuotePath(folder)));
  return Around<FaultyTemporaryFile>(real_.CreateTemporary(folder), state_, folder);
}

}  // namespace glim::env
