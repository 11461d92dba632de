// SPDX-License-Identifier: Apache-2.0
#include "cluster/server_disk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>

#include "env/fault/faulty_file_system.h"
#include "env/path.h"

namespace glim::cluster {
namespace {

using param::Record;
using param::ShardId;
using param::ShardSnapshot;
using param::SharedBytes;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr ShardId kShard{7, 1};

class Events final : public ServerDiskEvents {
 public:
  void OnBegun() override {
    Change([&] { begun = true; });
  }
  void OnWritten(const ShardId& shard, uint64_t count) override {
    Change([&] { written[shard] = count; });
  }
  void OnFull(bool full) override {
    Change([&] { (full ? times_full : times_room) += 1; });
  }
  void OnLogFull(const ShardId& shard, uint64_t lsn) override {
    Change([&] { log_full[shard] = lsn; });
  }
  void OnFailed(const Status& status) override {
    Change([&] { failed = status; });
  }
  // Until `done` holds; a test that waits for ever is ended by its runner.
  void Await(const std::function<bool()>& done) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, done);
  }

  bool Is(const std::function<bool()>& done) {
    const std::lock_guard lock(mutex_);
    return done();
  }

  bool begun = false;
  std::map<ShardId, uint64_t> written;
  std::map<ShardId, uint64_t> log_full;
  int times_full = 0;
  int times_room = 0;
  Status failed;

 private:
  void Change(const std::function<void()>& change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
};

Record Push(uint64_t lsn, const std::string& text) {
  return {lsn, 1, param::RecordKind::kPush, {1, 2}, 0, lsn, SharedBytes::Of(text)};
}

std::string Text(const SharedBytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.bytes.data()), bytes.bytes.size()};
}

class ServerDiskTest : public testing::Test {
 protected:
  ServerDiskTest() : real_(env::MakePosixEnv()), files_(real_->files()), env_(*real_, files_) {
    folder_ = *real_->files().MakeTemporaryFolder("server-disk");
  }
  ~ServerDiskTest() override {
    disk_.reset();
    (void)real_->files().RemoveAll(folder_);
  }

  Status Open() {
    disk_.reset();
    events_ = std::make_unique<Events>();
    auto disk = ServerDisk::Open(env_, folder_, options_, *events_);
    if (!disk.ok()) return disk.status();
    disk_ = *std::move(disk);
    kept_ = disk_->TakeKept();
    return Status::Ok();
  }
  void Begin() {
    disk_->Begin(5);
    disk_->Write(kShard, table_, ShardSnapshot{0, 0, SharedBytes::Of("empty")});
    ++writes_;
  }
  void Write(uint64_t lsn, const std::string& text) {
    disk_->Write(kShard, table_, Push(lsn, text));
    ++writes_;
  }
  void AwaitWritten() {
    events_->Await([&] { return events_->written[kShard] == writes_ || !events_->failed.ok(); });
  }
  // Up to which record a snapshot is wanted.
  uint64_t LogFull() {
    uint64_t lsn = 0;
    events_->Is([&] { return (lsn = events_->log_full[kShard]) > 0; });
    return lsn;
  }
  // "snapshot's text: the records' texts".
  std::string Kept() const {
    if (kept_.shards.empty()) return "nothing";
    std::string all = Text(kept_.shards[0].snapshot->bytes) + ":";
    for (const Record& record : kept_.shards[0].records) all += " " + Text(record.op);
    return all;
  }
  std::string ShardPath(const std::string& name) const { return folder_ + "/shards/7-1/" + name; }
  static std::string ReadBytes(const std::string& path) {
    std::ostringstream bytes;
    bytes << std::ifstream(path, std::ios::binary).rdbuf();
    return bytes.str();
  }
  static void WriteBytes(const std::string& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

  const std::unique_ptr<env::Env> real_;
  env::FaultyFileSystem files_;
  env::FaultyEnv env_;
  std::string folder_;
  ServerDiskOptions options_{.retry_nanos = 5'000'000};
  const SharedBytes table_ = SharedBytes::Of("a table");
  std::unique_ptr<Events> events_;
  std::unique_ptr<ServerDisk> disk_;
  KeptServer kept_;
  uint64_t writes_ = 0;
};

TEST_F(ServerDiskTest, WhatWasWrittenIsReadInTheOrderOfWriting) {
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Kept(), "nothing");
  Begin();
  Write(1, "a");
  Write(2, "b");
  AwaitWritten();
  Write(2, "B");
  AwaitWritten();
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Kept(), "empty: a b B");
  EXPECT_EQ(Text(kept_.shards[0].table), "a table");
  EXPECT_THAT(kept_.before, ElementsAre(5));
  // And it goes on, in the next log.
  disk_->Begin(9);
  writes_ = 0;
  Write(3, "c");
  AwaitWritten();
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Kept(), "empty: a b B c");
  EXPECT_THAT(kept_.before, ElementsAre(5, 9));
  disk_->Erase(kShard);
  disk_->Write({8, 0}, table_, ShardSnapshot{3, 1, SharedBytes::Of("other")});
  events_->Await([&] { return events_->written[{8, 0}] == 1; });
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Kept(), "other:");
}

