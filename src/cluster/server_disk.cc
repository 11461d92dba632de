// SPDX-License-Identifier: Apache-2.0
#include "cluster/server_disk.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "base/crc32c.h"
#include "base/log.h"
#include "base/try.h"
#include "env/path.h"
#include "param/wire.h"

namespace glim::cluster {

using env::JoinPath;
using param::Record;
using param::ShardId;
using param::ShardSnapshot;
using param::SharedBytes;

namespace {

constexpr size_t kPieceBytes = 1 << 20;        // Of a snapshot, or of records, in a frame.
constexpr int64_t kMarkNanos = 1'000'000'000;  // Between marks, while there is no moment without work.
constexpr size_t kIncarnationsKept = 10'000;   // Of the last ones; a view names none that is older.

template <class Message>
std::string Encode(const Message& message) {
  const net::Frame frame = param::ToFrame(message);
  std::string bytes = net::EncodeFrameHead(frame) + frame.body;
  for (const net::Segment& segment : frame.segments) bytes += segment.bytes;
  return bytes;
}

std::optional<uint64_t> NumberBehind(std::string_view name, std::string_view word) {
  if (!name.starts_with(word)) return std::nullopt;
  name.remove_prefix(word.size());
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || name.empty()) return std::nullopt;
  return number;
}

std::string NameOf(const ShardId& shard) { return fmt::format("{}-{}", shard.table, shard.shard); }

std::optional<ShardId> ParseShard(std::string_view name) {
  const size_t dash = name.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto table = NumberBehind(name.substr(0, dash), "");
  const auto shard = NumberBehind(name.substr(dash), "-");
  if (!table || !shard || *shard > UINT32_MAX) return std::nullopt;
  return ShardId{*table, static_cast<uint32_t>(*shard)};
}

Result<std::string> ReadText(env::FileSystem& files, const std::string& path, size_t bytes_max) {
  ASSIGN_OR_RETURN(const auto file, files.OpenRandom(path));
  if (file->size() > bytes_max) return Status::Corrupt(fmt::format("\"{}\": too long", path));
  std::string text(file->size(), '\0');
  ASSIGN_OR_RETURN(const size_t size, file->ReadAt(0, text));
  text.resize(size);
  return text;
}

// A text whose last line is its checksum.
std::string WithChecksum(std::string text) { return text + fmt::format("crc32c {:08x}\n", base::Crc32c(text)); }

std::optional<std::string> WithoutChecksum(std::string text) {
  constexpr size_t kLine = sizeof("crc32c 00000000\n") - 1;
  if (text.size() < kLine) return std::nullopt;
  std::string body = text.substr(0, text.size() - kLine);
  if (WithChecksum(body) != text) return std::nullopt;
  return body;
}

std::vector<std::string_view> Lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

// The new content of a file takes the place of the old one at once.
Status Replace(env::FileSystem& files, const std::string& folder, const std::string& name, std::string_view bytes) {
  const std::string path = JoinPath(folder, name);
  ASSIGN_OR_RETURN(const auto file, files.Create(path + ".new"));
  RETURN_IF_ERROR(file->Append(bytes));
  RETURN_IF_ERROR(file->Sync());
  RETURN_IF_ERROR(file->Close());
  RETURN_IF_ERROR(files.Rename(path + ".new", path));
  return files.SyncFolder(folder);
}

// --------------------------------------------------------------------------------------------------------------------
// reading

// The frames of one file about a shard.
class ShardFile final : public net::FrameSink {
 public:
  Status OnHead(const net::FrameHead& head) override { return Status::Ok(); }
  Status OnFrame(net::Frame frame, size_t wire_bytes) override {
    RETURN_IF_ERROR(Take(frame));
    bytes += wire_bytes;
    return Status::Ok();
  }

  std::optional<param::ShardFileHead> head;
  std::vector<Record> records;
  std::string snapshot;
  std::optional<param::SnapshotPart> part;  // The last one.
  uint64_t bytes = 0;                       // Of whole frames.

