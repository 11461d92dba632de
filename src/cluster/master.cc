// SPDX-License-Identifier: Apache-2.0
#include "cluster/master.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace glim::cluster {

using param::Member;
using param::ShardId;
using param::View;

namespace {

std::vector<Member> HoldersOf(const View& view) {
  std::vector<Member> members{view.primary};
  members.insert(members.end(), view.backups.begin(), view.backups.end());
  return members;
}

bool Contains(const std::vector<Member>& members, const Member& member) {
  return std::find(members.begin(), members.end(), member) != members.end();
}

}  // namespace

Master::Master(const MasterOptions& options, std::span<const Decision> log, int64_t now, MasterOutput& out)
    : options_(options), out_(out), started_at_(now) {
  for (const Decision& decision : log) Apply(decision);
  for (auto& [id, shard] : shards_) {
    for (const View* view : {&shard.view, &shard.last_active}) {
      if (view->number == 0) continue;
      for (const Member& member : HoldersOf(*view)) shard.informed[member] = {};
      if (view->joiner) shard.informed[*view->joiner] = {};
    }
  }
  Decide(EpochBegun{epoch_ + 1});
}

// --------------------------------------------------------------------------------------------------------------
// decisions

void Master::Decide(const Decision& decision) {
  unwritten_.push_back(decision);
  out_.Write(decision);
}

// What it means, now that it is on the disk; also when the log is replayed.
void Master::Apply(const Decision& decision) {
  if (const auto* begun = std::get_if<EpochBegun>(&decision)) {
    epoch_ = begun->epoch;
  } else if (const auto* created = std::get_if<TableCreated>(&decision)) {
    next_table_ = std::max(next_table_, created->table.id + 1);
    tables_[created->table.id] = created->table;
    for (uint32_t i = 0; i < created->table.shards; ++i) shards_[{created->table.id, i}];
  } else if (const auto* dropped = std::get_if<TableDropped>(&decision)) {
    next_table_ = std::max(next_table_, dropped->id + 1);
    tables_.erase(dropped->id);
    std::erase_if(shards_, [&](const auto& entry) { return entry.first.table == dropped->id; });
  } else if (const auto* drained = std::get_if<NodeDrained>(&decision)) {
    drained->draining ? (void)drained_.insert(drained->node) : (void)drained_.erase(drained->node);
  } else if (const auto* made = std::get_if<ViewMade>(&decision)) {
    const auto it = shards_.find(made->shard);
    if (it == shards_.end()) return;
    Shard& shard = it->second;
    shard.view = made->view;
    shard.planned = made->view;
    shard.active = false;
    shard.synced.reset();
    shard.declined = false;
  } else {
    const auto& activated = std::get<ViewActivated>(decision);
    const auto it = shards_.find(activated.shard);
    if (it == shards_.end() || it->second.view.number != activated.number) return;
    it->second.active = true;
    it->second.last_active = it->second.view;
  }
}

void Master::OnWritten(uint64_t count, int64_t now) {
  if (!behind_.empty()) return;
  while (written_ < count && !unwritten_.empty()) {
    const Decision decision = std::move(unwritten_.front());
    unwritten_.pop_front();
    ++written_;
    if (const auto* dropped = std::get_if<TableDropped>(&decision)) TellDropped(dropped->id);
    Apply(decision);
    Act(decision, now);
  }
}

// Who misses it hears it when it next reports the shard.
void Master::TellDropped(uint64_t table) {
  for (const auto& [id, shard] : shards_) {
    if (id.table != table) continue;
    for (const auto& [member, report] : shard.informed)
      out_.Send(member, param::ViewUpdate{id, {}, false, true, {}, {}});
  }
}

