// SPDX-License-Identifier: Apache-2.0
//
// The transport over TCP, and over TLS 1.3 between machines.
//
// We ask Asio only when a socket is ready, and read and write ourselves: one readv into the place of the payload and,
// for what follows it, a small buffer; one writev of heads, bodies and segments from where they lie. (Asio's own read
// and write stop at 64 KiB, which costs two thirds of the speed of large messages; and no memory of a caller is ever in
// the hands of an operation that is still under way, so that a target can be taken back at any time.)
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <charconv>
#include <memory>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/try.h"
#include "net/asio_loop.h"
#include "net/crypto.h"
#include "net/transport_base.h"
#include "net/wire_connection.h"

namespace glim::net {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Error = boost::system::error_code;

constexpr size_t kStagingBytes = 64 * 1024;
// Reads of one connection before others on the loop have their turn.
constexpr int kReadsInTurn = 16;

std::string Words(const tcp::endpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  return endpoint.address().is_v6() ? fmt::format("[{}]:{}", host, endpoint.port())
                                    : fmt::format("{}:{}", host, endpoint.port());
}

struct HostPort {
  std::string host;
  std::string port;
};

Result<HostPort> ParseAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  const auto wrong = [&] {
    return Status::Invalid(fmt::format("\"{}\" is not an address; write host:port, like 127.0.0.1:7000", address));
  };
  if (colon == std::string::npos || colon == 0) return wrong();
  HostPort parsed{address.substr(0, colon), address.substr(colon + 1)};
  if (parsed.host.starts_with('[') && parsed.host.ends_with(']')) {
    parsed.host = parsed.host.substr(1, parsed.host.size() - 2);
  } else if (parsed.host.find(':') != std::string::npos) {
    return wrong();
  }
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(parsed.port.data(), parsed.port.data() + parsed.port.size(), number);
  if (error != std::errc() || end != parsed.port.data() + parsed.port.size()) return wrong();
  return parsed;
}