 private:
  Status Take(const net::Frame& frame) {
    if (!head) {
      ASSIGN_OR_RETURN(head, param::FromFrame<param::ShardFileHead>(frame));
      return Status::Ok();
    }
    if (frame.header.type == param::kShardRecordsMessage) {
      ASSIGN_OR_RETURN(param::ShardRecords more, param::FromFrame<param::ShardRecords>(frame));
      for (Record& record : more.records) records.push_back(std::move(record));
      return Status::Ok();
    }
    ASSIGN_OR_RETURN(part, param::FromFrame<param::SnapshotPart>(frame));
    if (part->offset != snapshot.size()) return Status::Corrupt("a part of a snapshot is missing");
    snapshot.append(reinterpret_cast<const char*>(part->bytes.bytes.data()), part->bytes.bytes.size());
    return Status::Ok();
  }
};

struct FoundShard {
  std::optional<param::KeptShard> kept;
  uint64_t snapshot = 0;      // Its number.
  uint64_t next_log = 0;      // Where writing goes on.
  uint64_t before_bytes = 0;  // Of the log before that.
};

class ShardReader {
 public:
  ShardReader(env::FileSystem& files, std::string path, uint64_t folder, ShardId shard)
      : files_(files), path_(std::move(path)), folder_(folder), shard_(shard) {}

  Result<FoundShard> Read() {
    ASSIGN_OR_RETURN(const auto entries, files_.List(path_));
    std::set<uint64_t> snapshots, logs;
    for (const env::DirectoryEntry& entry : entries) {
      if (const auto number = NumberBehind(entry.name, "snapshot-")) snapshots.insert(*number);
      if (const auto number = NumberBehind(entry.name, "log-")) logs.insert(*number);
      if (entry.name.ends_with(".new")) (void)files_.RemoveFile(JoinPath(path_, entry.name));
    }
    if (snapshots.empty() && logs.empty()) return FoundShard();  // Not yet, or not any more.
    Status why = Status::Corrupt(fmt::format("\"{}\": it has no snapshot", path_));
    for (auto it = snapshots.rbegin(); it != snapshots.rend(); ++it) {
      Result<FoundShard> found = ReadFrom(*it, logs);
      if (found.ok() || found.status().code() != Code::kCorrupt) return found;
      why = found.status();
      base::LogWarning("{}", why.message());
    }
    return why;
  }

 private:
  Result<FoundShard> ReadFrom(uint64_t number, const std::set<uint64_t>& logs) {
    FoundShard found;
    ASSIGN_OR_RETURN(ShardFile snapshot, ReadFile(fmt::format("snapshot-{}", number), number, std::nullopt, 0));
    if (!snapshot.part || snapshot.snapshot.size() != snapshot.part->size) {
      return Status::Corrupt(fmt::format("\"{}/snapshot-{}\": it ends at byte {}", path_, number, snapshot.bytes));
    }
    found.snapshot = number;
    found.kept = param::KeptShard{shard_, snapshot.head->table, {}, {}};
    found.kept->snapshot =
        ShardSnapshot{snapshot.part->lsn, snapshot.part->lsn_view, SharedBytes::Of(std::move(snapshot.snapshot))};
    found.next_log = number;
    const auto [mark_log, mark_bytes] = ReadMark();
    const uint64_t last = std::max(logs.empty() ? 0 : *logs.rbegin(), mark_log);
    found.next_log = std::max(number, last + 1);
    // From the last one on: each says how much of the one before it counts. Of the last the mark says how much must be
    // there.
    std::vector<std::vector<Record>> records;
    std::optional<uint64_t> end;
    for (uint64_t log = last; log >= number; --log) {
      if (!logs.contains(log)) return Status::Corrupt(fmt::format("\"{}/log-{}\": it is missing", path_, log));
      ASSIGN_OR_RETURN(ShardFile file,
                       ReadFile(fmt::format("log-{}", log), log, end, log == mark_log ? mark_bytes : 0));
      if (log == last) found.before_bytes = file.bytes;
      records.push_back(std::move(file.records));
      end = file.head ? std::optional(file.head->before_bytes) : std::nullopt;
    }
    // For the next log, in case that this snapshot cannot be read then.
    if (last + 1 == number && logs.contains(last)) {
      const auto file = ReadFile(fmt::format("log-{}", last), last, std::nullopt, 0);
      if (file.ok()) found.before_bytes = file->bytes;
    }
    for (auto it = records.rbegin(); it != records.rend(); ++it) {
      for (Record& record : *it) found.kept->records.push_back(std::move(record));
    }
    return found;
  }

