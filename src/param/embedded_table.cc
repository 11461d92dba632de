// SPDX-License-Identifier: Apache-2.0
#include "param/embedded_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/try.h"
#include "param/after.h"
#include "param/model_folder.h"
#include "param/table_address.h"

namespace glim::param {
namespace {

constexpr size_t kSliceKeys = 65536;

// What a request needs of memory, kept for the thread's next one. At most some MiB, as it serves a slice at a time.
struct Scratch {
  partition::SplitKeys split;
};
Scratch& ThreadScratch() {
  thread_local Scratch scratch;
  return scratch;
}

template <class T>
std::vector<T> Copy(std::span<const T> span) {
  return {span.begin(), span.end()};
}

}  // namespace

EmbeddedTable::EmbeddedTable(env::Env& env, TableSpec spec, std::function<void(EmbeddedTable*)> dropped)
    : env_(env),
      layout_(std::move(spec)),
      spec_(layout_.spec()),
      id_(env.RandomSeed()),
      row_bytes_(layout_.row_bytes()),
      dropped_(std::move(dropped)),
      slots_(spec_.shards),
      clock_(env.clock(), spec_.name, spec_.consistency, [this](const HeldPush& push) { Combine(push); }) {
  Shards shards = layout_.MakeShards();
  for (uint32_t s = 0; s < spec_.shards; ++s) slots_[s].shard = std::move(shards[s]);
}

// Without `after` the request is made here and now; the deadline is for those who have to wait.
Future<void> EmbeddedTable::Push(std::span<const Key> keys, std::span<const std::byte> values,
                                 const PushOptions& options) {
  if (AllReady(options.after)) [[likely]] {
    if (Status failure = FailureOf(options.after); !failure.ok()) return failure;
    return PushNow(keys, values);
  }
  return RunAfter(options, env_.clock(), [self = shared_from_this(), keys = Copy(keys), values = Copy(values)] {
    return self->PushNow(keys, values);
  });
}

Future<void> EmbeddedTable::Pull(std::span<const Key> keys, std::span<std::byte> out, const PullOptions& options) {
  if (AllReady(options.after)) [[likely]] {
    if (Status failure = FailureOf(options.after); !failure.ok()) return failure;
    return PullNow(keys, out);
  }
  return RunAfter(options, env_.clock(),
                  [self = shared_from_this(), keys = Copy(keys), out] { return self->PullNow(keys, out); });
}

Future<void> EmbeddedTable::PushPull(std::span<const Key> keys, std::span<const std::byte> values,
                                     std::span<std::byte> out, const PushOptions& options) {
  if (AllReady(options.after)) [[likely]] {
    if (Status failure = FailureOf(options.after); !failure.ok()) return failure;
    return PushPullNow(keys, values, out);
  }
  return RunAfter(options, env_.clock(), [self = shared_from_this(), keys = Copy(keys), values = Copy(values), out] {
    return self->PushPullNow(keys, values, out);
  });
}

Future<void> EmbeddedTable::VPush(std::span<const Key> keys, std::span<const std::byte> values,
                                  std::span<const uint32_t> lengths, const PushOptions& options) {
  if (AllReady(options.after)) [[likely]] {
    if (Status failure = FailureOf(options.after); !failure.ok()) return failure;
    return VPushNow(keys, values, lengths);
  }
  return RunAfter(options, env_.clock(),
                  [self = shared_from_this(), keys = Copy(keys), values = Copy(values), lengths = Copy(lengths)] {
                    return self->VPushNow(keys, values, lengths);
                  });
}

Future<VariableBytes> EmbeddedTable::VPull(std::span<const Key> keys, const PullOptions& options) {
  if (AllReady(options.after)) [[likely]] {
    if (Status failure = FailureOf(options.after); !failure.ok()) return failure;
    VariableBytes rows;
    if (Status status = VPullNow(keys, &rows); !status.ok()) return status;
    return rows;
  }
  auto rows = std::make_shared<VariableBytes>();
  Future<void> pulled = RunAfter(options, env_.clock(), [self = shared_from_this(), keys = Copy(keys), rows] {
    return self->VPullNow(keys, rows.get());
  });
  return std::move(pulled).With(rows).Map([](std::shared_ptr<VariableBytes> rows) { return std::move(*rows); });
}

Status EmbeddedTable::PushNow(std::span<const Key> keys, std::span<const std::byte> values) {
  RETURN_IF_ERROR(layout_.CheckWithoutWorker("Push"));
  RETURN_IF_ERROR(CheckPush(keys, values));
  return PushRows(keys, values);
}

Status EmbeddedTable::CheckPush(std::span<const Key> keys, std::span<const std::byte> values) const {
  RETURN_IF_ERROR(layout_.CheckFixed("Push"));
  RETURN_IF_ERROR(layout_.CheckKeys(keys));
  RETURN_IF_ERROR(layout_.CheckRows("values", keys.size(), values.size()));
  return layout_.CheckValues(keys, values, nullptr);
}

Status EmbeddedTable::PushRows(std::span<const Key> keys, std::span<const std::byte> values) {
  return ForEachShard(keys, [&](table::Shard& shard, const table::KeyList& list, size_t first) {
    shard.Push(list, values.data() + first * row_bytes_);
  });
}

Status EmbeddedTable::PullNow(std::span<const Key> keys, std::span<std::byte> out) {
  RETURN_IF_ERROR(layout_.CheckFixed("Pull"));
  RETURN_IF_ERROR(layout_.CheckKeys(keys));
  RETURN_IF_ERROR(layout_.CheckRows("room", keys.size(), out.size()));
  return ForEachShard(keys, [&](table::Shard& shard, const table::KeyList& list, size_t first) {
    shard.Pull(list, out.data() + first * row_bytes_);
  });
}

Status EmbeddedTable::PushPullNow(std::span<const Key> keys, std::span<const std::byte> values,
                                  std::span<std::byte> out) {
  RETURN_IF_ERROR(layout_.CheckWithoutWorker("PushPull"));
  RETURN_IF_ERROR(layout_.CheckFixed("PushPull"));
  RETURN_IF_ERROR(layout_.CheckKeys(keys));
  RETURN_IF_ERROR(layout_.CheckRows("values", keys.size(), values.size()));
  RETURN_IF_ERROR(layout_.CheckRows("room", keys.size(), out.size()));
  RETURN_IF_ERROR(layout_.CheckValues(keys, values, nullptr));
  return ForEachShard(keys, [&](table::Shard& shard, const table::KeyList& list, size_t first) {
    shard.Push(list, values.data() + first * row_bytes_);
    shard.Pull(list, out.data() + first * row_bytes_);
  });
}

Status EmbeddedTable::VPushNow(std::span<const Key> keys, std::span<const std::byte> values,
                               std::span<const uint32_t> lengths) {
  RETURN_IF_ERROR(layout_.CheckWithoutWorker("VPush"));
  std::vector<uint64_t> begins;
  RETURN_IF_ERROR(CheckVPush(keys, values, lengths, &begins));
  return VPushRows(keys, values, lengths, begins);
}

Status EmbeddedTable::CheckVPush(std::span<const Key> keys, std::span<const std::byte> values,
                                 std::span<const uint32_t> lengths, std::vector<uint64_t>* begins) const {
  RETURN_IF_ERROR(layout_.CheckWidths(keys.size(), lengths));
  if (!spec_.is_variable()) return CheckPush(keys, values);
  RETURN_IF_ERROR(layout_.CheckLengths(values.size(), lengths, begins));
  RETURN_IF_ERROR(layout_.CheckKeys(keys));
  return layout_.CheckValues(keys, values, begins->data());
}

Status EmbeddedTable::VPushRows(std::span<const Key> keys, std::span<const std::byte> values,
                                std::span<const uint32_t> lengths, std::span<const uint64_t> begins) {
  if (!spec_.is_variable()) return PushRows(keys, values);
  return ForEachShard(keys, [&](table::Shard& shard, const table::KeyList& list, size_t first) {
    shard.VPush(list, values.data(), begins.data() + first, lengths.data() + first);
  });
}

Status EmbeddedTable::VPullNow(std::span<const Key> keys, VariableBytes* rows) {
  rows->lengths.resize(keys.size());
  if (!spec_.is_variable()) {
    rows->values.resize(keys.size() * row_bytes_);
    std::fill(rows->lengths.begin(), rows->lengths.end(), spec_.width);
    return PullNow(keys, rows->values);
  }
  RETURN_IF_ERROR(layout_.CheckKeys(keys));
  const size_t bytes = ValueBytes(spec_.value_type);
  // Lengths and values must be of one moment, so each shard's rows are staged while it is locked, and put in order at
  // the end.
  std::vector<std::byte> staged;
  std::vector<uint64_t> begins(keys.size());
  uint64_t count = 0;
  RETURN_IF_ERROR(ForEachShard(keys, [&](table::Shard& shard, const table::KeyList& list, size_t first) {
    shard.VPullLengths(list, rows->lengths.data() + first);
    for (size_t i = 0; i < list.keys.size(); ++i) {
      const size_t row = first + list.order[i];
      begins[row] = count;
      count += rows->lengths[row];
    }
    staged.resize(count * bytes);
    shard.VPull(list, begins.data() + first, rows->lengths.data() + first, staged.data());
  }));
  rows->values.resize(staged.size());
  std::byte* to = rows->values.data();
  for (size_t i = 0; i < keys.size(); ++i) {
    if (rows->lengths[i] == 0) continue;
    std::memcpy(to, staged.data() + begins[i] * bytes, rows->lengths[i] * bytes);
    to += rows->lengths[i] * bytes;
  }
  return Status::Ok();
}

template <class Work>
Status EmbeddedTable::ForEachShard(std::span<const Key> keys, Work work) {
  if (keys.size() == 1) {
    Slot& slot = slots_[layout_.partition().ShardOf(keys[0])];
    std::lock_guard lock(slot.mutex);
    if (slot.shard == nullptr) [[unlikely]]
      return Dropped();
    work(*slot.shard, table::KeyList{keys, {}}, 0);
    return Status::Ok();
  }
  Gate::Pass pass(gate_);
  partition::SplitKeys& split = ThreadScratch().split;
  for (size_t first = 0; first < keys.size(); first += kSliceKeys) {
    layout_.partition().Split(keys.subspan(first, std::min(keys.size() - first, kSliceKeys)), &split);
    for (uint32_t s = 0; s < spec_.shards; ++s) {
      const uint32_t begin = split.begin(s), end = split.end(s);
      if (begin == end) continue;
      table::RowOrder order = table::RowOrder{split.positions, 0}.From(begin);
      std::lock_guard lock(slots_[s].mutex);
      if (slots_[s].shard == nullptr) [[unlikely]]
        return Dropped();
      work(*slots_[s].shard, table::KeyList{split.keys.subspan(begin, end - begin), order}, first);
    }
  }
  return Status::Ok();
}

template <class Work>
Status EmbeddedTable::ForEachSlot(Work work) const {
  for (Slot& slot : slots_) {
    std::lock_guard lock(slot.mutex);
    if (slot.shard == nullptr) return Dropped();
    work(*slot.shard);
  }
  return Status::Ok();
}

Status EmbeddedTable::Dropped() const { return Status::NotFound(fmt::format("table \"{}\" was dropped", spec_.name)); }

Status EmbeddedTable::Scan(ScanCursor* cursor, size_t rows_max, RowChunk* chunk) {
  if (cursor->shard >= slots_.size()) {
    return Status::Invalid(
        fmt::format("table \"{}\" has no shard {}; it has {}", spec_.name, cursor->shard, slots_.size()));
  }
  chunk->keys.clear();
  chunk->values.clear();
  chunk->lengths.clear();
  if (cursor->done) return Status::Ok();
  Slot& slot = slots_[cursor->shard];
  std::lock_guard lock(slot.mutex);
  if (slot.shard == nullptr) return Dropped();
  cursor->done = slot.shard->Scan(&cursor->position, std::max<size_t>(rows_max, 1), false, chunk);
  return Status::Ok();
}

Result<uint64_t> EmbeddedTable::CountNonZero() {
  uint64_t count = 0;
  RETURN_IF_ERROR(ForEachSlot([&](table::Shard& shard) { count += shard.CountNonZero(); }));
  return count;
}

Result<TableInfo> EmbeddedTable::Describe() {
  TableInfo info{.spec = spec_, .memory_bytes = sizeof(*this)};
  RETURN_IF_ERROR(ForEachSlot([&](table::Shard& shard) {
    info.keys_stored += shard.keys_stored();
    info.memory_bytes += shard.memory_bytes();
  }));
  return info;
}

Result<std::string> EmbeddedTable::Handle() const {
  return ToString(TableAddress{std::string(kEmbeddedPlace), spec_.name, spec_.value_type, id_});
}

Status EmbeddedTable::Save(const std::string& folder, const SaveOptions& options) {
  std::lock_guard saving(save_mutex_);
  std::vector<std::unique_lock<ShardMutex>> locks;
  {
    // The moment of the snapshot: no request over several shards is under way, and then every shard is held until it is
    // written.
    ClosedGate closed(gate_);
    for (Slot& slot : slots_) locks.emplace_back(slot.mutex);
  }
  if (slots_[0].shard == nullptr) return Dropped();
  ModelWriter writer(env_, folder, spec_, layout_.kernel(), options.rule_state);
  Status status = writer.Begin();
  for (uint32_t s = 0; s < spec_.shards && status.ok(); ++s) {
    status = writer.Write(*slots_[s].shard);
    locks[s].unlock();
    if (status.ok()) status = writer.SyncFile();
  }
  locks.clear();
  if (status.ok()) status = writer.Commit();
  if (!status.ok()) writer.Abandon();
  return std::move(status).With(fmt::format("saving table \"{}\" to \"{}\"", spec_.name, folder));
}

Status EmbeddedTable::Load(const std::string& folder, const LoadOptions& options) {
  std::lock_guard loading(save_mutex_);
  // Into new shards, which take the place of the old ones when all is read and found good.
  Shards shards = layout_.MakeShards();
  Status status = ReadModel(env_, folder, layout_, options.rule_state, shards);
  if (!status.ok()) return std::move(status).With(fmt::format("loading table \"{}\" from \"{}\"", spec_.name, folder));
  ClosedGate closed(gate_);
  std::vector<std::unique_lock<ShardMutex>> locks;
  for (Slot& slot : slots_) locks.emplace_back(slot.mutex);
  if (slots_[0].shard == nullptr) return Dropped();
  for (uint32_t s = 0; s < spec_.shards; ++s) std::swap(slots_[s].shard, shards[s]);
  return Status::Ok();
}

Status EmbeddedTable::Drop() {
  Shards shards;
  {
    ClosedGate closed(gate_);
    std::vector<std::unique_lock<ShardMutex>> locks;
    for (Slot& slot : slots_) locks.emplace_back(slot.mutex);
    if (slots_[0].shard == nullptr) return Dropped();
    for (Slot& slot : slots_) shards.push_back(std::move(slot.shard));
  }
  clock_.Close();
  if (dropped_) dropped_(this);
  return Status::Ok();
}

}  // namespace glim::param
