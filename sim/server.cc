// SPDX-License-Identifier: Apache-2.0
//
// A simulated server and the disk under it.
#include "run.h"
#include "visitor.h"

namespace glim::sim {

Server::Server(Run& run, uint32_t number, uint64_t start, cluster::KeptServer kept)
    : run(run),
      number(number),
      node(
          number, start, fmt::format("server-{}", number), std::move(kept),
          [&run, number](ShardId shard, const param::SharedBytes&) -> Result<std::unique_ptr<param::ShardState>> {
            if (run.weather.on_disk && !run.weather.HasDisk(number)) {
              run.Violation(fmt::format("server {} is to keep a shard on disk, and has none", number));
            }
            if (shard.table == kWorkersTable) return run.MakeWorkersState();
            return std::unique_ptr<param::ShardState>(std::make_unique<CountingState>(
                run.weather.on_disk, [&run] { return run.peace || !run.dice.Chance(run.weather.busy_per_mille); },
                [&run, shard](const param::Record& record, uint64_t last) { run.OnEffective(shard, record, last); }));
          },
          {.replica = {.message_bytes_max = 300, .era_nanos = kSecond}}, *this) {}

ServerDisk& Server::disk() { return run.disks[number]; }

void Server::Begin(uint64_t incarnation) {
  run.At(run.dice.Between(100'000, 3 * kMilli), number, [this, incarnation] {
    if (run.weather.on_disk) disk().before.push_back(incarnation);
    run.Say("server {} is incarnation {}", number, incarnation);
    node.OnBegun();
  });
}

void Server::Write(const ShardId& shard, const param::SharedBytes&, const param::Record& record) {
  ShardDisk& to = disk().shards[shard];
  ++to.numbers;
  if (GLIM_MUTANT(kIgnoreFull) && run.now < disk().full_until) return;
  to.writes.push_back({to.numbers, record, std::nullopt});
  StartSync();
}

void Server::Write(const ShardId& shard, const param::SharedBytes&, const param::ShardSnapshot& snapshot) {
  ShardDisk& to = disk().shards[shard];
  ++to.resets;
  to.writes.push_back({++to.numbers, std::nullopt, snapshot});
  StartSync();
}

void Server::Erase(const ShardId& shard) {
  ShardDisk& to = disk().shards[shard];
  ++to.resets;
  to.writes.push_back({to.numbers, std::nullopt, std::nullopt});
  StartSync();
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
    node.OnWritten(shard, last, run.now);
    if (!run.peace && run.dice.Chance(20)) CutLog(shard);
  }
  if (sync_again_) StartSync();
}

// A snapshot beside the log, and the log without what the snapshot has: all that was written until now, when all of it
// is applied.
void Server::CutLog(const ShardId& shard) {
  const auto replica = node.replicas().find(shard);
  if (replica == node.replicas().end() || !cutting_.insert(shard).second) return;
  const ShardDisk& to = disk().shards[shard];
  FinishCut(shard, to.numbers, replica->second->last_lsn(), to.resets, 20);
}

void Server::FinishCut(const ShardId& shard, uint64_t last_write, uint64_t last_lsn, uint64_t resets, int tries) {
  const auto replica = node.replicas().find(shard);
  if (replica == node.replicas().end() || disk().shards[shard].resets != resets || tries == 0) {
    cutting_.erase(shard);
    return;
  }
  if (replica->second->applied_lsn() < last_lsn) {
    return run.At(10 * kMilli, number, [=, this] { FinishCut(shard, last_write, last_lsn, resets, tries - 1); });
  }
  run.At(run.dice.Between(1, 50) * kMilli, number, [=, this, snapshot = replica->second->TakeSnapshot()] {
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

void Server::SetFull(bool full) { node.OnDiskFull(full && !GLIM_MUTANT(kIgnoreFull)); }

void Server::Send(const Member& to, param::PeerMessage message) {
  run.Transmit(number, to.node, [&run = run, to, message = std::move(message)] {
    if (Server* server = run.FindServer(to)) server->node.OnPeer(message, run.now);
  });
}

void Server::Answer(param::ClientId to, param::PushReply reply) {
  if (reply.outcome == param::PushOutcome::kApplied) run.OnServing(*this, reply.shard, reply.view);
  run.Transmit(number, static_cast<uint32_t>(to), [&run = run, to, reply] {
    if (const auto it = run.clients.find(to); it != run.clients.end()) it->second->OnPushReply(reply);
    if (const auto it = run.workers.find(to); it != run.workers.end()) it->second->OnPushReply(reply);
    if (const auto it = run.visitors.find(to); it != run.visitors.end()) it->second->OnReply(reply);
  });
}

void Server::Answer(param::ClientId to, param::PullReply reply) {
  run.Transmit(number, static_cast<uint32_t>(to), [&run = run, to, reply] {
    if (const auto it = run.clients.find(to); it != run.clients.end()) it->second->OnPullReply(reply);
    if (const auto it = run.workers.find(to); it != run.workers.end()) it->second->OnPullReply(reply);
  });
}

void Server::SendToMaster(const param::Beat& beat) {
  run.Transmit(number, kMasterNode, [&run = run, beat] { run.master->master->OnBeat(beat, run.now); });
}
void Server::SendToMaster(const param::ShardReport& report) {
  run.Transmit(number, kMasterNode,
               [&run = run, self = self(), report] { run.master->master->OnReport(self, report, run.now); });
}
void Server::SendToMaster(const param::FullReport& report) {
  run.Transmit(number, kMasterNode, [&run = run, report] { run.master->master->OnFullReport(report, run.now); });
}

void Server::Applied(const ShardId& shard, const param::Record& record) { run.OnApplied(self(), shard, record); }

}  // namespace glim::sim
