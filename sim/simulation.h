// SPDX-License-Identifier: Apache-2.0
//
// A cluster in one thread and one queue: a master, servers and clients, the same state machines as in the processes,
// with a network and a disk that do their worst. Everything is drawn from one seed, so a failure can be looked at
// again:
//
//   build/release/glim_sim --seed 4711 --trace
//
// Faults, until the cluster is left in peace: crashes of servers, master and clients (the master loses what its disk
// had not confirmed; a server all, or the same where tables are kept on disk), pauses, cuts of links in one or both
// directions, loss, duplicates, delays that reorder, slow disks, full shards, drains, servers that leave; with tables
// on disk crashes of all at once, syncs that fail, full disks, bits that turn, servers that start with another disk.
// What may not happen is the loss of the last whole copy of a shard: nobody promises anything then.
//
// Looked at all the time (the numbers are those of docs/design/servers.md):
//   1  no push is applied twice, none of one producer before an earlier one, none of an attempt that was ended
//   2  what was acknowledged is in every primary that answers
//   3  all members apply the same log, and have the same state at the same position
//   4  one primary answers in a view, and views only grow
//   5  a pull shows all that was acknowledged, to anybody, when it was made
//   6  what was refused is nowhere
//   7  left in peace, everything ends within 45 seconds: pushes are answered, and every shard has its replicas
//      ... and while the link between two servers stays cut: after 15 seconds clients are answered, nothing flaps
//   8  then servers have as many shards as others, and nothing is moved any more
//   9  of programs that have gone no shard knows anything any more (visitor.h)
//  10  workers with clocks, in about half of the runs: see worker.h
#pragma once

#include <cstdint>
#include <string>

namespace glim::sim {

struct Report {
  std::string violation;  // Empty: none.
  uint64_t events = 0;
  uint64_t hash = 0;  // Of all events in their order.
  uint64_t messages = 0;
  uint64_t crashes = 0;
  uint64_t pauses = 0;
  uint64_t cuts = 0;
  uint64_t applied = 0;  // Pushes that somebody was told are applied.
  uint64_t unknown = 0;
  uint64_t pulls = 0;
  uint64_t views = 0;
  int64_t nanos = 0;  // On the cluster's clock.
};

// With `trace`, says on stderr what happens.
Report Simulate(uint64_t seed, bool trace = false);

}  // namespace glim::sim
