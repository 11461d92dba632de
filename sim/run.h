// SPDX-License-Identifier: Apache-2.0
//
// One run of the simulation: the processes, with what they write and send, and the queue of what happens to them.
//
// Thread: that of the run.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <utility>
#include <vector>

#include "cluster/master.h"
#include "cluster/server_node.h"
#include "counting_state.h"
#include "param/replication/push_session.h"
#include "random.h"
#include "simulation.h"
#include "weather.h"
#include "worker.h"

namespace glim::sim {

using cluster::Decision;
using cluster::Master;
using cluster::ServerNode;
using param::Member;
using param::ShardId;

inline constexpr int64_t kPeaceMax = 45 * kSecond;
inline constexpr int64_t kLastCut = 30 * kSecond;  // So long may a link stay cut in peace,
inline constexpr int64_t kLastCutViews = 6;        // with so many new views of a shard at most.
inline constexpr int64_t kQuiet = 1 * kSecond;     // When all is done, nothing more happens.
inline constexpr uint32_t kMasterNode = 0;
inline constexpr uint32_t kFirstClient = 100;  // Client c, attempt a: node kFirstClient + 10 * c + a.
inline constexpr uint32_t kAttemptsMax = 4;
inline constexpr uint32_t kFirstWorker = 1000;  // Worker w, attempt a: node kFirstWorker + 1000 * w + a.
inline constexpr uint64_t kWorkersTable = 2;
inline constexpr uint32_t kFirstVisitor = 100'000;

class Run;
class Visitor;

struct Process {
  bool up = false;
  uint64_t start = 0;  // Counts its starts; what was meant for an earlier one is lost.
  int64_t paused_until = 0;
};

// What a server's disk has been told about a shard since it last had a snapshot: things written one after the other, of
// which the first are on the disk and the others are not sure.
struct ShardDisk {
  struct Write {
    uint64_t number = 0;  // As the replica counts; 0 when it was not this start that wrote it, or is not counted.
    std::optional<param::Record> record;
    std::optional<param::ShardSnapshot> snapshot;  // Nothing of both: erased.
  };
  std::optional<param::ShardSnapshot> base;
  std::vector<Write> writes;
  size_t safe = 0;
  uint64_t numbers = 0;  // Writes of this start.
  uint64_t resets = 0;   // Snapshots that took the place of all, and erasures.

  // After a crash or a good sync: what is there.
  std::optional<param::KeptShard> Read(const ShardId& shard, size_t count) const {
    param::KeptShard kept{shard, {}, base, {}};
    bool is_there = base.has_value();
    for (size_t i = 0; i < count; ++i) {
      if (writes[i].record) {
        kept.records.push_back(*writes[i].record);
        continue;
      }
      is_there = writes[i].snapshot.has_value();
      kept.snapshot = writes[i].snapshot;
      kept.records.clear();
    }
    if (!is_there) return std::nullopt;
    return kept;
  }
};

struct ServerDisk {
  std::vector<uint64_t> before;
  std::map<ShardId, ShardDisk> shards;
  int64_t full_until = 0;
};

class Server;

// A thread that owns some of a server's shards. What it is given it does in order, and is sometimes late with.
class Owner final : public cluster::ShardOwnerOutput {
 public:
  explicit Owner(Server& server);
  void Send(const Member& to, param::PeerMessage message) override;
  void Answer(param::ClientId to, param::PushReply reply) override;
  void Answer(param::ClientId to, param::PullReply reply) override;
  void SendToMaster(const param::ShardReport& report) override;
  void ToNode(cluster::OwnerWord word) override;
  void Write(const ShardId& shard, const param::SharedBytes& table, const param::Record& record) override;
  void Write(const ShardId& shard, const param::SharedBytes& table, const param::ShardSnapshot& snapshot) override;
  void Erase(const ShardId& shard) override;
  void Applied(const ShardId& shard, const param::Record& record) override;

