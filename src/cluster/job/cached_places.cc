// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/cached_places.h"

#include <variant>

namespace glim::cluster {
namespace {

const flow::CacheStep* Filled(const flow::Step& step) {
  const auto* cache = std::get_if<flow::CacheStep>(&step.body);
  return cache != nullptr && cache->rows->filled ? cache : nullptr;
}

}  // namespace

std::pair<uint64_t, uint64_t> CachedPart(const plan::Plan& plan, const exec::PlanTasks& tasks, int stage, int task) {
  if (plan.stages[stage].one_task) return {};
  const auto [of, splits] = tasks.SplitsOf(stage, task);
  if (splits.empty()) return {};
  const flow::CacheStep* cache = Filled(plan.graph->steps()[plan.stages[of].source]);
  return cache == nullptr ? std::pair<uint64_t, uint64_t>() : std::pair(cache->rows->id, splits[0].begin);
}

CachedPlaces::Caches CachedPlaces::OfGraph(const flow::Graph& graph) {
  std::erase_if(known_, [](const auto& entry) { return entry.second.rows.expired(); });
  Caches caches;
  for (const flow::Step& step : graph.steps()) {
    const flow::CacheStep* cache = Filled(step);
    if (cache == nullptr) continue;
    caches.emplace(cache->rows->id, cache->rows);
    known_.try_emplace(cache->rows->id, Known{cache->rows, std::vector<int>(cache->rows->partition_count, -1)});
  }
  return caches;
}

std::vector<OpenRun::Cache> CachedPlaces::ToTell(const flow::Graph& graph) const {
  std::map<uint64_t, int32_t> steps;
  for (size_t i = 0; i < graph.steps().size(); ++i) {
    if (const flow::CacheStep* cache = Filled(graph.steps()[i])) steps[cache->rows->id] = static_cast<int32_t>(i);
  }
  std::vector<OpenRun::Cache> caches;
  for (const auto& [id, known] : known_) {
    const auto step = steps.find(id);
    caches.push_back({.id = id, .step = step == steps.end() ? -1 : step->second});
  }
  return caches;
}

int CachedPlaces::PlaceOf(uint64_t cache, uint64_t partition) const {
  const auto known = known_.find(cache);
  return known == known_.end() || partition >= known->second.places.size() ? -1 : known->second.places[partition];
}

void CachedPlaces::Read(uint64_t cache, uint64_t partition, int place, const std::function<bool(int place)>& there) {
  const auto known = known_.find(cache);
  if (known == known_.end() || partition >= known->second.places.size()) return;
  int& last = known->second.places[partition];
  if (last < 0 || !there(last)) last = place;
}

}  // namespace glim::cluster
