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
#include <charconv>
#include <memory>
#include <optional>
#include <vector>

#include "base/try.h"
#include "net/asio_loop.h"
#include "net/tls_session.h"
#include "net/transport_base.h"
#include "net/wire_connection.h"

namespace glim::net {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Error = boost::system::error_code;

constexpr size_t kStagingBytes = 64 * 1024;
constexpr size_t kTlsRecordBytes = 16 * 1024;
constexpr size_t kTlsBytes = 256 * 1024;  // Encrypted at a time.
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

// What all connections of a transport share.
struct Shared {
  explicit Shared(TransportOptions wanted) : options(std::move(wanted)) {
    if (options.key) tls_client.emplace(*options.key, TlsContext::Side::kClient);
    if (options.key && options.key->of_cluster()) tls_server.emplace(*options.key, TlsContext::Side::kServer);
  }
  const TransportOptions options;
  std::optional<TlsContext> tls_client, tls_server;  // Without a key, neither side can speak TLS.
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
    const auto& context = is_server_ ? shared_->tls_server : shared_->tls_client;
    if (!context) {
      return BeginClose(
          CloseReason::kRefused,
          Status::Invalid(fmt::format("{} is another machine: connections with it need a key", peer_.address)));
    }
    tls_.emplace(*context);
    plain_.resize(kStagingBytes);
    ShakeHands();
    AwaitReadable();
  }

  // ------------------------------------------------------------------------------------------------------------- TLS

  void ShakeHands() {
    const auto done = tls_->Handshake();
    // Also after a failure: an alert tells the peer why.
    if (!SendCiphertext() || closing()) return;
    if (!done.ok()) return BeginClose(CloseReason::kBroken, Status(done.status()).With(peer_.address));
    if (!*done) return;
    if (!is_server_ && tls_->PeerFingerprint() != options().key->fingerprint) {
      return BeginClose(CloseReason::kRefused,
                        Status::Invalid(peer_.address + " has a certificate that is not the one of this key"));
    }
    shook_hands_ = true;
    Start(peer_.address);
  }

  void OnCiphertext(std::string_view bytes) {
    tls_->Take(bytes);
    if (!shook_hands_) ShakeHands();
    while (shook_hands_ && !closing()) {
      const auto direct = Direct();
      const auto place = direct.empty() ? std::span(plain_) : direct;
      // All records that are there, so that what answers them goes out together.
      size_t filled = 0;
      Result<size_t> count = size_t{0};
      do {
        count = tls_->Read(place.subspan(filled));
        if (count.ok()) filled += *count;
      } while (count.ok() && *count > 0 && filled < place.size());
      if (filled > 0) OnBytes(direct.empty() ? 0 : filled, {place.data(), direct.empty() ? filled : 0});
      if (closing()) return;
      if (!count.ok()) {
        SendCiphertext();
        return BeginClose(CloseReason::kBroken, Status(count.status()).With(peer_.address));
      }
      if (tls_->ended()) return OnEnd();
      if (*count == 0) break;
    }
    if (!closing()) SendCiphertext();
  }

  // Sends what TLS has to send. False when the connection broke on it.
  bool SendCiphertext() {
    tls_->Drain(&ciphertext_);
    while (ciphertext_sent_ < ciphertext_.size() && !waits_to_write_) {
      const auto rest = std::string_view(ciphertext_).substr(ciphertext_sent_);
      const auto taken = WritePlain({{asio::buffer(rest.data(), rest.size())}});
      if (!taken.ok()) {
        BeginClose(CloseReason::kBroken, taken.status());
        return false;
      }
      ciphertext_sent_ += *taken;
    }
    if (ciphertext_sent_ == ciphertext_.size()) {
      ciphertext_.clear();
      ciphertext_sent_ = 0;
    }
    return true;
  }

