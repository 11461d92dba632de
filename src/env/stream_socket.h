// SPDX-License-Identifier: Apache-2.0
//
// Sockets of TCP, and local ones between processes of one machine, for who waits for many at once (env/poller.h): no
// call here waits, but for the resolving of names.
//
// Local sockets have a name in place of a path (the abstract kind): nothing stays behind on the disk, and two network
// namespaces, which may have equal ports, have names of their own, too. They also carry descriptors.
//
// Thread: one at a time per socket; but one thread may write while another reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "glim/status.h"

namespace glim::env {

// Of TCP, or of a local socket.
class SocketAddress {
 public:
  // "127.0.0.1", "::1": nullopt when `host` is no number.
  static std::optional<SocketAddress> OfNumber(const std::string& host, uint16_t port);
  // What a name leads to; asks the network, and may take seconds. To listen at, an empty list of hosts is an error,
  // too.
  static Result<std::vector<SocketAddress>> Resolve(const std::string& host, uint16_t port, bool to_listen);
  static SocketAddress Local(std::string_view name);

  // "127.0.0.1:80", "[::1]:80".
  std::string Words() const;
  bool IsLoopback() const;
  // Of this machine: whoever connects there does not leave it.
  bool IsOwn() const;
  // In words, the address by which this machine would reach it, with some port; nothing is sent. kUnavailable when
  // there is no way.
  Result<std::string> OwnToward() const;
  // The one that stands for all addresses of this machine, with the same port.
  SocketAddress AnyHost() const;

 private:
  friend class StreamSocket;
  friend class ListeningSocket;
  alignas(8) char bytes_[128] = {};  // A sockaddr_storage.
  uint32_t size_ = 0;
};

// What a call on a socket came to. `error` is of errno.
struct SocketResult {
  enum class Kind : uint8_t { kDone, kNotNow, kEnd, kError };
  Kind kind = Kind::kDone;
  size_t bytes = 0;
  int error = 0;
};

class StreamSocket {
 public:
  StreamSocket() = default;
  explicit StreamSocket(int descriptor) : descriptor_(descriptor) {}
  StreamSocket(StreamSocket&& other) noexcept;
  StreamSocket& operator=(StreamSocket&& other) noexcept;
  ~StreamSocket();

  // Begins to connect; whether it came to be shows when it is writable (ConnectError). kError says that it will not.
  SocketResult Connect(const SocketAddress& address);
  // 0 when it is connected.
  int ConnectError() const;
  // For TCP: answers at once, and notices by itself a peer that is gone for so long.
  void SetTcpOptions(int64_t dead_nanos);

  // Fill or send the pieces in their order; kDone with how many bytes that were. At most 64 pieces.
  SocketResult Read(std::span<const std::span<char>> places);
  SocketResult Write(std::span<const std::string_view> pieces);

  // Of a local socket: who is at the other end may be trusted as far as we ourselves.
  bool PeerIsSameUser() const;
  // `bytes`, together with a descriptor; the receiver gets one of its own. kDone, or kError.
  SocketResult SendDescriptor(std::string_view bytes, int descriptor);
  // Reads some bytes, and the descriptor if one came with them (the caller closes it; else -1).
  SocketResult ReceiveDescriptor(std::span<char> bytes, int* descriptor);

  std::optional<SocketAddress> PeerAddress() const;
  // What the peer's system has said that it got, and for how long some of it was under way and could have gone faster
  // but for the network; the latter in steps of some milliseconds. Of TCP; else nothing.
  struct Delivered {
    uint64_t bytes = 0;
    int64_t busy_nanos = 0;
  };
  Delivered delivered() const;
  int descriptor() const { return descriptor_; }
  bool valid() const { return descriptor_ >= 0; }
  void Close();

 private:
  int descriptor_ = -1;
};

class ListeningSocket {
 public:
  ListeningSocket() = default;
  ListeningSocket(ListeningSocket&& other) noexcept;
  ListeningSocket& operator=(ListeningSocket&& other) noexcept;
  ~ListeningSocket();

  // Port 0 takes a free one. The Status is the system's word only.
  static Result<ListeningSocket> Open(const SocketAddress& address);
  const SocketAddress& address() const { return address_; }
  // The next connection that came; kNotNow when there is none.
  SocketResult Accept(StreamSocket* accepted);
  int descriptor() const { return descriptor_; }
  bool valid() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
  SocketAddress address_;
};

}  // namespace glim::env
