// SPDX-License-Identifier: Apache-2.0
#include "env/stream_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>

#include "base/check.h"
#include "env/env.h"
#include "env/posix/descriptor.h"

namespace glim::env {
namespace {

constexpr size_t kPiecesMax = 64;

static_assert(sizeof(sockaddr_storage) <= 128);

const sockaddr* AsSystem(const char* bytes) { return reinterpret_cast<const sockaddr*>(bytes); }

SocketResult Failed(int error) {
  const bool not_now = error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
  return {.kind = not_now ? SocketResult::Kind::kNotNow : SocketResult::Kind::kError, .bytes = 0, .error = error};
}

SocketResult Moved(ssize_t count, bool to_read) {
  if (count < 0) return Failed(errno);
  if (count == 0 && to_read) return {.kind = SocketResult::Kind::kEnd, .bytes = 0, .error = 0};
  return {.kind = SocketResult::Kind::kDone, .bytes = static_cast<size_t>(count), .error = 0};
}

template <class T>
void SetOption(int descriptor, int level, int name, T value) {
  ::setsockopt(descriptor, level, name, &value, sizeof value);
}

}  // namespace

// ------------------------------------------------------------------------------------------------------------
// addresses

Result<std::vector<SocketAddress>> SocketAddress::Resolve(const std::string& host, uint16_t port, bool to_listen) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (to_listen ? AI_PASSIVE : 0);
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); error != 0) {
    return Status::Unavailable(error == EAI_SYSTEM ? ErrorWords(errno) : ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> all(found, &::freeaddrinfo);
  std::vector<SocketAddress> addresses;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    if (entry->ai_addrlen > sizeof(SocketAddress::bytes_)) continue;
    SocketAddress& address = addresses.emplace_back();
    std::memcpy(address.bytes_, entry->ai_addr, entry->ai_addrlen);
    address.size_ = entry->ai_addrlen;
  }
  if (addresses.empty()) return Status::Unavailable("no address of this name");
  return addresses;
}

std::optional<SocketAddress> SocketAddress::OfNumber(const std::string& host, uint16_t port) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return std::nullopt;
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> all(found, &::freeaddrinfo);
  SocketAddress address;
  std::memcpy(address.bytes_, found->ai_addr, found->ai_addrlen);
  address.size_ = found->ai_addrlen;
  return address;
}

SocketAddress SocketAddress::Local(std::string_view name) {
  sockaddr_un local = {};
  local.sun_family = AF_UNIX;
  CHECK_LE(name.size() + 1, sizeof local.sun_path);
  std::memcpy(local.sun_path + 1, name.data(), name.size());
  SocketAddress address;
  address.size_ = static_cast<uint32_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  std::memcpy(address.bytes_, &local, address.size_);
  return address;
}

std::string SocketAddress::Words() const {
  const sockaddr* system = AsSystem(bytes_);
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (system->sa_family == AF_UNIX ||
      ::getnameinfo(system, size_, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "a local socket";
  }
  return system->sa_family == AF_INET6 ? "[" + std::string(host) + "]:" + port : std::string(host) + ":" + port;
}

bool SocketAddress::IsLoopback() const {
  switch (AsSystem(bytes_)->sa_family) {
    case AF_INET: {
      const auto* v4 = reinterpret_cast<const sockaddr_in*>(bytes_);
      return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
    }
    case AF_INET6: return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(bytes_)->sin6_addr) != 0;
    case AF_UNIX: return true;
    default: return false;
  }
}