void Master::Act(const Decision& decision, int64_t now) {
  if (std::holds_alternative<EpochBegun>(decision)) {
    begun_ = true;
  } else if (const auto* created = std::get_if<TableCreated>(&decision)) {
    names_deciding_.erase(created->table.name);
    for (auto& [id, shard] : shards_) {
      if (id.table == created->table.id) Consider(id, shard, now);
    }
  } else if (const auto* made = std::get_if<ViewMade>(&decision)) {
    const auto it = shards_.find(made->shard);
    if (it == shards_.end()) return;
    it->second.deciding = false;
    it->second.joined_at = now;
    for (const Member& member : HoldersOf(made->view)) it->second.informed.try_emplace(member);
    if (made->view.joiner) it->second.informed.try_emplace(*made->view.joiner);
    Inform(it->first, it->second, now);
  } else if (const auto* activated = std::get_if<ViewActivated>(&decision)) {
    const auto it = shards_.find(activated->shard);
    if (it == shards_.end()) return;
    it->second.deciding = false;
    Inform(it->first, it->second, now);
  }
}

std::vector<Decision> Master::CompactLog() const {
  std::vector<Decision> log{EpochBegun{epoch_}};
  for (const auto& [id, table] : tables_) log.emplace_back(std::in_place_type<TableCreated>, table);
  // No number comes twice: shards, rows and clients of a table that was dropped may still be somewhere.
  if (next_table_ > 1 && !tables_.contains(next_table_ - 1)) {
    log.emplace_back(std::in_place_type<TableDropped>, next_table_ - 1);
  }
  for (const uint32_t node : drained_) log.emplace_back(std::in_place_type<NodeDrained>, node, true);
  for (const auto& [id, shard] : shards_) {
    const auto add = [&, id = id](const View& view) { log.emplace_back(std::in_place_type<ViewMade>, id, view); };
    if (shard.last_active.number > 0) {
      add(shard.last_active);
      log.emplace_back(std::in_place_type<ViewActivated>, id, shard.last_active.number);
    }
    if (shard.view.number > shard.last_active.number) add(shard.view);
  }
  return log;
}

// ----------------------------------------------------------------------------------------------------------------
// members

bool Master::IsAlive(const Member& member, int64_t now) const {
  const auto it = nodes_.find(member.node);
  if (it == nodes_.end()) return now < started_at_ + options_.dead_nanos && !GLIM_MUTANT(kRestartWithoutGrace);
  return it->second.incarnation == member.incarnation && now < it->second.heard_at + options_.dead_nanos;
}

std::string Master::AddressOf(const Member& member) const {
  const auto it = nodes_.find(member.node);
  return it == nodes_.end() || it->second.incarnation != member.incarnation ? "" : it->second.address;
}

bool Master::IsLeaving(const Member& member) const {
  const auto it = nodes_.find(member.node);
  return it != nodes_.end() && it->second.incarnation == member.incarnation && it->second.leaving;
}

bool Master::IsDraining(const Member& member) const { return drained_.contains(member.node) || IsLeaving(member); }

Status Master::SetDraining(uint32_t node, bool draining) {
  if (!nodes_.contains(node) && !drained_.contains(node)) {
    return Status::NotFound(fmt::format("there is no server {}", node));
  }
  bool will_be = drained_.contains(node);
  for (const Decision& decision : unwritten_) {
    const auto* drained = std::get_if<NodeDrained>(&decision);
    if (drained != nullptr && drained->node == node) will_be = drained->draining;
  }
  if (will_be != draining) Decide(NodeDrained{node, draining});
  return Status::Ok();
}

Master::Drain Master::DrainOf(uint32_t number) const {
  const auto node = nodes_.find(number);
  const Member self{number, node == nodes_.end() ? 0 : node->second.incarnation};
  Drain drain;
  uint32_t stuck = 0;
  for (const auto& [id, shard] : shards_) {
    const auto names = [&](const View& view) { return view.number > 0 && (view.Holds(self) || view.joiner == self); };
    // What is not active yet may be fallen back from.
    const bool holds = names(shard.planned) || names(shard.view) || (!shard.active && names(shard.last_active));
    if (!holds) continue;
    ++drain.shards;
    if (shard.stuck) ++stuck;
  }
  if (!IsDraining(self)) return drain;
  drain.state = drain.shards == 0 || GLIM_MUTANT(kLeaveAtOnce) ? param::DrainState::kDone
                : drain.shards == stuck                        ? param::DrainState::kNobody
                                                               : param::DrainState::kAtWork;
  return drain;
}

