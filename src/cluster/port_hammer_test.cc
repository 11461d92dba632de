// SPDX-License-Identifier: Apache-2.0
//
// A master and a server in bad company: 10,000 inputs that are nothing on each port, connections that say nothing or
// say it slowly, wrong keys, roles and versions. A program works on beside all of that.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <thread>

#include "cluster/master_process.h"
#include "cluster/server_process.h"
#include "net/bytes.h"
#include "net/handshake.h"
#include "net/proxy_test.h"
#include "net/transport_test.h"
#include "param/cluster_client.h"
#include "param/wire.h"

namespace glim::cluster {
namespace {

using net::RawSocket;
using testing::HasSubstr;

constexpr int64_t kMilli = 1'000'000;
constexpr size_t kInputs = 10'000;

// Of this process, in bytes.
size_t Resident() {
  std::ifstream file("/proc/self/statm");
  size_t pages = 0, resident = 0;
  file >> pages >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

constexpr bool Sanitized() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return true;  // They keep what is freed.
#else
  return false;
#endif
}

std::string WireBytes(const net::Frame& frame) {
  std::string bytes = net::EncodeFrameHead(frame) + frame.body;
  for (const net::Segment& segment : frame.segments) bytes += segment.bytes;
  return bytes;
}

std::string RandomBytes(std::mt19937& dice, size_t size) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(dice());
  return bytes;
}

class PortHammerTest : public testing::Test {
 protected:
  PortHammerTest()
      : env_(env::MakePosixEnv()),
        folder_(*env_->files().MakeTemporaryFolder("hammer")),
        key_(std::make_shared<net::Key>(net::TestKey())) {}
  ~PortHammerTest() override {
    StopLive();
    client_.reset();
    server_.reset();
    master_.reset();
    (void)env_->files().RemoveAll(folder_);
  }

  void SetUp() override {
    MasterProcessOptions master{.address = "127.0.0.1:0", .folder = folder_, .key = key_, .master = {}};
    // Whoever is slow because of the hammer is not dead.
    master.master.dead_nanos = 60'000 * kMilli;
    master_ = std::make_unique<MasterProcess>(*env_, std::move(master), nullptr);
    ASSERT_TRUE(master_->Start().ok());
    ServerProcessOptions server;
    server.master = master_->address();
    server.node = 1;
    server.key = key_;
    server.node_options.dead_nanos = 60'000 * kMilli;
    server_ = std::make_unique<ServerProcess>(*env_, std::move(server), nullptr);
    ASSERT_TRUE(server_->Start().ok());
    client_ = NewClient(std::make_shared<net::Key>(MakeClientKey(*key_, net::Role::kClient)));
    TableSpec spec;
    spec.name = "live";
    spec.value_type = ValueType::kI64;
    spec.shards = 2;
    auto table = client_->CreateTable(spec);
    ASSERT_TRUE(table.ok()) << table.status().message();
    table_ = Table<int64_t>(*table);
    live_ = std::thread([this] {
      while (!stop_ && failed_.ok()) {
        failed_ = table_.Push(std::vector<Key>{1, 2, 3}, std::vector<int64_t>{1, 1, 1}).Wait();
        if (failed_.ok()) ++pushes_;
      }
      over_ = true;
    });
  }
  void StopLive() {
    stop_ = true;
    if (live_.joinable()) live_.join();
  }
  // The program beside it has worked on all the time, and still does.
  void ExpectAlive() {
    const int64_t before = pushes_;
    while (!over_ && pushes_ == before) env_->clock().SleepFor(kMilli);
    StopLive();
    ASSERT_TRUE(failed_.ok()) << failed_.message();
    const auto pulled = table_.Pull(std::vector<Key>{1, 2, 3}).Get();
    ASSERT_TRUE(pulled.ok()) << pulled.status().message();
    EXPECT_THAT(*pulled, testing::Each(pushes_.load()));
  }
  std::unique_ptr<param::ClusterClient> NewClient(std::shared_ptr<const net::Key> key) {
    param::ClusterClientOptions options;
    options.master = master_->address();
    options.key = std::move(key);
    return std::make_unique<param::ClusterClient>(*env_, std::move(options));
  }
  std::vector<std::string> Ports() const { return {master_->address(), server_->address()}; }

