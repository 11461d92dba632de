// SPDX-License-Identifier: Apache-2.0
#include "cluster/server_node.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace glim::cluster {

ServerNode::ServerNode(uint32_t node, uint64_t start, std::string address, KeptServer kept, size_t owners,
                       const ServerNodeOptions& options, ServerNodeOutput& out)
    : self_{node, 0},
      start_(start),
      address_(std::move(address)),
      kept_(std::move(kept)),
      owners_(owners),
      options_(options),
      out_(out),
      shards_of_(owners),
      beat_at_(-options.beat_nanos) {
  CHECK_GT(owners, 0u);
}

// What the disk has is ours from now on; before that was written, a start after this one would not know it.
void ServerNode::OnBegun() {
  self_.incarnation = given_;
  std::vector<OwnerBegun> begun(owners_, OwnerBegun{self_, {}, kept_.before});
  for (param::KeptShard& shard : std::exchange(kept_.shards, {})) {
    const size_t owner = PlaceOf(shard.shard, false).owner;
    begun[owner].kept.push_back(std::move(shard));
  }
  for (size_t owner = 0; owner < owners_; ++owner) out_.ToOwner(owner, std::move(begun[owner]));
  beat_at_ = -options_.beat_nanos;
}

// Primaries of a table, who have most to do, are spread first; then the table's shards, then all.
ServerNode::Place& ServerNode::PlaceOf(const param::ShardId& shard, bool as_primary) {
  const auto [it, is_new] = places_.try_emplace(shard);
  if (!is_new) return it->second;
  using Load = std::array<size_t, 3>;
  std::vector<Load> loads(owners_);
  for (auto other = places_.lower_bound({shard.table, 0}); other != places_.end() && other->first.table == shard.table;
       ++other) {
    if (other == it) continue;
    Load& load = loads[other->second.owner];
    if (other->second.as_primary == as_primary) ++load[0];
    ++load[1];
  }
  for (size_t owner = 0; owner < owners_; ++owner) loads[owner][2] = shards_of_[owner];
  const auto least = static_cast<size_t>(std::min_element(loads.begin(), loads.end()) - loads.begin());
  ++shards_of_[least];
  return it->second = Place{least, as_primary, 0};
}

size_t ServerNode::OwnerOf(const param::ShardId& shard) const {
  const auto it = places_.find(shard);
  return it == places_.end() ? 0 : it->second.owner;
}

void ServerNode::OnBeatReply(const param::BeatReply& reply, int64_t now) {
  if (reply.epoch < master_epoch_) {
    // Of a master that is no more; or of one whose folder is an older copy, which is to hear of it.
    if (has_begun()) AskForReports();
    return;
  }
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
    AskForReports();
  }
  if (!reply.leased) return;
  // Counted from when we asked, so that the master, who counts from when it heard us, is never ahead.
  lease_until_ = std::max(lease_until_, reply.sent_at + options_.dead_nanos / 2);
  for (size_t owner = 0; owner < owners_; ++owner) out_.ToOwner(owner, LeaseHeard{lease_until_});
}

void ServerNode::AskForReports() {
  if (awaited_ > 0 && gathered_.epoch == master_epoch_) return;
  gathered_ = param::FullReport{self_, master_epoch_, {}, kept_.before};
  awaited_ = owners_;
  for (size_t owner = 0; owner < owners_; ++owner) out_.ToOwner(owner, ReportWanted{master_epoch_});
}

void ServerNode::OnOwner(OwnerWord word) {
  if (const auto* gone = std::get_if<ShardGone>(&word)) {
    const auto it = places_.find(gone->shard);
    // Said since: the owner has it again, or will say once more that it has not.
    if (it == places_.end() || it->second.count != gone->count) return;
    --shards_of_[it->second.owner];
    places_.erase(it);
    return;
  }
  auto& given = std::get<ReportGiven>(word);
  if (awaited_ == 0 || given.epoch != gathered_.epoch) return;  // Of a master that is no more.
  std::move(given.reports.begin(), given.reports.end(), std::back_inserter(gathered_.shards));
  if (--awaited_ > 0 && !GLIM_MUTANT(kReportOfOneOwner)) return;
  awaited_ = 0;
  out_.SendToMaster(std::exchange(gathered_, {}));
}

void ServerNode::Leave() {
  leaving_ = true;
  beat_at_ = -options_.beat_nanos;
}

ServerNode::Leaving ServerNode::leaving() const {
  Leaving left = left_;
  if (!has_begun()) left.state = param::DrainState::kDone;
  return left;
}

void ServerNode::OnViewUpdate(const param::ViewUpdate& update) {
  if (!has_begun() || (update.dropped && !places_.contains(update.shard))) return;
  Place& place = PlaceOf(update.shard, update.view.primary == self_);
  if (GLIM_MUTANT(kForgetOwner)) place.owner = place.count % owners_;
  out_.ToOwner(place.owner, ViewHeard{update, ++place.count});
}

void ServerNode::OnTick(int64_t now) {
  if (now - beat_at_ < options_.beat_nanos) return;
  beat_at_ = now;
  out_.SendToMaster(param::Beat{self_, now, address_, start_, kept_.has_disk, leaving_});
}

}  // namespace glim::cluster