std::optional<Member> Master::StandIn(const Shard& shard, const Member& member, int64_t now) const {
  if (IsAlive(member, now)) return member;
  const auto it = nodes_.find(member.node);
  if (it == nodes_.end()) return std::nullopt;
  const Node& node = it->second;
  const Member heir{member.node, node.incarnation};
  if (!node.before.contains(member.incarnation) && !GLIM_MUTANT(kAnyDisk)) return std::nullopt;
  const auto informed = shard.informed.find(heir);
  if (informed == shard.informed.end() || !informed->second.kept || !IsAlive(heir, now)) return std::nullopt;
  return heir;
}

bool Master::MayReturn(const Member& member, int64_t now) const {
  const auto asker = askers_.find(member.node);
  const auto it = nodes_.find(member.node);
  const uint64_t beats_as = it == nodes_.end() ? 0 : it->second.incarnation;
  if (asker != askers_.end() && asker->second.given > std::max(member.incarnation, beats_as) &&
      now < asker->second.heard_at + options_.dead_nanos) {
    return true;
  }
  return beats_as > member.incarnation && it->second.reported_epoch != epoch_ &&
         now < it->second.heard_at + options_.dead_nanos;
}

bool Master::MayHoldLease(const Member& member) const {
  if (nodes_.at(member.node).reported_epoch != epoch_) return false;
  for (const auto& [id, shard] : shards_) {
    const auto informed = shard.informed.find(member);
    if (informed != shard.informed.end() && informed->second.view < shard.view.number) return false;
  }
  return true;
}

void Master::OnBeat(const param::Beat& beat, int64_t now) {
  if (!begun_ || !behind_.empty()) return;
  if (beat.member.incarnation == 0) {
    Asker& asker = askers_[beat.member.node];
    if (asker.given == 0) asker.heard_at = now;
    if (asker.given == 0 || asker.start != beat.start) {
      // An epoch is on the disk before it begins, so its numbers are given once.
      const uint64_t given = (GLIM_MUTANT(kIncarnationAgain) ? 0 : epoch_ << 24) + ++given_;
      // Whoever starts again and again and never gets further is waited for once.
      const auto it = nodes_.find(beat.member.node);
      const bool never_came = asker.given > (it == nodes_.end() ? 0 : it->second.incarnation);
      const bool is_long_ago = now > asker.heard_at + 10 * options_.dead_nanos;
      asker = {beat.start, given, never_came && !is_long_ago ? asker.heard_at : now};
    }
    out_.Send(beat.member, param::BeatReply{epoch_, beat.sent_at, false, false, asker.given, beat.start, {}, 0});
    return;
  }
  auto [it, is_new] = nodes_.try_emplace(beat.member.node);
  Node& node = it->second;
  if (!is_new && beat.member.incarnation < node.incarnation) {
    out_.Send(beat.member, param::BeatReply{epoch_, beat.sent_at, false, true, 0, 0, {}, 0});
    return;
  }
  if (beat.member.incarnation > node.incarnation)
    node = Node{beat.member.incarnation, now, 0, false, beat.has_disk, beat.address, {}, now, 0};
  node.heard_at = now;
  node.address = beat.address;
  node.leaving |= beat.leaving;  // One that says nothing of it is an older one.
  const Drain drain = DrainOf(beat.member.node);
  out_.Send(beat.member,
            param::BeatReply{epoch_, beat.sent_at, MayHoldLease(beat.member), false, 0, 0, drain.state, drain.shards});
}

// A view is sent, and a table has its number, only when the log has it on the disk.
bool Master::KnowsOf(const Member& from, const param::ShardReport& report) {
  if (!behind_.empty()) return false;
  const auto node = nodes_.find(from.node);
  if (node == nodes_.end() || node->second.incarnation != from.incarnation) return true;  // Nobody that we know.
  const auto it = shards_.find(report.shard);
  if (report.shard.table >= next_table_) {
    behind_ = fmt::format("server {} has a shard of table {}, and this log has given out {} numbers", from.node,
                          report.shard.table, next_table_ - 1);
  } else if (it != shards_.end() && report.view > it->second.view.number) {
    behind_ = fmt::format("server {} has view {} of shard {} of table {}, and this log knows {}", from.node,
                          report.view, report.shard.shard, report.shard.table, it->second.view.number);
  }
  return behind_.empty();
}

