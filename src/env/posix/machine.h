// SPDX-License-Identifier: Apache-2.0
//
// How much of the machine is ours: cores by affinity and by the cgroup's quota, memory by the machine and by the
// cgroup's limit.
//
// A container shows the whole machine in /proc/meminfo; what it may really use stands in its cgroup, version 1 or 2, or
// in one of the groups above it. So we start at the group that /proc/self/cgroup names and walk up to the root, taking
// the smallest limit; files that are not there (a container sees its own group as the root) say nothing.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "env/env.h"

namespace glim::env {

struct CgroupLimits {
  std::optional<int64_t> memory_bytes;
  std::optional<double> cores;
};

// `root` stands in front of /proc and /sys; "" is the real one.
CgroupLimits ReadCgroupLimits(const std::string& root);

Machine ReadMachine();

}  // namespace glim::env
