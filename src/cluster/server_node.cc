// SPDX-License-Identifier: Apache-2.0
#include "cluster/server_node.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace glim::cluster {

ServerNode::ServerNode(param::Member self, std::string address, StateFactory make_state,
                       const ServerNodeOptions& options, ServerNodeOutput& out)
    : self_(self),
      address_(std::move(address)),
      make_state_(std::move(make_state)),
      options_(options),
      out_(out),
      beat_at_(-options.beat_nanos) {}

void ServerNode::OnBeatReply(const param::BeatReply& reply, int64_t now) {
  if (reply.epoch < master_epoch_) return;  // Of a master that is no more.
  if (reply.fenced) fenced_ = true;
  if (reply.epoch > master_epoch_ || !reply.leased) {
    master_epoch_ = reply.epoch;
    param::FullReport report{self_, master_epoch_, {}};
    for (const auto& [shard, replica] : replicas_) report.shards.push_back(replica->report());
    out_.SendToMaster(report);
  }
  if (!reply.leased) return;
  // Counted from when we asked, so that the master, who counts from when it heard us, is never ahead.
  lease_until_ = std::max(lease_until_, reply.sent_at + options_.dead_nanos / 2);
  for (const auto& [shard, replica] : replicas_) replica->OnLease(lease_until_);
}

void ServerNode::OnViewUpdate(const param::ViewUpdate& update, int64_t now) {
  auto it = replicas_.find(update.shard);
  if (update.dropped) {
    if (it != replicas_.end()) replicas_.erase(it);
    return;
  }
  if (it == replicas_.end()) {
    auto state = make_state_(update.shard, update.table);
    if (!state.ok()) {
      base::LogWarning("shard {} of table {} cannot be made: {}", update.shard.shard, update.shard.table,
                       state.status().message());
      return;
    }
    param::ReplicaOutput& out = *this;
    auto replica = std::make_unique<param::Replica>(update.shard, self_, *std::move(state), options_.replica, out);
    it = replicas_.emplace(update.shard, std::move(replica)).first;
    it->second->OnLease(lease_until_);
  }
  it->second->OnView(update.view, update.active, now);
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
    out_.SendToMaster(param::Beat{self_, now, address_});
  }
  for (const auto& [shard, replica] : replicas_) replica->OnTick(now);
}

}  // namespace glim::cluster
