// SPDX-License-Identifier: Apache-2.0
//
// TCP connections in bad company: networks that cut, stall and change bytes, and clients that say anything, or nothing.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <atomic>
#include <random>
#include <thread>

#include "net/bytes.h"
#include "net/handshake.h"
#include "net/proxy_test.h"
#include "net/transport_test.h"

namespace glim::net {
namespace {

using ::testing::HasSubstr;

class TcpFaultTest : public ::testing::Test {
 protected:
  void Begin(TransportOptions options = TestOptions()) {
    server_ = MakeTcpTransport(server_loop_, options);
    client_ = MakeTcpTransport(client_loop_, options);
    auto listener = server_->Listen("127.0.0.1:0", [this](const std::shared_ptr<Connection>& connection) {
      auto recorder = std::make_shared<Recorder>();
      // Sends back what it gets.
      recorder->on_frame = [weak = std::weak_ptr<Connection>(connection)](const Frame& frame) {
        if (const auto alive = weak.lock()) (void)alive->Send(Frame(frame)).ok();
      };
      const std::lock_guard lock(mutex_);
      accepted_.push_back(recorder);
      return recorder;
    });
    ASSERT_TRUE(listener.ok()) << listener.status().message();
    listener_ = *std::move(listener);
  }

  struct Client {
    std::shared_ptr<Recorder> recorder = std::make_shared<Recorder>();
    std::shared_ptr<Connection> connection;
  };
  Client ConnectTo(const std::string& address) {
    Client made;
    made.connection = client_->Connect(address, connect_nanos_, made.recorder);
    return made;
  }
  // Sends `count` frames and does not wait.
  static void SendSome(Connection& connection, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      (void)connection.Send(MessageOf(i, "body", {Segment::Copy(std::string(50, 'k')), Segment::Copy("values")})).ok();
    }
  }
  static void ExpectBeginningOf(const std::vector<Frame>& frames) {
    for (size_t i = 0; i < frames.size(); ++i) {
      EXPECT_EQ(frames[i].header.request, i);
      EXPECT_EQ(frames[i].body, "body");
      EXPECT_EQ(frames[i].segments[0].bytes, std::string(50, 'k'));
      EXPECT_EQ(frames[i].segments[1].bytes, "values");
    }
  }
  // The live client beside all the trouble.
  void ExpectAlive(Client& client) {
    const size_t before = client.recorder->Read<size_t>([&] { return client.recorder->frames.size(); });
    ASSERT_TRUE(client.connection->Send(MessageOf(1)).ok());
    ASSERT_TRUE(client.recorder->WaitFrames(before + 1));
  }

