// SPDX-License-Identifier: Apache-2.0
//
// Some of a server's shards: their replicas, and which messages are for which. A server has an owner for each of the
// threads that work on shards, and its ServerNode (server_node.h), which speaks with the master, says who owns what.
//
// The two never look into each other: what one has to tell the other is a word, which may take its time. Words of one
// to another come in their order, and each comes. What a replica reports by itself goes straight to the master, to whom
// a report that is late is nothing new.
//
// A state machine without I/O, clock or threads. Thread: that of its owner.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "param/replication/replica.h"

namespace glim::cluster {

// The state of a shard from its table's description.
using StateFactory =
    std::function<Result<std::unique_ptr<param::ShardState>>(param::ShardId shard, const param::SharedBytes& table)>;

// What a node says to an owner. The first word is OwnerBegun.
struct OwnerBegun {
  param::Member self;
  std::vector<param::KeptShard> kept;  // Of those that the disk has, the owner's.
  std::vector<uint64_t> before;        // The incarnations that wrote there.
};
struct ViewHeard {
  param::ViewUpdate update;
  uint64_t count = 0;  // The node's, of what it said about the shard.
};
struct LeaseHeard {
  int64_t until = 0;
};
struct ReportWanted {
  uint64_t epoch = 0;
};
using NodeWord = std::variant<OwnerBegun, ViewHeard, LeaseHeard, ReportWanted>;

// And the other way.
struct ReportGiven {
  uint64_t epoch = 0;                       // Which was asked for.
  std::vector<param::ShardReport> reports;  // Of all of the owner's shards.
};
// There is no replica of the shard here, after `count` words about it.
struct ShardGone {
  param::ShardId shard;
  uint64_t count = 0;
};
using OwnerWord = std::variant<ReportGiven, ShardGone>;

class ShardOwnerOutput {
 public:
  virtual ~ShardOwnerOutput() = default;
  virtual void Send(const param::Member& to, param::PeerMessage message) = 0;
  virtual void Answer(param::ClientId to, param::PushReply reply) = 0;
  virtual void Answer(param::ClientId to, param::PullReply reply) = 0;
  virtual void SendToMaster(const param::ShardReport& report) = 0;
  virtual void ToNode(OwnerWord word) = 0;
  // As ReplicaOutput's.
  virtual void Write(const param::ShardId& shard, const param::SharedBytes& table, const param::Record& record) = 0;
  virtual void Write(const param::ShardId& shard, const param::SharedBytes& table,
                     const param::ShardSnapshot& snapshot) = 0;
  virtual void Erase(const param::ShardId& shard) = 0;
  virtual void Applied(const param::ShardId& shard, const param::Record& record) {}
};

class ShardOwner final : private param::ReplicaOutput {
 public:
  // `out` must live as long.
  ShardOwner(StateFactory make_state, const param::ReplicaOptions& options, ShardOwnerOutput& out)
      : make_state_(std::move(make_state)), options_(options), out_(out) {}

  void OnNode(NodeWord word, int64_t now);
  void OnPeer(const param::PeerMessage& message, int64_t now);
  // Of a shard that is not here, too: then they are answered so.
  void OnPush(param::ClientId from, const param::PushRequest& request, int64_t now);
  void OnPull(param::ClientId from, const param::PullRequest& request, int64_t now);
  // The first `count` writes about the shard are on the disk.
  void OnWritten(const param::ShardId& shard, uint64_t count, int64_t now);
  void OnDiskFull(bool full);
  // Now and then, at least every resend_nanos of the replicas.
  void OnTick(int64_t now);

  // A view names this member, as far as is known here.
  bool IsNamed() const;
  const std::map<param::ShardId, std::unique_ptr<param::Replica>>& replicas() const { return replicas_; }

 private:
  void Send(const param::Member& to, param::PeerMessage message) override { out_.Send(to, std::move(message)); }
  void Answer(param::ClientId to, param::PushReply reply) override { out_.Answer(to, std::move(reply)); }
  void Answer(param::ClientId to, param::PullReply reply) override { out_.Answer(to, std::move(reply)); }
  void Report(const param::ShardReport& report) override { out_.SendToMaster(report); }
  void Applied(const param::ShardId& shard, const param::Record& record) override { out_.Applied(shard, record); }
  void Write(const param::ShardId& shard, const param::Record& record) override {
    out_.Write(shard, tables_[shard], record);
  }
  void Write(const param::ShardId& shard, const param::ShardSnapshot& snapshot) override {
    out_.Write(shard, tables_[shard], snapshot);
  }
  void Erase(const param::ShardId& shard) override { out_.Erase(shard); }

  void Begin(OwnerBegun begun);
  void OnView(const param::ViewUpdate& update, int64_t now);
  // Nothing when the table's description makes no sense.
  param::Replica* MakeReplica(const param::ShardId& shard, const param::SharedBytes& table);

  const StateFactory make_state_;
  const param::ReplicaOptions options_;
  ShardOwnerOutput& out_;
  param::Member self_;
  std::map<param::ShardId, std::unique_ptr<param::Replica>> replicas_;
  std::map<param::ShardId, param::SharedBytes> tables_;  // Descriptions, of the same.
  bool disk_full_ = false;
  int64_t lease_until_ = 0;
};

}  // namespace glim::cluster