  // With `end`, exactly so many bytes. Without, all that is whole; that must be `synced` bytes at least.
  Result<ShardFile> ReadFile(const std::string& name, uint64_t number, std::optional<uint64_t> end, uint64_t synced) {
    const std::string path = JoinPath(path_, name);
    ASSIGN_OR_RETURN(const auto file, files_.OpenRandom(path));
    ShardFile frames;
    net::FrameDecoder decoder({}, &frames);
    std::string buffer(kPieceBytes, '\0');
    const uint64_t size = std::min(file->size(), end.value_or(UINT64_MAX));
    Status status;
    for (uint64_t at = 0; at < size && status.ok();) {
      const std::span<char> piece(buffer.data(), std::min<uint64_t>(buffer.size(), size - at));
      ASSIGN_OR_RETURN(const size_t read, file->ReadAt(at, piece));
      if (read == 0) break;
      status = decoder.Feed(std::string_view(buffer).substr(0, read));
      at += read;
    }
    const bool is_whole = status.ok() && decoder.idle();
    const bool is_snapshot = name.starts_with("snapshot-");
    if (!is_whole && (end || is_snapshot || frames.bytes < synced)) {
      return Status::Corrupt(fmt::format("\"{}\", at byte {} or behind it: {}", path, frames.bytes,
                                         status.ok() ? "it ends too early" : status.message()));
    }
    if (frames.bytes < end.value_or(synced)) {
      return Status::Corrupt(
          fmt::format("\"{}\": it has {} bytes, and had {}", path, frames.bytes, end.value_or(synced)));
    }
    if (frames.head &&
        (frames.head->folder != folder_ || frames.head->shard != shard_ || frames.head->number != number)) {
      return Status::Corrupt(fmt::format("\"{}\": it is another file, \"{}\" number {} of folder {:016x}", path,
                                         NameOf(frames.head->shard), frames.head->number, frames.head->folder));
    }
    return frames;
  }

  // Log and bytes; nothing when there is no mark, or it was being written.
  std::pair<uint64_t, uint64_t> ReadMark() {
    auto text = ReadText(files_, JoinPath(path_, "mark"), 200);
    if (!text.ok()) return {0, 0};
    const auto body = WithoutChecksum(*std::move(text));
    if (!body) return {0, 0};
    const auto lines = Lines(*body);
    if (lines.size() != 2) return {0, 0};
    return {NumberBehind(lines[0], "log ").value_or(0), NumberBehind(lines[1], "bytes ").value_or(0)};
  }

  env::FileSystem& files_;
  const std::string path_;
  const uint64_t folder_;
  const ShardId shard_;
};

}  // namespace

// --------------------------------------------------------------------------------------------------------------------
// writing

class ServerDisk::Impl {
 public:
  Impl(env::Env& env, std::string folder, const ServerDiskOptions& options, ServerDiskEvents& events)
      : env_(env), files_(env.files()), path_(std::move(folder)), options_(options), events_(events) {}

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

  Status Open() {
    RETURN_IF_ERROR(files_.MakeFolders(JoinPath(path_, "shards")));
    RETURN_IF_ERROR(ReadIncarnations());
    ASSIGN_OR_RETURN(const auto entries, files_.List(JoinPath(path_, "shards")));
    for (const env::DirectoryEntry& entry : entries) {
      if (const auto shard = ParseShard(entry.name)) RETURN_IF_ERROR(ReadShard(*shard));
    }
    kept_.has_disk = true;
    kept_.before = incarnations_;
    thread_ = std::thread([this] { Run(); });
    return Status::Ok();
  }

  struct Task {
    enum class Kind { kBegin, kRecord, kSnapshot, kCut, kErase } kind;
    ShardId shard;
    SharedBytes table;
    Record record;
    ShardSnapshot snapshot;
    uint64_t incarnation = 0;
  };

