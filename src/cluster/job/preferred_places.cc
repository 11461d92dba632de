// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/preferred_places.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

namespace glim::cluster {
namespace {

// Empty: none of it is on a machine more than on others.
std::string_view MachineOfMost(std::span<const io::Split> splits) {
  std::map<std::string_view, int64_t> bytes;
  std::string_view most;
  for (const io::Split& split : splits) {
    if (split.near.empty()) continue;
    bytes[split.near] += std::max<int64_t>(split.estimated_bytes, 1);
    if (most.empty() || bytes[split.near] > bytes[most]) most = split.near;
  }
  return most;
}

}  // namespace

PlacesNear::PlacesNear(const std::vector<std::pair<int, std::string>>& executors) {
  for (const auto& [place, address] : executors)
    machines_[address.substr(0, address.rfind(':'))].places.push_back(place);
}

int PlacesNear::Next(std::string_view host) {
  const auto machine = machines_.find(host);
  if (machine == machines_.end() || machines_.size() == 1) return -1;
  const std::vector<int>& places = machine->second.places;
  return places[machine->second.next++ % places.size()];
}

const std::vector<int>& PreferredPlaces::Begin(int stage, const std::vector<std::pair<int, std::string>>& executors) {
  stage_ = stage;
  places_.clear();
  of_caches_ = of_shards_ = beside_ = 0;
  if (plan_.stages[stage].one_task) return places_;
  PlacesNear near(executors);
  for (int task = 0; task < tasks_.shape(stage).tasks; ++task) {
    const auto [cache, partition] = CachedPart(plan_, tasks_, stage, task);
    places_.push_back(cached_.PlaceOf(cache, partition));
    of_caches_ += cache != 0 ? 1 : 0;
    const std::string_view machine = MachineOfMost(tasks_.SplitsOf(stage, task).second);
    if (machine.empty()) continue;
    places_.back() = near.Next(machine);
    of_shards_ += places_.back() >= 0 ? 1 : 0;
  }
  if (of_caches_ + of_shards_ == 0) places_.clear();
  return places_;
}

void PreferredPlaces::Ran(int stage, int task, int place, const std::function<bool(int place)>& there) {
  if (stage == stage_ && !places_.empty() && places_[task] == place) ++beside_;
  const auto [cache, partition] = CachedPart(plan_, tasks_, stage, task);
  if (cache != 0) cached_.Read(cache, partition, place, there);
}

std::string PreferredPlaces::Words() const {
  const int all = of_caches_ + of_shards_;
  if (all == 0) return {};
  return fmt::format("{} of {} tasks ran where {}", beside_, all,
                     of_shards_ == 0   ? "a cache keeps their rows"
                     : of_caches_ == 0 ? "the shards are that they read"
                                       : "their rows are");
}

}  // namespace glim::cluster
