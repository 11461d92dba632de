// SPDX-License-Identifier: Apache-2.0
//
// The log of a run at its driver: lines with the time that say what became of it, and what functions printed on its
// executors. It waits here until the master has it (cluster/job_logs.h), and is bounded: what does not fit is left out,
// and the log says so.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "env/env.h"

namespace glim::cluster {

class JobLog {
 public:
  // Of it all, and what of that only lines of our own may take.
  static constexpr uint64_t kBytesMax = 1 << 20, kReservedBytes = 64 << 10;

  explicit JobLog(env::Clock& clock) : clock_(clock) {}

  // A line, with the time.
  void Say(std::string_view line);
  // What functions printed.
  void AddOutput(std::string_view bytes);

  struct Piece {
    uint64_t from = 0;  // Where in the log it begins.
    std::string text;
  };
  // What the master does not have yet; empty text: it has all.
  Piece Waiting() const;
  // The master has it up to there.
  void Arrived(uint64_t end);

 private:
  void Put(std::string_view bytes);

  env::Clock& clock_;
  mutable std::mutex mutex_;
  uint64_t arrived_ = 0;
  std::string waiting_;
  bool full_ = false;  // Of output.
  bool line_ended_ = true;
};

}  // namespace glim::cluster
