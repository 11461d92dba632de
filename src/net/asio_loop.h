// SPDX-License-Identifier: Apache-2.0
//
// What of an EventLoop the .cc files see that use Asio.
//
// Thread: as EventLoop.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <thread>

#include "net/event_loop.h"

namespace glim::net {

struct EventLoop::Impl {
  boost::asio::io_context context{1};  // One thread.
  std::atomic<std::thread::id> id;     // Set by the thread itself, which may be faster than its maker.
  std::thread thread;
};

}  // namespace glim::net
