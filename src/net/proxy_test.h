// SPDX-License-Identifier: Apache-2.0
//
// A TCP proxy for tests that does one harm: cuts, resets, half-closes, stalls, splits, or flips a bit, at a chosen byte
// of one direction. And a plain blocking socket, for peers that say anything.
//
// Thread: each connection through the proxy has two threads of its own.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace glim::net {

class RawSocket {
 public:
  explicit RawSocket(int descriptor) : descriptor_(descriptor) { EXPECT_GE(descriptor, 0); }
  // "127.0.0.1:port".
  explicit RawSocket(const std::string& address) : RawSocket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in target = {};
    target.sin_family = AF_INET;
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    target.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    EXPECT_EQ(::connect(descriptor_, reinterpret_cast<sockaddr*>(&target), sizeof target), 0);
    const int on = 1;
    ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  RawSocket(RawSocket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  ~RawSocket() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  // False when the other side is gone.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(count));
    }
    return true;
  }
  // Some bytes, or none at the end.
  std::string Receive() {
    std::string bytes(16 * 1024, '\0');
    const ssize_t count = ::recv(descriptor_, bytes.data(), bytes.size(), 0);
    bytes.resize(count < 0 ? 0 : static_cast<size_t>(count));
    return bytes;
  }
  // All until the other side closes.
  std::string ReceiveAll() {
    std::string all;
    for (std::string more = Receive(); !more.empty(); more = Receive()) all += more;
    return all;
  }
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

enum class Harm { kNone, kCut, kReset, kHalfClose, kStall, kSplit, kFlip };

class Proxy {
 public:
  struct Plan {
    Harm harm = Harm::kNone;
    bool to_server = true;  // Which direction suffers.
    size_t at = 0;          // Byte of that direction; for kFlip its lowest bit.
  };

  Proxy(std::string target, Plan plan) : target_(std::move(target)), plan_(plan) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in own = {};
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&own), sizeof own), 0);
    EXPECT_EQ(::listen(listener_, 16), 0);
    socklen_t size = sizeof own;
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&own), &size), 0);
    address_ = "127.0.0.1:" + std::to_string(ntohs(own.sin_port));
    accepting_ = std::thread([this] { Accept(); });
  }
  ~Proxy() {
    ::shutdown(listener_, SHUT_RDWR);
    accepting_.join();
    for (const RawSocket& socket : sockets_) ::shutdown(socket.descriptor(), SHUT_RDWR);
    for (std::thread& thread : threads_) thread.join();
    ::close(listener_);
  }
  const std::string& address() const { return address_; }

 private:
  void Accept() {
    sockets_.reserve(64);
    while (true) {
      const int accepted = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (accepted < 0) return;
      const int on = 1;
      ::setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      const int client = sockets_.emplace_back(accepted).descriptor();
      const int server = sockets_.emplace_back(target_).descriptor();
      threads_.emplace_back([this, client, server] { Carry(client, server, plan_.to_server); });
      threads_.emplace_back([this, client, server] { Carry(server, client, !plan_.to_server); });
    }
  }

  void Carry(int from, int to, bool suffers) {
    std::string bytes(16 * 1024, '\0');
    size_t carried = 0;
    while (true) {
      const ssize_t count = ::recv(from, bytes.data(), bytes.size(), 0);
      if (count <= 0) break;
      std::string_view piece(bytes.data(), static_cast<size_t>(count));
      const bool here = suffers && plan_.at >= carried && plan_.at < carried + piece.size();
      if (suffers && plan_.harm == Harm::kSplit) {
        while (!piece.empty()) {
          const size_t some = std::min<size_t>(piece.size(), 1 + carried++ % 5);
          Send(to, piece.substr(0, some));
          piece.remove_prefix(some);
        }
        continue;
      }
      if (here && plan_.harm == Harm::kFlip) bytes[plan_.at - carried] ^= 1;
      if (here && plan_.harm != Harm::kFlip && plan_.harm != Harm::kNone) {
        Send(to, piece.substr(0, plan_.at - carried));
        return Hurt(from, to);
      }
      Send(to, piece);
      carried += piece.size();
    }
    ::shutdown(to, SHUT_WR);
  }

  void Hurt(int from, int to) {
    if (plan_.harm == Harm::kReset) {
      const linger now = {.l_onoff = 1, .l_linger = 0};
      ::setsockopt(to, SOL_SOCKET, SO_LINGER, &now, sizeof now);
      ::setsockopt(from, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    if (plan_.harm == Harm::kCut || plan_.harm == Harm::kReset) {
      ::shutdown(to, SHUT_RDWR);
      ::shutdown(from, SHUT_RDWR);
    } else if (plan_.harm == Harm::kHalfClose) {
      ::shutdown(to, SHUT_WR);
    }
    // kStall: reads no more, and tells nobody.
  }

  static void Send(int to, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(to, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(count));
    }
  }

  const std::string target_;
  const Plan plan_;
  int listener_;
  std::string address_;
  std::vector<RawSocket> sockets_;
  std::vector<std::thread> threads_;
  std::thread accepting_;
};

}  // namespace glim::net