TEST_F(ServerDiskTest, ALogThatGrowsIsCutBehindASnapshot) {
  options_.log_bytes_max = 2000;
  ASSERT_TRUE(Open().ok());
  Begin();
  uint64_t lsn = 0, wanted = 0;
  for (int round = 0; round < 5; ++round) {
    const auto is_full = [&] { return std::exchange(wanted, events_->log_full[kShard]) != events_->log_full[kShard]; };
    while (!events_->Is(is_full)) {
      Write(++lsn, std::string(100, 'x'));
      AwaitWritten();
    }
    EXPECT_LE(wanted, lsn);
    Write(++lsn, "tail");
    disk_->Cut(kShard, ShardSnapshot{wanted, 1, SharedBytes::Of("up to " + std::to_string(wanted))});
    AwaitWritten();
    Write(++lsn, "more");
    AwaitWritten();
  }
  disk_.reset();
  // Two snapshots, and the logs behind the older one.
  EXPECT_LE(real_->files().List(folder_ + "/shards/7-1")->size(), 6U);
  ASSERT_TRUE(Open().ok());
  EXPECT_THAT(Kept(), testing::StartsWith("up to " + std::to_string(wanted) + ":"));
  EXPECT_THAT(Kept(), testing::EndsWith(" tail more"));
  // The newest is damaged: the one before it, with all that came behind it.
  disk_.reset();
  std::string name;
  for (const auto& entry : *real_->files().List(folder_ + "/shards/7-1")) {
    if (entry.name.starts_with("snapshot-") && entry.name >= name) name = entry.name;
  }
  std::string bytes = ReadBytes(ShardPath(name));
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
  WriteBytes(ShardPath(name), bytes);
  ASSERT_TRUE(Open().ok());
  ASSERT_EQ(kept_.shards.size(), 1U);
  EXPECT_THAT(Kept(), testing::EndsWith(" tail more"));
  EXPECT_EQ(kept_.shards[0].records.back().lsn, lsn);
  EXPECT_LT(kept_.shards[0].snapshot->lsn, wanted);
}

// Whatever bit of whatever file turns, and wherever the log is cut: what is read is what was written, or nothing. Only
// what the mark does not cover yet may be missing at the end.
TEST_F(ServerDiskTest, DamageIsFoundBeforeAnythingIsUsed) {
  ASSERT_TRUE(Open().ok());
  Begin();
  for (uint64_t lsn = 1; lsn <= 8; ++lsn) {
    Write(lsn, "push" + std::to_string(lsn));
    AwaitWritten();
  }
  const std::string whole = "empty: push1 push2 push3 push4 push5 push6 push7 push8";
  while (!real_->files().Stat(ShardPath("mark")).ok()) real_->clock().SleepFor(5'000'000);
  real_->clock().SleepFor(100'000'000);  // Or the mark was of the first of them.
  disk_.reset();
  const std::string saved = folder_ + "-saved";
  std::map<std::string, std::string> files;
  for (const auto& entry : *real_->files().List(folder_ + "/shards/7-1")) {
    files[entry.name] = ReadBytes(ShardPath(entry.name));
  }
  const auto restore = [&] {
    disk_.reset();
    (void)real_->files().RemoveAll(folder_ + "/damaged");
    (void)real_->files().MakeFolders(folder_ + "/shards/7-1");
    for (const auto& [name, bytes] : files) WriteBytes(ShardPath(name), bytes);
  };
  int found = 0;
  for (const auto& [name, bytes] : files) {
    if (name == "mark") continue;  // A bad one is no mark.
    for (size_t at = 0; at < bytes.size(); at += 5) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
      WriteBytes(ShardPath(name), damaged);
      ASSERT_TRUE(Open().ok());
      ASSERT_EQ(Kept(), "nothing") << name << " byte " << at;
      ++found;
      restore();
      WriteBytes(ShardPath(name), std::string_view(bytes).substr(0, at));
      ASSERT_TRUE(Open().ok());
      ASSERT_EQ(Kept(), "nothing") << name << " cut at " << at;
      restore();
    }
  }
  EXPECT_GT(found, 100);
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Kept(), whole);
}

TEST_F(ServerDiskTest, ATornEndIsLeftOutAndFilesOfOthersAreNot) {
  ASSERT_TRUE(Open().ok());
  Begin();
  Write(1, "a");
  AwaitWritten();
  disk_.reset();
  (void)real_->files().RemoveFile(ShardPath("mark"));
  std::string log;
  for (const auto& entry : *real_->files().List(folder_ + "/shards/7-1")) {
    if (entry.name.starts_with("log-")) log = entry.name;
  }
  const std::string bytes = ReadBytes(ShardPath(log));
  WriteBytes(ShardPath(log), bytes + bytes.substr(0, 30));
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Kept(), "empty: a");
  writes_ = 0;
  Write(2, "b");
  AwaitWritten();
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Kept(), "empty: a b");
  disk_.reset();
  ASSERT_TRUE(real_->files().Rename(folder_ + "/shards/7-1", folder_ + "/shards/7-2").ok());
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Kept(), "nothing");
}