void Master::OnReport(const Member& from, const param::ShardReport& report, int64_t now) {
  if (!KnowsOf(from, report)) return;
  const auto it = shards_.find(report.shard);
  if (it == shards_.end()) {
    if (begun_) out_.Send(from, param::ViewUpdate{report.shard, {}, false, true, {}, {}});
    return;
  }
  Shard& shard = it->second;
  param::ShardReport& known = shard.informed[from];
  if (report.view < known.view) return;
  known = report;
  if (report.view == shard.view.number && from == shard.view.primary && report.synced &&
      report.synced == shard.view.joiner) {
    shard.synced = report.synced;
  }
  if (report.view == shard.view.number && from == shard.view.joiner && report.declined) shard.declined = true;
  if (report.view == shard.view.number && from == shard.view.primary) {
    for (const param::SilentMember& silent : report.silent) {
      if (!shard.view.Holds(silent.member) && shard.view.joiner != silent.member) continue;
      Cut& cut = cuts_[std::minmax(from, silent.member)];
      if (now >= cut.until) cut.nanos = std::clamp(2 * cut.nanos, options_.cut_nanos, 60 * options_.cut_nanos);
      cut.until = now + cut.nanos;
    }
  }
  if (!Knows(shard, report)) {
    SendUpdate(from, it->first, shard);
  } else if (shard.active && !shard.view.Holds(from) && shard.view.joiner != from && !report.kept) {
    shard.informed.erase(from);  // Out, and has forgotten.
  }
  Consider(it->first, shard, now);
}

void Master::OnFullReport(const param::FullReport& report, int64_t now) {
  if (!behind_.empty()) return;
  const auto it = nodes_.find(report.member.node);
  if (report.epoch > epoch_ && it != nodes_.end() && it->second.incarnation == report.member.incarnation) {
    behind_ = fmt::format("server {} has heard of start {} of its master, and this is start {}", report.member.node,
                          report.epoch, epoch_);
    return;
  }
  if (report.epoch != epoch_ || it == nodes_.end() || it->second.incarnation != report.member.incarnation) return;
  it->second.before = {report.before.begin(), report.before.end()};
  for (const param::ShardReport& shard : report.shards) OnReport(report.member, shard, now);
  if (!behind_.empty()) return;
  if (std::exchange(it->second.reported_epoch, epoch_) == epoch_) return;
  for (auto& [id, shard] : shards_) Consider(id, shard, now);  // It was waited for.
}

// ------------------------------------------------------------------------------------------------------------------
// views

bool Master::Knows(const Shard& shard, const param::ShardReport& report) const {
  return report.view == shard.view.number && (report.active || !shard.active);
}

void Master::SendUpdate(const Member& to, const ShardId& id, const Shard& shard) {
  param::ViewUpdate update{id, shard.view, shard.active, false, tables_.at(id.table).spec, {}};
  for (const Member& member : HoldersOf(shard.view)) update.addresses.push_back({member, AddressOf(member)});
  if (shard.view.joiner) update.addresses.push_back({*shard.view.joiner, AddressOf(*shard.view.joiner)});
  out_.Send(to, update);
}

void Master::Inform(const ShardId& id, Shard& shard, int64_t now) {
  shard.sent_at = now;
  for (auto it = shard.informed.begin(); it != shard.informed.end();) {
    const auto& [member, report] = *it;
    const auto node = nodes_.find(member.node);
    if (node != nodes_.end() && node->second.incarnation > member.incarnation) {
      it = shard.informed.erase(it);  // Is no more.
      continue;
    }
    if (!Knows(shard, report)) SendUpdate(member, id, shard);
    ++it;
  }
}