  void Add(Task task) {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    wake_.notify_one();
  }

  KeptServer kept_;

 private:
  struct Shard {
    std::deque<Task> tasks;  // Not done yet; more than none between two rounds when the disk is full.
    SharedBytes table;
    bool has_folder = false;
    std::unique_ptr<env::WritableFile> log;
    uint64_t log_number = 0;    // Of `log`.
    uint64_t log_bytes = 0;     // Of `log`, whole frames.
    uint64_t head_bytes = 0;    // Of these.
    uint64_t next_log = 1;      // When none is open.
    uint64_t before_bytes = 0;  // Of the log before `next_log`.
    uint64_t bytes = 0;         // Of all logs since a snapshot was wanted.
    uint64_t last_lsn = 0;
    uint64_t cut_at = 0;  // A snapshot of this number is wanted; 0: none.
    uint64_t snapshot = 0;
    uint64_t snapshot_before = 0;
    uint64_t count = 0;  // Writes done.
    bool is_dirty = false;
  };

  std::string FolderOf(const ShardId& shard) const { return JoinPath(JoinPath(path_, "shards"), NameOf(shard)); }

  Status ReadIncarnations() {
    const std::string path = JoinPath(path_, "INCARNATIONS");
    auto text = ReadText(files_, path, kIncarnationsKept * 40);
    if (text.status().code() == Code::kNotFound) {
      id_ = env_.RandomSeed();
      return Status::Ok();
    }
    RETURN_IF_ERROR(text.status());
    const auto body = WithoutChecksum(*std::move(text));
    bool is_right = body.has_value();
    const auto lines = Lines(body ? *body : std::string_view());
    for (size_t i = 0; i < lines.size(); ++i) {
      const auto number = NumberBehind(lines[i], i == 0 ? "folder " : "incarnation ");
      is_right &= number.has_value();
      if (i == 0) id_ = number.value_or(0);
      if (i > 0 && number) incarnations_.push_back(*number);
    }
    if (!is_right || lines.empty()) return Status::Corrupt(fmt::format("\"{}\": it fails its checksum", path));
    return Status::Ok();
  }

  Status WriteIncarnation(uint64_t incarnation) {
    incarnations_.push_back(incarnation);
    if (incarnations_.size() > kIncarnationsKept) incarnations_.erase(incarnations_.begin());
    std::string text = fmt::format("folder {}\n", id_);
    for (const uint64_t number : incarnations_) text += fmt::format("incarnation {}\n", number);
    const Status status = Replace(files_, path_, "INCARNATIONS", WithChecksum(std::move(text)));
    if (!status.ok()) incarnations_.pop_back();
    return status;
  }

  Status ReadShard(const ShardId& id) {
    const std::string path = FolderOf(id);
    auto found = ShardReader(files_, path, id_, id).Read();
    if (!found.ok() && found.status().code() != Code::kCorrupt) return found.status();
    if (!found.ok()) {
      const std::string aside = JoinPath(JoinPath(path_, "damaged"), NameOf(id));
      base::LogWarning("shard {} of table {} is not taken up from the disk, and set aside as \"{}\": {}", id.shard,
                       id.table, aside, found.status().message());
      RETURN_IF_ERROR(files_.MakeFolders(JoinPath(path_, "damaged")));
      RETURN_IF_ERROR(files_.RemoveAll(aside));
      return files_.Rename(path, aside);
    }
    if (!found->kept) return files_.RemoveAll(path);
    Shard& shard = shards_[id];
    shard.has_folder = true;
    shard.table = found->kept->table;
    shard.snapshot = found->snapshot;
    shard.next_log = found->next_log;
    shard.before_bytes = found->before_bytes;
    kept_.shards.push_back(*std::move(found->kept));
    return Status::Ok();
  }

