// SPDX-License-Identifier: Apache-2.0
//
// Requests leave nothing behind: after millions of small ones client, master and servers (here one process) hold what
// they held after the first. GLIM_REQUESTS says how many; ten millions take some minutes:
//
//   GLIM_REQUESTS=10000000 build/release/cluster_test --gtest_filter='Growth.*'
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <string>
#include <vector>

#include "cluster/table_places_test.h"

namespace glim::cluster {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

uint64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

TEST(Growth, RequestsLeaveNothingInClientAndServers) {
  const char* wanted = std::getenv("GLIM_REQUESTS");
  const uint64_t requests = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : kSanitized ? 10'000 : 200'000;
  constexpr size_t kUnderWay = 512, kKeys = 4;
  const auto env = env::MakePosixEnv();
  ServersPlace place(*env, std::make_shared<TestCluster>(2));
  const Table<int64_t> table(place.CreateTable(MakeTableSpec<int64_t>("t", SparseKeys(), Add{}, {.shards = 4})));
  ASSERT_TRUE(table.ok()) << table.status().message();

  struct UnderWay {
    Future<void> done;
    std::unique_ptr<std::array<int64_t, kKeys>> pulled;
  };
  std::deque<UnderWay> under_way;
  const std::vector<int64_t> ones(kKeys, 1);
  uint64_t made = 0, pushed = 0;
  const auto make = [&](uint64_t count) {
    for (uint64_t i = 0; i < count; ++i, ++made) {
      std::vector<Key> keys(kKeys);
      for (size_t k = 0; k < kKeys; ++k) keys[k] = (made * 7 + k * 31) % 1000;
      UnderWay next;
      if (made % 4 == 3) {
        next.pulled = std::make_unique<std::array<int64_t, kKeys>>();
        next.done = table.Pull(keys, std::span<int64_t>(*next.pulled));
      } else if (made % 64 == 1) {
        next.pulled = std::make_unique<std::array<int64_t, kKeys>>();
        next.done = table.PushPull(keys, ones, std::span<int64_t>(*next.pulled));
        ++pushed;
      } else {
        next.done = table.Push(keys, ones);
        ++pushed;
      }
      under_way.push_back(std::move(next));
      if (under_way.size() < kUnderWay) continue;
      const Status status = under_way.front().done.Wait();
      ASSERT_TRUE(status.ok()) << status.message();
      under_way.pop_front();
    }
    while (!under_way.empty()) {
      ASSERT_TRUE(under_way.front().done.Wait().ok());
      under_way.pop_front();
    }
  };
  // Queues, logs and the allocator's arenas have their size by then.
  ASSERT_NO_FATAL_FAILURE(make(requests / 4));
  const uint64_t before = ResidentBytes();
  ASSERT_NO_FATAL_FAILURE(make(requests - requests / 4));
  const uint64_t after = ResidentBytes();
  RecordProperty("resident_before", std::to_string(before));
  RecordProperty("resident_after", std::to_string(after));
  int64_t sum = 0;
  for (const int64_t value : table.PullRange({0, 1000}).Get().value()) sum += value;
  EXPECT_EQ(sum, static_cast<int64_t>(pushed * kKeys));
  // Less than a byte for each of ten millions.
  if (!kSanitized) {
    EXPECT_LT(after, before + (uint64_t{8} << 20)) << before << " bytes before";
  }
}

}  // namespace
}  // namespace glim::cluster