  net::TransportOptions OptionsOf(net::Role role) const {
    net::TransportOptions options;
    options.messages = &param::ClusterMessages();
    options.key = key_;
    options.role = role;
    options.node = "hammer";
    return options;
  }
  // Comes in as one who may; false when the server hung up.
  static bool ShakeHands(RawSocket& raw, const net::TransportOptions& options) {
    net::Handshake handshake(options);
    struct Sink : net::FrameSink {
      Status OnHead(const net::FrameHead&) override { return {}; }
      Status OnFrame(net::Frame frame, size_t) override {
        if (!first) first = std::move(frame);
        return {};
      }
      std::optional<net::Frame> first;
    } sink;
    net::FrameDecoder decoder({}, &sink);
    // As clients do, lest the server waits for something else.
    if (!raw.Send(WireBytes({.header = {.type = net::kHeartbeatFrame}, .body = {}, .segments = {}}))) return false;
    while (!sink.first) {
      const std::string bytes = raw.Receive();
      if (bytes.empty() || !decoder.Feed(bytes).ok()) return false;
    }
    const auto hello = handshake.OnChallenge(*sink.first);
    return hello.ok() && raw.Send(WireBytes(*hello));
  }

  // What is nothing, of many kinds.
  std::string Nothing(std::mt19937& dice) const {
    net::Frame frame{.header = {.type = static_cast<uint16_t>(dice() % 40), .request = dice()},
                     .body = RandomBytes(dice, dice() % 200),
                     .segments = {}};
    switch (dice() % 6) {
      case 0: return RandomBytes(dice, dice() % 2000);
      case 1: return "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
      case 2: return std::string("\x16\x03\x01\x02\x00\x01", 6) + RandomBytes(dice, 200);  // TLS says hello.
      case 3: return "GLM\x01" + RandomBytes(dice, dice() % 300);
      case 4: return WireBytes(frame);  // A good frame, which is not what comes first.
      default: {
        net::Handshake handshake(options_);
        net::Frame hello = handshake.OnChallenge(net::Handshake(options_).Challenge()).value();
        std::string bytes = WireBytes(hello);  // Of an old challenge, and changed.
        if (dice() % 2 == 0) bytes[dice() % bytes.size()] ^= static_cast<char>(1 + dice() % 255);
        return bytes;
      }
    }
  }

