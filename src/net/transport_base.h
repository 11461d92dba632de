// SPDX-License-Identifier: Apache-2.0
//
// What the transports have in common: a loop, options, connections, and listeners that stop when they or the transport
// are destroyed.
//
// Thread: made and destroyed outside of the loop.
#pragma once

#include <memory>
#include <string>
#include <unordered_set>
#include <utility>

#include "net/base_connection.h"

namespace glim::net {

// One address that is listened to. Thread: the loop's.
class ListenerCore {
 public:
  virtual ~ListenerCore() = default;
  // Ends accepting, for good. May be called again.
  virtual void Stop() = 0;
};

// What the user holds of it. A transport stops the cores of listeners that outlive it.
class ListenerHandle : public Listener {
 public:
  ListenerHandle(EventLoop& loop, std::weak_ptr<ListenerCore> core, std::string address)
      : loop_(loop), core_(std::move(core)), address_(std::move(address)) {}
  ~ListenerHandle() override {
    if (const auto core = core_.lock()) {
      loop_.Call([&] { core->Stop(); });
    }
  }
  const std::string& address() const override { return address_; }

 private:
  EventLoop& loop_;
  const std::weak_ptr<ListenerCore> core_;
  const std::string address_;
};

class ListenerCores {
 public:
  explicit ListenerCores(EventLoop& loop) : loop_(loop) {}
  ~ListenerCores() {
    loop_.Call([this] {
      for (const auto& core : cores_) core->Stop();
    });
  }
  // In the loop.
  void Add(std::shared_ptr<ListenerCore> core) { cores_.insert(std::move(core)); }

 private:
  EventLoop& loop_;
  std::unordered_set<std::shared_ptr<ListenerCore>> cores_;
};

}  // namespace glim::net
