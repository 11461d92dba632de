// SPDX-License-Identifier: Apache-2.0
//
// Shared memory in bad company: processes of this machine that hand over anything, write anything, and die.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <random>
#include <thread>

#include "env/shared_memory.h"
#include "env/stream_socket.h"
#include "net/bytes.h"
#include "net/handshake.h"
#include "net/resolver.h"
#include "net/ring.h"
#include "net/transport_test.h"

namespace glim::net {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using Kind = env::SocketResult::Kind;

constexpr uint64_t kRing = 4096;
constexpr size_t kMemory = 2 * sizeof(RingControl) + 2 * kRing;

std::string HelloOf(uint64_t ring_bytes, std::string_view magic = "GLMRING2") {
  std::string hello(magic);
  PutNumber(ring_bytes, &hello);
  return hello;
}

env::SocketAddress LocalOf(const std::string& address) { return env::SocketAddress::Local("glim " + address); }

// A client of our own making, which waits by looking again and again.
class RawPeer {
 public:
  explicit RawPeer(const std::string& address) {
    EXPECT_EQ(socket_.Connect(LocalOf(address)).kind, Kind::kDone);
    EXPECT_TRUE(socket_.PeerIsSameUser());
  }
  void HandOver(std::string_view hello, int descriptor) {
    EXPECT_EQ(socket_.SendDescriptor(hello, descriptor).kind, Kind::kDone);
  }
  void HandOverMemory() {
    memory_ = env::SharedMemory::Create(kMemory).value();
    HandOver(HelloOf(kRing), memory_.descriptor());
    writer_ = RingWriter(&control(0), bytes(0));
    reader_ = RingReader(&control(1), bytes(1));
  }
  RingControl& control(int ring) { return reinterpret_cast<RingControl*>(memory_.bytes().data())[ring]; }
  std::span<char> bytes(int ring) { return memory_.bytes().subspan(2 * sizeof(RingControl) + ring * kRing, kRing); }
  void Wake() {
    const std::string_view byte = "w";
    (void)socket_.Write({&byte, 1});
  }
  void Send(std::string_view text) {
    while (!text.empty()) {
      bool wake = false;
      text.remove_prefix(writer_.Write({&text, 1}, &wake).value());
      Wake();
    }
  }
  Frame Receive() {
    struct Sink : FrameSink {
      Status OnHead(const FrameHead&) override { return {}; }
      Status OnFrame(Frame frame, size_t) override {
        got = std::move(frame);
        return {};
      }
      std::optional<Frame> got;
    } sink;
    FrameDecoder decoder({}, &sink);
    while (!sink.got) {
      const std::string_view next = reader_.Peek().value();
      if (next.empty()) std::this_thread::yield();
      // One byte after the other: nothing of the next frame is taken.
      EXPECT_TRUE(decoder.Feed(next.substr(0, 1)).ok());
      if (!next.empty() && reader_.Advance(1)) Wake();
    }
    return *std::move(sink.got);
  }
  void ShakeHands() {
    Handshake handshake(options_);
    Send(WireBytes(handshake.OnChallenge(Receive()).value()));
    EXPECT_TRUE(handshake.OnWelcome(Receive()).ok());
  }
  // Until the server has closed.
  void AwaitEnd() {
    std::array<char, 16> room;
    const std::array<std::span<char>, 1> places = {std::span(room)};
    for (Kind kind = Kind::kDone; kind == Kind::kDone || kind == Kind::kNotNow; kind = socket_.Read(places).kind) {
      std::this_thread::yield();
    }
  }
  void Die() { socket_.Close(); }

  static std::string WireBytes(const Frame& frame) {
    std::string bytes = EncodeFrameHead(frame) + frame.body;
    for (const Segment& segment : frame.segments) bytes += segment.bytes;
    return bytes;
  }