bool SocketAddress::IsOwn() const {
  if (IsLoopback()) return true;
  // Only what is this machine's can be bound to; nothing is sent.
  SocketAddress probe = *this;
  const int family = AsSystem(bytes_)->sa_family;
  if (family == AF_INET) reinterpret_cast<sockaddr_in*>(probe.bytes_)->sin_port = 0;
  if (family == AF_INET6) reinterpret_cast<sockaddr_in6*>(probe.bytes_)->sin6_port = 0;
  const Descriptor socket(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return socket.valid() && ::bind(socket.get(), AsSystem(probe.bytes_), probe.size_) == 0;
}

Result<std::string> SocketAddress::OwnToward() const {
  // A datagram socket that is connected only asks the routes.
  const Descriptor socket(::socket(AsSystem(bytes_)->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  SocketAddress own;
  socklen_t size = sizeof own.bytes_;
  if (!socket.valid() || ::connect(socket.get(), AsSystem(bytes_), size_) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(own.bytes_), &size) != 0) {
    return Status::Unavailable("there is no way to " + Words() + ": " + ErrorWords(errno));
  }
  own.size_ = size;
  return own.Words();
}

SocketAddress SocketAddress::AnyHost() const {
  SocketAddress any = *this;
  switch (AsSystem(bytes_)->sa_family) {
    case AF_INET: reinterpret_cast<sockaddr_in*>(any.bytes_)->sin_addr.s_addr = INADDR_ANY; break;
    case AF_INET6: reinterpret_cast<sockaddr_in6*>(any.bytes_)->sin6_addr = in6addr_any; break;
    default: break;
  }
  return any;
}

// --------------------------------------------------------------------------------------------------------------
// streams

StreamSocket::StreamSocket(StreamSocket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
StreamSocket& StreamSocket::operator=(StreamSocket&& other) noexcept {
  Close();
  descriptor_ = std::exchange(other.descriptor_, -1);
  return *this;
}
StreamSocket::~StreamSocket() { Close(); }
void StreamSocket::Close() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

SocketResult StreamSocket::Connect(const SocketAddress& address) {
  Close();
  descriptor_ = ::socket(AsSystem(address.bytes_)->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor_ < 0) return {.kind = SocketResult::Kind::kError, .bytes = 0, .error = errno};
  if (::connect(descriptor_, AsSystem(address.bytes_), address.size_) == 0) return {};
  if (errno == EINPROGRESS) return {.kind = SocketResult::Kind::kNotNow, .bytes = 0, .error = 0};
  return {.kind = SocketResult::Kind::kError, .bytes = 0, .error = errno};
}

int StreamSocket::ConnectError() const {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(descriptor_, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

void StreamSocket::SetTcpOptions(int64_t dead_nanos) {
  const int seconds = static_cast<int>(std::max<int64_t>(1, dead_nanos / 3 / 1'000'000'000));
  SetOption(descriptor_, IPPROTO_TCP, TCP_NODELAY, 1);
  SetOption(descriptor_, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(descriptor_, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
  SetOption(descriptor_, IPPROTO_TCP, TCP_KEEPINTVL, seconds);
  SetOption(descriptor_, IPPROTO_TCP, TCP_KEEPCNT, 3);
  SetOption(descriptor_, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<unsigned>(dead_nanos / 1'000'000));
}

SocketResult StreamSocket::Read(std::span<const std::span<char>> places) {
  std::array<iovec, kPiecesMax> pieces;
  CHECK_LE(places.size(), pieces.size());
  size_t count = 0;
  for (const std::span<char> place : places) {
    if (!place.empty()) pieces[count++] = {.iov_base = place.data(), .iov_len = place.size()};
  }
  return Moved(::readv(descriptor_, pieces.data(), static_cast<int>(count)), true);
}

SocketResult StreamSocket::Write(std::span<const std::string_view> from) {
  std::array<iovec, kPiecesMax> pieces;
  CHECK_LE(from.size(), pieces.size());
  size_t count = 0;
  for (const std::string_view piece : from) {
    if (!piece.empty()) pieces[count++] = {.iov_base = const_cast<char*>(piece.data()), .iov_len = piece.size()};
  }
  msghdr message = {};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  return Moved(::sendmsg(descriptor_, &message, MSG_NOSIGNAL | MSG_DONTWAIT), false);
}

bool StreamSocket::PeerIsSameUser() const {
  ucred peer = {};
  socklen_t size = sizeof peer;
  return ::getsockopt(descriptor_, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && size == sizeof peer &&
         peer.uid == ::geteuid();
}

SocketResult StreamSocket::SendDescriptor(std::string_view bytes, int descriptor) {
  iovec piece = {.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
  const ssize_t sent = ::sendmsg(descriptor_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent == static_cast<ssize_t>(bytes.size())) return Moved(sent, false);
  return {.kind = SocketResult::Kind::kError, .bytes = 0, .error = sent < 0 ? errno : EMSGSIZE};
}

SocketResult StreamSocket::ReceiveDescriptor(std::span<char> bytes, int* descriptor) {
  *descriptor = -1;
  iovec piece = {.iov_base = bytes.data(), .iov_len = bytes.size()};
  // Room for more than one, so that those a peer sends too many of come here and are closed, too.
  constexpr size_t kDescriptorsMax = 8;
  alignas(cmsghdr) char control[CMSG_SPACE(kDescriptorsMax * sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t count = ::recvmsg(descriptor_, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (count < 0) return Failed(errno);
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= head->cmsg_len; at += sizeof(int)) {
      int received = -1;
      std::memcpy(&received, CMSG_DATA(head) + at, sizeof received);
      if (*descriptor < 0) {
        *descriptor = received;
      } else {
        ::close(received);
      }
    }
  }
  return Moved(count, true);
}

std::optional<SocketAddress> StreamSocket::PeerAddress() const {
  SocketAddress address;
  socklen_t size = sizeof address.bytes_;
  if (::getpeername(descriptor_, reinterpret_cast<sockaddr*>(address.bytes_), &size) != 0) return std::nullopt;
  address.size_ = size;
  return address;
}

// ------------------------------------------------------------------------------------------------------------
// listening

ListeningSocket::ListeningSocket(ListeningSocket&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), address_(other.address_) {}
ListeningSocket& ListeningSocket::operator=(ListeningSocket&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(address_, other.address_);
  return *this;
}
ListeningSocket::~ListeningSocket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<ListeningSocket> ListeningSocket::Open(const SocketAddress& address) {
  ListeningSocket listening;
  const int family = AsSystem(address.bytes_)->sa_family;
  listening.descriptor_ = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  // Else a restarted process waits a minute for its port.
  if (listening.valid() && family != AF_UNIX) SetOption(listening.descriptor_, SOL_SOCKET, SO_REUSEADDR, 1);
  SocketAddress& chosen = listening.address_;
  socklen_t size = sizeof chosen.bytes_;
  if (!listening.valid() || ::bind(listening.descriptor_, AsSystem(address.bytes_), address.size_) != 0 ||
      ::listen(listening.descriptor_, SOMAXCONN) != 0 ||
      ::getsockname(listening.descriptor_, reinterpret_cast<sockaddr*>(chosen.bytes_), &size) != 0) {
    return Status::Unavailable(ErrorWords(errno));
  }
  chosen.size_ = size;
  return listening;
}

SocketResult ListeningSocket::Accept(StreamSocket* accepted) {
  const int descriptor = ::accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (descriptor >= 0) {
    *accepted = StreamSocket(descriptor);
    return {};
  }
  // One that was gone before we came: the next one may be there.
  if (errno == ECONNABORTED || errno == EINTR) return Accept(accepted);
  return Failed(errno);
}

}  // namespace glim::env