  void Run() {
    bool full = false;
    for (;;) {
      std::vector<Task> tasks;
      {
        std::unique_lock lock(mutex_);
        const auto ready = [&] { return stop_ || !tasks_.empty(); };
        if (full) {
          wake_.wait_for(lock, std::chrono::nanoseconds(options_.retry_nanos), ready);
        } else if (to_mark_.empty()) {
          wake_.wait(lock, ready);
        } else if (!wake_.wait_for(lock, std::chrono::milliseconds(50), ready)) {
          lock.unlock();
          WriteMarks();
          continue;
        }
        if (stop_) return;
        tasks.swap(tasks_);
      }
      bool is_full = false;
      const Status status = Round(std::move(tasks), &is_full);
      if (!status.ok()) return events_.OnFailed(Status(status).With("the server's data folder"));
      if (is_full != full) events_.OnFull(is_full);
      full = is_full;
      if (!to_mark_.empty() && env_.clock().MonotonicNanos() - marked_at_ > kMarkNanos) WriteMarks();
    }
  }

  Status Round(std::vector<Task> tasks, bool* is_full) {
    for (Task& task : tasks) {
      if (task.kind == Task::Kind::kBegin) {
        begin_ = task.incarnation;
      } else {
        shards_[task.shard].tasks.push_back(std::move(task));
      }
    }
    if (begin_ != 0) {
      const Status status = WriteIncarnation(begin_);
      if (status.code() == Code::kExhausted) {
        *is_full = true;
        return Status::Ok();
      }
      RETURN_IF_ERROR(status);
      begin_ = 0;
      events_.OnBegun();
    }
    std::map<ShardId, uint64_t> done;
    for (auto& [id, shard] : shards_) {
      while (!shard.tasks.empty()) {
        const uint64_t before = shard.count;
        const Status status = Work(id, shard);
        if (shard.count > before) done[id] = shard.count;
        if (status.code() == Code::kExhausted) {
          *is_full = true;
          break;
        }
        RETURN_IF_ERROR(status);
      }
    }
    for (auto& [id, shard] : shards_) {
      if (!shard.is_dirty) continue;
      RETURN_IF_ERROR(SyncLog(shard));
      to_mark_.insert(id);
    }
    for (const auto& [id, count] : done) events_.OnWritten(id, count);
    for (auto& [id, shard] : shards_) {
      if (shard.cut_at != 0 || shard.bytes < options_.log_bytes_max) continue;
      RETURN_IF_ERROR(CloseLog(shard));
      shard.cut_at = shard.next_log;
      shard.bytes = 0;
      events_.OnLogFull(id, shard.last_lsn);
    }
    return Status::Ok();
  }

  // The first of its tasks, and others that go with it. kExhausted: nothing of it is done.
  Status Work(const ShardId& id, Shard& shard) {
    Task& task = shard.tasks.front();
    switch (task.kind) {
      case Task::Kind::kBegin: break;
      case Task::Kind::kRecord: return WriteRecords(id, shard);
      case Task::Kind::kSnapshot: {
        shard.table = task.table;
        const uint64_t number = (shard.log ? shard.log_number + 1 : shard.next_log) + 1;
        RETURN_IF_ERROR(WriteSnapshot(id, shard, number, task.snapshot));
        RETURN_IF_ERROR(CloseLog(shard));
        shard.next_log = number;
        shard.snapshot = number;
        shard.snapshot_before = number;
        RETURN_IF_ERROR(RemoveBelow(id, number, number));
        shard.cut_at = shard.before_bytes = shard.bytes = 0;
        shard.last_lsn = task.snapshot.lsn;
        ++shard.count;
        break;
      }
      case Task::Kind::kCut: {
        if (shard.cut_at == 0) break;  // Erased meanwhile.
        const Status status = WriteSnapshot(id, shard, shard.cut_at, task.snapshot);
        if (status.ok()) {
          shard.snapshot_before = std::exchange(shard.snapshot, shard.cut_at);
          RETURN_IF_ERROR(RemoveBelow(id, shard.snapshot_before, shard.snapshot_before));
        } else if (status.code() != Code::kExhausted) {
          return status;
        }
        shard.cut_at = 0;  // Without room for it: again, when as much was written once more.
        break;
      }
      case Task::Kind::kErase: {
        RETURN_IF_ERROR(CloseLog(shard));
        RETURN_IF_ERROR(files_.RemoveAll(FolderOf(id)));
        to_mark_.erase(id);
        shard.has_folder = false;
        shard.cut_at = shard.before_bytes = shard.bytes = shard.snapshot = shard.snapshot_before = 0;
        break;
      }
    }
    shard.tasks.pop_front();
    return Status::Ok();
  }

