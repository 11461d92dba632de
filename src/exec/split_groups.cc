// SPDX-License-Identifier: Apache-2.0
#include "exec/split_groups.h"

#include <algorithm>

namespace glim::exec {

int64_t SumOfBytes(int64_t a, int64_t b) { return b > INT64_MAX - a ? INT64_MAX : a + b; }

SplitGroups GroupSplits(const std::vector<io::Split>& splits, int64_t bytes) {
  SplitGroups groups;
  size_t begin = 0;
  int64_t size = 0;
  for (size_t i = 0; i < splits.size(); ++i) {
    size = SumOfBytes(size, std::max<int64_t>(splits[i].estimated_bytes, 1));
    if (size >= bytes || i + 1 == splits.size()) {
      groups.emplace_back(begin, i + 1);
      begin = i + 1;
      size = 0;
    }
  }
  return groups;
}

SplitGroups CutAtHosts(const std::vector<io::Split>& splits, const SplitGroups& groups) {
  SplitGroups cut;
  for (auto [begin, end] : groups) {
    for (size_t i = begin + 1; i < end; ++i) {
      if (splits[i].host != splits[i - 1].host) cut.emplace_back(std::exchange(begin, i), i);
    }
    cut.emplace_back(begin, end);
  }
  return cut;
}

SplitGroups CutSplits(size_t splits, int count) {
  SplitGroups groups;
  for (int i = 0; i < count; ++i) groups.emplace_back(splits * i / count, splits * (i + 1) / count);
  return groups;
}

}  // namespace glim::exec
