// SPDX-License-Identifier: Apache-2.0
//
// The transport over TCP, and over TLS 1.3 between machines.
//
// One readv into the place of the payload and, for what follows it, a small buffer; one sendmsg of heads, bodies and
// segments from where they lie. No memory of a caller is ever in the hands of an operation that is still under way, so
// that a target can be taken back at any time.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/try.h"
#include "env/env.h"
#include "env/stream_socket.h"
#include "net/address.h"
#include "net/tls_session.h"
#include "net/transport_base.h"
#include "net/wire_connection.h"

namespace glim::net {
namespace {

using env::SocketAddress;
using env::SocketResult;
using Kind = env::SocketResult::Kind;

constexpr size_t kStagingBytes = 64 * 1024;
constexpr size_t kTlsRecordBytes = 16 * 1024;
constexpr size_t kTlsBytes = 256 * 1024;  // Encrypted at a time.
// Reads of one connection before others on the loop have their turn.
constexpr int kReadsInTurn = 16;
constexpr int kAcceptsInTurn = 64;

// Names of hosts to their addresses. Asking may take seconds, so it has a thread, once a name is asked for.
class Resolver {
 public:
  using Done = std::function<void(Result<std::vector<SocketAddress>>)>;
  Resolver() = default;
  ~Resolver() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_one();
    if (thread_.joinable()) thread_.join();
  }
  // `done` is called in the resolver's thread; never, when it is destroyed first.
  void Resolve(const HostPort& wanted, Done done) {
    const std::lock_guard lock(mutex_);
    wanted_.emplace_back(wanted, std::move(done));
    if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
    changed_.notify_one();
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stopping_ || !wanted_.empty(); });
      if (stopping_) return;
      const auto [wanted, done] = std::move(wanted_.front());
      wanted_.pop_front();
      lock.unlock();
      done(SocketAddress::Resolve(wanted.host, wanted.port, false));
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<HostPort, Done>> wanted_;
  bool stopping_ = false;
  std::thread thread_;
};

// What all connections of a transport share.
struct Shared {
  explicit Shared(TransportOptions wanted) : options(std::move(wanted)) {
    if (options.key) tls_client.emplace(*options.key, TlsContext::Side::kClient);
    if (options.key && options.key->of_cluster()) tls_server.emplace(*options.key, TlsContext::Side::kServer);
  }
  const TransportOptions options;
  std::optional<TlsContext> tls_client, tls_server;  // Without a key, neither side can speak TLS.
  Resolver* resolver = nullptr;                      // The transport's.
};

class TcpConnection final : public WireConnection {
 public:
  TcpConnection(EventLoop& loop, ConnectionSet& set, const std::shared_ptr<Shared>& shared,
                std::shared_ptr<const Acceptor> acceptor)
      : WireConnection(loop, set, {shared, &shared->options}, acceptor),
        shared_(shared),
        is_server_(acceptor != nullptr) {}

  // The server's side.
  void Accept(env::StreamSocket socket) {
    Join(nullptr);
    set().AddStranger(shared_from_this(), options().unauthenticated_max);
    ExpectOpenWithin(options().handshake_nanos, "the handshake of a client");
    socket_ = std::move(socket);
    Use();
  }

  // The client's side.
  void Connect(const std::string& address, int64_t timeout_nanos) {
    peer_.address = address;
    ExpectOpenWithin(timeout_nanos, "connecting to " + address);
    const auto parsed = ParseAddress(address);
    if (!parsed.ok()) return BeginClose(CloseReason::kUnreachable, parsed.status());
    // A number needs no resolver, which would start a thread.
    if (const auto number = SocketAddress::OfNumber(parsed->host, parsed->port)) return TryNext({*number}, 0);
    shared_->resolver->Resolve(*parsed, [self = Self()](const Result<std::vector<SocketAddress>>& found) {
      self->PostIfOpen([self, found] {
        if (self->closing()) return;
        if (!found.ok()) return self->Unreachable(found.status().message());
        self->TryNext(*found, 0);
      });
    });
  }

 private:
  std::shared_ptr<TcpConnection> Self() { return std::static_pointer_cast<TcpConnection>(shared_from_this()); }

  void Unreachable(std::string_view why) {
    BeginClose(CloseReason::kUnreachable,
               Status::Unavailable(fmt::format("cannot connect to {}: {}", peer_.address, why)));
  }

