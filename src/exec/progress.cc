// SPDX-License-Identifier: Apache-2.0
#include "exec/progress.h"

#include <fmt/core.h>

#include <algorithm>

namespace glim::exec {

Progress::Progress(env::Env* env, bool enabled)
    : env_(env), enabled_(enabled), started_nanos_(env->clock().MonotonicNanos()) {}

void Progress::StartStage(int stage, int stages, int64_t source_bytes) {
  stage_ = stage;
  stages_ = stages;
  source_bytes_ = source_bytes;
}

void Progress::Draw() {
  if (!enabled_) return;
  const double seconds = static_cast<double>(env_->clock().MonotonicNanos() - started_nanos_) / 1e9;
  const auto bytes = static_cast<double>(bytes_.load(std::memory_order_relaxed));
  const auto rows = static_cast<double>(rows_.load(std::memory_order_relaxed));
  const double rate = 1e-6 / std::max(seconds, 1e-3);
  std::string line = fmt::format("\r\x1b[Kstage {}/{}  {:.1f} M rows/s  {:.0f} MB/s  {:.0f} s", stage_, stages_,
                                 rows * rate, bytes * rate, seconds);
  if (source_bytes_ > 0) {
    const double done = std::min(1.0, bytes / static_cast<double>(source_bytes_));
    line += fmt::format("  {:.0f} % read", 100 * done);
    // Reading goes at an even pace; what comes after the last byte cannot be known.
    if (done > 0.01 && done < 1) line += fmt::format(", {:.0f} s left", seconds * (1 - done) / done);
  }
  drawn_ = true;
  (void)env_->standard_error().Append(line).ok();
}

void Progress::Clear() {
  if (!drawn_) return;
  drawn_ = false;
  (void)env_->standard_error().Append("\r\x1b[K").ok();
}

}  // namespace glim::exec
