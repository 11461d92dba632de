// SPDX-License-Identifier: Apache-2.0
//
// A simulated server and the disk under it.
#include "base/check.h"
#include "run.h"
#include "visitor.h"

namespace glim::sim {

Owner::Owner(Server& server)
    : server(server),
      core(
          [&run = server.run, number = server.number](
              ShardId shard, const param::SharedBytes&) -> Result<std::unique_ptr<param::ShardState>> {
            if (run.weather.on_disk && !run.weather.HasDisk(number)) {
              run.Violation(fmt::format("server {} is to keep a shard on disk, and has none", number));
            }
            if (shard.table == kWorkersTable) return run.MakeWorkersState();
            return std::unique_ptr<param::ShardState>(std::make_unique<CountingState>(
                run.weather.on_disk, [&run] { return run.peace || !run.dice.Chance(run.weather.busy_per_mille); },
                [&run, shard](const param::Record& record, uint64_t last) { run.OnEffective(shard, record, last); }));
          },
          {.message_bytes_max = 300, .era_nanos = kSecond}, *this) {}

// Late: at work on something large, for longer than a lease lasts, perhaps.
void Owner::Hand(std::function<void()> work) {
  Run& run = server.run;
  int64_t late = 0;
  if (!run.peace && run.owner_dice.Chance(run.late_owners_per_mille)) {
    late = run.owner_dice.Between(1, run.owner_dice.Chance(20) ? 4000 : 200) * kMilli;
  }
  free_at_ = std::max(free_at_, run.now + late);
  given_.push_back(std::move(work));
  // Whatever it was pushed for: what is run is what was given first, also when a pause ends early.
  run.At(free_at_ - run.now, server.number, [this] {
    const auto first = std::move(given_.front());
    given_.pop_front();
    first();
  });
}

void Owner::HandShort(std::function<void()> work) {
  if (!given_.empty() || free_at_ >= server.run.now || server.run.owner_dice.Chance(500)) return Hand(std::move(work));
  work();
}

void Owner::ToNode(cluster::OwnerWord word) {
  server.words.push_back(std::move(word));
  server.run.At(0, server.number, [&server = server] {
    const cluster::OwnerWord first = std::move(server.words.front());
    server.words.pop_front();
    server.node.OnOwner(first);
  });
}

Server::Server(Run& run, uint32_t number, uint64_t start, cluster::KeptServer kept)
    : run(run),
      number(number),
      owners(1 + run.owner_dice.Below(3)),
      node(number, start, fmt::format("server-{}", number), std::move(kept), owners.size(), {}, *this) {
  for (auto& owner : owners) owner = std::make_unique<Owner>(*this);
}

void Server::ToOwner(size_t owner, cluster::NodeWord word) {
  owners[owner]->Hand(
      [&run = run, &owner = *owners[owner], word = std::move(word)] { owner.core.OnNode(word, run.now); });
}

void Server::OnPeer(const param::PeerMessage& message) {
  Owner& owner = OwnerOf(std::visit([](const auto& m) { return m.shard; }, message));
  owner.HandShort([&run = run, &owner, message] { owner.core.OnPeer(message, run.now); });
}

void Server::OnPush(param::ClientId from, const param::PushRequest& request) {
  Owner& owner = OwnerOf(request.shard);
  owner.HandShort([&run = run, &owner, from, request] { owner.core.OnPush(from, request, run.now); });
}

void Server::OnPull(param::ClientId from, const param::PullRequest& request) {
  Owner& owner = OwnerOf(request.shard);
  owner.HandShort([&run = run, &owner, from, request] { owner.core.OnPull(from, request, run.now); });
}

void Server::OnTick() {
  node.OnTick(run.now);
  for (const auto& owner : owners) {
    owner->HandShort([&run = run, &owner = *owner] { owner.core.OnTick(run.now); });
  }
}

ServerDisk& Server::disk() { return run.disks[number]; }

// Two owners with one shard is one too many.
const param::Replica* Server::FindReplica(const ShardId& shard) const {
  const param::Replica* found = nullptr;
  for (const auto& owner : owners) {
    const auto it = owner->core.replicas().find(shard);
    if (it == owner->core.replicas().end()) continue;
    if (found != nullptr) run.Violation(fmt::format("two owners of server {} have shard {}", number, shard.shard));
    found = it->second.get();
  }
  return found;
}

const param::Replica& Server::ReplicaOf(const ShardId& shard) const {
  const param::Replica* replica = FindReplica(shard);
  CHECK(replica != nullptr);
  return *replica;
}

param::DrainState Server::leaving() const {
  const bool is_named =
      std::any_of(owners.begin(), owners.end(), [](const auto& owner) { return owner->core.IsNamed(); });
  const param::DrainState state = node.leaving().state;
  return state == param::DrainState::kDone && is_named ? param::DrainState::kAtWork : state;
}

void Server::Begin(uint64_t incarnation) {
  run.At(run.dice.Between(100'000, 3 * kMilli), number, [this, incarnation] {
    if (run.weather.on_disk) disk().before.push_back(incarnation);
    run.Say("server {} is incarnation {}", number, incarnation);
    node.OnBegun();
  });
}

void Owner::Write(const ShardId& shard, const param::SharedBytes&, const param::Record& record) {
  ShardDisk& to = server.disk().shards[shard];
  ++to.numbers;
  if (GLIM_MUTANT(kIgnoreFull) && server.run.now < server.disk().full_until) return;
  to.writes.push_back({to.numbers, record, std::nullopt});
  server.StartSync();
}

void Owner::Write(const ShardId& shard, const param::SharedBytes&, const param::ShardSnapshot& snapshot) {
  ShardDisk& to = server.disk().shards[shard];
  ++to.resets;
  to.writes.push_back({++to.numbers, std::nullopt, snapshot});
  server.StartSync();
}

void Owner::Erase(const ShardId& shard) {
  ShardDisk& to = server.disk().shards[shard];
  ++to.resets;
  to.writes.push_back({to.numbers, std::nullopt, std::nullopt});
  server.StartSync();
}

// One sync for all that was written meanwhile.
void Server::StartSync() {
  sync_again_ = true;
  if (syncing_) return;
  syncing_ = true;
  sync_again_ = false;
  std::map<ShardId, uint64_t> upto;
  for (const auto& [shard, to] : disk().shards) upto[shard] = to.numbers;
  int64_t delay = run.dice.Between(50'000, run.peace ? 3 * kMilli : run.weather.sync_nanos_max);
  if (!GLIM_MUTANT(kIgnoreFull)) delay += std::max<int64_t>(0, disk().full_until - run.now);
  run.At(delay, number, [this, upto] { EndSync(upto); });
}

void Server::EndSync(const std::map<ShardId, uint64_t>& upto) {
  syncing_ = false;
  // What was not written is not sure, and a second sync would not tell: the kernel has forgotten that it is not there.
  const bool failed = !run.peace && run.dice.Below(1000) == 0;
  if (failed && !GLIM_MUTANT(kSyncAgain)) return run.OnSyncFailed(number);
  for (const auto& [shard, last] : upto) {
    ShardDisk& to = disk().shards[shard];
    size_t end = to.safe;
    while (end < to.writes.size() && to.writes[end].number <= last) ++end;
    if (failed) {
      to.writes.erase(to.writes.begin() + to.safe, to.writes.begin() + end);
    } else {
      to.safe = end;
    }
    Owner& owner = OwnerOf(shard);
    owner.Hand([&run = run, &owner, shard = shard, last = last] { owner.core.OnWritten(shard, last, run.now); });
    if (!run.peace && run.dice.Chance(20)) CutLog(shard);
  }
  if (sync_again_) StartSync();
}

// A snapshot beside the log, and the log without what the snapshot has: all that was written until now, when all of it
// is applied.
void Server::CutLog(const ShardId& shard) {
  const param::Replica* replica = FindReplica(shard);
  if (replica == nullptr || !cutting_.insert(shard).second) return;
  const ShardDisk& to = disk().shards[shard];
  FinishCut(shard, to.numbers, replica->last_lsn(), to.resets, 20);
}

void Server::FinishCut(const ShardId& shard, uint64_t last_write, uint64_t last_lsn, uint64_t resets, int tries) {
  const param::Replica* replica = FindReplica(shard);
  if (replica == nullptr || disk().shards[shard].resets != resets || tries == 0) {
    cutting_.erase(shard);
    return;
  }
  if (replica->applied_lsn() < last_lsn) {
    return run.At(10 * kMilli, number, [=, this] { FinishCut(shard, last_write, last_lsn, resets, tries - 1); });
  }
  run.At(run.dice.Between(1, 50) * kMilli, number, [=, this, snapshot = replica->TakeSnapshot()] {
    ShardDisk& to = disk().shards[shard];
    cutting_.erase(shard);
    if (to.resets != resets) return;
    to.base = snapshot;
    const uint64_t cut = GLIM_MUTANT(kCutTooMuch) ? to.numbers : last_write;
    size_t count = 0;
    while (count < to.safe && to.writes[count].number <= cut) ++count;
    to.writes.erase(to.writes.begin(), to.writes.begin() + count);
    to.safe -= count;
  });
}

void Server::SetFull(bool full) {
  for (const auto& owner : owners) owner->core.OnDiskFull(full && !GLIM_MUTANT(kIgnoreFull));
}

void Owner::Send(const Member& to, param::PeerMessage message) {
  server.run.Transmit(server.number, to.node, [&run = server.run, to, message = std::move(message)] {
    if (Server* server = run.FindServer(to)) server->OnPeer(message);
  });
}

void Owner::Answer(param::ClientId to, param::PushReply reply) {
  if (reply.outcome == param::PushOutcome::kApplied) server.run.OnServing(server, reply.shard, reply.view);
  server.run.Transmit(server.number, static_cast<uint32_t>(to), [&run = server.run, to, reply] {
    if (const auto it = run.clients.find(to); it != run.clients.end()) it->second->OnPushReply(reply);
    if (const auto it = run.workers.find(to); it != run.workers.end()) it->second->OnPushReply(reply);
    if (const auto it = run.visitors.find(to); it != run.visitors.end()) it->second->OnReply(reply);
  });
}

void Owner::Answer(param::ClientId to, param::PullReply reply) {
  server.run.Transmit(server.number, static_cast<uint32_t>(to), [&run = server.run, to, reply] {
    if (const auto it = run.clients.find(to); it != run.clients.end()) it->second->OnPullReply(reply);
    if (const auto it = run.workers.find(to); it != run.workers.end()) it->second->OnPullReply(reply);
  });
}

void Server::SendToMaster(const param::Beat& beat) {
  run.Transmit(number, kMasterNode, [&run = run, beat] { run.master->master->OnBeat(beat, run.now); });
}
void Owner::SendToMaster(const param::ShardReport& report) {
  server.run.Transmit(server.number, kMasterNode,
                      [&run = server.run, self = server.self(), report] { run.master->OnReport(self, report); });
}
void Server::SendToMaster(const param::FullReport& report) {
  run.Transmit(number, kMasterNode, [&run = run, report] { run.master->OnReport(report); });
}

void Owner::Applied(const ShardId& shard, const param::Record& record) {
  server.run.OnApplied(server.self(), shard, record);
}

}  // namespace glim::sim
