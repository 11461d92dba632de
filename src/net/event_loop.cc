// SPDX-License-Identifier: Apache-2.0
#include "net/event_loop.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <future>
#include <utility>

#include "base/check.h"
#include "net/asio_loop.h"

namespace glim::net {

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {
  impl_->thread = std::thread([this] {
    impl_->id = std::this_thread::get_id();
    const auto keep_running = boost::asio::make_work_guard(impl_->context);
    impl_->context.run();
  });
}

EventLoop::~EventLoop() {
  CHECK(!InLoop());
  impl_->context.stop();
  impl_->thread.join();
}

void EventLoop::Post(std::function<void()> work) { boost::asio::post(impl_->context, std::move(work)); }

void EventLoop::Call(const std::function<void()>& work) {
  if (InLoop()) return work();
  const auto done = std::make_shared<std::promise<void>>();
  Post([done, &work] {
    work();
    done->set_value();
  });
  done->get_future().wait();
}

bool EventLoop::InLoop() const { return std::this_thread::get_id() == impl_->id; }

struct Timer::State {
  explicit State(boost::asio::io_context& context) : timer(context) {}
  boost::asio::steady_timer timer;
  uint64_t started = 0;  // Cancelling does not stop a handler that is already queued; its number is then an old one.
};

Timer::Timer(EventLoop& loop) : state_(std::make_shared<State>(loop.impl().context)) {}

Timer::~Timer() { Cancel(); }

void Timer::Start(int64_t nanos, std::function<void()> work) {
  const uint64_t number = ++state_->started;
  state_->timer.expires_after(std::chrono::nanoseconds(nanos));
  state_->timer.async_wait(
      [state = std::weak_ptr<State>(state_), number, work = std::move(work)](const boost::system::error_code& error) {
        const auto alive = state.lock();
        if (!error && alive && alive->started == number) work();
      });
}

void Timer::Cancel() {
  ++state_->started;
  state_->timer.cancel();
}

}  // namespace glim::net