  // No sync is tried again (R13): it would not tell of what the first one lost, also where that was for lack of room.
  static Status SyncLog(Shard& shard) {
    const Status status = shard.log->Sync();
    if (!status.ok()) return Status::Unavailable(status.message());
    shard.is_dirty = false;
    return Status::Ok();
  }

  Status CloseLog(Shard& shard) {
    if (!shard.log) return Status::Ok();
    if (shard.is_dirty) RETURN_IF_ERROR(SyncLog(shard));
    RETURN_IF_ERROR(shard.log->Close());
    shard.log.reset();
    shard.next_log = shard.log_number + 1;
    shard.before_bytes = shard.log_bytes;
    return Status::Ok();
  }

  Status MakeFolder(const ShardId& id, Shard& shard) {
    if (shard.has_folder) return Status::Ok();
    RETURN_IF_ERROR(files_.MakeFolders(FolderOf(id)));
    RETURN_IF_ERROR(files_.SyncFolder(JoinPath(path_, "shards")));
    shard.has_folder = true;
    return Status::Ok();
  }

  Status WriteRecords(const ShardId& id, Shard& shard) {
    param::ShardRecords records;
    size_t bytes = 0;
    for (const Task& task : shard.tasks) {
      if (task.kind != Task::Kind::kRecord) break;
      bytes += task.record.op.bytes.size() + 64;
      if (!records.records.empty() && bytes > kPieceBytes / 2) break;
      records.records.push_back(task.record);
    }
    RETURN_IF_ERROR(MakeFolder(id, shard));
    if (!shard.log) {
      const std::string path = JoinPath(FolderOf(id), fmt::format("log-{}", shard.next_log));
      ASSIGN_OR_RETURN(auto log, files_.Create(path));
      const std::string head =
          Encode(param::ShardFileHead{id_, id, shard.next_log, shard.before_bytes, shard.tasks.front().table});
      Status status = log->Append(head);
      if (status.ok()) status = files_.SyncFolder(FolderOf(id));
      if (!status.ok()) {
        (void)files_.RemoveFile(path);
        return status;
      }
      shard.log = std::move(log);
      shard.log_number = shard.next_log;
      shard.log_bytes = shard.head_bytes = head.size();
    }
    const std::string frame = Encode(records);
    if (const Status status = shard.log->Append(frame); !status.ok()) {
      if (status.code() != Code::kExhausted) return status;
      // A part of it may be there. What is before counts, and the next log says how much that is.
      if (shard.log_bytes > shard.head_bytes) {
        RETURN_IF_ERROR(CloseLog(shard));
      } else {
        shard.log.reset();
        RETURN_IF_ERROR(files_.RemoveFile(JoinPath(FolderOf(id), fmt::format("log-{}", shard.log_number))));
      }
      return status;
    }
    shard.is_dirty = true;
    shard.log_bytes += frame.size();
    shard.bytes += frame.size();
    shard.last_lsn = records.records.back().lsn;
    shard.count += records.records.size();
    shard.tasks.erase(shard.tasks.begin(), shard.tasks.begin() + static_cast<ptrdiff_t>(records.records.size()));
    return Status::Ok();
  }

