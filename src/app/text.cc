// SPDX-License-Identifier: Apache-2.0
#include "app/text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>

namespace glim::app {

std::string TextTable::ToText() const {
  std::vector<size_t> widths(rows_[0].size(), 0);
  for (const auto& row : rows_) {
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) line += fmt::format("{:<{}}  ", row[c], widths[c]);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string Bytes(uint64_t bytes) {
  constexpr uint64_t kMebi = 1 << 20;
  if (bytes < kMebi) return fmt::format("{} KiB", (bytes + 1023) / 1024);
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / kMebi);
}

std::string TimeText(int64_t millis) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::gmtime(static_cast<std::time_t>(millis / 1000)));
}

}  // namespace glim::app
