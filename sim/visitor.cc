// SPDX-License-Identifier: Apache-2.0
#include "visitor.h"

#include <algorithm>

namespace glim::sim {

Visitor::Visitor(Run& run, uint32_t process, uint64_t number)
    : run_(run), process_(process), producer_{8, kFirstLow + number}, pushes_(1 + run.visitor_dice.Below(6)) {
  shards_.resize(run.shards.size());
  for (size_t i = 0; i < shards_.size(); ++i) Open(i);
}

void Visitor::Open(size_t shard) {
  ToShard& to = shards_[shard];
  to.ids.clear();
  to.session = std::make_unique<param::PushSession>(
      run_.shards[shard], producer_, ++to.attempt,
      param::PushSessionOptions{.in_flight_max = 4, .queued_max = 8, .opens = true, .idle_nanos = 300 * kMilli}, *this);
  if (to.primary) to.session->OnRoute(*to.primary, run_.now);
}

void Visitor::Send(const Member& primary, param::PushRequest request) {
  run_.Transmit(process_, primary.node, [&run = run_, primary, request = std::move(request), from = process_] {
    if (Server* server = run.FindServer(primary)) server->OnPush(from, request);
  });
}

void Visitor::WantRoute(const ShardId& shard) {
  run_.Transmit(process_, kMasterNode, [&run = run_, shard, from = process_] {
    const auto route = run.master->master->FindRoute(shard);
    if (!route || !route->active) return;
    run.Transmit(kMasterNode, from, [&run, shard, from, primary = route->view.primary] {
      if (const auto it = run.visitors.find(from); it != run.visitors.end()) it->second->OnRoute(shard, primary);
    });
  });
}

void Visitor::Done(uint64_t push, param::PushResult result, const std::string& error) {
  const uint64_t id = shards_[working_on_].ids.at(push);
  const ShardId shard = run_.shards[working_on_];
  if (result == param::PushResult::kRefused) run_.Violation("a push of a visitor is refused: " + error);
  if (result == param::PushResult::kUnknown) ++run_.report.unknown;
  if (result != param::PushResult::kApplied) return;
  ++run_.report.applied;
  if (!run_.effective[shard].contains({producer_.low, id})) {
    run_.Violation(fmt::format("push {} of visitor {} is acknowledged and was not applied", id, producer_.low));
  }
  uint64_t& last = run_.acknowledged[shard][producer_.low];
  last = std::max(last, id);
}

void Visitor::Tick(Random& dice) {
  if (finished_) return;
  bool done = true;
  for (size_t i = 0; i < shards_.size(); ++i) {
    working_on_ = i;
    ToShard& to = shards_[i];
    to.session->OnTick(run_.now);
    if (!to.session->status().ok() || to.session->IsIdle(run_.now)) {
      (void)to.session->Close();
      Open(i);
    }
    if (to.next_id <= pushes_ && dice.Chance(run_.peace ? 1000 : 200)) {
      const auto push = to.session->Push(Encode({to.next_id, false}), run_.now + 2 * kSecond, run_.now);
      if (push.ok()) to.ids[*push] = to.next_id++;
    }
    done &= to.next_id > pushes_ && to.session->queued() == 0;
  }
  if (!done) return;
  for (const ToShard& to : shards_) (void)to.session->Close();
  finished_ = true;
}

void Visitor::OnRoute(const ShardId& shard, const Member& primary) {
  if (finished_) return;
  working_on_ = shard.shard;
  shards_[working_on_].primary = primary;
  shards_[working_on_].session->OnRoute(primary, run_.now);
}

void Visitor::OnReply(const param::PushReply& reply) {
  working_on_ = reply.shard.shard;
  ToShard& to = shards_[working_on_];
  if (!finished_ && reply.attempt == to.attempt) to.session->OnReply(reply, run_.now);
}

// A place for visitors, one after the other.
void Run::Visit() {
  if (peace) return;
  const uint32_t id = kFirstVisitor + static_cast<uint32_t>(visitors.size());
  processes[id] = {true, 1, 0};
  visitors[id] = std::make_unique<Visitor>(*this, id, visitors.size());
  Every(20 * kMilli, id, [this, id] { WatchVisitor(id); });
}

void Run::WatchVisitor(uint32_t id) {
  visitors[id]->Tick(visitor_dice);
  if (!peace && visitor_dice.Below(500) == 0) {
    processes[id].paused_until = now + visitor_dice.Between(100, 6000) * kMilli;
    Say("visitor {} is paused", id);
  }
  const bool dies = !peace && visitor_dice.Below(1000) == 0;
  if (!visitors[id]->finished() && !dies) return;
  Say("visitor {} goes", id);
  processes[id].up = false;
  queue_.push({now + visitor_dice.Between(1, 500) * kMilli, ++order_, ~0U, 0, [this] { Visit(); }});
}

// Who has gone is forgotten by all, in the end.
std::string Run::Remembered() {
  for (const auto& [id, visitor] : visitors) {
    if (processes[id].up) return fmt::format("visitor {} has not ended", id);
  }
  for (const auto& [number, server] : servers) {
    if (!server) continue;
    for (const auto& [shard, status] : master->master->ShardStatuses()) {
      const param::Replica* replica = server->FindReplica(shard);
      if (replica == nullptr || !replica->view().Holds(server->self()) || replica->open_count() == 0) continue;
      return fmt::format("server {} has {} sessions of visitors to shard {}", number, replica->open_count(),
                         shard.shard);
    }
  }
  return "";
}

}  // namespace glim::sim
