// SPDX-License-Identifier: Apache-2.0
//
// What this process prints, read by itself: stdout, and stderr if wanted, become pipes whose other ends are here. For
// processes that work for somebody elsewhere, who is to see what functions print. Whoever prints waits while a pipe is
// full.
//
// What was printed shortly before the process dies may be lost with it.
//
// Thread: Read is one thread's; AllRead any.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "glim/status.h"

namespace glim::env {

class OutputCapture {
 public:
  // For the rest of the process's life.
  static Result<std::unique_ptr<OutputCapture>> Begin(bool with_errors);
  ~OutputCapture();
  OutputCapture(const OutputCapture&) = delete;

  struct Piece {
    bool from_stderr = false;
    std::string bytes;  // At most 64 KiB; empty: nothing came in time.
  };
  // By this call the last piece counts as dealt with.
  Result<Piece> Read(int64_t timeout_nanos);
  // All that was printed so far (and flushed) was read and dealt with.
  bool AllRead();

 private:
  OutputCapture() = default;

  std::mutex mutex_;
  bool dealing_ = false;
  int output_ = -1, errors_ = -1;
};

}  // namespace glim::env