 private:
  const TransportOptions options_ = TestOptions();
  env::StreamSocket socket_;
  env::SharedMemory memory_;
  RingWriter writer_;
  RingReader reader_;
};

class ShmFaultTest : public ::testing::Test {
 protected:
  void Begin(bool server_has_memory = true) {
    TransportOptions options = TestOptions();
    options.shared_memory = server_has_memory;
    server_ = MakeTcpTransport(server_loop_, options);
    options.shared_memory = true;
    client_ = MakeTcpTransport(client_loop_, options);
    auto listener = server_->Listen("127.0.0.1:0", [this](const std::shared_ptr<Connection>& connection) {
      auto recorder = std::make_shared<Recorder>();
      recorder->on_frame = [weak = std::weak_ptr<Connection>(connection)](const Frame& frame) {
        if (const auto alive = weak.lock()) (void)alive->Send(Frame(frame)).ok();
      };
      const std::lock_guard lock(mutex_);
      accepted_.push_back(recorder);
      return recorder;
    });
    ASSERT_TRUE(listener.ok()) << listener.status().message();
    listener_ = *std::move(listener);
    live_ = std::make_shared<Recorder>();
  }
  void ConnectLive() {
    connection_ = client_->Connect(listener_->address(), kTestNanos, live_);
    ASSERT_TRUE(live_->WaitOpen()) << live_->closed.status.message();
  }
  // The client beside all the trouble.
  void ExpectAlive() {
    const size_t before = live_->Read<size_t>([&] { return live_->frames.size(); });
    ASSERT_TRUE(connection_->Send(MessageOf(1)).ok());
    ASSERT_TRUE(live_->WaitFrames(before + 1));
  }
  std::shared_ptr<Recorder> LastAccepted() {
    const std::lock_guard lock(mutex_);
    return accepted_.back();
  }

