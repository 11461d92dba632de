// SPDX-License-Identifier: Apache-2.0
#include "env/usage.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>

namespace glim::env {
namespace {

int64_t Descriptors() {
  DIR* const folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  int64_t count = 0;
  while (const dirent* const entry = ::readdir(folder)) count += entry->d_name[0] != '.' ? 1 : 0;
  ::closedir(folder);
  return count - 1;  // That of the folder itself.
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

int64_t ResidentBytes() {
  std::FILE* const file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  int64_t pages = 0, resident = 0;
  if (std::fscanf(file, "%" SCNd64 " %" SCNd64, &pages, &resident) != 2) resident = 0;
  std::fclose(file);
  return resident * ::sysconf(_SC_PAGESIZE);
}

Usage OwnUsage() {
  Usage usage{.cpu_seconds = 0, .resident_bytes = ResidentBytes(), .descriptors = Descriptors()};
  rusage taken = {};
  if (::getrusage(RUSAGE_SELF, &taken) == 0) usage.cpu_seconds = Seconds(taken.ru_utime) + Seconds(taken.ru_stime);
  return usage;
}

}  // namespace glim::env
