// SPDX-License-Identifier: Apache-2.0
//
// Which shard goes where, so that servers that live have as much to do as others: the order in which servers are taken
// for new shards, and what to move when servers come later or come back.
//
// What counts is how many shards of the table a server holds, and after that how many of all tables: of a large table
// each server shall have its part, and of many small ones, too. Those of which it is the primary are counted likewise.
// A move takes from one who holds at least two more, or one more of the table and two more of all. So each move makes
// the sum of squares smaller, of the table's counts or, with these as they were, of all; hence moves come to an end,
// and none is taken back.
//
// Functions over values, without a memory: a master that has started anew goes on with what it finds.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "param/replication/messages.h"

namespace glim::cluster {

// How many shards a server has: of one table, then of all.
using LoadOf = std::pair<size_t, size_t>;

struct PlacedShard {
  param::ShardId id;
  param::Member primary;
  std::vector<param::Member> others;  // They hold it, too.
  bool on_disk = false;               // Only those with a disk may hold it.
  bool moves = false;                 // It is on its way already; `others` is how it will be.
};

struct AbleServer {
  param::Member member;
  bool has_disk = false;
};

// From whom to whom; both hold it already when only the primary changes.
struct Move {
  param::ShardId shard;
  param::Member from;
  param::Member to;
  bool of_primary = false;
};

class Loads {
 public:
  void Add(const PlacedShard& shard);
  LoadOf Held(uint64_t table, const param::Member& member) const { return Find(held_, table, member); }
  LoadOf PrimaryOf(uint64_t table, const param::Member& member) const { return Find(primary_of_, table, member); }

 private:
  struct Counts {
    std::map<std::pair<uint64_t, param::Member>, size_t> of_table;
    std::map<param::Member, size_t> of_all;
  };
  static LoadOf Find(const Counts& counts, uint64_t table, const param::Member& member);

  Counts held_;
  Counts primary_of_;
};

// Whether a shard is better with the second one.
bool IsWorthMoving(const LoadOf& from, const LoadOf& to);

// The move that helps most; nothing when all is even. Shards that move are counted, and left alone. `may_take`: whether
// a shard may go to this server; null: to any.
std::optional<Move> NextMove(const std::vector<PlacedShard>& shards, const std::vector<AbleServer>& servers,
                             const std::function<bool(const PlacedShard&, const param::Member&)>& may_take = nullptr);

}  // namespace glim::cluster
