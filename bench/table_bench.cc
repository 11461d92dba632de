// SPDX-License-Identifier: Apache-2.0
//
// The table's pull and push, beside std::unordered_map and Boost's flat map, on random 64-bit keys with one float. The
// maps are one thread's; the table is shown with one thread and with one for each core (--threads). The line "one
// cache line a key" is what the machine allows one thread at best: reading (or adding to) a float at a hashed place of
// an array as large as the table, with no key to compare and nothing to find.
//
//   table_bench [--keys N]... [--rounds R] [--batch B] [--threads T]
//
// In each round all programs do the same work on the same keys, one after the other, so that a noisy neighbour disturbs
// all of them alike; the table shows the medians of the rounds, with the lowest and the highest.
#include <fmt/format.h>

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "env/env.h"
#include "param/catalogue.h"

namespace {

using glim::Key;

struct Options {
  std::vector<uint64_t> keys;
  int rounds = 7;
  size_t batch = 100000;
  int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
};

double Seconds(const std::function<void()>& work) {
  auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void Check(const glim::Status& status) {
  if (status.ok()) return;
  fmt::print(stderr, "table_bench: {}\n", status.message());
  std::exit(1);
}

// Calls work(0) .. work(threads - 1) side by side.
void OnThreads(int threads, const std::function<void(int)>& work) {
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(work, i);
  work(0);
  for (std::thread& other : others) other.join();
}

// The results of one kind of work, by program.
class Series {
 public:
  void Add(const std::string& program, double keys_per_second) {
    if (!results_.count(program)) order_.push_back(program);
    results_[program].push_back(keys_per_second);
  }
  void Print(const std::string& work, const std::string& baseline) {
    const double base = Median(baseline);
    for (const auto& program : order_) {
      const auto& all = results_[program];
      fmt::print("{:<26} {:<26} {:>8.2f}  ({:.2f} to {:.2f})  {:>6.2f}\n", work, program, Median(program) / 1e6,
                 *std::min_element(all.begin(), all.end()) / 1e6, *std::max_element(all.begin(), all.end()) / 1e6,
                 Median(program) / base);
    }
  }

 private:
  double Median(const std::string& program) {
    auto all = results_[program];
    std::nth_element(all.begin(), all.begin() + all.size() / 2, all.end());
    return all[all.size() / 2];
  }
  std::map<std::string, std::vector<double>> results_;
  std::vector<std::string> order_;
};

// Keeps the compiler from dropping what was computed.
volatile float sink;

template <class Map>
void Update(Map& map, const std::vector<Key>& keys, const std::vector<float>& values) {
  for (size_t i = 0; i < keys.size(); ++i) map[keys[i]] += values[i];
}

template <class Map>
void LookUp(const Map& map, const std::vector<Key>& keys, std::vector<float>& out) {
  for (size_t i = 0; i < keys.size(); ++i) {
    auto found = map.find(keys[i]);
    out[i] = found == map.end() ? 0 : found->second;
  }
  sink = out[0];
}

// An array of cache lines, asked by hash.
class Lines {
 public:
  explicit Lines(size_t bytes) : lines_(bytes / sizeof(Line)) {}
  void Update(const std::vector<Key>& keys, const std::vector<float>& values) {
    for (size_t i = 0; i < keys.size(); ++i) At(keys[i]) += values[i];
  }
  void LookUp(const std::vector<Key>& keys, std::vector<float>& out) {
    for (size_t i = 0; i < keys.size(); ++i) out[i] = At(keys[i]);
    sink = out[0];
  }

 private:
  struct alignas(64) Line {
    float value = 0;
  };
  float& At(Key key) {
    return lines_[glim::base::HashToRange(glim::base::HashInt(key), static_cast<uint32_t>(lines_.size()))].value;
  }
  std::vector<Line> lines_;
};

void Run(uint64_t key_count, const Options& options) {
  auto env = glim::env::MakePosixEnv();
  glim::param::Catalogue catalogue(*env);
  std::mt19937_64 random(7);
  std::vector<Key> stored(key_count);
  for (Key& key : stored) key = random();
  const size_t asked_count = std::min<uint64_t>(std::max<uint64_t>(key_count, 2000000), 4000000);
  std::vector<Key> asked(asked_count);
  std::vector<float> values(std::max<size_t>(asked_count, key_count), 0.5f), out(asked_count);

  std::unordered_map<Key, float> standard;
  boost::unordered_flat_map<Key, float> flat;
  auto make = [&](const char* name, glim::UpdateRule rule) {
    glim::Table<float> table(catalogue.CreateTable(glim::MakeTableSpec<float>(name, glim::SparseKeys(), rule)));
    Check(table.status());
    return table;
  };
  glim::Table<float> added = make("add", glim::Add{}), learned = make("ftrl", glim::Ftrl{});
  // Every `threads`-th batch from the `first` on.
  auto push_some = [&](glim::Table<float>& table, const std::vector<Key>& keys, size_t batch, int first, int threads) {
    for (size_t i = first * batch; i < keys.size(); i += batch * threads) {
      const size_t n = std::min(batch, keys.size() - i);
      Check(table.Push({keys.data() + i, n}, std::span<const float>(values.data() + i, n)).Wait());
    }
  };
  auto pull_some = [&](glim::Table<float>& table, const std::vector<Key>& keys, size_t batch, int first, int threads) {
    for (size_t i = first * batch; i < keys.size(); i += batch * threads) {
      const size_t n = std::min(batch, keys.size() - i);
      Check(table.Pull({keys.data() + i, n}, std::span<float>(out.data() + i, n)).Wait());
    }
    if (first == 0) sink = out[0];
  };
  auto push = [&](glim::Table<float>& table, const std::vector<Key>& keys, size_t batch, int threads = 1) {
    OnThreads(threads, [&](int thread) { push_some(table, keys, batch, thread, threads); });
  };
  auto pull = [&](glim::Table<float>& table, const std::vector<Key>& keys, size_t batch, int threads = 1) {
    OnThreads(threads, [&](int thread) { pull_some(table, keys, batch, thread, threads); });
  };

  auto rate = [](uint64_t keys, double seconds) { return static_cast<double>(keys) / seconds; };
  Series insert, update, look_up, one_push, one_pull;
  const std::string on_threads = fmt::format("glim add, {} threads", options.threads);
  const std::string batch_name = fmt::format("batches of {}", options.batch);
  insert.Add("std::unordered_map", rate(key_count, Seconds([&] { Update(standard, stored, values); })));
  insert.Add("boost flat map", rate(key_count, Seconds([&] { Update(flat, stored, values); })));
  insert.Add("glim add", rate(key_count, Seconds([&] { push(added, stored, options.batch); })));
  insert.Add("glim ftrl", rate(key_count, Seconds([&] { push(learned, stored, options.batch); })));
  auto added_info = added.Describe();
  Check(added_info.status());
  Lines lines(added_info->memory_bytes);
  for (int round = 0; round < options.rounds; ++round) {
    for (Key& key : asked) key = stored[random() % key_count];
    update.Add("std::unordered_map", rate(asked_count, Seconds([&] { Update(standard, asked, values); })));
    update.Add("boost flat map", rate(asked_count, Seconds([&] { Update(flat, asked, values); })));
    update.Add("glim add", rate(asked_count, Seconds([&] { push(added, asked, options.batch); })));
    update.Add("glim add, batches of 256", rate(asked_count, Seconds([&] { push(added, asked, 256); })));
    update.Add(on_threads, rate(asked_count, Seconds([&] { push(added, asked, options.batch, options.threads); })));
    update.Add("glim ftrl", rate(asked_count, Seconds([&] { push(learned, asked, options.batch); })));
    update.Add("one cache line a key", rate(asked_count, Seconds([&] { lines.Update(asked, values); })));
    look_up.Add("std::unordered_map", rate(asked_count, Seconds([&] { LookUp(standard, asked, out); })));
    look_up.Add("boost flat map", rate(asked_count, Seconds([&] { LookUp(flat, asked, out); })));
    look_up.Add("glim add", rate(asked_count, Seconds([&] { pull(added, asked, options.batch); })));
    look_up.Add("glim add, batches of 256", rate(asked_count, Seconds([&] { pull(added, asked, 256); })));
    look_up.Add(on_threads, rate(asked_count, Seconds([&] { pull(added, asked, options.batch, options.threads); })));
    look_up.Add("glim ftrl", rate(asked_count, Seconds([&] { pull(learned, asked, options.batch); })));
    look_up.Add("one cache line a key", rate(asked_count, Seconds([&] { lines.LookUp(asked, out); })));
    one_push.Add("glim add", rate(asked_count, Seconds([&] { push(added, asked, 1); })));
    one_pull.Add("glim add", rate(asked_count, Seconds([&] { pull(added, asked, 1); })));
  }

  fmt::print("\n{} keys, {} (M keys/s, median of {}; ratio to the first line)\n", key_count, batch_name,
             options.rounds);
  insert.Print("insert (once)", "std::unordered_map");
  update.Print("update / push", "std::unordered_map");
  look_up.Print("look-up / pull", "std::unordered_map");
  one_push.Print("push of one key a call", "glim add");
  one_pull.Print("pull of one key a call", "glim add");
  auto describe = [&](const glim::Table<float>& table) {
    auto info = table.Describe();
    Check(info.status());
    fmt::print("memory of \"{}\": {:.1f} bytes a key\n", table.name(),
               static_cast<double>(info->memory_bytes) / static_cast<double>(info->keys_stored));
  };
  describe(added);
  describe(learned);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const uint64_t number = std::strtoull(argv[i + 1], nullptr, 10);
    if (name == "--keys") options.keys.push_back(number);
    if (name == "--rounds") options.rounds = static_cast<int>(number);
    if (name == "--batch") options.batch = number;
    if (name == "--threads") options.threads = static_cast<int>(number);
  }
  if (options.keys.empty()) options.keys = {1000000, 10000000};
  for (uint64_t keys : options.keys) Run(keys, options);
}