  const std::unique_ptr<env::Env> env_;
  const std::string folder_;
  const std::shared_ptr<const net::Key> key_;
  const net::TransportOptions options_ = OptionsOf(net::Role::kNode);
  std::unique_ptr<MasterProcess> master_;
  std::unique_ptr<ServerProcess> server_;
  std::unique_ptr<param::ClusterClient> client_;
  Table<int64_t> table_;
  std::thread live_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> over_{false};
  std::atomic<int64_t> pushes_{0};
  Status failed_;  // The live thread's, until it has ended.
};

TEST_F(PortHammerTest, TenThousandInputsThatAreNothingOnEachPort) {
  std::mt19937 dice(30);
  size_t before = 0;
  for (size_t i = 0; i < kInputs; ++i) {
    if (i == kInputs / 10) before = Resident();  // What is made once has been made.
    for (const std::string& port : Ports()) {
      RawSocket raw(port);
      raw.Send(Nothing(dice));
      ::shutdown(raw.descriptor(), SHUT_WR);
      raw.ReceiveAll();  // Ends, because the server hangs up.
    }
  }
  if (!Sanitized()) {
    EXPECT_LT(Resident(), before + (size_t{16} << 20));
  }
  ExpectAlive();
}

// Whoever has a node's key may still be broken: all types, and bodies that are none.
TEST_F(PortHammerTest, MessagesThatAreNoneFromWhoMaySendThem) {
  std::mt19937 dice(31);
  std::vector<uint16_t> types;
  for (const auto& [type, entry] : param::ClusterMessages().entries()) types.push_back(type);
  const size_t inputs = kInputs / (Sanitized() ? 10 : 2);
  for (size_t i = 0; i < inputs; ++i) {
    for (const std::string& port : Ports()) {
      RawSocket raw(port);
      ASSERT_TRUE(ShakeHands(raw, options_));
      net::Frame frame{.header = {.type = types[i % types.size()], .request = i},
                       .body = RandomBytes(dice, dice() % 300),
                       .segments = {}};
      if (dice() % 3 == 0) frame.segments.push_back(net::Segment::Copy(RandomBytes(dice, dice() % 3000)));
      std::string bytes = WireBytes(frame);
      if (dice() % 4 == 0) bytes[dice() % bytes.size()] ^= static_cast<char>(1 + dice() % 255);
      raw.Send(bytes);
      ::shutdown(raw.descriptor(), SHUT_WR);
      raw.ReceiveAll();
    }
  }
  ExpectAlive();
}

TEST_F(PortHammerTest, TenThousandThatSaySlowlyOrNothingKeepNobodyOut) {
  rlimit files = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  const rlimit before = files;
  files.rlim_cur = files.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  // Both ends are in this process.
  const size_t wanted = std::min<size_t>(kInputs, (files.rlim_cur - 500) / 2);
  for (const std::string& port : Ports()) {
    std::vector<RawSocket> idle;
    idle.reserve(wanted);
    for (size_t i = 0; i < wanted; ++i) {
      idle.emplace_back(port);
      if (i % 3 == 0) idle.back().Send("G");  // And the rest later, perhaps.
    }
    std::atomic<bool> stop{false};
    std::thread drip([&] {
      while (!stop) {
        for (size_t i = 0; i < idle.size(); i += 100) idle[i].Send("L");
        env_->clock().SleepFor(kMilli);
      }
    });
    // One who has a key comes in all the same.
    const auto late = NewClient(key_);
    const auto opened = late->OpenTable("live");
    EXPECT_TRUE(opened.ok()) << opened.status().message();
    if (opened.ok()) {
      EXPECT_TRUE(Table<int64_t>(*opened).Pull(std::vector<Key>{1}).Get().ok());
    }
    stop = true;
    drip.join();
    size_t kept = 0;
    for (const RawSocket& socket : idle) {
      pollfd wait{socket.descriptor(), POLLRDHUP, 0};
      kept += ::poll(&wait, 1, 0) == 0;
    }
    EXPECT_LE(kept, net::TransportOptions().unauthenticated_max);
  }
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ExpectAlive();
}

TEST_F(PortHammerTest, WrongKeysRolesAndVersionsAreRefusedOnEachPort) {
  net::EventLoop loop;
  const auto client_key = std::make_shared<net::Key>(MakeClientKey(*key_, net::Role::kClient));
  auto liar = std::make_shared<net::Key>(*client_key);
  liar->tokens[net::Role::kNode] = liar->tokens[net::Role::kClient];
  const auto other = std::make_shared<net::Key>(net::MakeClusterKey(key_->cluster).value());
  struct Try {
    std::shared_ptr<const net::Key> key;
    net::Role role;
    std::string_view says;
  };
  for (const std::string& port : Ports()) {
    for (const bool shared_memory : {false, true}) {
      for (const Try& tried :
           {Try{nullptr, net::Role::kReadOnly, "does not fit this cluster"},
            Try{nullptr, net::Role::kNode, "does not fit this cluster"},
            Try{other, net::Role::kReadOnly, "does not fit this cluster"},
            Try{other, net::Role::kNode, "does not fit this cluster"}, Try{liar, net::Role::kNode, "does not fit"},
            Try{client_key, net::Role::kNode, "the key has no token for role node"}}) {
        net::TransportOptions options = OptionsOf(tried.role);
        options.key = tried.key;
        options.cluster = key_->cluster;
        options.shared_memory = shared_memory;
        const auto transport = net::MakeTcpTransport(loop, options);
        const auto recorder = std::make_shared<net::Recorder>();
        const auto connection = transport->Connect(port, net::kTestNanos, recorder);
        ASSERT_TRUE(recorder->WaitClosed());
        EXPECT_FALSE(recorder->open);
        EXPECT_EQ(recorder->closed.reason, net::CloseReason::kRefused);
        EXPECT_THAT(recorder->closed.status.message(), HasSubstr(tried.says));
      }
    }
    RawSocket raw(port);
    std::string body;
    net::PutNumber(uint16_t{9}, &body);
    raw.Send(WireBytes({.header = {.type = net::kHelloFrame}, .body = body, .segments = {}}));
    EXPECT_THAT(raw.ReceiveAll(), HasSubstr("the client speaks version 9 of the protocol"));
  }
  ExpectAlive();
}

// Whoever ends a program need not wait for what its threads ask a master that says nothing.
TEST(ClusterClient, QuestionsThatAreGivenUpEnd) {
  net::EventLoop loop;
  net::TransportOptions options = net::TestOptions();
  options.messages = &param::ClusterMessages();
  const auto mute = net::MakeTcpTransport(loop, options);
  const auto listener = mute->Listen("127.0.0.1:0", [](const auto&) { return std::make_shared<net::Recorder>(); });
  ASSERT_TRUE(listener.ok()) << listener.status().message();
  const auto env = env::MakePosixEnv();
  param::ClusterClient client(*env, {.master = (*listener)->address()});
  constexpr int kThreads = 3;
  std::array<Status, kThreads> statuses;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      env->clock().SleepFor(i * 30'000'000);  // The last one asks when it is over.
      statuses[i] = client.Ping();
    });
  }
  env->clock().SleepFor(45'000'000);
  client.GiveUp();
  for (std::thread& thread : threads) thread.join();
  for (const Status& status : statuses) EXPECT_EQ(status.code(), Code::kCancelled) << status.message();
}

