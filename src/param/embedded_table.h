// SPDX-License-Identifier: Apache-2.0
//
// A table that lives in this process: the shards of src/table under a mutex each, called directly by whoever pushes and
// pulls. No thread is handed over to and no value is copied on the way: keys are split by shard (a counting sort),
// values are read where the caller has them.
//
//   one key      check, hash, lock, look-up: about 0.1 us; no allocation
//   many keys    slices of 65,536 keys, so that the split stays in the cache: 12 bytes written per key, then each
//   shard's pass under its lock
//
// A request over several shards passes a gate, which Save, Load and Drop close for a moment: so a snapshot holds all of
// a request of one slice or nothing, and of two requests made one after the other never only the later. Requests for
// one key lock one shard only.
//
// Thread: any.
// Always true: all shards are there, or none (after Drop).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "env/env.h"
#include "glim/table.h"
#include "param/clocks/embedded_clock.h"
#include "param/gate.h"
#include "param/shard_mutex.h"
#include "param/table_layout.h"
#include "table/shard.h"

namespace glim::param {

class EmbeddedTable final : public TableClient, public std::enable_shared_from_this<EmbeddedTable> {
 public:
  // `env` must live as long as the table. `dropped` is called once, when somebody drops it, with nothing locked.
  // Expects: CheckTableSpec gave this spec, and spec.shards > 0.
  EmbeddedTable(env::Env& env, TableSpec spec, std::function<void(EmbeddedTable*)> dropped);

  uint64_t id() const { return id_; }
  const TableSpec& spec() const override { return spec_; }

  Future<void> Push(std::span<const Key> keys, std::span<const std::byte> values, const PushOptions& options) override;
  Future<void> Pull(std::span<const Key> keys, std::span<std::byte> out, const PullOptions& options) override;
  Future<void> PushPull(std::span<const Key> keys, std::span<const std::byte> values, std::span<std::byte> out,
                        const PushOptions& options) override;
  Future<void> VPush(std::span<const Key> keys, std::span<const std::byte> values, std::span<const uint32_t> lengths,
                     const PushOptions& options) override;
  Future<VariableBytes> VPull(std::span<const Key> keys, const PullOptions& options) override;

  Status Scan(ScanCursor* cursor, size_t rows_max, RowChunk* chunk) override;
  Result<uint64_t> CountNonZero() override;
  Result<TableInfo> Describe() override;
  Result<std::string> Handle() const override;
  Status Save(const std::string& folder, const SaveOptions& options) override;
  Status Load(const std::string& folder, const LoadOptions& options) override;
  Status Drop() override;
  Result<WorkerHandle> Join(const JoinOptions& options) override;
  Status RemoveWorker(uint32_t worker) override;

 private:
  class Worker;

  struct alignas(64) Slot {
    ShardMutex mutex;
    std::unique_ptr<table::Shard> shard;  // Null after Drop.
  };
  using Shards = std::vector<std::unique_ptr<table::Shard>>;

  // The request itself, after its dependencies. What they are given was not checked.
  Status PushNow(std::span<const Key> keys, std::span<const std::byte> values);
  Status PullNow(std::span<const Key> keys, std::span<std::byte> out);
  Status PushPullNow(std::span<const Key> keys, std::span<const std::byte> values, std::span<std::byte> out);
  Status VPushNow(std::span<const Key> keys, std::span<const std::byte> values, std::span<const uint32_t> lengths);
  Status VPullNow(std::span<const Key> keys, VariableBytes* rows);

  // What a push needs to make sense, and the push.
  Status CheckPush(std::span<const Key> keys, std::span<const std::byte> values) const;
  Status PushRows(std::span<const Key> keys, std::span<const std::byte> values);
  // Rows of variable length: sets where each begins.
  Status CheckVPush(std::span<const Key> keys, std::span<const std::byte> values, std::span<const uint32_t> lengths,
                    std::vector<uint64_t>* begins) const;
  Status VPushRows(std::span<const Key> keys, std::span<const std::byte> values, std::span<const uint32_t> lengths,
                   std::span<const uint64_t> begins);
  void Combine(const HeldPush& push);
  // While a clock ends: a snapshot of a bulk-synchronous table holds whole clocks.
  std::unique_lock<std::mutex> HoldSnapshots();

  Status Dropped() const;

  // Calls work(shard, list, first) for the keys of each shard, under its lock; rows of the list are counted from key
  // `first` of the request.
  template <class Work>
  Status ForEachShard(std::span<const Key> keys, Work work);
  // Calls work(slot) for each shard under its lock.
  template <class Work>
  Status ForEachSlot(Work work) const;

  env::Env& env_;
  const TableLayout layout_;
  const TableSpec& spec_;
  const uint64_t id_;
  const size_t row_bytes_;  // 0 for rows of variable length.
  const std::function<void(EmbeddedTable*)> dropped_;
  Gate gate_;
  std::mutex save_mutex_;  // One Save or Load at a time.
  mutable std::vector<Slot> slots_;
  EmbeddedClock clock_;
};

}  // namespace glim::param
