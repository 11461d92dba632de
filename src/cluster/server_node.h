// SPDX-License-Identifier: Apache-2.0
//
// A server of a cluster, as the master knows it: it beats, asks for a lease, tells all that is known of its shards when
// a new master asks, and says which of its owners (shard_owner.h) has which shard. The shards themselves are theirs.
//
// It begins without an incarnation: it asks the master for one, lets it be written beside what its disk has, and from
// then on is a member, with what earlier ones wrote there.
//
// A full report is put together from what all owners say, each at its own moment. That is enough: to the master it is
// as if so many reports had been on their way for so long. It must be of all, since a master that has it takes what is
// not in it for nothing.
//
// A state machine without I/O, clock or threads. Thread: that of its owner.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cluster/shard_owner.h"

namespace glim::cluster {

class ServerNodeOutput {
 public:
  virtual ~ServerNodeOutput() = default;
  virtual void SendToMaster(const param::Beat& beat) = 0;
  virtual void SendToMaster(const param::FullReport& report) = 0;
  // The disk is from now on also that of this incarnation. ServerNode::OnBegun says that this is written.
  virtual void Begin(uint64_t incarnation) = 0;
  // Words to one owner come in this order. The answer does not come within the call.
  virtual void ToOwner(size_t owner, NodeWord word) = 0;
};

struct ServerNodeOptions {
  int64_t beat_nanos = 250'000'000;
  int64_t dead_nanos = 3'000'000'000;  // The master's.
  param::ReplicaOptions replica;
};

// What a server finds on its disk.
struct KeptServer {
  bool has_disk = false;         // It keeps shards at all.
  std::vector<uint64_t> before;  // The incarnations that wrote there.
  std::vector<param::KeptShard> shards;
};

class ServerNode {
 public:
  // `start` is random: no other start of the process has the same. `out` must live as long. Expects: owners > 0.
  ServerNode(uint32_t node, uint64_t start, std::string address, KeptServer kept, size_t owners,
             const ServerNodeOptions& options, ServerNodeOutput& out);

  void OnBegun();
  void OnBeatReply(const param::BeatReply& reply, int64_t now);
  void OnViewUpdate(const param::ViewUpdate& update);
  void OnOwner(OwnerWord word);
  // Now and then, more often than beat_nanos.
  void OnTick(int64_t now);

  // Of a shard that nobody owns, any: it says so.
  size_t OwnerOf(const param::ShardId& shard) const;

  // It is about to end: from now on it asks the master to give its shards to others, and takes no new ones.
  void Leave();
  struct Leaving {
    param::DrainState state = param::DrainState::kAtWork;
    uint32_t shards = 0;   // That it still holds.
    int64_t heard_at = 0;  // The master, last.
  };
  // What the master says. Done is only who has also no owner that knows a view which names it (ShardOwner::IsNamed):
  // the master may have said so before it started anew, and have made us a member since.
  Leaving leaving() const;

  const param::Member& self() const { return self_; }
  // Another process of this node has taken over: stop.
  bool fenced() const { return fenced_; }

 private:
  struct Place {
    size_t owner = 0;
    bool as_primary = false;  // When it came.
    uint64_t count = 0;       // Of words about it.
  };

  bool has_begun() const { return self_.incarnation != 0; }
  // Its owner, or a new one: who has least.
  Place& PlaceOf(const param::ShardId& shard, bool as_primary);
  void AskForReports();

  param::Member self_;
  const uint64_t start_;
  const std::string address_;
  KeptServer kept_;  // Its shards until it has begun.
  const size_t owners_;
  const ServerNodeOptions options_;
  ServerNodeOutput& out_;
  std::map<param::ShardId, Place> places_;
  std::vector<size_t> shards_of_;  // How many each owner has.
  param::FullReport gathered_;     // What was asked for last, so far;
  size_t awaited_ = 0;             // owners have not answered yet.
  uint64_t given_ = 0;             // The incarnation that is being written.
  uint64_t master_epoch_ = 0;      // The newest seen.
  int64_t beat_at_ = 0;
  int64_t lease_until_ = 0;
  bool fenced_ = false;
  bool leaving_ = false;
  Leaving left_;
};

}  // namespace glim::cluster