// A dead connection shows here too, if later than by our own heartbeats: for what the kernel still has to deliver.
void SetOptions(tcp::socket& socket, int64_t dead_nanos) {
  using KeepIdle = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPIDLE>;
  using KeepInterval = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPINTVL>;
  using KeepCount = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPCNT>;
  using UserTimeout = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_USER_TIMEOUT>;
  Error ignored;
  const int seconds = static_cast<int>(std::max<int64_t>(1, dead_nanos / 3 / 1'000'000'000));
  socket.set_option(tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  socket.set_option(KeepIdle(seconds), ignored);
  socket.set_option(KeepInterval(seconds), ignored);
  socket.set_option(KeepCount(3), ignored);
  socket.set_option(UserTimeout(static_cast<int>(dead_nanos / 1'000'000)), ignored);
  socket.non_blocking(true, ignored);
}

// Without a key, neither side can speak TLS.
struct TlsContexts {
  explicit TlsContexts(const Key* key) {
    if (key == nullptr) return;
    // AES-128 is the fastest of those that TLS 1.3 allows.
    constexpr const char* kCiphers = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
    client.emplace(asio::ssl::context::tlsv13_client);
    CHECK_EQ(SSL_CTX_set_ciphersuites(client->native_handle(), kCiphers), 1);
    if (!key->of_cluster()) return;
    server.emplace(asio::ssl::context::tlsv13_server);
    CHECK_EQ(SSL_CTX_set_ciphersuites(server->native_handle(), kCiphers), 1);
    // Nobody resumes a session.
    CHECK_EQ(SSL_CTX_set_num_tickets(server->native_handle(), 0), 1);
    Error error;
    server->use_certificate(asio::buffer(key->certificate), asio::ssl::context::pem, error);
    CHECK(!error);
    server->use_private_key(asio::buffer(key->private_key), asio::ssl::context::pem, error);
    CHECK(!error);
  }
  std::optional<asio::ssl::context> client, server;
};

// What all connections of a transport share.
struct Shared {
  explicit Shared(TransportOptions wanted) : options(std::move(wanted)), tls(options.key.get()) {}
  const TransportOptions options;
  TlsContexts tls;
};

class TcpConnection final : public WireConnection {
 public:
  TcpConnection(EventLoop& loop, ConnectionSet& set, const std::shared_ptr<Shared>& shared,
                std::shared_ptr<const Acceptor> acceptor)
      : WireConnection(loop, set, {shared, &shared->options}, acceptor),
        shared_(shared),
        is_server_(acceptor != nullptr),
        resolver_(loop.impl().context) {}

  // The server's side.
  void Accept(tcp::socket socket) {
    Join(nullptr);
    set().AddStranger(shared_from_this(), options().unauthenticated_max);
    ExpectOpenWithin(options().handshake_nanos, "the handshake of a client");
    Use(std::move(socket));
  }

  // The client's side.
  void Connect(const std::string& address, int64_t timeout_nanos) {
    peer_.address = address;
    ExpectOpenWithin(timeout_nanos, "connecting to " + address);
    const auto parsed = ParseAddress(address);
    if (!parsed.ok()) return BeginClose(CloseReason::kUnreachable, parsed.status());
    Error error;
    // A number needs no resolver, which would start a thread.
    if (const auto number = asio::ip::make_address(parsed->host, error); !error) {
      return TryNext({tcp::endpoint(number, static_cast<uint16_t>(std::stoi(parsed->port)))}, 0);
    }
    resolver_->async_resolve(parsed->host, parsed->port,
                             [self = Self()](const Error& error, const tcp::resolver::results_type& found) {
                               if (self->closing()) return;
                               if (error) return self->Unreachable(error);
                               std::vector<tcp::endpoint> endpoints;
                               for (const auto& entry : found) endpoints.push_back(entry.endpoint());
                               self->TryNext(std::move(endpoints), 0);
                             });
  }

 private:
  std::shared_ptr<TcpConnection> Self() { return std::static_pointer_cast<TcpConnection>(shared_from_this()); }

  void Unreachable(const Error& error) {
    BeginClose(CloseReason::kUnreachable,
               Status::Unavailable(fmt::format("cannot connect to {}: {}", peer_.address, error.message())));
  }

  // "localhost" may be an IPv6 address first, where nobody listens.
  void TryNext(std::vector<tcp::endpoint> endpoints, size_t index) {
    connecting_.emplace(loop().impl().context);
    connecting_->async_connect(endpoints[index], [self = Self(), endpoints, index](const Error& error) {
      if (self->closing()) return;
      if (!error) return self->Use(std::move(*self->connecting_));
      if (index + 1 == endpoints.size()) return self->Unreachable(error);
      self->TryNext(endpoints, index + 1);
    });
  }

  void Use(tcp::socket socket) {
    SetOptions(socket, options().dead_nanos);
    Error error;
    const auto remote = socket.remote_endpoint(error);
    if (error) return BeginClose(CloseReason::kBroken, Broken(error));
    socket_.emplace(std::move(socket));
    // Both sides see the same: a connection is of this machine for both or for none.
    if (remote.address().is_loopback() && !options().tls_on_loopback) {
      Start(Words(remote));
      return AwaitReadable();
    }
    peer_.address = Words(remote);
    auto& context = is_server_ ? shared_->tls.server : shared_->tls.client;
    if (!context) {
      return BeginClose(
          CloseReason::kRefused,
          Status::Invalid(fmt::format("{} is another machine: connections with it need a key", peer_.address)));
    }
    tls_.emplace(*socket_, *context);
    ++tls_operations_;
    tls_->async_handshake(is_server_ ? asio::ssl::stream_base::server : asio::ssl::stream_base::client,
                          [self = Self()](const Error& error) {
                            if (!self->TlsDone()) return;
                            if (error) return self->BeginClose(CloseReason::kBroken, self->Broken(error).With("TLS"));
                            self->OnTls();
                          });
  }

  // ------------------------------------------------------------------------------------------------------------- TLS

  // An operation of TLS has ended; false when the connection is to end, too.
  bool TlsDone() {
    --tls_operations_;
    if (!closing()) return true;
    if (tls_operations_ == 0) FinishLater();
    return false;
  }

  void OnTls() {
    if (!is_server_ && !IsOurServer()) {
      return BeginClose(CloseReason::kRefused,
                        Status::Invalid(peer_.address + " has a certificate that is not the one of this key"));
    }
    Start(peer_.address);
    ReadTls();
  }

  bool IsOurServer() {
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(SSL_get1_peer_certificate(tls_->native_handle()),
                                                                  &X509_free);
    return certificate && CertificateFingerprint(certificate.get()) == options().key->fingerprint;
  }

  void ReadTls() {
    if (closing()) return;
    ++tls_operations_;
    tls_->async_read_some(asio::buffer(staging_), [self = Self()](const Error& error, size_t bytes) {
      if (!self->TlsDone()) return;
      // Who dies does not say goodbye in TLS; the framing knows whether something is missing.
      if (error == asio::error::eof || error == asio::ssl::error::stream_truncated) return self->OnEnd();
      if (error) return self->BeginClose(CloseReason::kBroken, self->Broken(error));
      self->OnBytes(0, {self->staging_.data(), bytes});
      self->ReadTls();
    });
  }

  size_t WriteTls(std::span<const asio::const_buffer> buffers) {
    ++tls_operations_;
    tls_->async_write_some(buffers, [self = Self()](const Error& error, size_t bytes) {
      if (!self->TlsDone()) return;
      if (error) return self->BeginClose(CloseReason::kBroken, self->Broken(error));
      self->OnWritable(bytes);
    });
    return 0;
  }

  // ----------------------------------------------------------------------------------------------------------- plain

  void AwaitReadable() {
    if (closing()) return;
    socket_->async_wait(tcp::socket::wait_read, [self = Self()](const Error& error) {
      if (!error) self->ReadSome();
    });
  }

  void ReadSome() {
    for (int turn = 0; turn < kReadsInTurn && !closing(); ++turn) {
      const auto direct = Direct();
      const std::array<asio::mutable_buffer, 2> places = {asio::buffer(direct.data(), direct.size()),
                                                          asio::buffer(staging_)};
      Error error;
      const size_t bytes = socket_->read_some(places, error);
      if (error == asio::error::would_block || error == asio::error::try_again) break;
      if (error == asio::error::eof) return OnEnd();
      if (error) return BeginClose(CloseReason::kBroken, Broken(error));
      const size_t to_direct = std::min(bytes, direct.size());
      OnBytes(to_direct, {staging_.data(), bytes - to_direct});
      // Less than there was room for: that was all for now.
      if (bytes < direct.size() + staging_.size()) break;
    }
    AwaitReadable();
  }

  // Reading in the loop and one write elsewhere may go on side by side: neither changes the socket object. It is there,
  // as the mutex is held and the connection open; it is closed only after that was said under the mutex.
  size_t WriteAtOnce(const Outgoing& outgoing) override {
    if (tls_) return 0;
    std::array<asio::const_buffer, 2 + kSegmentsMax> buffers;
    size_t count = 0;
    const auto add = [&](std::string_view piece) { buffers[count++] = asio::buffer(piece.data(), piece.size()); };
    add(outgoing.head);
    add(outgoing.frame.body);
    for (const Segment& segment : outgoing.frame.segments) add(segment.bytes);
    Error error;  // Is the loop's to find.
    return socket_->write_some(std::span<const asio::const_buffer>(buffers).first(count), error);
  }

  Result<size_t> WriteSome(std::span<const std::string_view> pieces) override {
    std::transform(pieces.begin(), pieces.end(), buffers_.begin(),
                   [](std::string_view piece) { return asio::buffer(piece.data(), piece.size()); });
    const auto buffers = std::span<const asio::const_buffer>(buffers_).first(pieces.size());
    if (tls_) return WriteTls(buffers);
    Error error;
    const size_t bytes = socket_->write_some(buffers, error);
    if (error == asio::error::would_block || error == asio::error::try_again) {
      socket_->async_wait(tcp::socket::wait_write, [self = Self()](const Error& error) {
        if (!error) self->OnWritable(0);
      });
      return size_t{0};
    }
    if (error) return Broken(error);
    return bytes;
  }

  Status Broken(const Error& error) {
    return Status::Unavailable(fmt::format("the connection with {} broke: {}", peer_.address, error.message()));
  }

  void StopTransfer() override {
    resolver_->cancel();
    Error ignored;
    if (connecting_) connecting_->close(ignored);
    if (socket_) socket_->close(ignored);
    // An operation of TLS that is under way still looks at the memory of frames; it ends soon, as its socket is closed.
    if (tls_operations_ == 0) FinishLater();
  }

  // Not at once: whoever found the error may still be at work on this connection.
  void FinishLater() {
    loop().Post([self = Self()] {
      self->resolver_.reset();
      self->connecting_.reset();
      self->tls_.reset();
      self->socket_.reset();
      self->DropSending();
    });
  }

  const std::shared_ptr<Shared> shared_;
  const bool is_server_;
  std::optional<tcp::resolver> resolver_;
  std::optional<tcp::socket> connecting_;
  std::optional<tcp::socket> socket_;
  std::optional<asio::ssl::stream<tcp::socket&>> tls_;
  int tls_operations_ = 0;
  std::vector<char> staging_ = std::vector<char>(kStagingBytes);
  std::array<asio::const_buffer, kPiecesMax> buffers_;
};

class TcpListener final : public ListenerCore, public std::enable_shared_from_this<TcpListener> {
 public:
  TcpListener(EventLoop& loop, ConnectionSet& set, std::shared_ptr<Shared> shared, Acceptor acceptor)
      : loop_(loop),
        set_(set),
        shared_(std::move(shared)),
        acceptor_(std::make_shared<const Acceptor>(std::move(acceptor))),
        socket_(std::in_place, loop.impl().context),
        pause_(std::in_place, loop) {}

  // Returns the address.
  Result<std::string> Open(const std::string& address) {
    ASSIGN_OR_RETURN(const HostPort parsed, ParseAddress(address));
    Error error;
    tcp::resolver resolver(loop_.impl().context);
    const auto found = resolver.resolve(parsed.host, parsed.port, tcp::resolver::passive, error);
    if (error || found.empty()) return CannotListen(address, error);
    const tcp::endpoint endpoint = found.begin()->endpoint();
    if (!endpoint.address().is_loopback() && !shared_->tls.server) {
      return Status::Invalid(fmt::format(
          "refusing to listen at {}, where other machines can connect, without a cluster key; `glim init` makes one",
          address));
    }
    socket_->open(endpoint.protocol(), error);
    // Else a restarted process waits a minute for its port.
    if (!error) socket_->set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) socket_->bind(endpoint, error);
    if (!error) socket_->listen(asio::socket_base::max_listen_connections, error);
    const auto chosen = error ? endpoint : socket_->local_endpoint(error);
    if (error) return CannotListen(address, error);
    AcceptNext();
    return Words(chosen);
  }

  void Stop() override {
    pause_.reset();
    socket_.reset();
  }

 private:
  static Status CannotListen(const std::string& address, const Error& error) {
    return Status::Unavailable(fmt::format("cannot listen at {}: {}", address, error.message()));
  }

  void AcceptNext() {
    if (!socket_) return;
    socket_->async_accept([self = shared_from_this()](const Error& error, tcp::socket socket) {
      if (!self->socket_) return;
      if (error) {
        // Out of descriptors, most likely: trying again at once would spin.
        self->pause_->Start(kPauseNanos, [self = self.get()] { self->AcceptNext(); });
        return;
      }
      std::make_shared<TcpConnection>(self->loop_, self->set_, self->shared_, self->acceptor_)
          ->Accept(std::move(socket));
      self->AcceptNext();
    });
  }

  static constexpr int64_t kPauseNanos = 50'000'000;
  EventLoop& loop_;
  ConnectionSet& set_;
  const std::shared_ptr<Shared> shared_;
  const std::shared_ptr<const Acceptor> acceptor_;
  std::optional<tcp::acceptor> socket_;
  std::optional<Timer> pause_;
};

class TcpTransport final : public Transport {
 public:
  TcpTransport(EventLoop& loop, TransportOptions options)
      : loop_(loop), shared_(std::make_shared<Shared>(std::move(options))), set_(loop), listeners_(loop) {}

  Result<std::unique_ptr<Listener>> Listen(const std::string& address, Acceptor acceptor) override {
    Result<std::string> chosen = Status::Internal("not tried");
    std::weak_ptr<ListenerCore> weak;
    loop_.Call([&] {
      const auto core = std::make_shared<TcpListener>(loop_, set_, shared_, std::move(acceptor));
      chosen = core->Open(address);
      if (!chosen.ok()) return core->Stop();
      weak = core;
      listeners_.Add(core);
    });
    if (!chosen.ok()) return chosen.status();
    return std::unique_ptr<Listener>(std::make_unique<ListenerHandle>(loop_, weak, *chosen));
  }

  std::shared_ptr<Connection> Connect(const std::string& address, int64_t timeout_nanos,
                                      std::shared_ptr<ConnectionHandler> handler) override {
    auto connection = std::make_shared<TcpConnection>(loop_, set_, shared_, nullptr);
    loop_.Post([connection, address, timeout_nanos, handler = std::move(handler)] {
      connection->Join(handler);
      connection->Connect(address, timeout_nanos);
    });
    return connection;
  }

 private:
  EventLoop& loop_;
  const std::shared_ptr<Shared> shared_;
  ConnectionSet set_;
  ListenerCores listeners_;
};

}  // namespace

std::unique_ptr<Transport> MakeTcpTransport(EventLoop& loop, TransportOptions options) {
  return std::make_unique<TcpTransport>(loop, std::move(options));
}

}  // namespace glim::net