// All types of messages, each sent with each role by a client that does not ask itself whether it may.
TEST(ClusterMessages, EachIsHeardOnlyFromWhoMaySendIt) {
  static const net::MessageTable lenient = [] {
    net::MessageTable table;
    for (const auto& [type, entry] : param::ClusterMessages().entries()) {
      table.Add(type, entry.name, net::Role::kReadOnly);
    }
    return table;
  }();
  net::EventLoop server_loop, client_loop;
  net::TransportOptions options = net::TestOptions();
  options.messages = &param::ClusterMessages();
  options.key = std::make_shared<net::Key>(net::TestKey());
  const auto server = net::MakeTcpTransport(server_loop, options);
  std::mutex mutex;
  std::shared_ptr<net::Recorder> accepted;
  const auto listener = server->Listen("127.0.0.1:0", [&](const auto&) {
    const std::lock_guard lock(mutex);
    return accepted = std::make_shared<net::Recorder>();
  });
  ASSERT_TRUE(listener.ok()) << listener.status().message();
  options.messages = &lenient;
  uint64_t turned_away = 0;
  for (const auto& [type, entry] : param::ClusterMessages().entries()) {
    for (const net::Role role : {net::Role::kReadOnly, net::Role::kClient, net::Role::kNode}) {
      SCOPED_TRACE(entry.name);
      net::TransportOptions own = options;
      own.key = std::make_shared<net::Key>(MakeClientKey(net::TestKey(), role));
      own.role = role;
      const auto client = net::MakeTcpTransport(client_loop, own);
      const auto recorder = std::make_shared<net::Recorder>();
      const auto connection = client->Connect((*listener)->address(), net::kTestNanos, recorder);
      ASSERT_TRUE(recorder->WaitOpen());
      ASSERT_TRUE(connection->Send({.header = {.type = type}, .body = "body", .segments = {}}).ok());
      std::shared_ptr<net::Recorder> served;
      {
        const std::lock_guard lock(mutex);
        served = accepted;
      }
      if (role >= entry.least) {
        EXPECT_TRUE(served->WaitFrames(1));
      } else {
        ASSERT_TRUE(served->WaitClosed());
        EXPECT_EQ(served->closed.reason, net::CloseReason::kRefused);
        EXPECT_THAT(served->closed.status.message(), HasSubstr("wants role"));
        EXPECT_TRUE(served->frames.empty());
        EXPECT_EQ(server->refused_count(), ++turned_away);
      }
    }
  }
}

}  // namespace
}  // namespace glim::cluster
