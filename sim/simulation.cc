// SPDX-License-Identifier: Apache-2.0
#include "simulation.h"

#include "run.h"
#include "visitor.h"

namespace glim::sim {

// -----------------------------------------------------------------------------------------------------------------
// master

MasterProcess::MasterProcess(Run& run, size_t first) : run(run), first(first) {
  const cluster::MasterOptions options{.move_nanos_max = 5 * kSecond, .declined_nanos = 2 * kSecond};
  master.emplace(options, std::span<const Decision>(run.disk).first(first), run.now, *this);
}

void MasterProcess::Write(const Decision& decision) {
  run.disk.push_back(decision);
  const size_t end = run.disk.size();
  const int64_t slow = !run.peace && run.dice.Chance(40) ? 500 * kMilli : 3 * kMilli;
  run.OnDecision(decision);
  run.disk_ready_at = std::max(run.disk_ready_at, run.now + run.dice.Between(100'000, slow));
  run.At(run.disk_ready_at - run.now, kMasterNode, [&run = run, end, first = first] {
    run.disk_safe = std::max(run.disk_safe, end);
    run.master->master->OnWritten(end - first, run.now);
  });
}

// Its log is the newest one here, always.
void MasterProcess::OnReport(const Member& from, const param::ShardReport& report) {
  master->OnReport(from, report, run.now);
  if (!master->behind().empty()) run.Violation("a master takes its log for an older copy: " + master->behind());
}
void MasterProcess::OnReport(const param::FullReport& report) {
  master->OnFullReport(report, run.now);
  if (!master->behind().empty()) run.Violation("a master takes its log for an older copy: " + master->behind());
}

void MasterProcess::Send(const Member& to, const param::ViewUpdate& update) {
  run.Say("master -> {}: shard {} view {} primary {}{}", to.node, update.shard.shard, update.view.number,
          update.view.primary.node, update.active ? " active" : "");
  run.Transmit(kMasterNode, to.node, [&run = run, to, update] {
    if (Server* server = run.FindServer(to)) server->node.OnViewUpdate(update);
  });
}

void MasterProcess::Send(const Member& to, const param::BeatReply& reply) {
  run.Transmit(kMasterNode, to.node, [&run = run, to, reply] {
    if (Server* server = run.FindServer(to)) server->node.OnBeatReply(reply, run.now);
  });
}

// -----------------------------------------------------------------------------------------------------------------
// client

Client::Client(Run& run, uint32_t number, uint32_t attempt) : run(run), number(number), attempt(attempt) {
  shards.resize(run.shards.size());
  for (size_t i = 0; i < shards.size(); ++i) {
    shards[i].session = std::make_unique<param::PushSession>(
        run.shards[i], producer(), attempt, param::PushSessionOptions{.in_flight_max = 16, .queued_max = 64}, *this);
  }
}

void Client::Send(const Member& primary, param::PushRequest request) {
  run.Transmit(process(), primary.node, [&run = run, primary, request, from = process()] {
    if (Server* server = run.FindServer(primary)) server->OnPush(from, request);
  });
}

void Client::WantRoute(const ShardId& shard) {
  run.Transmit(process(), kMasterNode, [&run = run, shard, from = process()] {
    const auto route = run.master->master->FindRoute(shard);
    if (!route || !route->active) return;
    run.Transmit(kMasterNode, from, [&run, shard, from, primary = route->view.primary] {
      if (const auto it = run.clients.find(from); it != run.clients.end()) it->second->OnRoute(shard, primary);
    });
  });
}

void Client::Done(uint64_t push, param::PushResult result, const std::string& error) {
  ToShard& to = shards[working_on];
  const ShardId shard = run.shards[working_on];
  const uint64_t id = to.ids.at(push);
  const bool was_bad = id > run.weather.pushes;
  if (result == param::PushResult::kApplied) {
    if (was_bad) run.Violation(fmt::format("client {} is told that its bad push {} is applied", number, id));
    uint64_t& last = run.acknowledged[shard][number];
    last = std::max(last, id);
    ++run.report.applied;
    uint64_t& ended = run.ended[shard][number];
    ended = std::max<uint64_t>(ended, attempt);
  } else if (result == param::PushResult::kRefused) {
    if (!was_bad) run.Violation(fmt::format("push {} of client {} is refused: {}", id, number, error));
  } else {
    ++run.report.unknown;
  }
}

void Client::PushNext(size_t shard) {
  ToShard& to = shards[shard];
  if (!to.session->status().ok() || to.next_id > run.weather.pushes + 1) return;
  working_on = shard;
  // The last one is bad, for every second client.
  const Operation operation{to.next_id, to.next_id > run.weather.pushes};
  if (operation.is_bad && number % 2 == 1) {
    ++to.next_id;
    return;
  }
  const auto push = to.session->Push(Encode(operation), run.now + run.dice.Between(200, 5000) * kMilli, run.now);
  if (!push.ok()) return;
  if (CountingState::HasAnswer(operation.id) && run.dice.Chance(500)) AskAnswer(shard, operation.id);
  to.ids[*push] = to.next_id++;
}

// Of a push that was sent a moment ago, perhaps of a server that will never have it.
void Client::AskAnswer(size_t shard, uint64_t id) {
  const ToShard& to = shards[shard];
  if (!to.primary || pulls.size() > 100) return;
  const uint64_t request = next_pull++;
  pulls[request] = {shard, 0, {}, id};
  param::PullRequest message{run.shards[shard], request, producer(), 0, id, {}};
  run.Transmit(process(), to.primary->node, [&run = run, primary = *to.primary, message, from = process()] {
    if (Server* server = run.FindServer(primary)) server->OnPull(from, message);
  });
}

void Client::CheckAnswer(size_t shard, uint64_t id, const param::PullReply& reply) {
  const ShardId on = run.shards[shard];
  if (reply.outcome == param::PullOutcome::kRefused && run.applied[on][number] < id + param::kAnswersKept) {
    run.Violation(fmt::format("the answer to push {} of client {} is not kept: {}", id, number, reply.error));
  }
  if (reply.outcome != param::PullOutcome::kOk) return;
  ++run.report.pulls;
  const auto& bytes = reply.rows.bytes;
  const std::string got(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto right = run.answers[on].find({number, id});
  if (right == run.answers[on].end() || right->second != got) {
    run.Violation(fmt::format("push {} of client {} is answered with another state than that behind it", id, number));
  }
}

void Client::Pull(size_t shard) {
  ToShard& to = shards[shard];
  if (!to.primary || pulls.size() > 100 || !to.session->status().ok()) return;
  // Now and then of one that it knows from before.
  const Member primary = to.primary_before && run.dice.Chance(300) ? *to.primary_before : *to.primary;
  PendingPull pull{shard, 0, run.acknowledged[run.shards[shard]]};
  pull.own_id = std::min(to.next_id - 1, run.weather.pushes);
  const uint64_t request = next_pull++;
  pulls[request] = pull;
  param::PullRequest message{run.shards[shard], request, producer(), pull.own_id, 0, {}};
  run.Transmit(process(), primary.node, [&run = run, primary, message, from = process()] {
    if (Server* server = run.FindServer(primary)) server->OnPull(from, message);
  });
}

void Client::Tick() {
  for (size_t i = 0; i < shards.size(); ++i) {
    working_on = i;
    shards[i].session->OnTick(run.now);
  }
}

void Client::OnRoute(const ShardId& shard, const Member& primary) {
  working_on = shard.shard;
  ToShard& to = shards[working_on];
  if (to.primary && to.primary != primary) to.primary_before = to.primary;
  to.primary = primary;
  shards[working_on].session->OnRoute(primary, run.now);
}

void Client::OnPushReply(const param::PushReply& reply) {
  working_on = reply.shard.shard;
  shards[working_on].session->OnReply(reply, run.now);
}

void Client::OnPullReply(const param::PullReply& reply) {
  const auto it = pulls.find(reply.request);
  if (it == pulls.end()) return;
  const PendingPull pull = std::move(it->second);
  pulls.erase(it);
  if (pull.answer_of > 0) return CheckAnswer(pull.shard, pull.answer_of, reply);
  if (reply.outcome != param::PullOutcome::kOk) return;
  ++run.report.pulls;
  LastIds seen = DecodeLastIds(reply.rows.bytes);
  for (const auto& [client, id] : pull.acknowledged) {
    if (seen[client] < id) {
      run.Violation(fmt::format("a pull of shard {} in view {} shows push {} of client {}; {} was acknowledged before",
                                pull.shard, reply.view, seen[client], client, id));
    }
  }
  if (seen[number] < pull.own_id) {
    run.Violation(fmt::format("a pull does not show its own client's push {}", pull.own_id));
  }
}

bool Client::finished() const {
  for (const ToShard& to : shards) {
    if (to.session->status().ok() && to.next_id <= run.weather.pushes + 1) return false;
    if (to.session->queued() > 0) return false;
  }
  return true;
}

// -----------------------------------------------------------------------------------------------------------------
// workers

void Run::Send(uint32_t process, const Member& primary, param::PushRequest request) {
  Transmit(process, primary.node, [this, primary, request = std::move(request), process] {
    if (Server* server = FindServer(primary)) server->OnPush(process, request);
  });
}

void Run::Send(uint32_t process, const Member& primary, param::PullRequest request) {
  Transmit(process, primary.node, [this, primary, request = std::move(request), process] {
    if (Server* server = FindServer(primary)) server->OnPull(process, request);
  });
}

void Run::AskRoute(uint32_t process, const ShardId& shard) {
  Transmit(process, kMasterNode, [this, shard, process] {
    const auto route = master->master->FindRoute(shard);
    if (!route || !route->active) return;
    Transmit(kMasterNode, process, [this, shard, process, primary = route->view.primary] {
      if (const auto it = workers.find(process); it != workers.end()) it->second->OnRoute(shard, primary);
    });
  });
}

std::unique_ptr<param::ShardState> Run::MakeWorkersState() {
  auto trace = std::make_unique<TraceState>(weather.on_disk, worker_weather,
                                            [this](std::string what) { Violation(std::move(what)); });
  return std::make_unique<param::ClockedState>(worker_weather.consistency, std::move(trace),
                                               worker_weather.lease_nanos);
}

// -----------------------------------------------------------------------------------------------------------------
// checks

void Run::OnApplied(const Member& member, const ShardId& shard, const param::Record& record) {
  const uint64_t what = record.producer.low * 1'000'003 + record.seq * 31 + static_cast<uint64_t>(record.kind) * 7 +
                        (record.op.bytes.empty() ? 0 : DecodeOperation(record.op).id) * 65'537;
  const auto [it, is_new] = log[shard].try_emplace(record.lsn, record.view, what);
  if (shard.table != kWorkersTable && record.kind == param::RecordKind::kPush) {
    const auto& state = static_cast<const CountingState&>(FindServer(member)->ReplicaOf(shard).state());
    const uint64_t id = DecodeOperation(record.op).id;
    // Not where it was passed over: then the one that counted came before, or is still to come.
    const auto last = state.last_ids().find(record.producer.low);
    const bool counts = last != state.last_ids().end() && last->second == id;
    if (counts && CountingState::HasAnswer(id)) answers[shard].try_emplace({record.producer.low, id}, state.Save());
  }
  if (shard.table == kWorkersTable) {
    const auto& state = FindServer(member)->ReplicaOf(shard).state();
    const auto request = param::DecodeClockRequest(record.op);
    const bool left = request && request->call == param::ClockCall::kLeave;
    begun_anew |= left && static_cast<const param::ClockedState&>(state).clocks().workers().empty();
  }
  if (record.kind == param::RecordKind::kOwn) taken_out.insert(param::DecodeClockRequest(record.op)->id.worker);
  if (!is_new && it->second != std::pair(record.view, what)) {
    Violation(fmt::format("server {} applies another record {} of shard {} (views {} and {})", member.node, record.lsn,
                          shard.shard, record.view, it->second.first));
  }
}

void Run::OnEffective(const ShardId& shard, const param::Record& record, uint64_t last_id) {
  const Operation operation = DecodeOperation(record.op);
  if (operation.is_bad) Violation("a bad push is applied");
  if (record.producer.low >= Visitor::kFirstLow) {
    // Others of the same number come from members that apply the same record, or have begun anew.
    effective[shard].insert({record.producer.low, operation.id});
    const uint64_t acknowledged_id = acknowledged[shard][record.producer.low];
    if (operation.id <= last_id) {
      Violation(fmt::format("push {} of visitor {} is applied after {}", operation.id, record.producer.low, last_id));
    } else if (operation.id > acknowledged_id && last_id < acknowledged_id) {
      Violation(fmt::format("push {} of visitor {} is applied, and {} was acknowledged before and is not", operation.id,
                            record.producer.low, acknowledged_id));
    }
  } else if (operation.id != last_id + 1) {
    Violation(fmt::format("push {} of client {} is applied after {}", operation.id, record.producer.low, last_id));
  }
  uint64_t& last = applied[shard][record.producer.low];
  last = std::max(last, operation.id);
  // Only the first member to apply a record can break the order; the others come later.
  if (log[shard].contains(record.lsn)) return;
  if (record.attempt < ended[shard][record.producer.low]) {
    Violation(fmt::format("push {} of client {} is applied for attempt {}, which attempt {} had ended", operation.id,
                          record.producer.low, record.attempt, ended[shard][record.producer.low]));
  }
}

void Run::OnServing(Server& server, const ShardId& shard, uint64_t view) {
  const auto [it, is_new] = primaries.try_emplace({shard, view}, server.self());
  if (it->second != server.self()) {
    Violation(fmt::format("servers {} and {} both answer for shard {} in view {}", it->second.node, server.number,
                          shard.shard, view));
  }
}

// What was acknowledged must be in every primary that the master knows to be active, and members must agree.
void Run::CheckEnd() {
  for (const auto& [id, status] : master->master->ShardStatuses()) {
    const param::View& view = status.view;
    std::vector<Member> holders{view.primary};
    holders.insert(holders.end(), view.backups.begin(), view.backups.end());
    std::map<uint64_t, std::string> states;
    for (const Member& member : holders) {
      Server* server = FindServer(member);
      if (server == nullptr) return Violation(fmt::format("server {} of a view is not there", member.node));
      const param::Replica& replica = server->ReplicaOf(id);
      // With what they know of producers.
      const param::SharedBytes all = replica.TakeSnapshot().bytes;
      const std::string text(reinterpret_cast<const char*>(all.bytes.data()), all.bytes.size());
      const auto [it, is_new] = states.try_emplace(replica.applied_lsn(), text);
      if (it->second != text) Violation(fmt::format("members of shard {} differ", id.shard));
    }
    const param::Replica& primary = FindServer(view.primary)->ReplicaOf(id);
    if (id.table == kWorkersTable) {
      const auto& clocked = static_cast<const param::ClockedState&>(primary.state());
      const TraceState::Last last = static_cast<const TraceState&>(clocked.rows()).last();
      for (uint32_t worker = 0; worker < worker_weather.workers; ++worker) {
        const WorkerPush end{worker_weather.clocks - 1, worker, worker_weather.pushes - 1};
        if (IsWhole(worker) && (!last.contains(worker) || last.at(worker) != end)) {
          Violation(fmt::format("shard {} has not all pushes of worker {}", id.shard, worker));
        }
      }
      continue;
    }
    LastIds last = static_cast<const CountingState&>(primary.state()).last_ids();
    for (uint32_t client = 0; client < weather.clients; ++client) {
      if (last[client] != weather.pushes) {
        uint32_t attempt = 0;
        while (clients.contains(kFirstClient + 10 * client + attempt + 1)) ++attempt;
        const auto& session = *clients.at(kFirstClient + 10 * client + attempt)->shards[id.shard].session;
        Violation(fmt::format("shard {} ends with {} of {} pushes of client {} ({})", id.shard, last[client],
                              weather.pushes, client, session.status().ok() ? "ok" : session.status().message()));
      }
    }
  }
}

// -----------------------------------------------------------------------------------------------------------------
// faults

void Run::Every(int64_t period, uint32_t process, std::function<void()> work) {
  At(dice.Between(period / 2, period), process, [this, period, process, work = std::move(work)] {
    work();
    Every(period, process, work);
  });
}

void Run::StartMaster() {
  Process& process = processes[kMasterNode];
  process = {true, process.start + 1, 0};
  master.reset();
  disk.resize(disk_safe + dice.Below(disk.size() - disk_safe + 1));
  disk_safe = disk.size();
  master = std::make_unique<MasterProcess>(*this, disk.size());
  Every(100 * kMilli, kMasterNode, [this] { master->master->OnTick(now); });
  if (shards.empty()) return;
  // A user who asks until the table is there.
  Every(500 * kMilli, kMasterNode, [this] {
    if (master->master->FindTable("t") == nullptr) {
      (void)master->master->CreateTable({0, "t", weather.shards, weather.replicas, weather.on_disk, {}}, now);
    } else if (worker_weather.workers > 0 && master->master->FindTable("w") == nullptr) {
      (void)master->master->CreateTable({0, "w", worker_weather.shards, weather.replicas, weather.on_disk, {}}, now);
    }
  });
}

void Run::StartServer(uint32_t number) {
  Process& process = processes[number];
  process = {true, process.start + 1, 0};
  servers[number] = std::make_unique<Server>(*this, number, process.start, ReadDisk(number));
  if (now < disks[number].full_until) servers[number]->SetFull(true);
  Every(50 * kMilli, number, [this, number] {
    servers[number]->OnTick();
    if (leaving_ == number) EndOfLeaving();
  });
}

// What is found after a crash: all that was sure, and a part of the rest. The last of that may be torn, which its
// checksum tells, and is left out. A bit that has turned among what was sure is told, too, and the shard left out.
cluster::KeptServer Run::ReadDisk(uint32_t number) {
  ServerDisk& disk = disks[number];
  cluster::KeptServer kept{weather.HasDisk(number), disk.before, {}};
  for (auto it = disk.shards.begin(); it != disk.shards.end();) {
    ShardDisk& shard = it->second;
    shard.numbers = 0;
    for (ShardDisk::Write& write : shard.writes) write.number = 0;
    auto read = shard.Read(it->first, shard.writes.size());
    const bool flipped = read && !read->records.empty() && !peace && dice.Chance(30) && MayLose(number);
    if (flipped || (read && !read->records.empty() && GLIM_MUTANT(kBelieveDisk) && dice.Chance(100))) {
      if (GLIM_MUTANT(kBelieveDisk)) {
        const bool is_ours = it->first.table != kWorkersTable;
        if (is_ours) read->records.back().op = Encode({dice.Below(1000), false});
      } else {
        Say("server {}: its disk's shard {} is damaged", number, it->first.shard);
        it = disk.shards.erase(it);
        continue;
      }
    }
    if (read) kept.shards.push_back(*std::move(read));
    ++it;
  }
  return kept;
}

// A crash, of the process and perhaps of the machine.
void Run::LoseUnwritten(uint32_t number) {
  for (auto& [id, shard] : disks[number].shards) {
    const size_t unsure = shard.writes.size() - shard.safe;
    shard.writes.resize(shard.safe + dice.Below(unsure + 1));
    shard.safe = shard.writes.size();
  }
}

void Run::StartClient(uint32_t number, uint32_t attempt) {
  const uint32_t id = kFirstClient + 10 * number + attempt;
  processes[id] = {true, 1, 0};
  Client& client = *(clients[id] = std::make_unique<Client>(*this, number, attempt));
  Every(50 * kMilli, id, [&client] { client.Tick(); });
  for (size_t shard = 0; shard < shards.size(); ++shard) {
    Every(weather.push_pause_max, id, [this, &client, shard] {
      for (uint64_t i = peace ? 20 : 1 + dice.Below(4); i > 0; --i) client.PushNext(shard);
    });
    Every(300 * kMilli, id, [&client, shard] { client.Pull(shard); });
  }
}

void Run::StartWorker(uint32_t number) {
  progress[number].had_rival |= worker_attempts[number] > 0 && processes[ProcessOf(number)].up;
  const uint32_t attempt = worker_attempts[number]++;
  const uint32_t id = ProcessOf(number);
  Say("worker {} begins for the {}. time", number, attempt + 1);
  processes[id] = {true, 1, 0};
  Worker& worker = *(workers[id] = std::make_unique<Worker>(*this, worker_weather, kWorkersTable, id, number, attempt));
  Every(50 * kMilli, id, [this, id, number, &worker] {
    worker.Tick();
    // Whoever runs it sees that it has failed, and runs it again.
    if (worker.failed() && ProcessOf(number) == id && !dead_workers.contains(number)) StartWorker(number);
  });
}

// A worker ends, or stands still, and is perhaps run again beside the one that stands still.
void Run::WorkerFault() {
  if (peace) return;
  const uint32_t number = worker_dice.Below(worker_weather.workers);
  const uint32_t id = ProcessOf(number);
  const int64_t down = worker_dice.Between(50, 5000) * kMilli;
  if (!dead_workers.contains(number) && worker_attempts[number] < 20) {
    Say("worker {} is lost", number);
    if (worker_dice.Chance(500)) {
      Crash(id);
    } else {
      processes[id].paused_until = now + down;
    }
    // One that has never joined is waited for.
    if (worker_weather.may_die && workers[id]->joined() && worker_dice.Chance(300)) {
      for (uint32_t process = kFirstWorker + 1000 * number + 1; process <= id; ++process) Crash(process);
      dead_workers.insert(number);
    } else if (!processes[id].up || worker_dice.Chance(500)) {
      queue_.push({now + down / 2, ++order_, ~0U, 0, [this, number, id] {
                     const bool again =
                         ProcessOf(number) == id && !dead_workers.contains(number) && !workers[id]->finished();
                     if (again) StartWorker(number);
                   }});
    }
  }
  queue_.push({now + worker_dice.Between(100, 6000) * kMilli, ++order_, ~0U, 0, [this] { WorkerFault(); }});
}

// Has it, there or on its disk, all that was acknowledged while it was a member?
bool Run::HasWhole(const Member& member, const ShardId& shard) {
  if (!weather.on_disk) return FindServer(member) != nullptr && processes[member.node].up;
  const ServerDisk& disk = disks[member.node];
  const auto it = disk.shards.find(shard);
  return it != disk.shards.end() && std::count(disk.before.begin(), disk.before.end(), member.incarnation) > 0 &&
         it->second.Read(shard, it->second.safe).has_value();
}

// Does everything that was acknowledged survive without this server? One who may be made the primary next must be left.
bool Run::MayLose(uint32_t number) {
  for (const auto& [id, status] : master->master->ShardStatuses()) {
    const auto is_left = [&, id = id](const param::View& view) {
      const auto has = [&](const Member& member) { return member.node != number && HasWhole(member, id); };
      return has(view.primary) || std::any_of(view.backups.begin(), view.backups.end(), has);
    };
    if (status.last_active.number > 0 && !is_left(status.last_active)) return false;
    // It may be written down as active at any moment, by the word of a primary that is no more.
    if (status.view.number > 0 && !is_left(status.view)) return false;
  }
  return true;
}

void Run::Crash(uint32_t process) {
  ++report.crashes;
  Say("crash of {}", process);
  processes[process].up = false;
  ++processes[process].start;
}

// One is told to end, while no other one is ending.
void Run::Leave(uint32_t server) {
  if (leaving_ != 0 || !processes[server].up) return;
  Say("server {} is leaving", server);
  leaving_ = server;
  servers[server]->node.Leave();
}

// It ends when it is told that it may, whatever anybody else has; with the last copy of something in memory it does
// not, but that is for nobody to blame.
void Run::EndOfLeaving() {
  Server& server = *servers[leaving_];
  const param::DrainState state = server.leaving();
  const bool done = state == param::DrainState::kDone;
  if (!done && (state != param::DrainState::kNobody || (!weather.on_disk && !MayLose(leaving_)))) return;
  Say("server {} leaves", leaving_);
  // Not at once: it is at work.
  queue_.push({now, ++order_, ~0U, 0, [this, server = leaving_, start = processes[leaving_].start] {
                 if (processes[server].start == start) EndServer(server, dice.Between(1, 1500) * kMilli);
               }});
}

void Run::CrashServer(uint32_t server, int64_t down) {
  if (!processes[server].up || (!weather.on_disk && !MayLose(server))) return;
  EndServer(server, down);
}

void Run::EndServer(uint32_t server, int64_t down) {
  if (leaving_ == server) leaving_ = 0;
  Crash(server);
  servers[server].reset();
  LoseUnwritten(server);
  queue_.push({now + down, ++order_, ~0U, 0, [this, server] {
                 if (!processes[server].up) StartServer(server);  // Peace may have come first.
               }});
}

void Run::OnSyncFailed(uint32_t server) {
  Say("a sync of server {} fails", server);
  // Not at once: it is at work.
  processes[server].up = false;
  queue_.push({now, ++order_, ~0U, 0, [this, server] {
                 processes[server].up = true;
                 CrashServer(server, dice.Between(50, 1500) * kMilli);
               }});
}

// The power goes, for all.
void Run::CrashAll() {
  Say("crash of all");
  for (uint32_t server = 1; server <= weather.servers; ++server) {
    if (!dice.Chance(50)) CrashServer(server, dice.Between(50, 4000) * kMilli);
  }
  CrashMaster(dice.Between(10, 2000) * kMilli);
}

// It starts again with another disk: an empty one, or the one that was taken out of it before.
void Run::ChangeDisk(uint32_t server) {
  if (!processes[server].up || !MayLose(server)) return;
  Say("server {} gets another disk", server);
  CrashServer(server, dice.Between(50, 1500) * kMilli);
  std::swap(disks[server], other_disks_[server]);
}

void Run::FillDisk(uint32_t server) {
  ServerDisk& disk = disks[server];
  if (now < disk.full_until) return;
  Say("the disk of server {} is full", server);
  disk.full_until = now + dice.Between(50, 5000) * kMilli;
  if (servers[server]) servers[server]->SetFull(true);
  queue_.push({disk.full_until, ++order_, ~0U, 0, [this, server] {
                 if (servers[server]) servers[server]->SetFull(false);
               }});
}

void Run::CrashMaster(int64_t down) {
  if (!processes[kMasterNode].up) return;
  Crash(kMasterNode);
  queue_.push({now + down, ++order_, ~0U, 0, [this] {
                 if (!processes[kMasterNode].up) StartMaster();
               }});
}

// A decision is on its way to the disk: the moment to lose the master, and then the one whom it was about.
void Run::OnDecision(const Decision& decision) {
  const auto* activated = std::get_if<cluster::ViewActivated>(&decision);
  if (peace || activated == nullptr || !dice.Chance(200)) return;
  const auto statuses = master->master->ShardStatuses();
  const uint32_t primary = statuses.at(activated->shard).view.primary.node;
  const int64_t first = dice.Between(0, 300) * kMilli;
  const auto later = [&](int64_t delay, std::function<void()> work) {
    queue_.push({now + delay, ++order_, ~0U, 0, [this, work = std::move(work)] {
                   if (!peace) work();
                 }});
  };
  later(first, [this] { CrashMaster(dice.Between(10, 800) * kMilli); });
  later(first + dice.Between(1, 200) * kMilli, [this, primary] { CrashServer(primary, dice.Between(1, 3) * kSecond); });
}

void Run::Cut() {
  const auto any = [&]() -> uint32_t {
    const uint64_t which = dice.Below(weather.servers + 2);
    if (which == 0) return kMasterNode;
    if (which <= weather.servers) return which;
    auto it = clients.begin();
    std::advance(it, dice.Below(clients.size()));
    return it->first;
  };
  const uint32_t a = any(), b = dice.Chance(200) ? kMasterNode : any();
  ++report.cuts;
  std::vector<std::pair<uint32_t, uint32_t>> links;
  if (dice.Chance(300)) {  // One against all.
    for (const auto& [other, process] : processes) {
      links.push_back({a, other});
      if (dice.Chance(800)) links.push_back({other, a});
    }
  } else {
    links.push_back({a, b});
    if (dice.Chance(500)) links.push_back({b, a});
  }
  Say("cut of {} and {}", a, b);
  cuts.insert(links.begin(), links.end());
  queue_.push({now + dice.Between(50, 8000) * kMilli, ++order_, ~0U, 0, [this, links] {
                 for (const auto& link : links) cuts.erase(link);
               }});
}

void Run::Fault() {
  if (peace) return;
  const int64_t down = dice.Between(50, dice.Chance(300) ? 8000 : 1500) * kMilli;
  const uint32_t server = 1 + dice.Below(weather.servers);
  switch (dice.Below(weather.on_disk ? 11 : 8)) {
    case 0:
    case 1: CrashServer(server, down); break;
    case 2: CrashMaster(down); break;
    case 3:
    case 4: {
      ++report.pauses;
      const uint32_t process = dice.Chance(150) ? kMasterNode : server;
      Say("pause of {}", process);
      processes[process].paused_until = now + down;
      break;
    }
    case 5: Cut(); break;
    case 6: {  // A task is done again, while the one before it may still be at work.
      const uint32_t number = dice.Below(weather.clients);
      uint32_t attempt = 1;
      while (clients.contains(kFirstClient + 10 * number + attempt)) ++attempt;
      if (attempt > kAttemptsMax) break;
      const uint32_t before = kFirstClient + 10 * number + attempt - 1;
      if (dice.Chance(500)) {
        Crash(before);
      } else {
        processes[before].paused_until = now + down;
      }
      Say("attempt {} of client {}", attempt, number);
      StartClient(number, attempt);
      break;
    }
    case 8:
      if (dice.Chance(400)) CrashAll();
      break;
    case 9:
      if (dice.Chance(400)) ChangeDisk(server);
      break;
    case 10: FillDisk(server); break;
    default:
      if (dice.Chance(300) && processes[kMasterNode].up) (void)master->master->SetDraining(server, dice.Chance(700));
      if (dice.Chance(400)) Leave(server);
      break;
  }
  if (now < weather.faults_until) {
    queue_.push({now + dice.Between(1, weather.fault_pause_max), ++order_, ~0U, 0, [this] { Fault(); }});
  }
}

void Run::Peace() {
  peace = true;
  Say("peace");
  cuts.clear();
  if (link_dice.Chance(300)) LastCut();
  for (auto& [number, process] : processes) process.paused_until = 0;
  if (!processes[kMasterNode].up) StartMaster();
  // Of a worker that was run again only the last process goes on.
  for (const auto& [process, worker] : workers) {
    if (!IsLatest((process - kFirstWorker) / 1000, process)) Crash(process);
  }
  for (uint32_t server = 1; server <= weather.servers; ++server) {
    if (!processes[server].up) StartServer(server);
    (void)master->master->SetDraining(server, false);
  }
}

std::string Run::Unfinished() {
  if (!processes[kMasterNode].up) return "the master is not there";
  for (const auto& [id, client] : clients) {
    const bool last = !clients.contains(id + 1) || clients.at(id + 1)->number != client->number;
    if (!last || client->finished()) continue;
    std::string what = fmt::format("client {} attempt {}:", client->number, client->attempt);
    for (const Client::ToShard& to : client->shards) {
      what += fmt::format(" {} made, {} up to {} wait;", to.next_id - 1, to.session->queued(), to.session->last_seq());
    }
    for (const auto& [number, server] : servers) {
      if (!server) continue;
      for (const auto& [shard, status] : master->master->ShardStatuses()) {
        const param::Replica* replica = server->FindReplica(shard);
        if (replica == nullptr) continue;
        what += fmt::format(" server {} shard {}: view {}, {} applied, {} bytes of log{};", number, shard.shard,
                            replica->view().number, replica->applied_lsn(), replica->log_bytes(),
                            replica->is_serving() ? ", serves" : "");
      }
    }
    return what;
  }
  // One that was taken out and comes again when others have left for good may wait for them: shards begin anew one by
  // one.
  std::string unfinished;
  bool gone = false;
  for (uint32_t number = 0; number < worker_weather.workers; ++number) {
    const Worker& worker = *workers.at(ProcessOf(number));
    if (dead_workers.contains(number) || worker.finished()) {
      gone = true;
    } else {
      unfinished = worker.Describe();
      if (IsWhole(number)) return unfinished;
    }
  }
  if (!unfinished.empty() && !gone) return unfinished;
  const auto statuses = master->master->ShardStatuses();
  if (statuses.empty()) return "there is no table";
  for (const auto& [id, status] : statuses) {
    const param::View& view = status.view;
    if (!status.active || status.deciding || view.joiner || 1 + view.backups.size() != weather.replicas) {
      return fmt::format("view {} of shard {}: {} members{}{}", view.number, id.shard, 1 + view.backups.size(),
                         status.active ? "" : ", not active", view.joiner ? ", with a joiner" : "");
    }
    for (const Member& member : view.backups) {
      if (FindServer(member) == nullptr) return "the master has not missed a server that crashed";
    }
    const Server* primary = FindServer(view.primary);
    if (primary == nullptr) return "the master has not missed a primary that crashed";
    const param::Replica* replica = primary->FindReplica(id);
    // Clients may have had all their answers from the one before.
    if (replica == nullptr || !replica->is_serving()) return "a primary does not serve";
    if (id.table != kWorkersTable || !worker_weather.may_die) continue;
    const auto& seen = static_cast<const param::ClockedState&>(replica->state()).clocks().workers();
    for (const uint32_t dead : dead_workers) {
      if (dead < seen.size() && seen[dead].attempt != 0 && !seen[dead].left) return "a dead worker is not taken out";
    }
  }
  if (std::string remembered = Remembered(); !remembered.empty()) return remembered;
  return Uneven();
}

// Not looked up in balance.h: of each table, and of all, every server that may hold it has as many shards as others, or
// one more; and the primary of a shard is not that of two more than who stands behind it.
std::string Run::Uneven() {
  std::map<uint64_t, std::map<uint32_t, int>> held, primary_of;  // Table (0: all), server.
  const auto statuses = master->master->ShardStatuses();
  for (const auto& [id, status] : statuses) {
    for (const uint64_t table : {id.table, uint64_t{0}}) {
      for (uint32_t server = 1; server <= weather.servers; ++server) held[table][server] += 0;
      if (weather.has_diskless && weather.on_disk) held[table].erase(weather.servers);
      ++primary_of[table][status.view.primary.node];
      ++held[table][status.view.primary.node];
      for (const Member& member : status.view.backups) ++held[table][member.node];
    }
  }
  for (const auto& [table, counts] : held) {
    for (const auto& [a, of_a] : counts) {
      for (const auto& [b, of_b] : counts) {
        if (of_a > of_b + 1) return fmt::format("server {} has {} shards, and server {} has {}", a, of_a, b, of_b);
      }
    }
  }
  for (const auto& [id, status] : statuses) {
    for (const Member& member : status.view.backups) {
      const uint32_t a = status.view.primary.node, b = member.node;
      const int more = primary_of[id.table][a] - primary_of[id.table][b],
                more_of_all = primary_of[0][a] - primary_of[0][b];
      if (more > 1 || (more == 1 && more_of_all > 1)) {
        return fmt::format("server {} is the primary of more shards than server {}", a, b);
      }
    }
  }
  return "";
}

// All views together: what is quiet makes no new ones.
uint64_t Run::Views() {
  uint64_t views = 0;
  for (const auto& [id, status] : master->master->ShardStatuses()) views += status.view.number;
  return views;
}

Run::~Run() = default;

Report Run::Go() {
  for (uint32_t i = 0; i < weather.shards; ++i) shards.push_back({1, i});
  StartMaster();
  for (uint32_t i = 1; i <= weather.servers; ++i) StartServer(i);
  for (uint32_t i = 0; i < weather.clients; ++i) StartClient(i, 0);
  for (uint32_t i = 0; i < worker_weather.workers; ++i) StartWorker(i);
  if (worker_weather.workers > 0) {
    queue_.push({worker_dice.Between(0, 2 * kSecond), ++order_, ~0U, 0, [this] { WorkerFault(); }});
  }
  if (visitor_dice.Chance(600)) {
    for (int i = 0; i < 2; ++i) {
      queue_.push({visitor_dice.Between(0, 2 * kSecond), ++order_, ~0U, 0, [this] { Visit(); }});
    }
  }
  queue_.push({dice.Between(0, 2 * kSecond), ++order_, ~0U, 0, [this] { Fault(); }});
  queue_.push({weather.faults_until, ++order_, ~0U, 0, [this] { Peace(); }});

  constexpr uint64_t kEventsMax = 5'000'000;
  constexpr size_t kQueueMax = 1'000'000;
  int64_t looked_at = 0;
  int64_t quiet_since = 0;
  uint64_t quiet_views = 0;
  while (report.violation.empty()) {
    Event event = queue_.top();
    queue_.pop();
    now = event.time;
    if (now > weather.faults_until + peace_max_) {
      const std::string why = Unfinished();
      Violation("left in peace, this does not end: " + (why.empty() ? "shards are moved again and again" : why));
      break;
    }
    // Some ten thousand events are usual. A planted bug may let two servers answer each other more and more.
    if (report.events > kEventsMax || queue_.size() > kQueueMax) {
      Violation("there is no end of messages");
      break;
    }
    if (event.process != ~0U) {
      Process& process = processes[event.process];
      if (event.start != process.start || !process.up) continue;
      if (process.paused_until > now) {
        event.time = process.paused_until;
        event.order = ++order_;
        queue_.push(std::move(event));
        continue;
      }
    }
    ++report.events;
    report.hash = (report.hash ^ static_cast<uint64_t>(now) ^ (uint64_t{event.process} << 40)) * 0x100000001b3;
    event.work();
    if (peace && now - looked_at > 100 * kMilli) {
      looked_at = now;
      if (!Unfinished().empty() || Views() != quiet_views) {
        quiet_since = now;
        quiet_views = Views();
      } else if (now - quiet_since > kQuiet) {
        CheckEnd();
        break;
      }
    }
  }
  report.views = Views();
  report.nanos = now;
  return report;
}

Report Simulate(uint64_t seed, bool trace) { return Run(seed, trace).Go(); }

}  // namespace glim::sim