  void Hand(std::function<void()> work);
  // Done where it comes in when nobody is at the shards, as short requests are.
  void HandShort(std::function<void()> work);

  Server& server;
  cluster::ShardOwner core;

 private:
  std::deque<std::function<void()>> given_;
  int64_t free_at_ = -1;  // What it was given is done then.
};

class Server final : public cluster::ServerNodeOutput {
 public:
  Server(Run& run, uint32_t number, uint64_t start, cluster::KeptServer kept);
  void SendToMaster(const param::Beat& beat) override;
  void SendToMaster(const param::FullReport& report) override;
  void Begin(uint64_t incarnation) override;
  void ToOwner(size_t owner, cluster::NodeWord word) override;

  void OnPeer(const param::PeerMessage& message);
  void OnPush(param::ClientId from, const param::PushRequest& request);
  void OnPull(param::ClientId from, const param::PullRequest& request);
  void OnTick();

  const Member& self() const { return node.self(); }
  // Null: it has none.
  const param::Replica* FindReplica(const ShardId& shard) const;
  const param::Replica& ReplicaOf(const ShardId& shard) const;
  param::DrainState leaving() const;
  void SetFull(bool full);
  void CutLog(const ShardId& shard);
  // The disk has something to do.
  void StartSync();
  ServerDisk& disk();

  Run& run;
  const uint32_t number;
  std::vector<std::unique_ptr<Owner>> owners;
  std::deque<cluster::OwnerWord> words;  // Of these to the node.
  ServerNode node;

 private:
  Owner& OwnerOf(const ShardId& shard) { return *owners[node.OwnerOf(shard)]; }
  void EndSync(const std::map<ShardId, uint64_t>& upto);
  void FinishCut(const ShardId& shard, uint64_t last_write, uint64_t last_lsn, uint64_t resets, int tries);

  std::set<ShardId> cutting_;
  bool syncing_ = false;
  bool sync_again_ = false;
};

class MasterProcess final : public cluster::MasterOutput {
 public:
  MasterProcess(Run& run, size_t first);
  void Write(const Decision& decision) override;
  void Send(const Member& to, const param::ViewUpdate& update) override;
  void Send(const Member& to, const param::BeatReply& reply) override;
  void OnReport(const Member& from, const param::ShardReport& report);
  void OnReport(const param::FullReport& report);

  Run& run;
  const size_t first;  // Of its decisions on the disk.
  std::optional<Master> master;
};

// One attempt of a task: pushes 1, 2, 3, ... to every shard, pulls now and then. The next attempt does the same again.
class Client final : public param::PushSessionOutput {
 public:
  Client(Run& run, uint32_t number, uint32_t attempt);
  void Send(const Member& primary, param::PushRequest request) override;
  void WantRoute(const ShardId& shard) override;
  void Done(uint64_t push, param::PushResult result, const std::string& error) override;

  void Tick();
  void PushNext(size_t shard);
  void Pull(size_t shard);
  void AskAnswer(size_t shard, uint64_t id);
  void OnRoute(const ShardId& shard, const Member& primary);
  void OnPushReply(const param::PushReply& reply);
  void OnPullReply(const param::PullReply& reply);
  void CheckAnswer(size_t shard, uint64_t id, const param::PullReply& reply);
  bool finished() const;
  uint32_t process() const { return kFirstClient + 10 * number + attempt; }
  param::Producer producer() const { return {7, number}; }

  struct ToShard {
    std::unique_ptr<param::PushSession> session;
    std::optional<Member> primary;
    std::optional<Member> primary_before;
    uint64_t next_id = 1;
    std::map<uint64_t, uint64_t> ids;  // Push of the session -> id.
  };
  struct PendingPull {
    size_t shard = 0;
    uint64_t own_id = 0;     // It pushed this far, and is to see it.
    LastIds acknowledged;    // When it was made.
    uint64_t answer_of = 0;  // The push whose answer it asks for; 0: none.
  };

