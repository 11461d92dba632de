// SPDX-License-Identifier: Apache-2.0
#include "cluster/balance.h"

#include <algorithm>
#include <tuple>

#include "param/replication/mutant.h"

namespace glim::cluster {

using param::Member;

void Loads::Add(const PlacedShard& shard) {
  const auto count = [&](Counts* counts, const Member& member) {
    ++counts->of_table[{shard.id.table, member}];
    ++counts->of_all[member];
  };
  count(&primary_of_, shard.primary);
  count(&held_, shard.primary);
  for (const Member& member : shard.others) count(&held_, member);
}

LoadOf Loads::Find(const Counts& counts, uint64_t table, const Member& member) {
  const auto of_table = counts.of_table.find({table, member});
  const auto of_all = counts.of_all.find(member);
  return {of_table == counts.of_table.end() ? 0 : of_table->second, of_all == counts.of_all.end() ? 0 : of_all->second};
}

bool IsWorthMoving(const LoadOf& from, const LoadOf& to) {
  if (GLIM_MUTANT(kMoveForOne)) return from.first > to.first;
  return from.first >= to.first + 2 || (from.first == to.first + 1 && from.second >= to.second + 2);
}

namespace {

// Larger is better: by how much the counts of the table differ, then those of all, then whether the one who is the
// primary of too many gives that away, too.
using Gain = std::tuple<int64_t, int64_t, int64_t>;

int64_t Difference(size_t a, size_t b) { return static_cast<int64_t>(a) - static_cast<int64_t>(b); }

bool Holds(const PlacedShard& shard, const Member& member) {
  return shard.primary == member || std::find(shard.others.begin(), shard.others.end(), member) != shard.others.end();
}

}  // namespace

std::optional<Move> NextMove(const std::vector<PlacedShard>& shards, const std::vector<AbleServer>& servers,
                             const std::function<bool(const PlacedShard&, const Member&)>& may_take) {
  Loads loads;
  for (const PlacedShard& shard : shards) loads.Add(shard);
  std::optional<Move> best;
  Gain best_gain;
  const auto offer = [&](const PlacedShard& shard, const Member& from, const Member& to, bool of_primary) {
    if (may_take && !may_take(shard, to)) return;
    const uint64_t table = shard.id.table;
    const LoadOf a = of_primary ? loads.PrimaryOf(table, from) : loads.Held(table, from);
    const LoadOf b = of_primary ? loads.PrimaryOf(table, to) : loads.Held(table, to);
    if (!IsWorthMoving(a, b)) return;
    int64_t primaries = Difference(loads.PrimaryOf(table, from).first, loads.PrimaryOf(table, to).first) - 1;
    if (from != shard.primary) primaries = -primaries;
    const Gain gain{Difference(a.first, b.first), Difference(a.second, b.second), primaries};
    if (best && gain <= best_gain) return;
    best = Move{shard.id, from, to, of_primary};
    best_gain = gain;
  };
  for (const PlacedShard& shard : shards) {
    if (shard.moves) continue;
    for (const AbleServer& to : servers) {
      if (Holds(shard, to.member) || (shard.on_disk && !to.has_disk)) continue;
      offer(shard, shard.primary, to.member, false);
      for (const Member& from : shard.others) offer(shard, from, to.member, false);
    }
  }
  if (best) return best;
  for (const PlacedShard& shard : shards) {
    if (shard.moves) continue;
    for (const AbleServer& to : servers) {
      if (std::find(shard.others.begin(), shard.others.end(), to.member) == shard.others.end()) continue;
      offer(shard, shard.primary, to.member, true);
    }
  }
  return best;
}

}  // namespace glim::cluster