std::vector<Member> Master::Spare(const TableEntry& table, const std::vector<Member>& but, int64_t now) const {
  std::vector<Member> spare;
  for (const auto& [number, node] : nodes_) {
    const Member member{number, node.incarnation};
    const bool may_hold = node.has_disk || !table.on_disk;
    if (may_hold && !IsDraining(member) && IsAlive(member, now) && !Contains(but, member)) spare.push_back(member);
  }
  const Loads loads = CountLoads();
  std::stable_sort(spare.begin(), spare.end(),
                   [&](const Member& a, const Member& b) { return loads.Held(table.id, a) < loads.Held(table.id, b); });
  return spare;
}

// As it will be when what is under way is done.
PlacedShard Master::Placed(const ShardId& id, const Shard& shard) const {
  PlacedShard placed{id, shard.planned.primary, shard.planned.backups, tables_.at(id.table).on_disk, shard.moves};
  if (shard.planned.joiner) placed.others.push_back(*shard.planned.joiner);
  if (!shard.leaves) return placed;
  std::erase(placed.others, *shard.leaves);
  if (placed.primary == *shard.leaves && !placed.others.empty()) {
    placed.primary = placed.others.back();
    placed.others.pop_back();
  }
  return placed;
}

Loads Master::CountLoads() const {
  Loads loads;
  for (const auto& [id, shard] : shards_) {
    if (shard.planned.number > 0) loads.Add(Placed(id, shard));
  }
  return loads;
}

Member Master::LeastBusy(uint64_t table, const std::vector<Member>& members, int64_t now) const {
  const Loads loads = CountLoads();
  const auto cost = [&](const Member& a) {
    const auto cut = std::count_if(members.begin(), members.end(), [&](const Member& b) { return IsCut(a, b, now); });
    return std::pair(cut, loads.PrimaryOf(table, a));
  };
  return *std::min_element(members.begin(), members.end(),
                           [&](const Member& a, const Member& b) { return cost(a) < cost(b); });
}

bool Master::IsCut(const Member& a, const Member& b, int64_t now) const {
  const auto it = cuts_.find(std::minmax(a, b));
  return it != cuts_.end() && now < it->second.until;
}

bool Master::IsMissed(const Shard& shard, const Member& member, int64_t now) const {
  const auto primary = shard.informed.find(shard.view.primary);
  if (primary == shard.informed.end() || primary->second.view != shard.view.number) return false;
  const auto& silent = primary->second.silent;
  return IsCut(shard.view.primary, member, now) &&
         std::any_of(silent.begin(), silent.end(), [&](const auto& entry) { return entry.member == member; });
}

std::vector<Member> Master::WhoReach(const std::vector<Member>& members, int64_t now) const {
  std::vector<Member> most;
  for (const Member& first : members) {
    std::vector<Member> reached{first};
    std::copy_if(members.begin(), members.end(), std::back_inserter(reached),
                 [&](const Member& other) { return other != first && !IsCut(first, other, now); });
    if (reached.size() > most.size()) most = std::move(reached);
  }
  return most;
}

// Rather a backup, and rather one that came late.
Member Master::Fullest(uint64_t table, const Shard& shard, const std::vector<Member>& members) const {
  if (shard.leaves && Contains(members, *shard.leaves)) return *shard.leaves;
  const Loads loads = CountLoads();
  return *std::max_element(members.rbegin(), members.rend(), [&](const Member& a, const Member& b) {
    return loads.Held(table, a) < loads.Held(table, b);
  });
}

void Master::MakeView(const ShardId& id, Shard& shard, Member primary, std::vector<Member> others,
                      std::optional<Member> joiner) {
  shard.deciding = true;
  shard.planned = View{shard.view.number + 1, primary, std::move(others), joiner};
  Decide(ViewMade{id, shard.planned});
}

void Master::Consider(const ShardId& id, Shard& shard, int64_t now) {
  if (!begun_ || shard.deciding) return;
  if (shard.active) return ConsiderActive(id, shard, now);
  ConsiderPending(id, shard, now);
}

