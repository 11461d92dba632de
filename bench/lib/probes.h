// SPDX-License-Identifier: Apache-2.0
//
// What the machine can do at best, for benchmarks of messages: plain blocking sends and receives on a loopback socket,
// and copies through a ring of memory by two threads that never sleep.
//
// Thread: functions that start a thread of their own.
#pragma once

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace bench {

inline constexpr size_t kPayloadBytes = 1'000'000;
inline constexpr int kStreamFrames = 2000;
inline constexpr int kPings = 20'000;

inline double Seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

[[noreturn]] inline void Fail(const std::string& why) {
  fmt::print(stderr, "bench: {}\n", why);
  std::exit(1);
}

struct SocketPair {
  SocketPair() {
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    near = ::socket(AF_INET, SOCK_STREAM, 0);
    if (::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener, 1) != 0 ||
        ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
        ::connect(near, reinterpret_cast<sockaddr*>(&address), size) != 0) {
      Fail("no sockets");
    }
    far = ::accept(listener, nullptr, nullptr);
    ::close(listener);
    const int on = 1;
    for (const int socket : {near, far}) ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~SocketPair() {
    ::close(near);
    ::close(far);
  }
  static void Send(int socket, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(socket, bytes.data(), bytes.size(), 0);
      if (count <= 0) Fail("send failed");
      bytes.remove_prefix(static_cast<size_t>(count));
    }
  }
  static void Receive(int socket, std::span<char> bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::recv(socket, bytes.data(), bytes.size(), 0);
      if (count <= 0) Fail("recv failed");
      bytes = bytes.subspan(static_cast<size_t>(count));
    }
  }
  int near, far;
};

inline double SocketStream() {
  const SocketPair sockets;
  const std::string payload(kPayloadBytes, 'x');
  return kStreamFrames * double{kPayloadBytes} / 1e9 / Seconds([&] {
           std::thread receiver([&] {
             std::string place(kPayloadBytes, '\0');
             for (int i = 0; i < kStreamFrames; ++i) SocketPair::Receive(sockets.far, place);
           });
           for (int i = 0; i < kStreamFrames; ++i) SocketPair::Send(sockets.near, payload);
           receiver.join();
         });
}

// Positions in cache lines of their own.
struct ProbeRing {
  static constexpr size_t kBytes = 512 * 1024, kPieceBytes = 64 * 1024;
  alignas(64) std::atomic<size_t> written{0};
  alignas(64) std::atomic<size_t> read{0};
  std::vector<char> bytes = std::vector<char>(kBytes);
};

inline double RingStream() {
  ProbeRing ring;
  const std::string payload(kPayloadBytes, 'x');
  // One MB, piece by piece; `copy` moves one at a place of the ring.
  const auto move = [&](std::atomic<size_t>& own, const auto& may, const auto& copy) {
    for (size_t done = 0; done < kPayloadBytes;) {
      const size_t at = own.load(std::memory_order_relaxed);
      const size_t piece =
          std::min({ProbeRing::kPieceBytes, kPayloadBytes - done, ProbeRing::kBytes - at % ProbeRing::kBytes});
      while (!may(at, piece)) std::this_thread::yield();
      copy(ring.bytes.data() + at % ProbeRing::kBytes, done, piece);
      own.store(at + piece, std::memory_order_release);
      done += piece;
    }
  };
  return kStreamFrames * double{kPayloadBytes} / 1e9 / Seconds([&] {
           std::thread receiver([&] {
             std::string place(kPayloadBytes, '\0');
             for (int i = 0; i < kStreamFrames; ++i) {
               move(
                   ring.read,
                   [&](size_t at, size_t piece) { return ring.written.load(std::memory_order_acquire) >= at + piece; },
                   [&](char* in_ring, size_t at, size_t piece) { std::memcpy(place.data() + at, in_ring, piece); });
             }
           });
           for (int i = 0; i < kStreamFrames; ++i) {
             move(
                 ring.written,
                 [&](size_t at, size_t piece) {
                   return at + piece - ring.read.load(std::memory_order_acquire) <= ProbeRing::kBytes;
                 },
                 [&](char* in_ring, size_t at, size_t piece) { std::memcpy(in_ring, payload.data() + at, piece); });
           }
           receiver.join();
         });
}

inline double SocketPingPong() {
  const SocketPair sockets;
  return 1e6 / kPings * Seconds([&] {
           std::thread other([&] {
             std::string bytes(64, '\0');
             for (int i = 0; i < kPings; ++i) {
               SocketPair::Receive(sockets.far, bytes);
               SocketPair::Send(sockets.far, bytes);
             }
           });
           std::string bytes(64, 'x');
           for (int i = 0; i < kPings; ++i) {
             SocketPair::Send(sockets.near, bytes);
             SocketPair::Receive(sockets.near, bytes);
           }
           other.join();
         });
}

}  // namespace bench
