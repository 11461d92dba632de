// SPDX-License-Identifier: Apache-2.0
//
// A file system that fails on purpose, around one that works: for tests of what happens when the world says no.
//
//   env::FaultyFileSystem files(real->files());
//   files.FailAt(FileOperation::kWrite, 3, Status::Exhausted("no room"));    // The third write from now on, once.
//   files.SetDiskBytes(1 << 20);                                             // Then the disk is full.
//   env::FaultyEnv env(*real, files);
//
// Every operation is counted and written to a log (`create "out.tmp"`, `rename "out.tmp" "out"`), so that a test can
// say in which order things must happen: sync before rename, say. A test that wants all failures of a program runs it
// once to count the operations and then once per operation with that one failing.
//
// Thread: any; one mutex.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "env/env.h"

namespace glim::env {

enum class FileOperation : uint8_t {
  kOpen,  // OpenRandom, OpenSequential
  kRead,
  kCreate,  // Create, CreateSecret, CreateTemporary
  kWrite,   // Append, WriteAt
  kSync,
  kClose,
  kStat,
  kList,
  kRename,
  kRemove,  // RemoveFile, RemoveAll
  kMakeFolder,
  kSyncFolder,
};

class FaultyFileSystem : public FileSystem {
 public:
  // `real` outlives this and all its files.
  explicit FaultyFileSystem(FileSystem& real);
  ~FaultyFileSystem() override;

  // The n-th such operation counted from now (1 is the next one) does nothing and gives `error`; the ones after it
  // work.
  void FailAt(FileOperation operation, int64_t n, Status error);
  // The n-th and all that follow.
  void FailFrom(FileOperation operation, int64_t n, Status error);
  // The n-th write takes only `taken` bytes (or all it has, when they are fewer) and then gives `error`.
  void CutWriteAt(int64_t n, size_t taken, Status error);
  // All files together take this many bytes more; the write that does not fit takes what does and gives kExhausted.
  void SetDiskBytes(int64_t bytes);
  // A sequential read gives at most this many bytes, as pipes do.
  void SetReadBytesMax(size_t bytes);
  // Everything works again; counts and log start anew.
  void Heal();

  // Since the beginning or Heal(), failed ones included.
  int64_t count(FileOperation operation) const;
  std::vector<std::string> log() const;
  // Of all operations; for failing each one in turn with FailAnyAt.
  int64_t total_count() const;
  // The n-th operation of any kind, counted from now.
  void FailAnyAt(int64_t n, Status error);

  Result<std::unique_ptr<RandomAccessFile>> OpenRandom(const std::string& path) override;
  Result<std::unique_ptr<SequentialFile>> OpenSequential(const std::string& path) override;
  Result<std::unique_ptr<WritableFile>> Create(const std::string& path) override;
  Result<std::unique_ptr<WritableFile>> CreateSecret(const std::string& path) override;
  Result<FileStat> Stat(const std::string& path) override;
  Result<std::string> FollowLink(const std::string& path) override { return real_.FollowLink(path); }
  Result<std::vector<DirectoryEntry>> List(const std::string& folder) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status RemoveFile(const std::string& path) override;
  Status RemoveAll(const std::string& path) override;
  Status MakeFolders(const std::string& path) override;
  Status SyncFolder(const std::string& folder) override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override;
  Result<std::string> MakeTemporaryFolder(std::string_view prefix) override;
  Result<std::unique_ptr<TemporaryFile>> CreateTemporary(const std::string& folder) override;

  // What its files ask; in the .cc.
  class State;

 private:
  FileSystem& real_;
  std::shared_ptr<State> state_;
};

// An Env whose files are others.
class FaultyEnv : public Env {
 public:
  FaultyEnv(Env& real, FileSystem& files) : real_(real), files_(files) {}

  Clock& clock() override { return real_.clock(); }
  FileSystem& files() override { return files_; }
  Processes& processes() override { return real_.processes(); }
  Result<std::unique_ptr<Listener>> Listen(const std::string& network, const std::string& address) override {
    return real_.Listen(network, address);
  }
  uint64_t RandomSeed() override { return real_.RandomSeed(); }
  Machine machine() override { return real_.machine(); }
  std::optional<std::string> Variable(const std::string& name) override { return real_.Variable(name); }
  int process_id() override { return real_.process_id(); }
  SequentialFile& standard_input() override { return real_.standard_input(); }
  void ReturnToStandardInput(std::string_view bytes) override { real_.ReturnToStandardInput(bytes); }
  WritableFile& standard_output() override { return real_.standard_output(); }
  WritableFile& standard_error() override { return real_.standard_error(); }
  bool IsTerminal(int descriptor) override { return real_.IsTerminal(descriptor); }
  void WatchInterrupts() override { real_.WatchInterrupts(); }
  void UnwatchInterrupts() override { real_.UnwatchInterrupts(); }
  void AwaitInterrupt() override { real_.AwaitInterrupt(); }
  bool interrupted() const override { return real_.interrupted(); }

 private:
  Env& real_;
  FileSystem& files_;
};

}  // namespace glim::env