  int64_t connect_nanos_ = kTestNanos;
  std::mutex mutex_;
  std::vector<std::shared_ptr<Recorder>> accepted_;
  EventLoop server_loop_, client_loop_;
  std::unique_ptr<Transport> server_, client_;
  std::unique_ptr<Listener> listener_;
};

// With TLS, or without.
class ProxyTest : public TcpFaultTest, public ::testing::WithParamInterface<bool> {
 protected:
  static TransportOptions Options() {
    TransportOptions options = TestOptions();
    if (!GetParam()) return options;
    options.key = std::make_shared<Key>(TestKey());
    options.tls_on_loopback = true;
    return options;
  }
};

INSTANTIATE_TEST_SUITE_P(Each, ProxyTest, ::testing::Bool(),
                         [](const auto& info) { return std::string(info.param ? "tls" : "plain"); });

TEST_P(ProxyTest, BytesInSmallPiecesAreTheSameFrames) {
  Begin(Options());
  for (const bool to_server : {true, false}) {
    Proxy proxy(listener_->address(), {.harm = Harm::kSplit, .to_server = to_server});
    auto client = ConnectTo(proxy.address());
    SendSome(*client.connection, 20);
    ASSERT_TRUE(client.recorder->WaitFrames(20));
    ExpectBeginningOf(client.recorder->frames);
    client.connection->Close();
    ASSERT_TRUE(client.recorder->WaitClosed());
  }
}

TEST_P(ProxyTest, WhereverAConnectionBreaksBothSidesKnowAndNothingWrongIsDelivered) {
  // A length that has grown lets its reader wait for more: for heartbeats, or, in the handshake, for its end.
  TransportOptions options = Options();
  options.heartbeat_nanos = 5'000'000;
  options.handshake_nanos = connect_nanos_ = 1'000'000'000;
  Begin(options);
  for (const Harm harm : {Harm::kCut, Harm::kReset, Harm::kHalfClose, Harm::kFlip}) {
    for (const bool to_server : {true, false}) {
      // In the handshake, between frames, in heads, tables, bodies and payload.
      for (size_t at = 0; at < 700;
           at += at < 250 ? 7 : 23) {  // (With TLS: within its handshake and the first records.)
        SCOPED_TRACE(fmt::format("harm {} at {} to {}", static_cast<int>(harm), at, to_server ? "server" : "client"));
        Proxy proxy(listener_->address(), {harm, to_server, at});
        auto client = ConnectTo(proxy.address());
        SendSome(*client.connection, 10);
        ASSERT_TRUE(client.recorder->WaitClosed());
        EXPECT_FALSE(client.recorder->closed.status.ok());
        EXPECT_LT(client.recorder->frames.size(), 10u);
        ExpectBeginningOf(client.recorder->frames);
      }
    }
  }
  client_.reset();
  const std::lock_guard lock(mutex_);
  for (const auto& recorder : accepted_) {
    ASSERT_TRUE(recorder->WaitClosed());
    EXPECT_EQ(recorder->closed_count, 1);
    ExpectBeginningOf(recorder->frames);
  }
}

TEST_P(ProxyTest, AStalledNetworkIsNoticedByBothSides) {
  TransportOptions options = Options();
  options.heartbeat_nanos = 5'000'000;
  options.dead_nanos = 500'000'000;
  Begin(options);
  for (const bool to_server : {true, false}) {
    // Behind the handshake, which takes 1.2 KB more with the keys that OpenSSL 3.5 exchanges; signs of life get there.
    Proxy proxy(listener_->address(), {.harm = Harm::kStall, .to_server = to_server, .at = GetParam() ? 6000u : 600u});
    auto client = ConnectTo(proxy.address());
    SendSome(*client.connection, 10);
    ASSERT_TRUE(client.recorder->WaitClosed());
    const std::lock_guard lock(mutex_);
    ASSERT_TRUE(accepted_.back()->WaitClosed());
    // Who hears nothing any more finds out; the other one is then told.
    const auto& deaf = to_server ? accepted_.back() : client.recorder;
    EXPECT_EQ(deaf->closed.reason, CloseReason::kSilent) << deaf->closed.status.message();
  }
}

std::string WireBytes(const Frame& frame) {
  std::string bytes = EncodeFrameHead(frame) + frame.body;
  for (const Segment& segment : frame.segments) bytes += segment.bytes;
  return bytes;
}

TEST_F(TcpFaultTest, GarbageEndsItsConnectionAndNoOther) {
  Begin();
  auto live = ConnectTo(listener_->address());
  ASSERT_TRUE(live.recorder->WaitOpen());
  std::mt19937 dice(20);
  std::vector<std::string> inputs = {
      "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + std::string(100, ' '),
      std::string(100, '\0'),
      std::string(100'000, '\xff'),
      WireBytes(MessageOf(1, "a message without a hello")),
      WireBytes(MessageOf(1, std::string(5000, 'x'), {}, kHelloFrame)),  // Longer than a handshake may be.
      WireBytes(MessageOf(1, "short", {}, kHelloFrame)),
      WireBytes(MessageOf(1, std::string("\x01\x00\xff\xff", 4), {}, kHelloFrame)),  // A text longer than its frame.
      WireBytes(MessageOf(1, "", {Segment::Copy("payload")}, kHelloFrame)),
      WireBytes(MessageOf(1, "", {}, kHeartbeatFrame)),
  };
  for (int i = 0; i < 200; ++i) {
    std::string random(100 + dice() % 1000, '\0');
    for (char& c : random) c = static_cast<char>(dice());
    if (i % 2 == 0) random.replace(0, 4, std::string_view("GLM\x01", 4));
    inputs.push_back(std::move(random));
  }
  for (const std::string& input : inputs) {
    RawSocket raw(listener_->address());
    raw.Send(input);
    raw.ReceiveAll();  // Ends, because the server closes.
    ExpectAlive(live);
  }
  const std::lock_guard lock(mutex_);
  EXPECT_EQ(accepted_.size(), 1u);
}

// A client that has said hello, as it should.
std::string HelloTo(RawSocket& raw, TransportOptions options) {
  Handshake handshake(options);
  struct Sink : FrameSink {
    Status OnHead(const FrameHead&) override { return {}; }
    Status OnFrame(Frame frame, size_t) override {
      got.push_back(std::move(frame));
      return {};
    }
    std::vector<Frame> got;
  } sink;
  FrameDecoder decoder({}, &sink);
  while (sink.got.empty()) EXPECT_TRUE(decoder.Feed(raw.Receive()).ok());
  const auto hello = handshake.OnChallenge(sink.got[0]);
  EXPECT_TRUE(hello.ok());
  return WireBytes(*hello);
}

TEST_F(TcpFaultTest, GarbageBehindTheHandshakeEndsItsConnectionAndNoOther) {
  Begin();
  auto live = ConnectTo(listener_->address());
  ASSERT_TRUE(live.recorder->WaitOpen());
  std::mt19937 dice(21);
  for (int i = 0; i < 100; ++i) {
    RawSocket raw(listener_->address());
    std::string bytes = HelloTo(raw, TestOptions());
    std::string message = WireBytes(MessageOf(1, "body", {Segment::Copy("payload")}));
    for (int j = i % 3; j >= 0; --j) message[dice() % message.size()] ^= static_cast<char>(1 + dice() % 255);
    // One more behind it, so that a length that has grown is seen.
    raw.Send(bytes + message + WireBytes(MessageOf(1, std::string(1000, 'x'))));
    raw.ReceiveAll();
    ExpectAlive(live);
  }
}

TEST_F(TcpFaultTest, MoreThanWasGrantedIsRefused) {
  TransportOptions options = TestOptions();
  options.receive_window_bytes = 10'000;
  Begin(options);
  RawSocket raw(listener_->address());
  std::string bytes = HelloTo(raw, options);
  const std::string message = WireBytes(MessageOf(1, "", {Segment::Copy(std::string(20'000, 'x'))}));
  // The handler gives the first one back at once, but nobody may count on that: the second is sent blindly.
  {
    const std::lock_guard lock(mutex_);
    EXPECT_TRUE(accepted_.empty());
  }
  std::atomic<bool> done = false;
  std::thread reader([&] {
    raw.ReceiveAll();
    done = true;
  });
  raw.Send(bytes);
  while (!done) raw.Send(message + message + message);
  reader.join();
  const std::lock_guard lock(mutex_);
  ASSERT_EQ(accepted_.size(), 1u);
  ASSERT_TRUE(accepted_[0]->WaitClosed());
  EXPECT_EQ(accepted_[0]->closed.reason, CloseReason::kBadFrame) << accepted_[0]->closed.status.message();
  EXPECT_THAT(accepted_[0]->closed.status.message(), HasSubstr("more bytes than were granted"));
}

TEST_F(TcpFaultTest, AnotherVersionIsRefusedByBothSidesWithBothNumbers) {
  Begin();
  RawSocket raw(listener_->address());
  std::string body;
  PutNumber(uint16_t{7}, &body);
  raw.Send(WireBytes(MessageOf(0, body + "what version 7 may say", {}, kHelloFrame)));
  EXPECT_THAT(raw.ReceiveAll(), HasSubstr("the client speaks version 7 of the protocol, this side version 1"));

  Handshake handshake(TestOptions());
  const auto hello = handshake.OnChallenge(MessageOf(0, body + "whatever", {}, kChallengeFrame));
  EXPECT_EQ(hello.status().message(), "the server speaks version 7 of the protocol, this side version 1");
}

TEST_F(TcpFaultTest, WhoNeverFinishesItsHandshakeIsDropped) {
  TransportOptions options = TestOptions();
  options.handshake_nanos = 50'000'000;
  Begin(options);
  RawSocket silent(listener_->address());
  RawSocket slow(listener_->address());
  std::thread drip([&] {
    while (slow.Send("G")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  silent.ReceiveAll();
  slow.ReceiveAll();
  drip.join();
}

TEST_F(TcpFaultTest, StrangersDoNotKeepFriendsOut) {
  TransportOptions options = TestOptions();
  options.unauthenticated_max = 16;
  Begin(options);
  auto early = ConnectTo(listener_->address());
  ASSERT_TRUE(early.recorder->WaitOpen());
  std::vector<RawSocket> strangers;
  for (int i = 0; i < 300; ++i) strangers.emplace_back(listener_->address());
  strangers[0].ReceiveAll();  // The oldest had to go.
  auto late = ConnectTo(listener_->address());
  ASSERT_TRUE(late.recorder->WaitOpen());
  ExpectAlive(early);
  ExpectAlive(late);
}

TEST_F(TcpFaultTest, AThousandIdleConnectionsDisturbNobody) {
  Begin();
  std::vector<Client> idle;
  for (int i = 0; i < 1000; ++i) {
    idle.push_back(ConnectTo(listener_->address()));
    ASSERT_TRUE(idle.back().recorder->WaitOpen()) << idle.back().recorder->closed.status.message();
  }
  auto live = ConnectTo(listener_->address());
  for (int i = 0; i < 100; ++i) ExpectAlive(live);
  for (Client& client : idle) EXPECT_EQ(client.recorder->Read<int>([&] { return client.recorder->closed_count; }), 0);
}

TEST_F(TcpFaultTest, AddressesThatAreNoneAreToldSo) {
  Begin();
  for (const std::string address : {"", ":1", "localhost", "localhost:", "localhost:x", "localhost:70000", "a:b:1"}) {
    auto client = ConnectTo(address);
    ASSERT_TRUE(client.recorder->WaitClosed());
    EXPECT_EQ(client.recorder->closed.reason, CloseReason::kUnreachable);
    EXPECT_THAT(client.recorder->closed.status.message(), HasSubstr("write host:port"));
    EXPECT_EQ(server_->Listen(address, nullptr).status().code(), Code::kInvalid);
  }
  EXPECT_THAT(server_->Listen(listener_->address(), nullptr).status().message(),
              HasSubstr("cannot listen at " + listener_->address()));
  auto named = ConnectTo("localhost" + listener_->address().substr(listener_->address().rfind(':')));
  EXPECT_TRUE(named.recorder->WaitOpen()) << named.recorder->closed.status.message();
}

}  // namespace
}  // namespace glim::net