  std::mutex mutex_;
  std::vector<std::shared_ptr<Recorder>> accepted_;
  EventLoop server_loop_, client_loop_;
  std::unique_ptr<Transport> server_, client_;
  std::unique_ptr<Listener> listener_;
  std::shared_ptr<Recorder> live_;
  std::shared_ptr<Connection> connection_;
};

TEST_F(ShmFaultTest, WhatIsNoMemoryIsNotTaken) {
  Begin();
  ConnectLive();
  EXPECT_THAT(live_->peer.address, EndsWith("(shared memory)"));
  int pipes[2];
  ASSERT_EQ(::pipe(pipes), 0);
  const int growing = ::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(::ftruncate(growing, kMemory), 0);
  const int shrinking = ::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(::ftruncate(shrinking, kMemory), 0);
  ASSERT_EQ(::fcntl(shrinking, F_ADD_SEALS, F_SEAL_GROW), 0);
  const auto good = env::SharedMemory::Create(kMemory);
  const auto huge = env::SharedMemory::Create(size_t{64} << 20);
  struct Case {
    std::string hello;
    int descriptor;
  };
  for (const Case& bad :
       {Case{HelloOf(kRing), pipes[1]}, Case{HelloOf(kRing), growing}, Case{HelloOf(kRing), shrinking},
        Case{HelloOf(2 * kRing), good->descriptor()}, Case{HelloOf(kRing + 1), good->descriptor()},
        Case{HelloOf(0), good->descriptor()}, Case{HelloOf(~uint64_t{0}), good->descriptor()},
        Case{HelloOf(uint64_t{32} << 20), huge->descriptor()}, Case{HelloOf(kRing, "GLMRING2"), good->descriptor()},
        Case{HelloOf(kRing).substr(0, 15), good->descriptor()}}) {
    RawPeer peer(listener_->address());
    peer.HandOver(bad.hello, bad.descriptor);
    peer.AwaitEnd();
    ExpectAlive();
  }
  for (const std::string_view bytes : {"w", "GLMRING2........", "GET / HTTP/1.1\r\n\r\n"}) {
    env::StreamSocket socket;  // No descriptor at all.
    ASSERT_EQ(socket.Connect(LocalOf(listener_->address())).kind, Kind::kDone);
    ASSERT_EQ(socket.Write({&bytes, 1}).kind, Kind::kDone);
    std::array<char, 16> room;
    const std::array<std::span<char>, 1> places = {std::span(room)};
    while (socket.Read(places).kind == Kind::kNotNow) std::this_thread::yield();
    ExpectAlive();
  }
  for (const int descriptor : {pipes[0], pipes[1], growing, shrinking}) ::close(descriptor);
}

TEST_F(ShmFaultTest, PositionsThatCannotBeEndTheConnectionAndNoOther) {
  Begin();
  ConnectLive();
  for (const bool written : {true, false}) {
    for (const uint64_t lie : {uint64_t{1} << 40, uint64_t{1} << 63}) {
      RawPeer peer(listener_->address());
      peer.HandOverMemory();
      peer.ShakeHands();
      (written ? peer.control(0).written : peer.control(1).read) = lie;
      // For the writer's side it needs something to write.
      if (!written) peer.Send(RawPeer::WireBytes(MessageOf(1, "echo")));
      peer.Wake();
      peer.AwaitEnd();
      const auto accepted = LastAccepted();
      ASSERT_TRUE(accepted->WaitClosed());
      EXPECT_THAT(accepted->closed.status.message(), HasSubstr("says what cannot be"));
      ExpectAlive();
    }
  }
}

TEST_F(ShmFaultTest, MemoryThatChangesUnderItsReaderHarmsNobodyElse) {
  Begin();
  ConnectLive();
  std::mt19937 dice(22);
  for (int i = 0; i < 100; ++i) {
    RawPeer peer(listener_->address());
    peer.HandOverMemory();
    if (i % 2 == 0) peer.ShakeHands();
    const std::string message = RawPeer::WireBytes(MessageOf(1, "body", {Segment::Copy(std::string(3000, 'x'))}));
    const uint64_t at = peer.control(0).written;
    for (int change = 0; change < 200; ++change) {
      // What is a message at one moment is another thing at the next.
      for (size_t b = 0; b < message.size(); ++b) peer.bytes(0)[(at + b) % kRing] = message[b];
      for (int j = dice() % 3; j > 0; --j) peer.bytes(0)[dice() % kRing] = static_cast<char>(dice());
      peer.control(0).written = at + dice() % 4500;
      if (change % 8 == 0) peer.control(1).read = peer.control(1).written.load() - dice() % 3;
      if (change % 16 == 0) peer.control(0).writer_sleeps = 1;
      peer.Wake();
    }
    ExpectAlive();
  }
}

TEST_F(ShmFaultTest, TheEndOfAProcessIsNoticedAndWhatItSaidBeforeArrives) {
  Begin();
  ConnectLive();
  const std::string message = RawPeer::WireBytes(MessageOf(1, "last words"));
  for (const size_t bytes : {size_t{0}, message.size(), message.size() + 20}) {
    RawPeer peer(listener_->address());
    peer.HandOverMemory();
    peer.ShakeHands();
    peer.Send((message + message).substr(0, bytes));
    peer.Die();
    const auto accepted = LastAccepted();
    ASSERT_TRUE(accepted->WaitClosed());
    EXPECT_EQ(accepted->frames.size(), bytes / message.size());
    EXPECT_EQ(accepted->closed.reason, bytes % message.size() == 0 ? CloseReason::kClosedThere : CloseReason::kBroken);
  }
  ExpectAlive();
}

TEST_F(ShmFaultTest, AServerWithoutItIsReachedOverTcp) {
  Begin(false);
  ConnectLive();
  EXPECT_THAT(live_->peer.address, Not(HasSubstr("shared memory")));
  ExpectAlive();
}

TEST_F(ShmFaultTest, AServerThatDoesNotTakeItIsReachedOverTcp) {
  Begin(false);
  // Somebody of our user listens there, and hangs up at once, or when memory has come.
  auto impostor = env::ListeningSocket::Open(LocalOf(listener_->address()));
  ASSERT_TRUE(impostor.ok()) << impostor.status().message();
  for (const bool reads : {false, true}) {
    live_ = std::make_shared<Recorder>();
    connection_ = client_->Connect(listener_->address(), kTestNanos, live_);
    env::StreamSocket accepted;
    while (impostor->Accept(&accepted).kind != Kind::kDone) std::this_thread::yield();
    if (reads) {
      std::array<char, 16> hello;
      int descriptor = -1;
      while (accepted.ReceiveDescriptor(hello, &descriptor).kind != Kind::kDone) std::this_thread::yield();
      EXPECT_GE(descriptor, 0);
      ::close(descriptor);
    }
    accepted.Close();
    ASSERT_TRUE(live_->WaitOpen()) << live_->closed.status.message();
    EXPECT_THAT(live_->peer.address, Not(HasSubstr("shared memory")));
    ExpectAlive();
  }
}

TEST_F(ShmFaultTest, StrangersDoNotKeepFriendsOut) {
  Begin();
  ConnectLive();
  std::vector<env::StreamSocket> strangers(200);
  for (env::StreamSocket& stranger : strangers) {
    ASSERT_EQ(stranger.Connect(LocalOf(listener_->address())).kind, Kind::kDone);
  }
  ExpectAlive();
  live_ = std::make_shared<Recorder>();
  ConnectLive();
  ExpectAlive();
}

}  // namespace
}  // namespace glim::net