  Result<size_t> WriteTls(std::span<const std::string_view> pieces) {
    if (!ciphertext_.empty()) return size_t{0};  // OnWritableSocket goes on with it.
    size_t taken = 0;
    // What is short shares a record.
    std::string record;
    const auto write_record = [&] { return record.empty() ? Status::Ok() : tls_->Write(std::exchange(record, {})); };
    for (std::string_view piece : pieces) {
      piece = piece.substr(0, kTlsBytes - taken);
      taken += piece.size();
      if (record.size() + piece.size() <= kTlsRecordBytes) {
        record += piece;
        continue;
      }
      RETURN_IF_ERROR(write_record());
      RETURN_IF_ERROR(tls_->Write(piece));
      if (taken == kTlsBytes) break;
    }
    RETURN_IF_ERROR(write_record());
    // An error shows again at the next call.
    if (!SendCiphertext()) return Status::Unavailable("the connection broke");
    return taken;
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
      const auto direct = tls_ ? std::span<char>() : Direct();
      const std::array<asio::mutable_buffer, 2> places = {asio::buffer(direct.data(), direct.size()),
                                                          asio::buffer(staging_)};
      Error error;
      const size_t bytes = socket_->read_some(places, error);
      if (error == asio::error::would_block || error == asio::error::try_again) break;
      if (error == asio::error::eof) return OnEnd();
      if (error) return BeginClose(CloseReason::kBroken, Broken(error));
      const size_t to_direct = std::min(bytes, direct.size());
      const std::string_view staged(staging_.data(), bytes - to_direct);
      if (tls_) {
        OnCiphertext(staged);
      } else {
        OnBytes(to_direct, staged);
      }
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
    if (tls_) return WriteTls(pieces);
    std::array<asio::const_buffer, kPiecesMax> buffers;
    std::transform(pieces.begin(), pieces.end(), buffers.begin(),
                   [](std::string_view piece) { return asio::buffer(piece.data(), piece.size()); });
    return WritePlain(std::span<const asio::const_buffer>(buffers).first(pieces.size()));
  }

  Result<size_t> WritePlain(std::span<const asio::const_buffer> buffers) {
    Error error;
    const size_t bytes = socket_->write_some(buffers, error);
    if (error == asio::error::would_block || error == asio::error::try_again) {
      waits_to_write_ = true;
      socket_->async_wait(tcp::socket::wait_write, [self = Self()](const Error& error) {
        if (!error && !self->closing()) self->OnWritableSocket();
      });
      return size_t{0};
    }
    if (error) return Broken(error);
    return bytes;
  }

  void OnWritableSocket() {
    waits_to_write_ = false;
    if (tls_ && (!SendCiphertext() || waits_to_write_)) return;
    OnWritable(0);
  }

  Status Broken(const Error& error) {
    return Status::Unavailable(fmt::format("the connection with {} broke: {}", peer_.address, error.message()));
  }

  void StopTransfer() override {
    resolver_->cancel();
    Error ignored;
    if (connecting_) connecting_->close(ignored);
    if (socket_) socket_->close(ignored);
    // Not at once: whoever found the error may still be at work on this connection.
    loop().Post([self = Self()] {
      self->resolver_.reset();
      self->connecting_.reset();
      self->socket_.reset();
      self->tls_.reset();
      self->DropSending();
    });
  }

  const std::shared_ptr<Shared> shared_;
  const bool is_server_;
  std::optional<tcp::resolver> resolver_;
  std::optional<tcp::socket> connecting_;
  std::optional<tcp::socket> socket_;
  std::vector<char> staging_ = std::vector<char>(kStagingBytes);
  bool waits_to_write_ = false;

  std::optional<TlsSession> tls_;
  bool shook_hands_ = false;
  std::vector<char> plain_;  // Decrypted, for heads and bodies.
  std::string ciphertext_;   // To be sent: the first ciphertext_sent_ bytes are.
  size_t ciphertext_sent_ = 0;
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
    if (!endpoint.address().is_loopback() && !shared_->tls_server) {
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