void Master::ConsiderPending(const ShardId& id, Shard& shard, int64_t now) {
  const View& view = shard.view;
  if (view.number > 0 && IsAlive(view.primary, now)) {
    const auto adopted = [&](const Member& member) {
      const auto it = shard.informed.find(member);
      return it != shard.informed.end() && it->second.view == view.number;
    };
    if (!adopted(view.primary)) return;
    // Whoever was the primary answers pulls until it knows, or has lost its lease.
    const Member& before = shard.last_active.primary;
    if (shard.last_active.number > 0 && before != view.primary && IsAlive(before, now) && !adopted(before)) return;
    shard.deciding = true;
    Decide(ViewActivated{id, view.number});
    if (GLIM_MUTANT(kActiveBeforeWritten)) {
      out_.Send(view.primary, param::ViewUpdate{id, view, true, false, tables_.at(id.table).spec, {}});
    }
    return;
  }
  // The primary is not there, or none was chosen yet. All members of the last active view hold what was acknowledged;
  // when no view was active, nothing was.
  std::vector<Member> living;
  if (shard.last_active.number > 0) {
    for (const Member& member : HoldersOf(shard.last_active)) {
      if (MayReturn(member, now)) return;
      if (const auto standing = StandIn(shard, member, now)) living.push_back(*standing);
    }
  } else {
    const TableEntry& table = tables_.at(id.table);
    living = Spare(table, {}, now);
    living.resize(std::min<size_t>(living.size(), table.replicas));
  }
  if (living.empty()) return;
  const Member primary = LeastBusy(id.table, living, now);
  std::erase(living, primary);
  MakeView(id, shard, primary, std::move(living), std::nullopt);
}

void Master::ConsiderActive(const ShardId& id, Shard& shard, int64_t now) {
  const View& view = shard.view;
  shard.stuck = false;
  std::vector<Member> living, staying;
  bool is_other = false;
  bool is_unheard = false;
  for (const Member& member : HoldersOf(view)) {
    if (MayReturn(member, now)) return;
    const auto standing = StandIn(shard, member, now);
    if (!standing) continue;
    is_other |= *standing != member;
    is_unheard |= !nodes_.contains(member.node);
    living.push_back(*standing);
    if (!IsDraining(*standing)) staying.push_back(*standing);
  }
  if (living.empty()) return;
  if (is_other && is_unheard) return;  // When all have started again, they come back one after the other.
  const size_t holders = 1 + view.backups.size();
  const TableEntry& table = tables_.at(id.table);
  const size_t replicas = table.replicas;
  const auto make = [&](std::vector<Member> members, std::optional<Member> joiner) {
    std::vector<Member> able = members;
    std::erase_if(able, [&](const Member& member) { return IsDraining(member); });
    if (able.empty()) able = members;
    const auto standing = StandIn(shard, view.primary, now);
    const bool stays = standing && Contains(able, *standing);
    const Member primary = stays ? *standing : LeastBusy(id.table, able, now);
    std::erase(members, primary);
    MakeView(id, shard, primary, std::move(members), joiner);
  };
  if (living.size() < holders || is_other) return make(living, std::nullopt);
  if (view.joiner && (!IsAlive(*view.joiner, now) || IsDraining(*view.joiner))) return make(living, std::nullopt);
  // All of them hold what was acknowledged, so any of them may go on without the others.
  if (std::any_of(living.begin(), living.end(), [&](const Member& member) { return IsMissed(shard, member, now); })) {
    const std::vector<Member> stay = WhoReach(living, now);
    return MakeView(id, shard, stay.front(), {stay.begin() + 1, stay.end()}, std::nullopt);
  }
  if (view.joiner && (shard.synced == view.joiner || (GLIM_MUTANT(kMoveBeforeComplete) && shard.moves))) {
    living.push_back(*view.joiner);
    return make(living, std::nullopt);
  }
  if (view.joiner) {
    const bool takes_too_long = staying.size() >= replicas && now - shard.joined_at >= options_.move_nanos_max;
    const bool is_missed = IsMissed(shard, *view.joiner, now);
    if (!shard.declined && !takes_too_long && !is_missed) return;
    if (const auto node = nodes_.find(view.joiner->node); node != nodes_.end() && !is_missed) {
      node->second.room_at = now + options_.declined_nanos;
    }
    shard.moves = false;
    shard.leaves.reset();
    return make(living, std::nullopt);
  }
  if (staying.size() >= replicas) {
    while (staying.size() > replicas) std::erase(staying, Fullest(id.table, shard, staying));
    if (staying.size() < living.size()) return make(staying, std::nullopt);
    shard.moves = false;
    shard.leaves.reset();
    return;
  }
  std::vector<Member> spare = Spare(table, living, now);
  std::erase_if(spare, [&](const Member& member) {
    return !HasRoom(member, now) || (IsCut(view.primary, member, now) && !GLIM_MUTANT(kAskSilentAgain));
  });
  if (!spare.empty()) return make(living, spare.front());
  // Nobody is there to take the place of those who are to go. What they have in memory goes with them, so they are left
  // out while they can still say what they have; what they have on disk comes back with them.
  if (staying.empty() || staying.size() == living.size()) {
    shard.stuck = staying.empty();
    return;
  }
  std::vector<Member> keep = living;
  if (!table.on_disk) std::erase_if(keep, [&](const Member& member) { return IsLeaving(member); });
  if (keep.size() < living.size() || IsDraining(view.primary)) return make(keep, std::nullopt);
  shard.stuck = true;
}

