// SPDX-License-Identifier: Apache-2.0
//
// A thread with a stack of a chosen size, which std::thread cannot have. Only the pages that are touched take memory.
//
// Thread: made and joined by one.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace glim::env {

class Thread {
 public:
  // Ends the process when the system gives no thread, as std::thread would.
  Thread(size_t stack_bytes, std::function<void()> run);
  Thread(Thread&&) noexcept;
  ~Thread();
  // Call exactly once.
  void Join();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace glim::env
