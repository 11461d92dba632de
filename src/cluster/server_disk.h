// SPDX-License-Identifier: Apache-2.0
//
// What a server writes into its data folder (data_folder.h): its shards of durability disk. docs/format/shard_log.md
// has the bytes.
//
//   INCARNATIONS  the folder's random number, and the incarnations that wrote to it
//   shards/T-S/   of table T, shard S
//     snapshot-N  the state after all that stands in logs below N
//     log-N       records behind that, in the order of their writing; N counts on
//     mark        how much of the last log was synced; a torn end behind that is no damage
//   damaged/      shards that failed a checksum, for whoever wants to look
//
// One thread writes: all that came together, then one sync for each log, then the events. When a log has grown, a new
// one is begun and a snapshot wanted; when that is on the disk, what it stands for goes, but for one older snapshot
// with its logs. A full disk is waited for. Anything else that fails ends the thread with OnFailed: what is on the disk
// is not known any more.
//
// Thread: calls from any, those about one shard by one at a time; events come in the disk's own.
#pragma once

#include <memory>
#include <string>

#include "cluster/server_node.h"
#include "env/env.h"

namespace glim::cluster {

struct ServerDiskOptions {
  uint64_t log_bytes_max = 64 << 20;  // Then a snapshot is wanted.
  int64_t retry_nanos = 100'000'000;  // When the disk is full.
};

class ServerDiskEvents {
 public:
  virtual ~ServerDiskEvents() = default;
  virtual void OnBegun() = 0;
  // The first `count` writes about the shard are on the disk.
  virtual void OnWritten(const param::ShardId& shard, uint64_t count) = 0;
  virtual void OnFull(bool full) = 0;
  // Cut is wanted, with a snapshot in which all records up to `lsn` are applied.
  virtual void OnLogFull(const param::ShardId& shard, uint64_t lsn) = 0;
  virtual void OnFailed(const Status& status) = 0;
};

class ServerDisk {
 public:
  // Reads what is there. Damaged shards are named in the log, set aside and left out. `env` and `events` live as long.
  static Result<std::unique_ptr<ServerDisk>> Open(env::Env& env, std::string folder, const ServerDiskOptions& options,
                                                  ServerDiskEvents& events);
  // What was not written yet is not written.
  ~ServerDisk();

  // What was read. Call once.
  KeptServer TakeKept();

  void Begin(uint64_t incarnation);
  void Write(const param::ShardId& shard, const param::SharedBytes& table, const param::Record& record);
  void Write(const param::ShardId& shard, const param::SharedBytes& table, const param::ShardSnapshot& snapshot);
  // Behind OnLogFull.
  void Cut(const param::ShardId& shard, const param::ShardSnapshot& snapshot);
  void Erase(const param::ShardId& shard);

 private:
  class Impl;
  explicit ServerDisk(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace glim::cluster
