// SPDX-License-Identifier: Apache-2.0
//
// What a simulated run is like: how many take part, how bad the network is, how often something breaks. Drawn once,
// from the run's seed.
//
// Thread: values.
#pragma once

#include <cstdint>

#include "random.h"

namespace glim::sim {

inline constexpr int64_t kMilli = 1'000'000;
inline constexpr int64_t kSecond = 1'000'000'000;

struct Weather {
  uint32_t servers;
  uint32_t replicas;
  uint32_t shards;
  uint32_t clients;
  uint64_t pushes;  // Of each client to each shard.
  uint64_t loss_per_mille;
  uint64_t double_per_mille;
  uint64_t late_per_mille;
  uint64_t busy_per_mille;
  int64_t push_pause_max;
  int64_t fault_pause_max;
  int64_t faults_until;
  bool on_disk;             // The table's durability.
  uint64_t sync_nanos_max;  // Of servers' disks.
  bool has_diskless;        // The last server.

  explicit Weather(Random& dice)
      : servers(3 + dice.Below(3)),
        replicas(1 + dice.Below(3)),
        shards(1 + dice.Below(2)),
        clients(2 + dice.Below(2)),
        pushes(40 + dice.Below(100)),
        loss_per_mille(dice.Chance(500) ? 0 : dice.Below(300)),
        double_per_mille(dice.Chance(500) ? 0 : dice.Below(300)),
        late_per_mille(dice.Chance(300) ? 0 : dice.Below(200)),
        busy_per_mille(dice.Chance(700) ? 0 : dice.Below(200)),
        push_pause_max(dice.Between(1, 400) * kMilli),
        fault_pause_max(dice.Between(300, 4000) * kMilli),
        faults_until(dice.Between(5, 30) * kSecond),
        on_disk(dice.Chance(400)),
        sync_nanos_max(dice.Chance(200) ? 300 * kMilli : 3 * kMilli),
        has_diskless(servers > replicas && dice.Chance(200)) {}

  bool HasDisk(uint32_t server) const { return on_disk && !(has_diskless && server == servers); }
};

}  // namespace glim::sim
