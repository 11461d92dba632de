// SPDX-License-Identifier: Apache-2.0
//
// Who holds what: the members of a cluster, its tables, and the view of each shard. No data passes through it.
//
//   members  beat; who was silent for the dead time, or whose node has started anew, is dead
//   views    made here only: without the dead, with a joiner while there are too few, with the joiner once its primary
//            says that it is complete, without a member that is to be drained. While nothing is missing, one of a
//            server that has more than others (balance.h) goes the same way to one that has less
//   active   a view counts when its primary has adopted it and that is written down. Until then any member of the last
//            active view may be made the primary instead
//   number   whoever starts is given its incarnation, larger than all before it
//   disk     a process that has started again and has taken up what its disk has stands where its earlier incarnation
//            stood; while one that has started again has not said what it has, nobody decides without it
//   cut      two who both reach the master need not reach each other. A primary that waits for a member and does not
//            hear it says so: then another one who holds the shard and reaches all, as far as is known, is made the
//            primary; else the silent one is left out. For a while neither is asked to take a shard from the other
//   lease    a member may answer pulls as long as there is no view that it has not heard of; so whoever is replaced has
//            stopped before its successor starts
//
// A decision (a table, a view, that a view is active) is written to the log first and acted on when the log is on the
// disk. So nobody knows of a decision that the log does not have, unless the log is an older copy of the newest one, or
// another cluster's. A master that hears of such a one says and decides nothing any more (behind). It may hear of it
// too late: its folder is not to be copied back without need. All else can be heard again: a master that starts anew
// replays its log, takes everybody for alive until the dead time is over, and members report their shards to it before
// they get a lease.
//
// A state machine without I/O, clock or threads; the process feeds it from sockets, the simulation from a seeded queue.
// Thread: that of its owner.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "cluster/balance.h"
#include "param/replication/messages.h"
#include "param/replication/mutant.h"

namespace glim::cluster {

using param::EpochBegun;
using param::NodeDrained;
using param::TableCreated;
using param::TableDropped;
using param::TableEntry;
using param::ViewActivated;
using param::ViewMade;
using Decision = std::variant<EpochBegun, TableCreated, TableDropped, ViewMade, ViewActivated, NodeDrained>;

class MasterOutput {
 public:
  virtual ~MasterOutput() = default;
  // To the end of the log. OnWritten says when it is there.
  virtual void Write(const Decision& decision) = 0;
  virtual void Send(const param::Member& to, const param::ViewUpdate& update) = 0;
  virtual void Send(const param::Member& to, const param::BeatReply& reply) = 0;
};

struct MasterOptions {
  int64_t dead_nanos = 3'000'000'000;
  int64_t resend_nanos = 200'000'000;
  size_t moves_max = 2;                      // Shards that go to other servers at once, while nothing is missing.
  int64_t move_nanos_max = 600'000'000'000;  // A joiner that nobody needs is given up when it takes longer.
  int64_t declined_nanos = 60'000'000'000;   // Who has no room for a shard, or was given up, is not asked for so long.
  int64_t cut_nanos = 15'000'000'000;  // Two of whom one does not hear the other are kept apart so long, at first.
};

// Where a client finds a shard.
struct Route {
  param::View view;
  bool active = false;
};

class Master {
 public:
  // With the decisions of its log; `out` must live as long. Writes that a new epoch has begun.
  Master(const MasterOptions& options, std::span<const Decision> log, int64_t now, MasterOutput& out);

  // The first `count` decisions that this master wrote are on the disk.
  void OnWritten(uint64_t count, int64_t now);
  void OnBeat(const param::Beat& beat, int64_t now);
  void OnReport(const param::Member& from, const param::ShardReport& report, int64_t now);
  void OnFullReport(const param::FullReport& report, int64_t now);
  // Now and then, at least every resend_nanos.
  void OnTick(int64_t now);

  // The table is there when FindTable finds it. kInvalid when the name is taken, or it is to be on disk and too few of
  // the living members have one; kUnavailable when there are fewer living members than replicas. The id is the new
  // table's.
  Result<uint64_t> CreateTable(TableEntry table, int64_t now);
  Status DropTable(const std::string& name);
  const TableEntry* FindTable(const std::string& name) const;
  const std::map<uint64_t, TableEntry>& tables() const { return tables_; }
  // Nothing while there is no such shard.
  std::optional<Route> FindRoute(const param::ShardId& shard) const;
  // While it is draining, a node's shards move to others and it gets no new ones, also after it or the master has
  // started anew. kNotFound when no such node is known.
  Status SetDraining(uint32_t node, bool draining);
  struct Drain {
    param::DrainState state = param::DrainState::kNone;
    uint32_t shards = 0;  // That it holds, or is joining.
  };
  Drain DrainOf(uint32_t node) const;

  uint64_t epoch() const { return epoch_; }
  // What a member knows that the log does not have; empty: nothing. Such a master is to end.
  const std::string& behind() const { return behind_; }
  bool IsAlive(const param::Member& member, int64_t now) const;
  std::string AddressOf(const param::Member& member) const;

  // All but the request.
  param::StatusAnswer Describe(int64_t now) const;

  struct ShardStatus {
    param::View view;
    bool active = false;
    param::View last_active;  // Number 0: none was.
    bool deciding = false;
  };
  std::map<param::ShardId, ShardStatus> ShardStatuses() const;
  // So many decisions were handed to the log. When OnWritten was told of as many, all that was asked for so far is
  // decided.
  uint64_t decided() const { return written_ + unwritten_.size(); }
  // A log that means the same, without what is history.
  std::vector<Decision> CompactLog() const;

