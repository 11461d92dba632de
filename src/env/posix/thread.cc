// SPDX-License-Identifier: Apache-2.0
#include "env/thread.h"

#include <pthread.h>

#include <utility>

#include "base/check.h"

namespace glim::env {

struct Thread::State {
  pthread_t thread;
  std::function<void()> run;
};

Thread::Thread(size_t stack_bytes, std::function<void()> run) : state_(std::make_unique<State>()) {
  state_->run = std::move(run);
  pthread_attr_t attributes;
  CHECK_EQ(pthread_attr_init(&attributes), 0);
  CHECK_EQ(pthread_attr_setstacksize(&attributes, stack_bytes), 0);
  const auto start = [](void* state) -> void* {
    static_cast<State*>(state)->run();
    return nullptr;
  };
  CHECK_EQ(pthread_create(&state_->thread, &attributes, start, state_.get()), 0);
  CHECK_EQ(pthread_attr_destroy(&attributes), 0);
}

Thread::Thread(Thread&&) noexcept = default;

Thread::~Thread() = default;

void Thread::Join() { CHECK_EQ(pthread_join(state_->thread, nullptr), 0); }

}  // namespace glim::env