// Only while nothing else is to be done: every shard is at work and has its replicas. Servers that have just come may
// be gone again soon, so they wait for the dead time.
void Master::Balance(int64_t now) {
  if (!begun_ || now < started_at_ + options_.dead_nanos || GLIM_MUTANT(kNeverMoved)) return;
  std::vector<PlacedShard> placed;
  size_t moving = 0;
  for (const auto& [id, shard] : shards_) {
    if (shard.planned.number == 0) return;
    const std::vector<Member> holders = HoldersOf(shard.view);
    const bool is_quiet = shard.active && !shard.deciding && !shard.view.joiner;
    const bool is_whole = holders.size() >= tables_.at(id.table).replicas &&
                          std::all_of(holders.begin(), holders.end(), [&](const Member& m) { return IsAlive(m, now); });
    if (!shard.moves && !(is_quiet && is_whole)) return;
    if (shard.moves && ++moving >= options_.moves_max) return;
    placed.push_back(Placed(id, shard));
  }
  std::vector<AbleServer> able;
  for (const auto& [number, node] : nodes_) {
    const Member member{number, node.incarnation};
    const bool is_settled = now >= node.since + options_.dead_nanos && node.reported_epoch == epoch_;
    if (is_settled && IsAlive(member, now) && !IsDraining(member) && HasRoom(member, now))
      able.push_back({member, node.has_disk});
  }
  // Whoever comes to a shard, or becomes its primary, reaches all who hold it.
  const auto move = NextMove(placed, able, [&](const PlacedShard& shard, const Member& to) {
    return !IsCut(shard.primary, to, now) && std::none_of(shard.others.begin(), shard.others.end(),
                                                          [&](const Member& other) { return IsCut(other, to, now); });
  });
  if (!move) return;
  Shard& shard = shards_.at(move->shard);
  shard.moves = true;
  std::vector<Member> others = shard.view.backups;
  if (move->of_primary) {
    std::replace(others.begin(), others.end(), move->to, move->from);
    return MakeView(move->shard, shard, move->to, std::move(others), std::nullopt);
  }
  shard.leaves = move->from;
  MakeView(move->shard, shard, shard.view.primary, std::move(others), move->to);
}

void Master::OnTick(int64_t now) {
  if (!behind_.empty()) return;
  for (auto& [id, shard] : shards_) {
    Consider(id, shard, now);
    if (begun_ && shard.view.number > 0 && now - shard.sent_at >= options_.resend_nanos) Inform(id, shard, now);
  }
  std::erase_if(cuts_, [&](const auto& cut) { return now >= cut.second.until + cut.second.nanos; });
  Balance(now);
}

// -----------------------------------------------------------------------------------------------------------------
// tables