 private:
  // Notes it when it does not.
  bool KnowsOf(const param::Member& from, const param::ShardReport& report);

  struct Node {
    uint64_t incarnation = 0;
    int64_t heard_at = 0;
    uint64_t reported_epoch = 0;
    bool leaving = false;
    bool has_disk = false;
    std::string address;
    std::set<uint64_t> before;  // The incarnations whose disk it has.
    int64_t since = 0;          // When it was first heard.
    int64_t room_at = 0;        // Not asked to take a shard before.
  };

  // Of two members. Each time that it shows anew it is believed for twice as long, as long as it was not quiet for as
  // long: to try whether a way is whole again costs the clients of a shard some seconds.
  struct Cut {
    int64_t until = 0;
    int64_t nanos = 0;
  };

  // Who asked last for an incarnation of its node, and which it got.
  struct Asker {
    uint64_t start = 0;
    uint64_t given = 0;
    int64_t heard_at = 0;
  };

  struct Shard {
    param::View view;
    param::View planned;  // The view, or what it will be when a decision is on the disk.
    bool active = false;
    param::View last_active;
    bool deciding = false;                // A decision about it is on its way to the disk.
    std::optional<param::Member> synced;  // Of the active view.
    bool declined = false;                // The view's joiner cannot take it.
    int64_t joined_at = 0;                // When the joiner was made one.
    bool moves = false;                   // It is on its way to another server, or primary, for the balance;
    std::optional<param::Member> leaves;  // away from this one. A master that starts anew has forgotten both.
    bool stuck = false;                   // One who holds it is to be drained, and there is nobody to take it.
    // Who is to know (view, active), and what each has said it does. Members of older views too: they hold no lease
    // until they know that they are out.
    std::map<param::Member, param::ShardReport> informed;
    int64_t sent_at = 0;
  };

  // Who stands where `member` stands in a view: itself, or who has its disk. Nobody: it is dead.
  std::optional<param::Member> StandIn(const Shard& shard, const param::Member& member, int64_t now) const;
  // Its node has started again, and has not said yet what it has.
  bool MayReturn(const param::Member& member, int64_t now) const;

  // Whether there are enough of them, and fit, for a new table.
  Status CheckServers(const TableEntry& table, int64_t now) const;
  void Apply(const Decision& decision);
  void Decide(const Decision& decision);
  void Act(const Decision& decision, int64_t now);
  void TellDropped(uint64_t table);
  void Consider(const param::ShardId& id, Shard& shard, int64_t now);
  void ConsiderPending(const param::ShardId& id, Shard& shard, int64_t now);
  void ConsiderActive(const param::ShardId& id, Shard& shard, int64_t now);
  void MakeView(const param::ShardId& id, Shard& shard, param::Member primary, std::vector<param::Member> others,
                std::optional<param::Member> joiner);
  void Inform(const param::ShardId& id, Shard& shard, int64_t now);
  bool Knows(const Shard& shard, const param::ShardReport& report) const;
  void SendUpdate(const param::Member& to, const param::ShardId& id, const Shard& shard);
  bool IsDraining(const param::Member& member) const;
  bool IsLeaving(const param::Member& member) const;
  // Living, not draining, able to hold the table; the ones with the fewest shards first.
  std::vector<param::Member> Spare(const TableEntry& table, const std::vector<param::Member>& but, int64_t now) const;
  bool HasRoom(const param::Member& member, int64_t now) const { return now >= nodes_.at(member.node).room_at; }
  PlacedShard Placed(const param::ShardId& id, const Shard& shard) const;
  Loads CountLoads() const;
  // Of these, one who reaches as many as any, and of those the one that is the primary of the fewest shards.
  param::Member LeastBusy(uint64_t table, const std::vector<param::Member>& members, int64_t now) const;
  // Of these, the one to do without.
  param::Member Fullest(uint64_t table, const Shard& shard, const std::vector<param::Member>& members) const;
  void Balance(int64_t now);
  bool MayHoldLease(const param::Member& member) const;
  bool IsCut(const param::Member& a, const param::Member& b, int64_t now) const;
  // The primary of the active view waits for it, in vain.
  bool IsMissed(const Shard& shard, const param::Member& member, int64_t now) const;
  // The largest part of `members` of whom one, who comes first, reaches the others; the first of `members`, if it can.
  std::vector<param::Member> WhoReach(const std::vector<param::Member>& members, int64_t now) const;

  const MasterOptions options_;
  MasterOutput& out_;
  const int64_t started_at_;
  uint64_t epoch_ = 0;
  bool begun_ = false;  // The epoch is on the disk.
  std::string behind_;
  uint64_t given_ = 0;  // Incarnations, in this epoch.
  std::map<uint32_t, Asker> askers_;
  uint64_t next_table_ = 1;
  std::map<uint32_t, Node> nodes_;
  std::set<uint32_t> drained_;                                   // Are to be, by somebody's word.
  std::map<std::pair<param::Member, param::Member>, Cut> cuts_;  // The smaller one first.
  std::map<uint64_t, TableEntry> tables_;
  std::set<std::string> names_deciding_;
  std::map<param::ShardId, Shard> shards_;
  std::deque<Decision> unwritten_;
  uint64_t written_ = 0;
};

}  // namespace glim::cluster
