// SPDX-License-Identifier: Apache-2.0
//
// The progress line of a run on a terminal: `stage 1/2  42 %  3.1 M rows  210 MB/s`. Silent unless it was switched on.
//
// Thread: AddRows and AddBytes from any task; the rest from the thread that waits for the run.
#pragma once

#include <atomic>
#include <cstdint>

#include "env/env.h"

namespace glim::exec {

class Progress {
 public:
  Progress(env::Env* env, bool enabled);

  void StartStage(int stage, int stages, int64_t source_bytes);
  void AddRows(int64_t rows) { rows_.fetch_add(rows, std::memory_order_relaxed); }
  void AddBytes(int64_t bytes) { bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  void Draw();
  // Removes the line.
  void Clear();

 private:
  env::Env* const env_;
  const bool enabled_;
  const int64_t started_nanos_;
  int stage_ = 0;
  int stages_ = 0;
  int64_t source_bytes_ = 0;
  bool drawn_ = false;
  std::atomic<int64_t> rows_{0};
  std::atomic<int64_t> bytes_{0};
};

}  // namespace glim::exec