// The disk is full from the n-th byte on, for each n; then there is room again.
TEST_F(ServerDiskTest, AFullDiskIsWaitedForAtEveryPoint) {
  int times_full = 0;
  for (int64_t room = 0; room < 1200; room += 37) {
    (void)real_->files().RemoveAll(folder_);
    (void)real_->files().MakeFolders(folder_);
    files_.Heal();
    writes_ = 0;
    ASSERT_TRUE(Open().ok());
    files_.SetDiskBytes(room);
    Begin();
    for (uint64_t lsn = 1; lsn <= 4; ++lsn) Write(lsn, std::string(20, 'a') + std::to_string(lsn));
    events_->Await([&] { return events_->written[kShard] == writes_ || events_->times_full > 0; });
    times_full += events_->times_full;
    files_.Heal();
    AwaitWritten();
    ASSERT_TRUE(events_->Is([&] { return events_->failed.ok(); }));
    events_->Await([&] { return events_->times_full == events_->times_room && events_->begun; });
    const std::string a(20, 'a');
    ASSERT_TRUE(Open().ok());
    EXPECT_EQ(Kept(), "empty: " + a + "1 " + a + "2 " + a + "3 " + a + "4") << room;
    EXPECT_THAT(kept_.before, ElementsAre(5)) << room;
  }
  EXPECT_GT(times_full, 10);
}

// Each operation in turn fails once: the disk is full, or broken. What was told to be written is there afterwards, and
// writing goes on behind it.
TEST_F(ServerDiskTest, WhateverFailsWhatWasWrittenIsThere) {
  options_.log_bytes_max = 150;
  int failures = 0, cuts = 0;
  for (const Status& error : {Status::Exhausted("no room"), Status::Unavailable("I/O error")}) {
    bool is_over = false;
    for (int64_t n = 1; !is_over; ++n) {
      disk_.reset();
      files_.Heal();
      (void)real_->files().RemoveAll(folder_);
      (void)real_->files().MakeFolders(folder_);
      writes_ = 0;
      ASSERT_TRUE(Open().ok());
      files_.FailAnyAt(n, error);
      Begin();
      uint64_t cut = 0;
      for (uint64_t lsn = 1; lsn <= 5; ++lsn) {
        Write(lsn, "push" + std::to_string(lsn));
        AwaitWritten();
        if (const uint64_t wanted = LogFull(); wanted != cut) {
          cut = wanted;
          ++cuts;
          disk_->Cut(kShard, ShardSnapshot{cut, 1, SharedBytes::Of("cut")});
        }
      }
      // A snapshot may still fail meanwhile.
      uint64_t count = 0;
      const bool failed = events_->Is([&] {
        count = events_->written[kShard];
        return !events_->failed.ok();
      });
      failures += failed ? 1 : 0;
      if (error.code() == Code::kUnavailable && !failed) {
        EXPECT_EQ(count, writes_);
      }
      is_over = files_.total_count() < n;
      disk_.reset();
      files_.Heal();
      ASSERT_TRUE(Open().ok()) << n;
      if (count == 0) continue;
      ASSERT_EQ(kept_.shards.size(), 1U) << n;
      const param::KeptShard& kept = kept_.shards[0];
      uint64_t last = kept.snapshot->lsn;
      for (const Record& record : kept.records) {
        if (record.lsn <= last) continue;
        EXPECT_EQ(record.lsn, last + 1) << n;
        EXPECT_EQ(Text(record.op), "push" + std::to_string(record.lsn)) << n;
        last = record.lsn;
      }
      EXPECT_GE(last + 1, count) << n;  // The first write was the empty snapshot.
      writes_ = 0;
      Write(last + 1, "next");
      AwaitWritten();
      ASSERT_TRUE(Open().ok()) << n;
      EXPECT_THAT(Kept(), testing::EndsWith("next")) << n;
    }
  }
  EXPECT_GT(failures, 20);
  EXPECT_GT(cuts, 20);
}

// Nobody knows what such a sync left on the disk, so it is the end, also where there may be room again.
TEST_F(ServerDiskTest, ASyncThatFailsIsTheEnd) {
  for (const Status& error : {Status::Unavailable("the disk: I/O error"), Status::Exhausted("the disk: no room")}) {
    disk_.reset();
    (void)real_->files().RemoveAll(folder_);
    writes_ = 0;
    ASSERT_TRUE(Open().ok());
    Begin();
    AwaitWritten();
    files_.FailAt(env::FileOperation::kSync, 1, error);
    Write(1, "a");
    events_->Await([&] { return !events_->failed.ok(); });
    EXPECT_THAT(events_->failed.message(), HasSubstr(error.message()));
    EXPECT_TRUE(events_->Is([&] { return events_->written[kShard] == 1; }));
  }
}

}  // namespace
}  // namespace glim::cluster
