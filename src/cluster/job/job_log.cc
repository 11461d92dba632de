// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/job_log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>

namespace glim::cluster {
namespace {

constexpr size_t kPieceBytes = 64 << 10;

}  // namespace

void JobLog::Say(std::string_view line) {
  const int64_t millis = clock_.WallNanos() / 1'000'000;
  const std::string text = fmt::format("{:%Y-%m-%d %H:%M:%S}.{:03} {}\n",
                                       fmt::gmtime(static_cast<std::time_t>(millis / 1000)), millis % 1000, line);
  const std::lock_guard lock(mutex_);
  // Between lines that functions printed.
  if (!line_ended_) Put("\n");
  if (arrived_ + waiting_.size() + text.size() <= kBytesMax) Put(text);
}

void JobLog::AddOutput(std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  if (full_) return;
  const uint64_t room = kBytesMax - kReservedBytes - std::min(kBytesMax - kReservedBytes, arrived_ + waiting_.size());
  Put(bytes.substr(0, room));
  if (bytes.size() <= room) return;
  full_ = true;
  Put("\n[what functions printed from here on is left out]\n");
}

void JobLog::Put(std::string_view bytes) {
  if (bytes.empty()) return;
  waiting_ += bytes;
  line_ended_ = bytes.back() == '\n';
}

JobLog::Piece JobLog::Waiting() const {
  const std::lock_guard lock(mutex_);
  return {arrived_, waiting_.substr(0, kPieceBytes)};
}

void JobLog::Arrived(uint64_t end) {
  const std::lock_guard lock(mutex_);
  const uint64_t count = std::min<uint64_t>(end - std::min(end, arrived_), waiting_.size());
  waiting_.erase(0, count);
  arrived_ += count;
}

}  // namespace glim::cluster