  Status WriteSnapshot(const ShardId& id, Shard& shard, uint64_t number, const ShardSnapshot& snapshot) {
    RETURN_IF_ERROR(MakeFolder(id, shard));
    const std::string folder = FolderOf(id);
    const std::string path = JoinPath(folder, fmt::format("snapshot-{}", number)), beside = path + ".new";
    const auto write = [&]() -> Status {
      ASSIGN_OR_RETURN(const auto file, files_.Create(beside));
      RETURN_IF_ERROR(file->Append(Encode(param::ShardFileHead{id_, id, number, 0, shard.table})));
      const size_t size = snapshot.bytes.bytes.size();
      size_t at = 0;
      do {
        const auto piece = snapshot.bytes.bytes.subspan(at, std::min(kPieceBytes, size - at));
        RETURN_IF_ERROR(file->Append(Encode(param::SnapshotPart{
            id, 0, {}, snapshot.lsn, snapshot.lsn_view, at, size, SharedBytes{snapshot.bytes.owner, piece}})));
        at += piece.size();
      } while (at < size);
      RETURN_IF_ERROR(file->Sync());
      RETURN_IF_ERROR(file->Close());
      RETURN_IF_ERROR(files_.Rename(beside, path));
      return files_.SyncFolder(folder);
    };
    const Status status = write();
    if (!status.ok()) (void)files_.RemoveFile(beside);
    return status;
  }

  // What newer snapshots stand for.
  Status RemoveBelow(const ShardId& id, uint64_t snapshot, uint64_t log) {
    const std::string folder = FolderOf(id);
    ASSIGN_OR_RETURN(const auto entries, files_.List(folder));
    for (const env::DirectoryEntry& entry : entries) {
      const auto snapshot_number = NumberBehind(entry.name, "snapshot-");
      const auto log_number = NumberBehind(entry.name, "log-");
      if (snapshot_number.value_or(snapshot) >= snapshot && log_number.value_or(log) >= log) continue;
      RETURN_IF_ERROR(files_.RemoveFile(JoinPath(folder, entry.name)));
    }
    return Status::Ok();
  }

  // Not synced, and lost without harm: a log is looked at less closely then.
  void WriteMarks() {
    marked_at_ = env_.clock().MonotonicNanos();
    for (const ShardId& id : std::exchange(to_mark_, {})) {
      Shard& shard = shards_[id];
      if (!shard.log) continue;
      auto file = files_.Create(JoinPath(FolderOf(id), "mark"));
      if (!file.ok()) continue;
      (void)(*file)->Append(WithChecksum(fmt::format("log {}\nbytes {}\n", shard.log_number, shard.log_bytes)));
    }
  }

  env::Env& env_;
  env::FileSystem& files_;
  const std::string path_;
  const ServerDiskOptions options_;
  ServerDiskEvents& events_;
  std::thread thread_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Task> tasks_;
  bool stop_ = false;

  // The thread's.
  uint64_t id_ = 0;
  std::vector<uint64_t> incarnations_;
  uint64_t begin_ = 0;
  std::map<ShardId, Shard> shards_;
  std::set<ShardId> to_mark_;
  int64_t marked_at_ = 0;
};

Result<std::unique_ptr<ServerDisk>> ServerDisk::Open(env::Env& env, std::string folder,
                                                     const ServerDiskOptions& options, ServerDiskEvents& events) {
  auto impl = std::make_unique<Impl>(env, std::move(folder), options, events);
  RETURN_IF_ERROR(impl->Open());
  return std::unique_ptr<ServerDisk>(new ServerDisk(std::move(impl)));
}

ServerDisk::ServerDisk(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ServerDisk::~ServerDisk() = default;
KeptServer ServerDisk::TakeKept() { return std::move(impl_->kept_); }

void ServerDisk::Begin(uint64_t incarnation) { impl_->Add({Impl::Task::Kind::kBegin, {}, {}, {}, {}, incarnation}); }
void ServerDisk::Write(const ShardId& shard, const SharedBytes& table, const Record& record) {
  impl_->Add({Impl::Task::Kind::kRecord, shard, table, record, {}, 0});
}
void ServerDisk::Write(const ShardId& shard, const SharedBytes& table, const ShardSnapshot& snapshot) {
  impl_->Add({Impl::Task::Kind::kSnapshot, shard, table, {}, snapshot, 0});
}
void ServerDisk::Cut(const ShardId& shard, const ShardSnapshot& snapshot) {
  impl_->Add({Impl::Task::Kind::kCut, shard, {}, {}, snapshot, 0});
}
void ServerDisk::Erase(const ShardId& shard) { impl_->Add({Impl::Task::Kind::kErase, shard, {}, {}, {}, 0}); }

}  // namespace glim::cluster
