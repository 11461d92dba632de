// SPDX-License-Identifier: Apache-2.0
#include "cluster/server_node.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace glim::cluster {

ServerNode::ServerNode(uint32_t node, uint64_t start, std::string address, KeptServer kept, StateFactory make_state,
                       const ServerNodeOptions& options, ServerNodeOutput& out)
    : self_{node, 0},
      start_(start),
      address_(std::move(address)),
      kept_(std::move(kept)),
      make_state_(std::move(make_state)),
      options_(options),
      out_(out),
      beat_at_(-options.beat_nanos) {}

param::Replica* ServerNode::MakeReplica(const param::ShardId& shard, const param::SharedBytes& table) {
  auto state = make_state_(shard, table);
  if (!state.ok()) {
    base::LogWarning("shard {} of table {} cannot be made: {}", shard.shard, shard.table, state.status().message());
    return nullptr;
  }
  param::ReplicaOutput& out = *this;
  auto replica = std::make_unique<param::Replica>(shard, self_, *std::move(state), options_.replica, out);
  replica->OnLease(lease_until_);
  replica->OnDiskFull(disk_full_);
  tables_[shard] = table;
  return (replicas_[shard] = std::move(replica)).get();
}

// What the disk has is ours from now on; before that was written, a start after this one would not know it.
void ServerNode::OnBegun() {
  self_.incarnation = given_;
  for (param::KeptShard& shard : std::exchange(kept_.shards, {})) {
    param::Replica* replica = MakeReplica(shard.shard, shard.table);
    if (replica == nullptr) continue;
    if (const Status status = replica->Keep(shard, kept_.before); !status.ok()) {
      base::LogWarning("shard {} of table {} is not taken up from the disk: {}", shard.shard.shard, shard.shard.table,
                       status.message());
      replicas_.erase(shard.shard);
    }
  }
  beat_at_ = -options_.beat_nanos;
}

void ServerNode::OnWritten(const param::ShardId& shard, uint64_t count, int64_t now) {
  if (const auto it = replicas_.find(shard); it != replicas_.end()) it->second->OnWritten(count, now);
}

void ServerNode::OnDiskFull(bool full) {
  disk_full_ = full;
  for (const auto& [shard, replica] : replicas_) replica->OnDiskFull(full);
}

void ServerNode::OnBeatReply(const param::BeatReply& reply, int64_t now) {
  if (reply.epoch < master_epoch_) return;  // Of a master that is no more.
  if (!has_begun() || reply.incarnation != 0) {
    if (has_begun() || given_ != 0 || reply.incarnation == 0 || reply.start != start_) return;
    given_ = reply.incarnation;
    return out_.Begin(given_);
  }
  if (reply.fenced) fenced_ = true;
  left_.heard_at = now;
  if (leaving_) left_.state = reply.drain == param::DrainState::kNone ? param::DrainState::kAtWork : reply.drain;
  left_.shards = reply.shards;
  if (reply.epoch > master_epoch_ || !reply.leased) {
    master_epoch_ = reply.epoch;
    param::FullReport report{self_, master_epoch_, {}, kept_.before};
    for (const auto& [shard, replica] : replicas_) report.shards.push_back(replica->report());
    out_.SendToMaster(report);
  }
  if (!reply.leased) return;
  // Counted from when we asked, so that the master, who counts from when it heard us, is never ahead.
  lease_until_ = std::max(lease_until_, reply.sent_at + options_.dead_nanos / 2);
  for (const auto& [shard, replica] : replicas_) replica->OnLease(lease_until_);
}

void ServerNode::Leave() {
  leaving_ = true;
  beat_at_ = -options_.beat_nanos;
}

ServerNode::Leaving ServerNode::leaving() const {
  Leaving left = left_;
  if (!has_begun()) left.state = param::DrainState::kDone;
  if (left.state != param::DrainState::kDone) return left;
  // The master may have said so before it started anew, and have made us a member since.
  for (const auto& [shard, replica] : replicas_) {
    const param::View& view = replica->view();
    if (view.number > 0 && (view.Holds(self_) || view.joiner == self_)) left.state = param::DrainState::kAtWork;
  }
  return left;
}

void ServerNode::OnViewUpdate(const param::ViewUpdate& update, int64_t now) {
  if (!has_begun()) return;
  const auto it = replicas_.find(update.shard);
  if (update.dropped) {
    if (it == replicas_.end()) return;
    if (it->second->on_disk()) out_.Erase(update.shard);
    replicas_.erase(it);
    tables_.erase(update.shard);
    return;
  }
  param::Replica* replica = it == replicas_.end() ? MakeReplica(update.shard, update.table) : it->second.get();
  if (replica != nullptr) return replica->OnView(update.view, update.active, now);
  // Who is not relied on may say that it knows; else the master would wait for it.
  if (update.view.Holds(self_)) return;
  out_.SendToMaster(param::ShardReport{update.shard, update.view.number, update.active, std::nullopt, false,
                                       update.view.joiner == self_});
}

void ServerNode::OnPeer(const param::PeerMessage& message, int64_t now) {
  const auto it = replicas_.find(std::visit([](const auto& m) { return m.shard; }, message));
  if (it != replicas_.end()) it->second->OnPeer(message, now);
}

void ServerNode::OnPush(param::ClientId from, const param::PushRequest& request, int64_t now) {
  if (const auto it = replicas_.find(request.shard); it != replicas_.end()) {
    return it->second->OnPush(from, request, now);
  }
  out_.Answer(from, param::PushReply{request.shard, request.producer, request.attempt, param::PushOutcome::kNotPrimary,
                                     0, 0, ""});
}

void ServerNode::OnPull(param::ClientId from, const param::PullRequest& request, int64_t now) {
  if (const auto it = replicas_.find(request.shard); it != replicas_.end()) {
    return it->second->OnPull(from, request, now);
  }
  out_.Answer(from,
              param::PullReply{request.shard, request.request, param::PullOutcome::kNotPrimary, 0, 0, 0, 0, {}, ""});
}

void ServerNode::OnTick(int64_t now) {
  if (now - beat_at_ >= options_.beat_nanos) {
    beat_at_ = now;
    out_.SendToMaster(param::Beat{self_, now, address_, start_, kept_.has_disk, leaving_});
  }
  for (const auto& [shard, replica] : replicas_) replica->OnTick(now);
}

}  // namespace glim::cluster
