// SPDX-License-Identifier: Apache-2.0
//
// Names of hosts to their addresses. Asking may take seconds, so it has a thread, once a name is asked for.
//
// Thread: any.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "env/stream_socket.h"
#include "glim/status.h"
#include "net/address.h"

namespace glim::net {

class Resolver {
 public:
  using Done = std::function<void(Result<std::vector<env::SocketAddress>>)>;
  Resolver() = default;
  ~Resolver();
  Resolver(const Resolver&) = delete;
  // `done` is called in the resolver's thread; never, when it is destroyed first.
  void Resolve(const HostPort& wanted, Done done);

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<HostPort, Done>> wanted_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace glim::net
