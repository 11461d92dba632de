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
  std::string line = fmt::format("\r\x1b[Kstage {}/{}", stage_, stages_);
  if (source_bytes_ > 0)
    line += fmt::format("  {:.0f} % read", std::min(100.0, 100 * bytes / static_cast<double>(source_bytes_)));
  line +=
      fmt::format("  {:.1f} M rows  {:.0f} MB/s  {:.0f} s", rows / 1e6, bytes / 1e6 / std::max(seconds, 1e-3), seconds);
  drawn_ = true;
  (void)env_->standard_error().Append(line).ok();
}

void Progress::Clear() {
  if (!drawn_) return;
  drawn_ = false;
  (void)env_->standard_error().Append("\r\x1b[K").ok();
}

}  // namespace glim::exec
