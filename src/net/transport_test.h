// SPDX-License-Identifier: Apache-2.0
//
// What the tests of connections share: a handler that remembers what came and can be waited for, and a pair of
// transports of any kind.
//
// Waits of tests end after a minute, with a failure; no test looks at how long something took.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "net/transport.h"

namespace glim::net {

constexpr int64_t kTestNanos = 60'000'000'000;

constexpr uint16_t kReadMessage = 16, kWriteMessage = 17, kNodeMessage = 18;

inline const MessageTable& TestMessages() {
  static const MessageTable table = [] {
    MessageTable made;
    made.Add(kReadMessage, "read", Role::kReadOnly);
    made.Add(kWriteMessage, "write", Role::kClient);
    made.Add(kNodeMessage, "replicate", Role::kNode);
    return made;
  }();
  return table;
}

// Nobody is dead and nothing is late in a test, unless it says so: a machine under load must not fail it.
inline TransportOptions TestOptions() {
  TransportOptions options;
  options.messages = &TestMessages();
  options.dead_nanos = kTestNanos;
  options.handshake_nanos = kTestNanos;
  options.node = "test";
  options.shared_memory = false;
  return options;
}

class Recorder : public ConnectionHandler {
 public:
  void OnOpen(Connection& connection) override {
    Change([&] {
      open = true;
      peer = connection.peer();
    });
    if (on_open) on_open(connection);
  }
  void OnBody(const FrameHead& head, std::string_view body, std::span<std::span<char>> targets) override {
    if (on_body) on_body(head, targets);
  }
  void OnFrame(Frame frame, Credit credit) override {
    if (on_frame) on_frame(frame);
    Change([&] {
      frames.push_back(std::move(frame));
      if (keep_credit) credits.push_back(std::move(credit));
    });
  }
  void OnWritable() override {
    Change([&] { ++writable; });
  }
  void OnClosed(const Closing& closing) override {
    Change([&] {
      ++closed_count;
      closed = closing;
    });
  }

  // False when it did not become true within a minute.
  bool Wait(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::nanoseconds(kTestNanos), condition);
  }
  bool WaitOpen() {
    return Wait([this] { return open || closed_count > 0; }) && open;
  }
  bool WaitFrames(size_t count) {
    return Wait([this, count] { return frames.size() >= count; });
  }
  bool WaitClosed() {
    return Wait([this] { return closed_count > 0; });
  }
  void Change(const std::function<void()>& change) {
    // Notified under the lock: who waited may destroy us as soon as it is free.
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  template <class T>
  T Read(const std::function<T()>& read) {
    const std::lock_guard lock(mutex_);
    return read();
  }

  // Set before the connection is made; called in the loop.
  std::function<void(Connection&)> on_open;
  std::function<void(const FrameHead&, std::span<std::span<char>>)> on_body;
  std::function<void(const Frame&)> on_frame;
  bool keep_credit = false;

  // Read in Wait or Read, or when it is known that nothing changes them any more.
  bool open = false;
  Peer peer;
  std::vector<Frame> frames;
  std::vector<Credit> credits;
  int writable = 0;
  int closed_count = 0;
  Closing closed;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

inline Frame MessageOf(uint64_t request, std::string body = {}, std::vector<Segment> segments = {},
                       uint16_t type = kWriteMessage) {
  return {.header = {.type = type, .request = request}, .body = std::move(body), .segments = std::move(segments)};
}

// Counts calls of on_sent.
struct SentCount {
  void operator()(const Status& status) {
    const std::lock_guard lock(mutex);
    ++(status.ok() ? ok : failed);
    changed.notify_all();
  }
  bool Wait(int count) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::nanoseconds(kTestNanos), [&] { return ok + failed >= count; });
  }
  std::mutex mutex;
  std::condition_variable changed;
  int ok = 0;
  int failed = 0;
};

inline const Key& TestKey() {
  static const Key key = MakeClusterKey("local").value();
  return key;
}

struct TransportKind {
  std::string name;
  std::string address;  // To listen at.
  std::function<std::unique_ptr<Transport>(EventLoop&, InprocHub&, TransportOptions)> make;
};

inline void PrintTo(const TransportKind& kind, std::ostream* out) { *out << kind.name; }
inline void PrintTo(CloseReason reason, std::ostream* out) { *out << CloseReasonName(reason); }

inline std::vector<TransportKind> TransportKinds() {
  return {{"inproc", "a",
           [](EventLoop& loop, InprocHub& hub, TransportOptions options) {
             return MakeInprocTransport(loop, hub, std::move(options));
           }},
          {"tcp", "127.0.0.1:0",
           [](EventLoop& loop, InprocHub&, TransportOptions options) {
             return MakeTcpTransport(loop, std::move(options));
           }},
          {"shm", "127.0.0.1:0",
           [](EventLoop& loop, InprocHub&, TransportOptions options) {
             options.shared_memory = true;
             return MakeTcpTransport(loop, std::move(options));
           }},
          {"tls", "127.0.0.1:0", [](EventLoop& loop, InprocHub&, TransportOptions options) {
             auto key = std::make_shared<Key>(TestKey());
             key->cluster = options.cluster;
             options.key = std::move(key);
             options.tls_on_loopback = true;
             return MakeTcpTransport(loop, std::move(options));
           }}};
}

}  // namespace glim::net
