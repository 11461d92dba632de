// SPDX-License-Identifier: Apache-2.0
//
// A table on servers, as a TableClient: the promises of glim/table.h are those of an embedded one. A request is
// checked, split by shard in slices of 65,536 keys (what one shard sees whole), encoded and handed to the links of its
// shards (shard_link.h) in the network thread.
//
//   push   copied once, into what is sent. A slice that is larger than a message goes in pieces, which the shard puts
//          together again; so is a row that is wider than a frame.
//   pull   rows are written to the caller's memory as they arrive.
//
// A caller whose requests are more than may be under way (ClusterClientOptions::under_way_bytes_max) waits in the call,
// up to the request's deadline: so a request of any size holds no more than that beside the caller's own memory. A
// request that waits for others (`after`) is encoded at once, whatever its size.
//
// Deadlines are looked at in the network thread, and nowhere else: who waits for an answer cannot give up while rows
// are written to his memory.
//
// What a failed request has done:
//   kInvalid, kNotFound, kCancelled because of `after`   nothing
//   kTimeout   a push may be applied, or be applied later, once; of a push over several shards or slices, any part
//
// Save and Load (remote_save.cc) have a moment at which no shard takes a push. Save marks all shards' rows in it, and
// reads them afterwards, a megabyte at a time, while pushes go on. Load brings all rows to the servers before it, and
// has the shards take them in it.
//
// Thread: any; what a NetworkTable is told belongs to the network thread.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "glim/table.h"
#include "param/clocks/clocked_state.h"
#include "param/cluster_network.h"
#include "param/shard_link.h"
#include "param/table_layout.h"
#include "param/table_request.h"

namespace glim::param {

class RemoteTable;
class RemoteWorkerCore;
class WorkerSession;

// The rows of a table as they were at a moment, which servers keep until they are written, while pushes go on
// (remote_save.cc). Destroying it lets them go.
//
// Thread: one at a time, any.
class SavedMoment {
 public:
  // Of a table that is for itself.
  SavedMoment(std::shared_ptr<RemoteTable> own, uint64_t number, bool state)
      : own_(std::move(own)), number_(number), state_(state) {}
  SavedMoment(const SavedMoment&) = delete;
  ~SavedMoment();

  // As TableClient::Save. Once. kStale: a server that kept some of them is gone; only another moment can be had.
  Status Write(const std::string& folder);

 private:
  friend class RemoteTable;
  Status Take();

  const std::shared_ptr<RemoteTable> own_;
  const uint64_t number_;
  const bool state_;
  bool dropped_ = false;  // The table: there is nobody who could let go.
};

class RemoteTable final : public TableClient, public NetworkTable, public std::enable_shared_from_this<RemoteTable> {
 public:
  // `made`: the random number in its handles.
  RemoteTable(std::shared_ptr<ClusterNetwork> network, uint64_t id, uint64_t made, TableSpec spec,
              std::optional<TaskProducer> task = std::nullopt);

  const TableSpec& spec() const override { return layout_.spec(); }
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

  // As a worker, when there is one (remote_worker.h).
  Future<void> PushAs(WorkerSession* worker, std::span<const Key> keys, std::span<const std::byte> values,
                      const PushOptions& options);
  Future<void> VPushAs(WorkerSession* worker, std::span<const Key> keys, std::span<const std::byte> values,
                       std::span<const uint32_t> lengths, const PushOptions& options);
  Future<void> PullAs(WorkerSession* worker, std::span<const Key> keys, std::span<std::byte> out,
                      const PullOptions& options);
  Future<VariableBytes> VPullAs(WorkerSession* worker, std::span<const Key> keys, const PullOptions& options);
  // The same table with links of its own, which push under the name of a task (task_table.h). It is told what this one
  // is told, as long as it lives.
  Result<std::shared_ptr<RemoteTable>> ForTask(const Producer& producer, uint64_t attempt);
  // The same with sessions of its own, which do not stand behind what the program pushes.
  Result<std::shared_ptr<RemoteTable>> ForItself();
  // What Save writes. To be written soon: servers let go of what nobody has asked for within two minutes. kStale:
  // another program was first, or a shard goes to another server; to be tried again.
  Result<std::unique_ptr<SavedMoment>> TakeMoment(const SaveOptions& options);
  // Where the primaries of its shards are, host:port each, as far as that is known here: it is of whoever has asked
  // them.
  std::vector<std::string> PrimaryAddresses();
  // Of a request, a part was not made. So a task's pushes have a hole.
  bool has_hole() const { return has_hole_.load(std::memory_order_relaxed); }
  ClusterNetwork& network() const { return *network_; }
  // Network thread.
  ShardLink& link(uint32_t shard) const { return *links_[shard]; }

