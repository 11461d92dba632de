// SPDX-License-Identifier: Apache-2.0
#include "env/posix/machine.h"

#include <malloc.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <climits>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string_view>
#include <thread>

#include "env/page_memory.h"

namespace glim::env {
namespace {

std::optional<std::string> FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

// Nothing for "max", "-1" and what is no number.
std::optional<int64_t> Number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value < 0) return std::nullopt;
  return value;
}

template <class T>
void TakeSmaller(std::optional<T>* smallest, std::optional<T> limit) {
  if (limit.has_value() && (!smallest->has_value() || *limit < **smallest)) *smallest = limit;
}

std::optional<int64_t> NumberIn(const std::string& path) {
  const std::optional<std::string> line = FirstLine(path);
  return line.has_value() ? Number(*line) : std::nullopt;
}

// cpu.max: "200000 100000" or "max 100000".
std::optional<double> CoresOfCpuMax(const std::string& path) {
  const std::optional<std::string> line = FirstLine(path);
  if (!line.has_value()) return std::nullopt;
  std::istringstream words(*line);
  std::string quota, period;
  words >> quota >> period;
  const auto quota_us = Number(quota), period_us = Number(period);
  if (!quota_us.has_value() || !period_us.has_value() || *period_us == 0) return std::nullopt;
  return static_cast<double>(*quota_us) / static_cast<double>(*period_us);
}

// Calls take(folder) for `group` below `mount` and each group above it.
template <class Take>
void WalkUp(const std::string& mount, std::string group, Take take) {
  while (true) {
    while (!group.empty() && group.back() == '/') group.pop_back();
    take(mount + group);
    if (group.empty()) return;
    group.resize(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
  }
}

bool HasController(std::string_view list, std::string_view controller) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (list.substr(0, comma) == controller) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

int AllowedCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

CgroupLimits ReadCgroupLimits(const std::string& root) {
  CgroupLimits limits;
  std::ifstream groups(root + "/proc/self/cgroup");
  std::string line;
  const std::string mount = root + "/sys/fs/cgroup";
  while (std::getline(groups, line)) {
    // "0::/path" is version 2; "4:memory:/path" and "2:cpu,cpuacct:/path" are version 1.
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (controllers.empty()) {
      WalkUp(mount, group, [&](const std::string& folder) {
        TakeSmaller(&limits.memory_bytes, NumberIn(folder + "/memory.max"));
        TakeSmaller(&limits.cores, CoresOfCpuMax(folder + "/cpu.max"));
      });
    }
    if (HasController(controllers, "memory")) {
      WalkUp(mount + "/memory", group, [&](const std::string& folder) {
        TakeSmaller(&limits.memory_bytes, NumberIn(folder + "/memory.limit_in_bytes"));
      });
    }
    if (HasController(controllers, "cpu")) {
      WalkUp(mount + "/cpu", group, [&](const std::string& folder) {
        const auto quota_us = NumberIn(folder + "/cpu.cfs_quota_us");
        const auto period_us = NumberIn(folder + "/cpu.cfs_period_us");
        if (quota_us.has_value() && period_us.value_or(0) > 0) {
          TakeSmaller(&limits.cores, std::optional(static_cast<double>(*quota_us) / static_cast<double>(*period_us)));
        }
      });
    }
  }
  return limits;
}

Machine ReadMachine() {
  const CgroupLimits limits = ReadCgroupLimits("");
  Machine machine;
  machine.cores = AllowedCores();
  if (limits.cores.has_value()) {
    machine.cores = std::clamp(static_cast<int>(std::ceil(*limits.cores)), 1, machine.cores);
  }
  machine.memory_bytes = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  // An unlimited group of version 1 shows a number near 2^63.
  if (limits.memory_bytes.has_value()) machine.memory_bytes = std::min(machine.memory_bytes, *limits.memory_bytes);
  char name[HOST_NAME_MAX + 1] = {};
  if (::gethostname(name, sizeof(name) - 1) == 0) machine.name = name;
  return machine;
}

void ForgetStart() {
  std::ifstream mappings("/proc/self/smaps");
  std::string line;
  uintptr_t begin = 0, end = 0;
  bool from_file = false;
  // Each mapping has a line `begin-end rights offset device inode path`, then lines `Name: value`.
  while (std::getline(mappings, line)) {
    std::istringstream words(line);
    std::string first, second, skipped, path;
    words >> first >> second;
    if (!first.ends_with(':')) {
      words >> skipped >> skipped >> skipped >> path;
      const bool parsed = std::sscanf(first.c_str(), "%" SCNxPTR "-%" SCNxPTR, &begin, &end) == 2;
      from_file = parsed && second.size() > 1 && second[1] == '-' && path.starts_with('/');
    } else if (first == "Anonymous:" && second == "0" && from_file) {
      // As it is in the file: nothing of ours can be lost.
      ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    }
  }
  ::malloc_trim(0);
}

void ReturnMemoryEarly(int64_t limit_bytes) {
  // Without a fixed threshold, glibc keeps ever larger pieces for itself once they were freed. Pieces from it on are
  // mapped and unmapped one by one, most batches among them when it is low, which takes time: with 64 KB a sort within
  // 256 MB a third more than with 128. When it is high, what is free lies in gaps: 20 MB of 96.
  const int64_t limit_mb = limit_bytes >> 20;
  const int threshold_kb = limit_mb < 48 ? 8 : limit_mb < 96 ? 16 : limit_mb < 192 ? 64 : 128;
  mallopt(M_MMAP_THRESHOLD, threshold_kb << 10);
  SetResidentLimit(limit_bytes);
  // It may have grown with the other one.
  mallopt(M_TRIM_THRESHOLD, 128 << 10);
  // What one thread freed, another cannot have: with a heap for each, a process with 96 MB took 35 more, and one with
  // 256 MB 110. glibc knows no way back.
  constexpr int64_t kLimitForEachHeap = 512 << 20;
  mallopt(M_ARENA_MAX, static_cast<int>(std::clamp<int64_t>(limit_bytes / kLimitForEachHeap, 1, 1024)));
  if (limit_bytes >= 96 << 20) return;
  // Half of the 15 MB that the program and its libraries have.
  static std::once_flag once;
  std::call_once(once, ForgetStart);
}

}  // namespace glim::env