  Run& run;
  const uint32_t number;
  const uint32_t attempt;
  size_t working_on = 0;  // The shard whose session is being called.
  std::vector<ToShard> shards;
  std::map<uint64_t, PendingPull> pulls;
  uint64_t next_pull = 1;
};

struct Event {
  int64_t time = 0;
  uint64_t order = 0;
  uint32_t process = 0;
  uint64_t start = 0;
  std::function<void()> work;
};
struct Later {
  bool operator()(const Event& a, const Event& b) const {
    return a.time != b.time ? a.time > b.time : a.order > b.order;
  }
};

class Run final : public WorkerWorld {
 public:
  Run(uint64_t seed, bool trace)
      : dice(seed),
        weather(dice),
        worker_dice(~seed),
        visitor_dice(seed * 3 + 1),
        owner_dice(seed * 3 + 1),
        link_dice(seed * 5 + 3),
        late_owners_per_mille(owner_dice.Chance(500) ? 0 : owner_dice.Below(10)),
        worker_weather(DrawWorkerWeather(seed)),
        trace_(trace) {}
  ~Run() override;
  Report Go();

  // --- what the processes use

  void At(int64_t delay, uint32_t process, std::function<void()> work) {
    queue_.push({now + delay, ++order_, process, processes[process].start, std::move(work)});
  }
  // `deliver` runs in process `to`, perhaps late, twice or never.
  void Transmit(uint32_t from, uint32_t to, std::function<void()> deliver) {
    ++report.messages;
    int copies = dice.Chance(weather.double_per_mille) && !peace ? 2 : 1;
    for (; copies > 0; --copies) {
      if (!peace && dice.Chance(weather.loss_per_mille)) continue;
      int64_t delay = dice.Between(50'000, 2 * kMilli);
      if (!peace && dice.Chance(weather.late_per_mille)) delay = dice.Between(1, 600) * kMilli;
      At(delay, to, [this, from, to, deliver] {
        if (!cuts.contains({from, to})) deliver();
      });
    }
  }
  Server* FindServer(const Member& member) {
    const auto it = servers.find(member.node);
    return it != servers.end() && it->second && it->second->self() == member ? it->second.get() : nullptr;
  }
  void Violation(std::string what) {
    if (report.violation.empty()) report.violation = fmt::format("at {:.3f} s: {}", now / 1e9, what);
  }
  template <class... Args>
  void Say(fmt::format_string<Args...> format, Args&&... args) {
    if (!trace_) return;
    std::fputs(fmt::format("{:9.3f} {}\n", now / 1e9, fmt::format(format, std::forward<Args>(args)...)).c_str(),
               stderr);
  }

  void OnDecision(const Decision& decision);
  void OnApplied(const Member& member, const ShardId& shard, const param::Record& record);
  void OnEffective(const ShardId& shard, const param::Record& record, uint64_t last_id);
  void OnServing(Server& server, const ShardId& shard, uint64_t view);
  void OnSyncFailed(uint32_t server);

  // A worker's process.
  int64_t Now() override { return now; }
  Random& Dice() override { return worker_dice; }
  void Send(uint32_t process, const Member& primary, param::PushRequest request) override;
  void Send(uint32_t process, const Member& primary, param::PullRequest request) override;
  void AskRoute(uint32_t process, const ShardId& shard) override;
  void Violated(std::string what) override { Violation(std::move(what)); }
  bool IsWhole(uint32_t worker) override { return !taken_out.contains(worker); }
  void IsLeaving(uint32_t worker) override { taken_out.insert(worker); }
  bool IsLatest(uint32_t worker, uint32_t process) override { return ProcessOf(worker) == process; }
  bool BegunAnew() override { return begun_anew; }
  WorkerProgress& Progress(uint32_t worker) override { return progress[worker]; }
  std::unique_ptr<param::ShardState> MakeWorkersState();

  Random dice;
  const Weather weather;
  Random worker_dice;
  Random visitor_dice;
  Random owner_dice;
  Random link_dice;
  const uint64_t late_owners_per_mille;
  const WorkerWeather worker_weather;
  int64_t now = 0;
  bool peace = false;
  Report report;
  std::map<uint32_t, Process> processes;
  std::map<uint32_t, std::unique_ptr<Server>> servers;
  std::map<uint32_t, ServerDisk> disks;
  std::unique_ptr<MasterProcess> master;
  std::vector<Decision> disk;
  size_t disk_safe = 0;
  int64_t disk_ready_at = 0;
  std::map<uint32_t, std::unique_ptr<Client>> clients;    // By process.
  std::map<uint32_t, std::unique_ptr<Worker>> workers;    // By process.
  std::map<uint32_t, std::unique_ptr<Visitor>> visitors;  // By process.
  std::set<std::pair<uint32_t, uint32_t>> cuts;           // From, to.
  std::vector<ShardId> shards;

  // What the checks remember.
  std::map<ShardId, LastIds> acknowledged;
  std::map<ShardId, LastIds> applied;
  std::map<ShardId, std::set<std::pair<uint64_t, uint64_t>>> effective;             // Of visitors.
  std::map<ShardId, std::map<std::pair<uint64_t, uint64_t>, std::string>> answers;  // Client, id -> what is right.
  std::map<ShardId, std::map<uint64_t, uint64_t>> ended;  // Of each producer the attempt that was heard of.
  std::map<ShardId, std::map<uint64_t, std::pair<uint64_t, uint64_t>>> log;  // lsn -> what stood there first.
  std::map<std::pair<ShardId, uint64_t>, Member> primaries;
  std::set<uint32_t> taken_out;  // Workers, at any shard.
  std::map<uint32_t, WorkerProgress> progress;
  bool begun_anew = false;
  std::map<uint32_t, uint32_t> worker_attempts;  // The last one of each.
  std::set<uint32_t> dead_workers;               // For ever.

 private:
  void StartMaster();
  void StartServer(uint32_t number);
  void StartClient(uint32_t number, uint32_t attempt);
  void StartWorker(uint32_t number);
  void WorkerFault();
  uint32_t ProcessOf(uint32_t worker) { return kFirstWorker + 1000 * worker + worker_attempts[worker]; }
  void Every(int64_t period, uint32_t process, std::function<void()> work);
  void Fault();
  void CrashServer(uint32_t server, int64_t down);
  void EndServer(uint32_t server, int64_t down);
  void Leave(uint32_t server);
  void EndOfLeaving();
  void CrashMaster(int64_t down);
  void CrashAll();
  void ChangeDisk(uint32_t server);
  void FillDisk(uint32_t server);
  void LoseUnwritten(uint32_t server);
  cluster::KeptServer ReadDisk(uint32_t server);
  void Cut();
  // Between two servers, when all else is in peace: nobody may wait for it to be whole again.
  void LastCut();
  void EndLastCut(const std::map<std::pair<uint32_t, size_t>, uint64_t>& answered, uint64_t views);
  std::map<std::pair<uint32_t, size_t>, uint64_t> Answered();
  // Of a server, or of its disk where tables are kept there.
  bool MayLose(uint32_t server);
  bool HasWhole(const Member& member, const ShardId& shard);
  void Crash(uint32_t process);
  void Peace();
  std::string Unfinished();  // What has not ended yet, or nothing.
  std::string Uneven();
  std::string Remembered();
  void Visit();
  void WatchVisitor(uint32_t id);
  uint64_t Views();
  void CheckEnd();

  const bool trace_;
  std::map<uint32_t, ServerDisk> other_disks_;  // That were taken out of a server.
  std::priority_queue<Event, std::vector<Event>, Later> queue_;
  uint64_t order_ = 0;
  uint32_t leaving_ = 0;
  int64_t peace_max_ = kPeaceMax;
};

}  // namespace glim::sim
