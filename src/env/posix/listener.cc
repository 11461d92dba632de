// SPDX-License-Identifier: Apache-2.0
#include "env/posix/listener.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/try.h"
#include "env/path.h"
#include "env/posix/descriptor.h"
#include "env/posix/interrupts.h"
#include "env/posix/system_error.h"

namespace glim::env {
namespace {

constexpr int kBacklog = 128;
// Further ones wait in the kernel's queue.
constexpr size_t kConnectionsMax = 1000;

// "127.0.0.1:80", "[::1]:80"; of a local socket "a connection".
std::string Name(const sockaddr_storage& address, socklen_t size) {
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (address.ss_family == AF_UNIX ||
      ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "a connection";
  }
  return address.ss_family == AF_INET6 ? "[" + std::string(host) + "]:" + port : std::string(host) + ":" + port;
}

class PosixListener : public Listener {
 public:
  // `path`: of a local socket, removed at the end.
  PosixListener(Descriptor socket, std::string address, std::string path)
      : socket_(std::move(socket)), address_(std::move(address)), path_(std::move(path)) {}
  ~PosixListener() override { StopAccepting(); }

  const std::string& address() const override { return address_; }

  void StopAccepting() override {
    if (!socket_.valid()) return;
    socket_.Reset();
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  Result<std::optional<Event>> Next(std::span<char> out, int64_t timeout_nanos) override {
    const bool accepts = socket_.valid() && connections_.size() < kConnectionsMax;
    std::vector<pollfd> waits = {{InterruptDescriptor(), POLLIN, 0}, {accepts ? socket_.get() : -1, POLLIN, 0}};
    for (const Connection& connection : connections_) waits.push_back({connection.socket.get(), POLLIN, 0});
    const int64_t millis = timeout_nanos < 0 ? -1 : (timeout_nanos + 999'999) / 1'000'000;
    const int ready = ::poll(waits.data(), waits.size(), static_cast<int>(std::min<int64_t>(millis, 1'000'000)));
    if (ready < 0 && errno != EINTR) return SystemError(errno, address_);
    if (waits[0].revents != 0) return Status::Cancelled(address_ + ": interrupted");
    if (ready <= 0) return std::optional<Event>();
    if (waits[1].revents != 0) return Accept();
    // From the one after the last on, so that none that sends without end keeps the others waiting.
    for (size_t i = 0; i < connections_.size(); ++i) {
      const size_t at = (turn_ + i) % connections_.size();
      if (waits[at + 2].revents == 0) continue;
      turn_ = at + 1;
      return Read(at, out);
    }
    return std::optional<Event>();
  }

 private:
  struct Connection {
    uint64_t number;
    Descriptor socket;
    std::string peer;
  };

  Result<std::optional<Event>> Accept() {
    sockaddr_storage from = {};
    socklen_t size = sizeof(from);
    Descriptor socket(
        ::accept4(socket_.get(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) {
      // One that was gone before we came.
      if (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED) return std::optional<Event>();
      return SystemError(errno, address_);
    }
    connections_.push_back({++opened_, std::move(socket), Name(from, size)});
    return std::optional(Event{opened_, Event::Kind::kOpened, connections_.back().peer, 0, Status::Ok()});
  }

  Result<std::optional<Event>> Read(size_t at, std::span<char> out) {
    Connection& connection = connections_[at];
    const ssize_t count = ::read(connection.socket.get(), out.data(), out.size());
    if (count > 0) {
      return std::optional(
          Event{connection.number, Event::Kind::kBytes, connection.peer, static_cast<size_t>(count), Status::Ok()});
    }
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) return std::optional<Event>();
    Event event{connection.number, Event::Kind::kEnded, connection.peer, 0,
                count == 0 ? Status::Ok() : SystemError(errno, "reading")};
    connections_.erase(connections_.begin() + static_cast<ptrdiff_t>(at));
    return std::optional(std::move(event));
  }

  Descriptor socket_;  // None once it accepts no more.
  const std::string address_;
  const std::string path_;
  std::vector<Connection> connections_;
  uint64_t opened_ = 0;
  size_t turn_ = 0;  // The connection to look at first.
};

Result<std::unique_ptr<Listener>> ListenAtPath(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return Status::Invalid(QuotePath(path) + ": the path of a socket has 1 to " +
                           std::to_string(sizeof(address.sun_path) - 1) + " bytes");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid() || ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    return PathError(errno, path);
  }
  return std::unique_ptr<Listener>(std::make_unique<PosixListener>(std::move(socket), path, path));
}

Result<std::unique_ptr<Listener>> ListenAtHost(int family, const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return Status::Invalid(QuotePath(address) + ": write a host and a port, like :7000 or 0.0.0.0:7000");
  }
  std::string host = address.substr(0, colon);
  const std::string port = address.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  // Whoever wants to be reached from other machines must say so.
  if (host.empty()) host = family == AF_INET6 ? "::1" : "127.0.0.1";
  addrinfo hints = {};
  hints.ai_family = family;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return Status::Invalid(QuotePath(address) + ": " + ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> all(found, &::freeaddrinfo);
  const int on = 1;
  Descriptor socket(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  // SO_REUSEADDR: the port of a flow that has just ended can be taken again.
  if (!socket.valid() || ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      ::bind(socket.get(), found->ai_addr, found->ai_addrlen) != 0 || ::listen(socket.get(), kBacklog) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    return SystemError(errno, QuotePath(address));
  }
  return std::unique_ptr<Listener>(std::make_unique<PosixListener>(std::move(socket), Name(bound, size), ""));
}

}  // namespace

Result<std::unique_ptr<Listener>> ListenOn(const std::string& network, const std::string& address) {
  if (network == "unix") return ListenAtPath(address);
  if (network == "tcp") return ListenAtHost(AF_UNSPEC, address);
  if (network == "tcp4") return ListenAtHost(AF_INET, address);
  if (network == "tcp6") return ListenAtHost(AF_INET6, address);
  return Status::Invalid("there is no network " + QuotePath(network) + "; there are tcp, tcp4, tcp6 and unix");
}

}  // namespace glim::env
