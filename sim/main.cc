// SPDX-License-Identifier: Apache-2.0
//
// glim_sim: simulated clusters, one for each seed.
//
//   glim_sim --seeds 1000               seeds 1 to 1000; stops at the first violation and prints the line that shows it
//   again glim_sim --seed 4711 --trace        that one, with what happened glim_sim --mutants                  looks
//   whether each planted bug is caught in time glim_sim --seeds 2000 --mutant keep-tail
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

#include "mutants.h"
#include "simulation.h"

namespace {

using namespace glim;

struct Totals {
  sim::Report sum;           // Its hash is the sum of all, whatever the order.
  uint64_t violated_at = 0;  // The smallest seed; 0: none.
  std::string violation;
  uint64_t violations = 0;
};

// Seeds first to last on all threads. Goes on to the end of what was begun when one is violated.
Totals RunSeeds(uint64_t first, uint64_t last, unsigned threads, bool trace, bool stop) {
  Totals totals;
  std::mutex mutex;
  std::atomic<uint64_t> next{first};
  std::atomic<bool> stopped{false};
  const auto work = [&] {
    while (!stopped) {
      const uint64_t seed = next.fetch_add(1);
      if (seed > last) return;
      const sim::Report report = sim::Simulate(seed, trace);
      const std::lock_guard lock(mutex);
      sim::Report& sum = totals.sum;
      sum.events += report.events;
      sum.hash += report.hash;
      sum.messages += report.messages;
      sum.crashes += report.crashes;
      sum.pauses += report.pauses;
      sum.cuts += report.cuts;
      sum.applied += report.applied;
      sum.unknown += report.unknown;
      sum.pulls += report.pulls;
      sum.views += report.views;
      sum.nanos += report.nanos;
      if (report.violation.empty()) continue;
      ++totals.violations;
      if (totals.violated_at == 0 || seed < totals.violated_at) {
        totals.violated_at = seed;
        totals.violation = report.violation;
      }
      stopped = stop;
    }
  };
  std::vector<std::thread> pool;
  for (unsigned i = 1; i < threads; ++i) pool.emplace_back(work);
  work();
  for (std::thread& thread : pool) thread.join();
  return totals;
}

int CheckMutants(unsigned threads) {
  int missed = 0;
  fmt::print("{:28} {:>8} {:>8}  {}\n", "mutant", "caught", "budget", "as");
  for (const sim::MutantEntry& entry : sim::Mutants()) {
    param::g_mutant = entry.mutant;
    const Totals totals = RunSeeds(1, entry.seeds_max, threads, false, true);
    fmt::print("{:28} {:>8} {:>8}  {}\n", entry.name,
               totals.violated_at ? fmt::format("{}", totals.violated_at) : "missed", entry.seeds_max,
               totals.violation.substr(0, 100));
    std::fflush(stdout);
    if (totals.violated_at == 0) ++missed;
  }
  return missed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Simulated clusters, one for each seed.");
  uint64_t seed = 0, seeds = 1000, first = 1;
  unsigned threads = std::max(1U, std::thread::hardware_concurrency());
  bool trace = false, mutants = false, go_on = false;
  std::string mutant, hash;
  app.add_option("--seed", seed, "this one");
  app.add_option("--seeds", seeds, "so many (1000)");
  app.add_option("--first", first, "from this one on (1)");
  app.add_option("--threads", threads, "at once (as many as there are cores)");
  app.add_option("--mutant", mutant, "with this planted bug");
  app.add_flag("--mutants", mutants, "look whether each planted bug is caught in time");
  app.add_flag("--trace", trace, "say what happens");
  app.add_flag("--go-on", go_on, "not only to the first violation");
  app.add_option("--hash", hash, "what the events of these seeds must add up to");
  CLI11_PARSE(app, argc, argv);

  if (mutants) return CheckMutants(threads);
  std::string options;
  for (const sim::MutantEntry& entry : sim::Mutants()) {
    if (entry.name == mutant) param::g_mutant = entry.mutant;
  }
  if (!mutant.empty()) {
    options = " --mutant " + mutant;
    if (param::g_mutant == param::Mutant::kNone) {
      fmt::print(stderr, "glim_sim: there is no mutant \"{}\"\n", mutant);
      return 2;
    }
  }
  if (seed != 0) {
    first = seed;
    seeds = 1;
  }
  const Totals totals = RunSeeds(first, first + seeds - 1, trace ? 1 : threads, trace, !go_on);
  const sim::Report& sum = totals.sum;
  fmt::print(
      "{} seeds: {} events, {} messages, {} crashes, {} pauses, {} cuts, {} views, {} pushes acknowledged, {} unknown, "
      "{} pulls, {:.1f} days; hash {:016x}; {} violated\n",
      seeds, sum.events, sum.messages, sum.crashes, sum.pauses, sum.cuts, sum.views, sum.applied, sum.unknown,
      sum.pulls, static_cast<double>(sum.nanos) / 86400e9, sum.hash, totals.violations);
  if (const std::string is = fmt::format("{:016x}", sum.hash); !hash.empty() && is != hash) {
    fmt::print("the hash of all events is {}, not {}: this build does something else than the one it was taken from\n",
               is, hash);
    return 1;
  }
  if (totals.violated_at == 0) return 0;
  fmt::print("seed {}: {}\nagain: glim_sim --seed {}{} --trace\n", totals.violated_at, totals.violation,
             totals.violated_at, options);
  return 1;
}