  size_t Close(const std::function<void()>& sent) override;
  void Cancel() override;
  void Tick() override;
  void OnRoute(const ShardRoute& route) override;
  void OnDropped() override;
  void OnReply(const PushReply& reply) override;
  void OnReply(const PullReply& reply) override;

 private:
  struct Call;
  class Batch;
  struct AfterOthers;

  // Begins the requests that `build` puts into a batch, or has them begun when all of options.after are done.
  template <class Build>
  Future<void> Request(const RequestOptions& options, std::shared_ptr<Call> call, Build build,
                       WorkerSession* worker = nullptr);
  void BeginAfter(const std::shared_ptr<AfterOthers>& waiting);
  // Calls work(shard, keys, positions, first) for the keys of each shard in each slice; row positions[i] of the
  // caller's, or row first + i, belongs to key i.
  struct Rows;
  struct Values;
  template <class Work>
  Status ForEachShard(std::span<const Key> keys, Work work) const;

  Status PushRows(Batch* batch, TableCall call, const Rows& rows, const Values& values, std::span<std::byte> out);
  Status VPushRows(Batch* batch, const Rows& rows, std::span<const std::byte> values, std::span<const uint32_t> lengths,
                   std::span<const uint64_t> begins);
  ShardLink::Answer AnswerInto(const std::shared_ptr<Call>& call, const Rows& rows, std::span<std::byte> out) const;

  // What a shard answers to a pull, whole. One after the other, or all shards at once.
  Result<std::string> AskShard(uint32_t shard, const TableRequest& request, std::chrono::nanoseconds deadline);
  Result<std::vector<std::string>> AskShards(const SharedBytes& request);
  Result<std::vector<TableCounts>> AskCounts(uint16_t form);
  // Sends it to shards from `first` on, before `end`, as a push, and waits.
  Status TellShards(const SharedBytes& op, std::chrono::nanoseconds deadline, uint32_t first = 0,
                    uint32_t end = ~uint32_t{0});
  Status TellShards(const TableRequest& request, std::chrono::nanoseconds deadline) {
    return TellShards(EncodeTableRequest(request), deadline);
  }
  // In remote_save.cc. Of a table that is for itself.
  friend class SavedMoment;
  Status Hold(uint64_t save);
  Status MarkRows(uint64_t save, bool state);
  Result<std::vector<ClockStatus>> AskClocks();
  Status SaveShards(class ModelWriter* writer, uint64_t save, bool state);
  Status LoadNow(const std::string& folder, bool state);
  Status LoadRows(const std::string& folder, bool state);
  Result<std::shared_ptr<RemoteTable>> WithLinks(const TaskProducer& links);
  // What a shard answers to a scan.
  Status TakeScanned(const std::string& answer, bool state, ScanCursor* cursor, RowChunk* chunk) const;
  size_t CellBytes(uint32_t length, bool state) const;
  // Those that still live.
  template <class Work>
  void ForEachTask(Work work);

  const std::shared_ptr<ClusterNetwork> network_;
  const uint64_t id_;
  const uint64_t made_;
  const TableLayout layout_;
  const bool of_task_;
  const Producer producer_;
  std::atomic<bool> has_hole_{false};
  std::atomic<uint64_t> next_request_{1};  // Of those in pieces.
  // The network thread's.
  std::vector<std::shared_ptr<ShardLink>> links_;
  std::list<std::shared_ptr<AfterOthers>> waiting_;
  std::list<std::shared_ptr<RemoteWorkerCore>> workers_;  // Those who have joined, and not left.
  std::list<std::weak_ptr<RemoteTable>> tasks_;
  uint64_t tasks_made_ = 0;
};

}  // namespace glim::param
