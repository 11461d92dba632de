// SPDX-License-Identifier: Apache-2.0
//
// A link between two servers that stays cut while all else is in peace (rule 7 of simulation.h).
#include "run.h"
#include "visitor.h"

namespace glim::sim {

void Run::LastCut() {
  const uint32_t a = 1 + link_dice.Below(weather.servers);
  const uint32_t b = 1 + (a + link_dice.Below(weather.servers - 1)) % weather.servers;
  Say("last cut of {} and {}", a, b);
  ++report.cuts;
  cuts.insert({a, b});
  if (link_dice.Chance(700)) cuts.insert({b, a});
  peace_max_ += kLastCut;
  // At half-time it was found out who is silent. From then on something is answered, and hardly a view is made.
  queue_.push({now + kLastCut / 2, ++order_, ~0U, 0, [this] {
                 queue_.push({now + kLastCut / 2, ++order_, ~0U, 0,
                              [this, answered = Answered(), views = Views()] { EndLastCut(answered, views); }});
               }});
}

// How many pushes of each process to each shard are not waited for any more.
std::map<std::pair<uint32_t, size_t>, uint64_t> Run::Answered() {
  std::map<std::pair<uint32_t, size_t>, uint64_t> answered;
  for (const auto& [id, client] : clients) {
    for (size_t i = 0; i < client->shards.size(); ++i) {
      const Client::ToShard& to = client->shards[i];
      if (processes[id].up && to.session->queued() > 0) answered[{id, i}] = to.next_id - to.session->queued();
    }
  }
  return answered;
}

void Run::EndLastCut(const std::map<std::pair<uint32_t, size_t>, uint64_t>& answered, uint64_t views) {
  for (const auto& [place, count] : Answered()) {
    const auto before = answered.find(place);
    if (before == answered.end() || before->second != count) continue;
    Violation(fmt::format("pushes to shard {} wait for a link that is cut: {}", place.second, Unfinished()));
  }
  const uint64_t made = Views() - views;
  if (made > kLastCutViews * master->master->ShardStatuses().size()) {
    Violation(fmt::format("{} views are made for a link that is cut", made));
  }
  Say("all links are whole");
  cuts.clear();
}

}  // namespace glim::sim
