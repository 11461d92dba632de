// SPDX-License-Identifier: Apache-2.0
#include "cluster/shard_owner.h"

#include "base/check.h"
#include "base/log.h"

namespace glim::cluster {

void ShardOwner::OnNode(NodeWord word, int64_t now) {
  if (auto* begun = std::get_if<OwnerBegun>(&word)) {
    Begin(std::move(*begun));
  } else if (const auto* heard = std::get_if<ViewHeard>(&word)) {
    OnView(heard->update, now);
    if (!replicas_.contains(heard->update.shard)) out_.ToNode(ShardGone{heard->update.shard, heard->count});
  } else if (const auto* lease = std::get_if<LeaseHeard>(&word)) {
    lease_until_ = lease->until;
    for (const auto& [shard, replica] : replicas_) replica->OnLease(lease_until_);
  } else {
    ReportGiven given{std::get<ReportWanted>(word).epoch, {}};
    for (const auto& [shard, replica] : replicas_) given.reports.push_back(replica->report());
    out_.ToNode(std::move(given));
  }
}

void ShardOwner::Begin(OwnerBegun begun) {
  self_ = begun.self;
  for (param::KeptShard& shard : begun.kept) {
    param::Replica* replica = MakeReplica(shard.shard, shard.table);
    const Status status = replica == nullptr ? Status::Ok() : replica->Keep(shard, begun.before);
    if (!status.ok()) {
      base::LogWarning("shard {} of table {} is not taken up from the disk: {}", shard.shard.shard, shard.shard.table,
                       status.message());
      replicas_.erase(shard.shard);
    }
    if (!replicas_.contains(shard.shard)) out_.ToNode(ShardGone{shard.shard, 0});
  }
}

param::Replica* ShardOwner::MakeReplica(const param::ShardId& shard, const param::SharedBytes& table) {
  auto state = make_state_(shard, table);
  if (!state.ok()) {
    base::LogWarning("shard {} of table {} cannot be made: {}", shard.shard, shard.table, state.status().message());
    return nullptr;
  }
  param::ReplicaOutput& out = *this;
  auto replica = std::make_unique<param::Replica>(shard, self_, *std::move(state), options_, out);
  replica->OnLease(lease_until_);
  replica->OnDiskFull(disk_full_);
  tables_[shard] = table;
  return (replicas_[shard] = std::move(replica)).get();
}

void ShardOwner::OnView(const param::ViewUpdate& update, int64_t now) {
  CHECK_NE(self_.incarnation, 0u);  // OwnerBegun came first.
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

void ShardOwner::OnPeer(const param::PeerMessage& message, int64_t now) {
  const auto it = replicas_.find(std::visit([](const auto& m) { return m.shard; }, message));
  if (it != replicas_.end()) it->second->OnPeer(message, now);
}

void ShardOwner::OnPush(param::ClientId from, const param::PushRequest& request, int64_t now) {
  if (const auto it = replicas_.find(request.shard); it != replicas_.end()) {
    return it->second->OnPush(from, request, now);
  }
  out_.Answer(from, param::PushReply{request.shard, request.producer, request.attempt, param::PushOutcome::kNotPrimary,
                                     0, 0, ""});
}

void ShardOwner::OnPull(param::ClientId from, const param::PullRequest& request, int64_t now) {
  if (const auto it = replicas_.find(request.shard); it != replicas_.end()) {
    return it->second->OnPull(from, request, now);
  }
  out_.Answer(from,
              param::PullReply{request.shard, request.request, param::PullOutcome::kNotPrimary, 0, 0, 0, 0, {}, ""});
}

void ShardOwner::OnWritten(const param::ShardId& shard, uint64_t count, int64_t now) {
  if (const auto it = replicas_.find(shard); it != replicas_.end()) it->second->OnWritten(count, now);
}

void ShardOwner::OnDiskFull(bool full) {
  disk_full_ = full;
  for (const auto& [shard, replica] : replicas_) replica->OnDiskFull(full);
}

void ShardOwner::OnTick(int64_t now) {
  for (const auto& [shard, replica] : replicas_) replica->OnTick(now);
}

bool ShardOwner::IsNamed() const {
  for (const auto& [shard, replica] : replicas_) {
    const param::View& view = replica->view();
    if (view.number > 0 && (view.Holds(self_) || view.joiner == self_)) return true;
  }
  return false;
}

}  // namespace glim::cluster
