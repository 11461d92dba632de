// SPDX-License-Identifier: Apache-2.0
//
// Tables on servers beside what the machine can do: a master and servers as objects of this process, each with its own
// loop, reached over sockets or shared memory as any other. Prints a line "name value" for each measurement, round by
// round; bench/param.py makes tables of them.
//
//   dense     pushes of one row of 1 MB, eight under way: GB/s; dense_shared: of values that stay where they lie
//   one_key   a thread that pulls one key, again and again: microseconds
//   push,     100,000 random keys of 1,000,000, four under way: million keys a second
//   pull
//   probe_*   plain sockets, and copies through a ring, as in net_bench
//
//   clients   programs that push 100,000 random keys of 8,000,000, four pushes under way, to one server: million keys a
//   second,
//             and cores at work in this process; only when it is asked for, with one owner thread and with two
//
//   param_bench [--rounds R] [--only dense|one_key|sparse|clients [--clients N] [--owners N]]
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "cluster/master_process.h"
#include "cluster/server_process.h"
#include "lib/probes.h"
#include "param/cluster_client.h"

namespace {

using namespace glim;

constexpr size_t kRowValues = 250'000;  // 1 MB.
constexpr int kDensePushes = 1000;
constexpr uint64_t kKeys = 1'000'000;
constexpr uint64_t kManyKeys = 8'000'000;  // Of `clients`.
constexpr size_t kAsked = 100'000;
constexpr int kRequests = 40;
constexpr int kPulls = 20'000;

void Check(const Status& status) {
  if (!status.ok()) bench::Fail(status.message());
}

struct Cluster {
  Cluster(env::Env& env, bool shared_memory, uint32_t server_count = 2, size_t owners = 0)
      : env(env), folder(env.files().MakeTemporaryFolder("param").value()) {
    master = std::make_unique<cluster::MasterProcess>(
        env, cluster::MasterProcessOptions{.address = "127.0.0.1:0", .folder = folder, .key = nullptr, .master = {}},
        nullptr);
    Check(master->Start());
    for (uint32_t node = 1; node <= server_count; ++node) {
      cluster::ServerProcessOptions options;
      options.master = master->address();
      options.node = node;
      options.owners = owners;
      options.shared_memory = shared_memory;
      servers.push_back(std::make_unique<cluster::ServerProcess>(env, std::move(options), nullptr));
      Check(servers.back()->Start());
    }
    client = NewClient();
  }
  std::unique_ptr<param::ClusterClient> NewClient() {
    return std::make_unique<param::ClusterClient>(
        env, param::ClusterClientOptions{.master = master->address(), .key = nullptr});
  }
  ~Cluster() {
    client.reset();
    servers.clear();
    master.reset();
    (void)env.files().RemoveAll(folder);
  }
  Table<float> Make(TableSpec spec, uint32_t shards, uint32_t replicas) {
    spec.name = fmt::format("table-{}", made++);
    spec.shards = shards;
    spec.replicas = replicas;
    return Table<float>(client->CreateTable(std::move(spec)));
  }
  env::Env& env;
  const std::string folder;
  std::unique_ptr<cluster::MasterProcess> master;
  std::vector<std::unique_ptr<cluster::ServerProcess>> servers;
  std::unique_ptr<param::ClusterClient> client;
  int made = 0;
};

// `count` requests, so many of them under way: seconds.
template <class Ask>
double Pipeline(int count, size_t under_way, const Ask& ask) {
  return bench::Seconds([&] {
    std::deque<decltype(ask(0))> waiting;
    for (int i = 0; i < count; ++i) {
      if (waiting.size() == under_way) {
        Check(waiting.front().Wait());
        waiting.pop_front();
      }
      waiting.push_back(ask(i));
    }
    for (const auto& future : waiting) Check(future.Wait());
  });
}

double Dense(Cluster& cluster, bool shared) {
  const Table<float> table = cluster.Make({.name = "", .keys = MatrixKeys(8, kRowValues)}, 1, 1);
  const std::vector<Key> key{1};
  const auto row = std::make_shared<const std::vector<float>>(kRowValues, 1.0F);
  Check(table.Push(key, *row).Wait());
  const double seconds =
      Pipeline(kDensePushes, 8, [&](int) { return shared ? table.PushShared(key, row) : table.Push(key, *row); });
  Check(table.Drop());
  return kDensePushes * double{kRowValues} * sizeof(float) / 1e9 / seconds;
}

double OneKey(Cluster& cluster) {
  const Table<float> table = cluster.Make({.name = "", .keys = DenseKeys(1000)}, 1, 1);
  const std::vector<Key> key{7};
  Check(table.Push(key, std::vector<float>{1}).Wait());
  Check(table.Pull(key).Get().status());  // A server that has just begun answers after its second beat.
  const double seconds = bench::Seconds([&] {
    for (int i = 0; i < kPulls; ++i) Check(table.Pull(key).Get().status());
  });
  Check(table.Drop());
  return 1e6 * seconds / kPulls;
}

void Sparse(Cluster& cluster, uint32_t replicas, const std::function<void(std::string_view, double)>& note) {
  const Table<float> table = cluster.Make({.name = "", .keys = SparseKeys()}, 2, replicas);
  std::mt19937_64 dice(1);
  std::vector<Key> keys(kAsked);
  const std::vector<float> values(kAsked, 1.0F);
  for (uint64_t first = 0; first < kKeys; first += kAsked) {
    for (size_t i = 0; i < kAsked; ++i) keys[i] = first + i;
    Check(table.Push(keys, values).Wait());
  }
  std::vector<std::vector<Key>> asked(4, keys);
  for (auto& request : asked) {
    for (Key& key : request) key = dice() % kKeys;
  }
  const double amount = kRequests * double{kAsked} / 1e6;
  note("push", amount / Pipeline(kRequests, 4, [&](int i) { return table.Push(asked[i % 4], values); }));
  note("pull", amount / Pipeline(kRequests, 4, [&](int i) { return table.Pull(asked[i % 4]); }));
  Check(table.Drop());
}

// The server has most of the work: rows with the state of a rule, of which few are in a cache.
void Clients(Cluster& cluster, int clients, const std::function<void(std::string_view, double)>& note) {
  TableSpec spec{.name = "", .keys = SparseKeys()};
  spec.rule = Adam{};
  const Table<float> table = cluster.Make(spec, 4, 1);
  const std::vector<float> values(kAsked, 1.0F);
  std::vector<Key> all(kAsked);
  for (uint64_t first = 0; first < kManyKeys; first += kAsked) {
    std::iota(all.begin(), all.end(), first);
    Check(table.Push(all, values).Wait());
  }
  const auto program = [&](int number) {
    const auto client = cluster.NewClient();
    const Table<float> mine(client->OpenTable(table.spec().name));
    std::mt19937_64 dice(static_cast<uint64_t>(number));
    std::vector<std::vector<Key>> asked(4, all);
    for (auto& request : asked) {
      for (Key& key : request) key = dice() % kManyKeys;
    }
    (void)Pipeline(kRequests, 4, [&](int i) { return mine.Push(asked[static_cast<size_t>(i) % 4], values); });
  };
  const std::clock_t begun = std::clock();
  const double seconds = bench::Seconds([&] {
    std::vector<std::thread> programs;
    for (int number = 0; number < clients; ++number) programs.emplace_back(program, number);
    for (std::thread& thread : programs) thread.join();
  });
  note("push", clients * kRequests * double{kAsked} / 1e6 / seconds);
  note("cores", static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC / seconds);
  Check(table.Drop());
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 5;
  std::string_view only;
  std::vector<int> clients_wanted{1, 3}, owners_wanted{1, 2};
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string_view(argv[i]) == "--rounds") rounds = std::atoi(argv[i + 1]);
    if (std::string_view(argv[i]) == "--only") only = argv[i + 1];
    if (std::string_view(argv[i]) == "--clients") clients_wanted = {std::atoi(argv[i + 1])};
    if (std::string_view(argv[i]) == "--owners") owners_wanted = {std::atoi(argv[i + 1])};
  }
  const auto wanted = [&](std::string_view what) { return only.empty() || only == what; };
  const auto env = env::MakePosixEnv();
  const auto note = [](const std::string& name, double value) {
    fmt::print("{} {:.4f}\n", name, value);
    std::fflush(stdout);
  };
  for (int round = 0; only == "clients" && round < rounds; ++round) {
    for (const int clients : clients_wanted) {
      for (const int owners : owners_wanted) {
        Cluster cluster(*env, true, 1, static_cast<size_t>(owners));
        Clients(cluster, clients, [&](std::string_view what, double value) {
          note(fmt::format("clients_{}_owners_{}_{}", clients, owners, what), value);
        });
      }
    }
  }
  if (only == "clients") return 0;
  for (int round = 0; round < rounds; ++round) {
    note("probe_stream", bench::SocketStream());
    note("probe_ring", bench::RingStream());
    note("probe_ping_pong", bench::SocketPingPong());
    for (const bool shared_memory : {false, true}) {
      Cluster cluster(*env, shared_memory);
      const std::string way = shared_memory ? "shm_" : "tcp_";
      if (wanted("dense")) note(way + "dense", Dense(cluster, false));
      if (wanted("dense")) note(way + "dense_shared", Dense(cluster, true));
      if (wanted("one_key")) note(way + "one_key", OneKey(cluster));
      if (!wanted("sparse")) continue;
      Sparse(cluster, 1, [&](std::string_view what, double value) { note(fmt::format("{}{}_1", way, what), value); });
      Sparse(cluster, 2, [&](std::string_view what, double value) { note(fmt::format("{}{}_2", way, what), value); });
    }
  }
}
