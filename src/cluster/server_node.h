// SPDX-License-Identifier: Apache-2.0
//
// A server of a cluster: its replicas, and what it says to the master. It beats, tells what it knows of its shards,
// hands messages to the replica they are for, and lets replicas answer pulls as long as the master's lease lasts.
//
// It begins without an incarnation: it asks the master for one, lets it be written beside what its disk has, and from
// then on is a member, with what earlier ones wrote there.
//
// A state machine without I/O, clock or threads. Thread: that of its owner.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "param/replication/replica.h"

namespace glim::cluster {

class ServerNodeOutput {
 public:
  virtual ~ServerNodeOutput() = default;
  virtual void Send(const param::Member& to, param::PeerMessage message) = 0;
  virtual void Answer(param::ClientId to, param::PushReply reply) = 0;
  virtual void Answer(param::ClientId to, param::PullReply reply) = 0;
  virtual void SendToMaster(const param::Beat& beat) = 0;
  virtual void SendToMaster(const param::ShardReport& report) = 0;
  virtual void SendToMaster(const param::FullReport& report) = 0;
  // The disk is from now on also that of this incarnation. ServerNode::OnBegun says that this is written.
  virtual void Begin(uint64_t incarnation) = 0;
  // As ReplicaOutput's.
  virtual void Write(const param::ShardId& shard, const param::SharedBytes& table, const param::Record& record) = 0;
  virtual void Write(const param::ShardId& shard, const param::SharedBytes& table,
                     const param::ShardSnapshot& snapshot) = 0;
  virtual void Erase(const param::ShardId& shard) = 0;
  virtual void Applied(const param::ShardId& shard, const param::Record& record) {}
};

struct ServerNodeOptions {
  int64_t beat_nanos = 250'000'000;
  int64_t dead_nanos = 3'000'000'000;  // The master's.
  param::ReplicaOptions replica;
};

// The state of a shard from its table's description.
using StateFactory =
    std::function<Result<std::unique_ptr<param::ShardState>>(param::ShardId shard, const param::SharedBytes& table)>;

// What a server finds on its disk.
struct KeptServer {
  bool has_disk = false;         // It keeps shards at all.
  std::vector<uint64_t> before;  // The incarnations that wrote there.
  std::vector<param::KeptShard> shards;
};

class ServerNode final : private param::ReplicaOutput {
 public:
  // `start` is random: no other start of the process has the same. `out` must live as long.
  ServerNode(uint32_t node, uint64_t start, std::string address, KeptServer kept, StateFactory make_state,
             const ServerNodeOptions& options, ServerNodeOutput& out);

  void OnBegun();
  // The first `count` writes about the shard are on the disk.
  void OnWritten(const param::ShardId& shard, uint64_t count, int64_t now);
  void OnDiskFull(bool full);

  void OnBeatReply(const param::BeatReply& reply, int64_t now);
  void OnViewUpdate(const param::ViewUpdate& update, int64_t now);
  void OnPeer(const param::PeerMessage& message, int64_t now);
  void OnPush(param::ClientId from, const param::PushRequest& request, int64_t now);
  void OnPull(param::ClientId from, const param::PullRequest& request, int64_t now);
  // Now and then, at least every resend_nanos of the replicas.
  void OnTick(int64_t now);

  // It is about to end: from now on it asks the master to give its shards to others, and takes no new ones.
  void Leave();
  struct Leaving {
    param::DrainState state = param::DrainState::kAtWork;
    uint32_t shards = 0;   // That it still holds.
    int64_t heard_at = 0;  // The master, last.
  };
  Leaving leaving() const;

  const param::Member& self() const { return self_; }
  // Another process of this node has taken over: stop.
  bool fenced() const { return fenced_; }
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

  bool has_begun() const { return self_.incarnation != 0; }
  // Nothing when the table's description makes no sense.
  param::Replica* MakeReplica(const param::ShardId& shard, const param::SharedBytes& table);

  param::Member self_;
  const uint64_t start_;
  const std::string address_;
  KeptServer kept_;  // Its shards until it has begun.
  const StateFactory make_state_;
  const ServerNodeOptions options_;
  ServerNodeOutput& out_;
  std::map<param::ShardId, std::unique_ptr<param::Replica>> replicas_;
  std::map<param::ShardId, param::SharedBytes> tables_;  // Descriptions, of the same.
  bool disk_full_ = false;
  uint64_t given_ = 0;         // The incarnation that is being written.
  uint64_t master_epoch_ = 0;  // The newest seen.
  int64_t beat_at_ = 0;
  int64_t lease_until_ = 0;
  bool fenced_ = false;
  bool leaving_ = false;
  Leaving left_;
};

}  // namespace glim::cluster
