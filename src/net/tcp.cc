// SPDX-License-Identifier: Apache-2.0
//
// The transport over TCP, over TLS 1.3 between machines, and through shared memory within one.
//
// One readv into the place of the payload and, for what follows it, a small buffer; one sendmsg of heads, bodies and
// segments from where they lie. No memory of a caller is ever in the hands of an operation that is still under way, so
// that a target can be taken back at any time.
//
// Whoever listens at an address listens at a local socket of that name, too. A client that connects to an address of
// its own machine tries that one first, and hands over memory with a ring for each direction (net/ring.h); the same
// frames go through these. The socket stays: a byte on it wakes the other side, and its end tells of the other side's
// end, however it came. Where any of this does not work out, it is TCP as for everybody.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/try.h"
#include "env/env.h"
#include "env/shared_memory.h"
#include "env/stream_socket.h"
#include "net/address.h"
#include "net/bytes.h"
#include "net/http.h"
#include "net/resolver.h"
#include "net/ring.h"
#include "net/tls_session.h"
#include "net/transport_base.h"
#include "net/wire_connection.h"

namespace glim::net {
namespace {

using env::SocketAddress;
using env::SocketResult;
using Kind = env::SocketResult::Kind;

constexpr size_t kStagingBytes = 64 * 1024;
// So long a listener that answers HTTP, too, waits for a client's first word before it sends its challenge. Our clients
// speak at once.
constexpr int64_t kFirstWordNanos = 100'000'000;
constexpr size_t kTlsRecordBytes = 16 * 1024;
constexpr size_t kTlsBytes = 256 * 1024;  // Encrypted at a time.
// Reads of one connection before others on the loop have their turn.
constexpr int kReadsInTurn = 16;
constexpr int kAcceptsInTurn = 64;

// What comes with the memory: this, and how many bytes each of its two rings has.
constexpr std::string_view kMemoryMagic = "GLMRING2";
constexpr size_t kMemoryHelloBytes = 16;
constexpr uint64_t kRingBytes = uint64_t{4} << 20;
constexpr uint64_t kRingBytesMin = 4096, kRingBytesMax = uint64_t{16} << 20;
constexpr size_t kRingPieceBytes = 128 * 1024;  // Handed on at a time; then the writer may write there.
constexpr size_t kRingTurnBytes = size_t{4} << 20;
// Two bytes may come for each time that we are woken, and the socket holds some hundred.
constexpr int kWakesInSocket = 32;

size_t MemoryBytes(uint64_t ring_bytes) { return 2 * sizeof(RingControl) + 2 * static_cast<size_t>(ring_bytes); }

std::string LocalName(const SocketAddress& address) { return "glim " + address.Words(); }

// A connection's two rings.
struct Rings {
  // The client's writes come first.
  Rings(env::SharedMemory from, uint64_t ring_bytes, bool is_server) : memory(std::move(from)) {
    CHECK_EQ(memory.bytes().size(), MemoryBytes(ring_bytes));
    auto* const controls = reinterpret_cast<RingControl*>(memory.bytes().data());
    const auto bytes = memory.bytes().subspan(2 * sizeof(RingControl));
    const auto first = bytes.first(ring_bytes), second = bytes.subspan(ring_bytes);
    out = is_server ? RingWriter(controls + 1, second) : RingWriter(controls, first);
    in = is_server ? RingReader(controls, first) : RingReader(controls + 1, second);
  }
  env::SharedMemory memory;
  RingWriter out;
  RingReader in;
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
  // What is read ahead, until the reading call returns. The loop works on one connection at a time.
  std::vector<char> staging = std::vector<char>(kStagingBytes);
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
    BeStranger(std::move(socket));
    Use();
  }