Result<uint64_t> Master::CreateTable(TableEntry table, int64_t now) {
  if (!begun_) return Status::Unavailable("the master is starting");
  if (FindTable(table.name) != nullptr || !names_deciding_.insert(table.name).second) {
    return Status::Invalid(fmt::format(
        "there is a table \"{}\" already; open it (OpenTable, in Lua glim.open_table), or drop it first", table.name));
  }
  if (Status status = CheckServers(table, now); !status.ok()) {
    names_deciding_.erase(table.name);
    return status;
  }
  table.id = next_table_++;
  Decide(TableCreated{table});
  return table.id;
}

Status Master::CheckServers(const TableEntry& table, int64_t now) const {
  const std::vector<Member> able = Spare(table, {}, now);
  if (able.size() >= table.replicas) return Status::Ok();
  TableEntry anywhere = table;
  anywhere.on_disk = false;
  const std::vector<Member> living = Spare(anywhere, {}, now);
  if (living.size() < table.replicas) {
    return Status::Unavailable(fmt::format("table \"{}\" wants {} replicas, and there are {} servers", table.name,
                                           table.replicas, living.size()));
  }
  const auto without =
      *std::find_if(living.begin(), living.end(), [&](const Member& member) { return !Contains(able, member); });
  return Status::Invalid(fmt::format(
      "table \"{}\" is to be kept on disk by {} servers, and {} have a data folder; server {} at {} has none (glim server "
      "--dir)",
      table.name, table.replicas, able.size(), without.node, AddressOf(without)));
}

Status Master::DropTable(const std::string& name) {
  const TableEntry* table = FindTable(name);
  if (table == nullptr) return Status::NotFound(fmt::format("there is no table \"{}\"", name));
  Decide(TableDropped{table->id});
  return Status::Ok();
}

const TableEntry* Master::FindTable(const std::string& name) const {
  for (const auto& [id, table] : tables_) {
    if (table.name == name) return &table;
  }
  return nullptr;
}

std::optional<Route> Master::FindRoute(const ShardId& shard) const {
  const auto it = shards_.find(shard);
  if (it == shards_.end() || it->second.view.number == 0) return std::nullopt;
  return Route{it->second.view, it->second.active};
}

param::StatusAnswer Master::Describe(int64_t now) const {
  param::StatusAnswer answer;
  answer.epoch = epoch_;
  std::map<Member, param::MemberStatus> members;
  for (const auto& [number, node] : nodes_) {
    const Member member{number, node.incarnation};
    members[member] = {member, node.address, IsAlive(member, now), IsDraining(member), 0, 0};
  }
  std::map<uint64_t, param::TableStatus> tables;
  for (const auto& [id, table] : tables_) tables[id].table = table;
  for (const auto& [id, shard] : shards_) {
    if (shard.view.number == 0) continue;
    if (const auto it = members.find(shard.view.primary); it != members.end()) ++it->second.primary_of;
    uint32_t living = IsAlive(shard.view.primary, now) ? 1 : 0;
    param::TableStatus& table = tables[id.table];
    if (living > 0 && shard.active) ++table.served;
    for (const Member& backup : shard.view.backups) {
      if (const auto it = members.find(backup); it != members.end()) ++it->second.backup_of;
      if (IsAlive(backup, now)) ++living;
    }
    if (shard.active && living >= table.table.replicas) ++table.complete;
  }
  for (auto& [member, status] : members) answer.members.push_back(std::move(status));
  for (auto& [id, status] : tables) answer.tables.push_back(std::move(status));
  for (const auto& [pair, cut] : cuts_) {
    const auto& [one, other] = pair;
    if (now >= cut.until || !IsAlive(one, now) || !IsAlive(other, now)) continue;
    answer.cuts.push_back({one.node, other.node});
  }
  return answer;
}

std::map<ShardId, Master::ShardStatus> Master::ShardStatuses() const {
  std::map<ShardId, ShardStatus> all;
  for (const auto& [id, shard] : shards_) all[id] = {shard.view, shard.active, shard.last_active, shard.deciding};
  return all;
}

}  // namespace glim::cluster