  // "localhost" may be an IPv6 address first, where nobody listens.
  void TryNext(std::vector<SocketAddress> addresses, size_t index) {
    watch_.reset();
    const auto begun = socket_.Connect(addresses[index]);
    if (begun.kind == Kind::kDone) return Use();
    const auto failed = [this](const std::vector<SocketAddress>& all, size_t at, int error) {
      if (at + 1 == all.size()) return Unreachable(env::ErrorWords(error));
      TryNext(all, at + 1);
    };
    if (begun.kind == Kind::kError) return failed(addresses, index, begun.error);
    watch_.emplace(loop(), socket_.descriptor(), env::Poller::Interest::kReadingAndWriting,
                   [self = Self(), addresses = std::move(addresses), index, failed](const env::Poller::Event&) {
                     self->watch_.reset();
                     if (const int error = self->socket_.ConnectError(); error != 0) {
                       return failed(addresses, index, error);
                     }
                     self->Use();
                   });
    if (!watch_->valid()) Unreachable("the system has no room for another socket");
  }

  void Use() {
    const auto remote = socket_.PeerAddress();
    if (!remote) return BeginClose(CloseReason::kBroken, Broken(0));
    socket_.SetTcpOptions(options().dead_nanos);
    watch_.emplace(loop(), socket_.descriptor(), env::Poller::Interest::kReadingAndWriting,
                   [self = Self()](const env::Poller::Event& event) { self->OnReady(event); });
    if (!watch_->valid()) {
      return BeginClose(CloseReason::kBroken, Status::Exhausted("the system has no room for another socket"));
    }
    // Both sides see the same: a connection is of this machine for both or for none.
    if (remote->IsLoopback() && !options().tls_on_loopback) return Start(remote->Words());
    peer_.address = remote->Words();
    const auto& context = is_server_ ? shared_->tls_server : shared_->tls_client;
    if (!context) {
      return BeginClose(
          CloseReason::kRefused,
          Status::Invalid(fmt::format("{} is another machine: connections with it need a key", peer_.address)));
    }
    tls_.emplace(*context);
    plain_.resize(kStagingBytes);
    ShakeHands();
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
      const auto taken = WritePlain({&rest, 1});
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

  void OnReady(const env::Poller::Event& event) {
    peer_ended_ |= event.hung_up;
    ReadSome();
    if (event.writable && waits_to_write_ && !closing()) OnWritableSocket();
  }

  // Readiness is told once: reads until there is nothing left, or comes back to it.
  void ReadSome() {
    if (reads_later_) return;
    for (int turn = 0; turn < kReadsInTurn && !closing(); ++turn) {
      const auto direct = tls_ ? std::span<char>() : Direct();
      const std::array<std::span<char>, 2> places = {direct, std::span(staging_)};
      const SocketResult read = socket_.Read(places);
      if (read.kind == Kind::kNotNow) return;
      if (read.kind == Kind::kEnd) return OnEnd();
      if (read.kind == Kind::kError) return BeginClose(CloseReason::kBroken, Broken(read.error));
      const size_t to_direct = std::min(read.bytes, direct.size());
      const std::string_view staged(staging_.data(), read.bytes - to_direct);
      if (tls_) {
        OnCiphertext(staged);
      } else {
        OnBytes(to_direct, staged);
      }
      // Less than there was room for: that was all for now, and what comes is told; but an end is told only once.
      if (read.bytes < direct.size() + staging_.size() && !peer_ended_) return;
    }
    if (closing()) return;
    reads_later_ = true;
    loop().Post([self = Self()] {
      self->reads_later_ = false;
      if (!self->closing()) self->ReadSome();
    });
  }

  // Reading in the loop and one write elsewhere may go on side by side. The socket is there, as the mutex is held and
  // the connection open; it is closed only after that was said under the mutex.
  size_t WriteAtOnce(const Outgoing& outgoing) override {
    if (tls_) return 0;
    std::array<std::string_view, 2 + kSegmentsMax> pieces;
    size_t count = 0;
    pieces[count++] = outgoing.head;
    pieces[count++] = outgoing.frame.body;
    for (const Segment& segment : outgoing.frame.segments) pieces[count++] = segment.bytes;
    // An error is the loop's to find.
    return socket_.Write(std::span(pieces).first(count)).bytes;
  }

  Result<size_t> WriteSome(std::span<const std::string_view> pieces) override {
    return tls_ ? WriteTls(pieces) : WritePlain(pieces);
  }

  Result<size_t> WritePlain(std::span<const std::string_view> pieces) {
    const SocketResult written = socket_.Write(pieces);
    if (written.kind == Kind::kError) return Broken(written.error);
    if (written.kind == Kind::kNotNow) waits_to_write_ = true;
    return written.bytes;
  }

  void OnWritableSocket() {
    waits_to_write_ = false;
    if (tls_ && (!SendCiphertext() || waits_to_write_)) return;
    OnWritable(0);
  }

  Status Broken(int error) {
    return Status::Unavailable(fmt::format("the connection with {} broke: {}", peer_.address, env::ErrorWords(error)));
  }

  void StopTransfer() override {
    watch_.reset();
    socket_.Close();
    // Not at once: whoever found the error may still be at work on this connection.
    loop().Post([self = Self()] {
      self->tls_.reset();
      self->DropSending();
    });
  }

  const std::shared_ptr<Shared> shared_;
  const bool is_server_;
  env::StreamSocket socket_;
  std::optional<Watch> watch_;
  std::vector<char> staging_ = std::vector<char>(kStagingBytes);
  bool peer_ended_ = false;  // What is left to read ends with its end.
  bool reads_later_ = false;
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
        pause_(std::in_place, loop) {}

  // Returns the address.
  Result<std::string> Open(const std::string& address) {
    ASSIGN_OR_RETURN(const HostPort parsed, ParseAddress(address));
    const auto found = SocketAddress::Resolve(parsed.host, parsed.port, true);
    if (!found.ok()) return CannotListen(address, found.status());
    const SocketAddress& wanted = found->front();
    if (!wanted.IsLoopback() && !shared_->tls_server) {
      return Status::Invalid(fmt::format(
          "refusing to listen at {}, where other machines can connect, without a cluster key; `glim init` makes one",
          address));
    }
    auto opened = env::ListeningSocket::Open(wanted);
    if (!opened.ok()) return CannotListen(address, opened.status());
    socket_ = *std::move(opened);
    watch_.emplace(loop_, socket_.descriptor(), env::Poller::Interest::kReading,
                   [self = shared_from_this()](const env::Poller::Event&) { self->AcceptSome(); });
    if (!watch_->valid()) return CannotListen(address, Status::Exhausted("the system has no room for it"));
    return socket_.address().Words();
  }

  void Stop() override {
    pause_.reset();
    watch_.reset();
    socket_ = {};
  }

 private:
  static Status CannotListen(const std::string& address, const Status& why) {
    return Status::Unavailable(fmt::format("cannot listen at {}: {}", address, why.message()));
  }

  void AcceptSome() {
    for (int turn = 0; turn < kAcceptsInTurn && socket_.valid(); ++turn) {
      env::StreamSocket accepted;
      const SocketResult result = socket_.Accept(&accepted);
      if (result.kind == Kind::kNotNow) return;
      if (result.kind == Kind::kError) {
        // Out of descriptors, most likely: trying again at once would spin.
        pause_->Start(kPauseNanos, [this] { AcceptSome(); });
        return;
      }
      std::make_shared<TcpConnection>(loop_, set_, shared_, acceptor_)->Accept(std::move(accepted));
    }
    loop_.Post([self = shared_from_this()] { self->AcceptSome(); });
  }

  static constexpr int64_t kPauseNanos = 50'000'000;
  EventLoop& loop_;
  ConnectionSet& set_;
  const std::shared_ptr<Shared> shared_;
  const std::shared_ptr<const Acceptor> acceptor_;
  env::ListeningSocket socket_;
  std::optional<Watch> watch_;
  std::optional<Timer> pause_;
};

class TcpTransport final : public Transport {
 public:
  TcpTransport(EventLoop& loop, TransportOptions options)
      : loop_(loop), shared_(std::make_shared<Shared>(std::move(options))), set_(loop), listeners_(loop) {
    shared_->resolver = &resolver_;
  }

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
  Resolver resolver_;
  ConnectionSet set_;
  ListenerCores listeners_;
};

}  // namespace

std::unique_ptr<Transport> MakeTcpTransport(EventLoop& loop, TransportOptions options) {
  return std::make_unique<TcpTransport>(loop, std::move(options));
}

}  // namespace glim::net
