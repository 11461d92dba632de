// SPDX-License-Identifier: Apache-2.0
#include "net/resolver.h"

namespace glim::net {

Resolver::~Resolver() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Resolver::Resolve(const HostPort& wanted, Done done) {
  const std::lock_guard lock(mutex_);
  wanted_.emplace_back(wanted, std::move(done));
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  changed_.notify_one();
}

void Resolver::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !wanted_.empty(); });
    if (stopping_) return;
    const auto [wanted, done] = std::move(wanted_.front());
    wanted_.pop_front();
    lock.unlock();
    done(env::SocketAddress::Resolve(wanted.host, wanted.port, false));
    lock.lock();
  }
}

}  // namespace glim::net