  // The server's side, of a local socket: memory comes first.
  void AcceptLocal(env::StreamSocket socket) {
    BeStranger(std::move(socket));
    local_ = true;
    WatchSocket(env::Poller::Interest::kReading);
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

  Delivery delivery() const override {
    if (!peer_.other_machine) return {};
    const auto delivered = socket_.delivered();
    return {.bytes = delivered.bytes, .busy_nanos = delivered.busy_nanos};
  }

 private:
  std::shared_ptr<TcpConnection> Self() { return std::static_pointer_cast<TcpConnection>(shared_from_this()); }

  void BeStranger(env::StreamSocket socket) {
    socket_ = std::move(socket);
    const auto remote = socket_.PeerAddress();
    peer_.address = remote ? remote->Words() : "a client that is gone";
    Join(nullptr);
    set().AddStranger(shared_from_this(), options().unauthenticated_max);
    ExpectOpenWithin(options().handshake_nanos, "the handshake of " + peer_.address);
  }

  void Unreachable(std::string_view why) {
    BeginClose(CloseReason::kUnreachable,
               Status::Unavailable(fmt::format("cannot connect to {}: {}", peer_.address, why)));
  }

  // "localhost" may be an IPv6 address first, where nobody listens.
  void TryNext(std::vector<SocketAddress> addresses, size_t index) {
    watch_.reset();
    if (!OfferMemory(addresses[index])) return ConnectOverTcp(std::move(addresses), index);
    // Before the first look into the ring, which may see the whole handshake.
    if_memory_is_refused_ = [self = Self(), addresses, index] { self->ConnectOverTcp(addresses, index); };
    if (!WatchSocket(env::Poller::Interest::kReading)) return;
    Start(addresses[index].Words() + " (shared memory)");
    ReadRing();  // From now on we are woken.
  }

  void ConnectOverTcp(std::vector<SocketAddress> addresses, size_t index) {
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
    if (!WatchSocket(env::Poller::Interest::kReadingAndWriting)) return;
    peer_.address = remote->Words();
    // Both sides see the same: a connection is of this machine for both or for none.
    is_plain_ = remote->IsLoopback() && !options().tls_on_loopback;
    if (is_server_ && options().http && (remote->IsLoopback() || options().http_for_all)) {
      guesses_ = true;
      first_timer_.emplace(loop());
      first_timer_->Start(kFirstWordNanos, [this] {
        if (first_.empty()) BeginFrames();
      });
      return;
    }
    BeginFrames();
  }

  // Not HTTP.
  void BeginFrames() {
    guesses_ = false;
    if (is_plain_) {
      Start(peer_.address);
      if (!is_server_) SpeakFirst();
      return;
    }
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

  bool WatchSocket(env::Poller::Interest interest) {
    watch_.emplace(loop(), socket_.descriptor(), interest,
                   [self = Self()](const env::Poller::Event& event) { self->OnReady(event); });
    if (watch_->valid()) return true;
    BeginClose(CloseReason::kBroken, Status::Exhausted("the system has no room for another socket"));
    return false;
  }

  // ------------------------------------------------------------------------------------------------------------ HTTP

  // What the first bytes of a connection are decides what it speaks.
  void OnFirstBytes(std::string_view bytes) {
    first_ += bytes;
    const HttpGuess guess = GuessHttp(first_);
    if (guess == HttpGuess::kUnknown) return;
    first_timer_->Cancel();
    const std::string first = std::exchange(first_, {});
    if (guess == HttpGuess::kHttp) {
      guesses_ = false;
      http_.emplace(options().http);
      return OnHttp(first);
    }
    BeginFrames();
    if (closing()) return;
    tls_ ? OnCiphertext(first) : OnBytes(0, first);
  }

  void OnHttp(std::string_view bytes) {
    if (!http_answer_.empty()) return;  // Whatever else it says.
    http_answer_ = http_->Take(bytes);
    if (!http_answer_.empty()) SendHttp();
  }

  void SendHttp() {
    while (!http_answer_.empty() && !waits_to_write_) {
      const std::string_view rest = http_answer_;
      const auto taken = WritePlain({&rest, 1});
      if (!taken.ok()) return BeginClose(CloseReason::kBroken, taken.status());
      http_answer_.erase(0, *taken);
    }
    if (http_answer_.empty()) BeginClose(CloseReason::kClosedHere, Status::Cancelled("it was answered"));
  }

  // ------------------------------------------------------------------------------------------------------ shared
  // memory

  // True when a server of our own user took our memory, or may still do so.
  bool OfferMemory(const SocketAddress& address) {
    if (!options().shared_memory || options().tls_on_loopback) return false;
    // Beyond loopback it is the key that decides, as it does over TCP.
    if (!address.IsLoopback() && !(options().key && address.IsOwn())) return false;
    const auto connect = [this](const SocketAddress& to) {
      return socket_.Connect(SocketAddress::Local(LocalName(to))).kind == Kind::kDone && socket_.PeerIsSameUser();
    };
    if (!connect(address) && !connect(address.AnyHost())) return false;
    auto memory = env::SharedMemory::Create(MemoryBytes(kRingBytes));
    std::string hello(kMemoryMagic);
    PutNumber(kRingBytes, &hello);
    if (!memory.ok() || socket_.SendDescriptor(hello, memory->descriptor()).kind != Kind::kDone) return false;
    memory->CloseDescriptor();
    rings_.emplace(*std::move(memory), kRingBytes, false);
    local_ = true;
    return true;
  }

  // The server's side: what came first on a local socket. False when it is not there yet.
  bool TakeMemory() {
    std::array<char, kMemoryHelloBytes> hello;
    int descriptor = -1;
    const SocketResult received = socket_.ReceiveDescriptor(hello, &descriptor);
    if (received.kind == Kind::kNotNow) return false;
    const std::string_view said(hello.data(), received.bytes);
    const auto ring_bytes = said.size() == hello.size() ? NumberAt<uint64_t>(hello.data() + kMemoryMagic.size()) : 0;
    const bool good = said.starts_with(kMemoryMagic) && ring_bytes >= kRingBytesMin && ring_bytes <= kRingBytesMax &&
                      std::has_single_bit(ring_bytes);
    // Takes the descriptor, whatever it is.
    auto memory = env::SharedMemory::Open(descriptor, MemoryBytes(good ? ring_bytes : kRingBytesMin));
    if (!good || !memory.ok()) {
      BeginClose(CloseReason::kBadFrame, Status::Corrupt("a process of this machine handed over no memory"));
      return false;
    }
    memory->CloseDescriptor();
    rings_.emplace(*std::move(memory), ring_bytes, true);
    Start("this machine (shared memory)");
    return true;
  }

  void OnReadyLocally() {
    if (!rings_ && !TakeMemory()) return;
    if (++wakes_ % kWakesInSocket == 0) {
      const std::array<std::span<char>, 1> places = {std::span(shared_->staging)};
      (void)socket_.Read(places);  // Wake-ups say nothing.
    }
    ReadRing();
    if (waits_to_write_ && !closing()) OnWritableSocket();
  }

  void ReadRing() {
    if (reads_later_) return;
    for (size_t read = 0; read < kRingTurnBytes && !closing();) {
      const auto piece = rings_->in.Peek();
      if (!piece.ok()) return BeginClose(CloseReason::kBadFrame, Status(piece.status()).With(peer_.address));
      if (piece->empty()) {
        if (peer_ended_) return OnLocalEnd();
        if (rings_->in.Sleep()) return;
        continue;
      }
      if_memory_is_refused_ = nullptr;
      const size_t some = std::min(piece->size(), kRingPieceBytes);
      OnBytes(0, piece->substr(0, some));
      if (rings_->in.Advance(some)) WakePeer();
      read += some;
    }
    if (!closing()) ReadLater();
  }

  void OnLocalEnd() {
    if (!if_memory_is_refused_) return OnEnd();
    // It took our memory, or it did not; but nothing was said so far.
    watch_.reset();
    rings_.reset();
    peer_ended_ = local_ = false;
    std::exchange(if_memory_is_refused_, nullptr)();
  }

  Result<size_t> WriteRing(std::span<const std::string_view> pieces) {
    bool wake = false;
    auto taken = rings_->out.Write(pieces, &wake);
    if (wake) WakePeer();
    return taken;
  }

  // A socket that is full has enough bytes to wake anybody; one that broke tells the loop.
  void WakePeer() {
    const std::string_view byte = "w";
    (void)socket_.Write({&byte, 1});
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
    const auto remote = socket_.PeerAddress();
    peer_.other_machine = remote && !remote->IsOwn();
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
    if (local_) return OnReadyLocally();
    ReadSome();
    if (event.writable && waits_to_write_ && !closing()) OnWritableSocket();
  }

  // Readiness is told once: reads until there is nothing left, or comes back to it.
  void ReadSome() {
    if (reads_later_) return;
    for (int turn = 0; turn < kReadsInTurn && !closing(); ++turn) {
      const auto direct = tls_ || guesses_ || http_ ? std::span<char>() : Direct();
      const std::array<std::span<char>, 2> places = {direct, std::span(shared_->staging)};
      const SocketResult read = socket_.Read(places);
      if (read.kind == Kind::kNotNow) return;
      if (read.kind == Kind::kEnd) return OnEnd();
      if (read.kind == Kind::kError) return BeginClose(CloseReason::kBroken, Broken(read.error));
      const size_t to_direct = std::min(read.bytes, direct.size());
      const std::string_view staged(shared_->staging.data(), read.bytes - to_direct);
      if (guesses_) {
        OnFirstBytes(staged);
      } else if (http_) {
        OnHttp(staged);
      } else if (tls_) {
        OnCiphertext(staged);
      } else {
        OnBytes(to_direct, staged);
      }
      // Less than there was room for: that was all for now, and what comes is told; but an end is told only once.
      if (read.bytes < direct.size() + shared_->staging.size() && !peer_ended_) return;
    }
    if (!closing()) ReadLater();
  }

  // Others on the loop have their turn.
  void ReadLater() {
    reads_later_ = true;
    loop().Post([self = Self()] {
      self->reads_later_ = false;
      if (!self->closing()) self->rings_ ? self->ReadRing() : self->ReadSome();
    });
  }

  // Reading in the loop and one write elsewhere may go on side by side. The socket is there, as the mutex is held and
  // the connection open; it is closed only after that was said under the mutex.
  size_t WriteAtOnce(const Outgoing& outgoing) override {
    if (tls_) return 0;
    std::array<std::string_view, 2 + 2 * kSegmentsMax> pieces;
    size_t count = 0;
    pieces[count++] = outgoing.head;
    pieces[count++] = outgoing.frame.body;
    for (const Segment& segment : outgoing.frame.segments) {
      pieces[count++] = segment.bytes;
      if (!segment.more.empty()) pieces[count++] = segment.more;
    }
    // An error is the loop's to find.
    if (rings_) return WriteRing(std::span(pieces).first(count)).value_or(0);
    return socket_.Write(std::span(pieces).first(count)).bytes;
  }

  Result<size_t> WriteSome(std::span<const std::string_view> pieces) override {
    if (tls_) return WriteTls(pieces);
    if (!rings_) return WritePlain(pieces);
    const auto taken = WriteRing(pieces);
    waits_to_write_ |= taken.ok() && *taken == 0;
    return taken;
  }

  Result<size_t> WritePlain(std::span<const std::string_view> pieces) {
    const SocketResult written = socket_.Write(pieces);
    if (written.kind == Kind::kError) return Broken(written.error);
    if (written.kind == Kind::kNotNow) waits_to_write_ = true;
    return written.bytes;
  }

  void OnWritableSocket() {
    waits_to_write_ = false;
    if (http_) return SendHttp();
    if (tls_ && (!SendCiphertext() || waits_to_write_)) return;
    OnWritable(0);
  }

  Status Broken(int error) {
    return Status::Unavailable(fmt::format("the connection with {} broke: {}", peer_.address, env::ErrorWords(error)));
  }

  void StopTransfer() override {
    watch_.reset();
    first_timer_.reset();
    socket_.Close();
    // Not at once: whoever found the error may still be at work on this connection.
    loop().Post([self = Self()] {
      self->tls_.reset();
      self->rings_.reset();
      self->if_memory_is_refused_ = nullptr;
      self->DropSending();
    });
  }

  const std::shared_ptr<Shared> shared_;
  const bool is_server_;
  env::StreamSocket socket_;
  std::optional<Watch> watch_;
  bool peer_ended_ = false;  // What is left to read ends with its end.
  bool reads_later_ = false;
  bool waits_to_write_ = false;

  bool local_ = false;
  std::optional<Rings> rings_;                  // Of a local one, once the memory is there.
  std::function<void()> if_memory_is_refused_;  // The client's, until it hears something.
  int wakes_ = 0;

  bool is_plain_ = false;
  bool guesses_ = false;  // Whether it is HTTP; until the first bytes tell, or nothing comes for a while.
  std::string first_;     // Bytes that do not tell yet.
  std::optional<Timer> first_timer_;
  std::optional<HttpExchange> http_;
  std::string http_answer_;  // To be sent.

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
        acceptor_(std::make_shared<const Acceptor>(std::move(acceptor))) {}

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
    if (!Listen(over_tcp_, *std::move(opened))) {
      return CannotListen(address, Status::Exhausted("the system has no room for it"));
    }
    const std::string words = over_tcp_.socket.address().Words();
    if (shared_->options.shared_memory && !shared_->options.tls_on_loopback) {
      auto local = env::ListeningSocket::Open(SocketAddress::Local(LocalName(over_tcp_.socket.address())));
      // Without it there is TCP.
      if (local.ok()) (void)Listen(locally_, *std::move(local));
    }
    return words;
  }

  void Stop() override {
    for (Door* door : {&over_tcp_, &locally_}) {
      door->pause.reset();
      door->watch.reset();
      door->socket = {};
    }
  }

 private:
  static Status CannotListen(const std::string& address, const Status& why) {
    return Status::Unavailable(fmt::format("cannot listen at {}: {}", address, why.message()));
  }

  // Where connections come in.
  struct Door {
    env::ListeningSocket socket;
    std::optional<Watch> watch;
    std::optional<Timer> pause;
  };

  bool Listen(Door& door, env::ListeningSocket socket) {
    door.socket = std::move(socket);
    door.pause.emplace(loop_);
    door.watch.emplace(loop_, door.socket.descriptor(), env::Poller::Interest::kReading,
                       [self = shared_from_this(), &door](const env::Poller::Event&) { self->AcceptSome(door); });
    return door.watch->valid();
  }

  void AcceptSome(Door& door) {
    for (int turn = 0; turn < kAcceptsInTurn && door.socket.valid(); ++turn) {
      env::StreamSocket accepted;
      const SocketResult result = door.socket.Accept(&accepted);
      if (result.kind == Kind::kNotNow) return;
      if (result.kind == Kind::kError) {
        // Out of descriptors, most likely: trying again at once would spin.
        door.pause->Start(kPauseNanos, [this, &door] { AcceptSome(door); });
        return;
      }
      const bool local = &door == &locally_;
      if (local && !accepted.PeerIsSameUser()) continue;
      const auto connection = std::make_shared<TcpConnection>(loop_, set_, shared_, acceptor_);
      local ? connection->AcceptLocal(std::move(accepted)) : connection->Accept(std::move(accepted));
    }
    loop_.Post([self = shared_from_this(), &door] {
      if (door.socket.valid()) self->AcceptSome(door);
    });
  }

  static constexpr int64_t kPauseNanos = 50'000'000;
  EventLoop& loop_;
  ConnectionSet& set_;
  const std::shared_ptr<Shared> shared_;
  const std::shared_ptr<const Acceptor> acceptor_;
  Door over_tcp_, locally_;
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

  uint64_t refused_count() const override { return set_.refused_count(); }

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
