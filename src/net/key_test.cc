// SPDX-License-Identifier: Apache-2.0
#include "net/key.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <algorithm>

#include "env/fault/faulty_file_system.h"
#include "net/crypto.h"
#include "net/handshake.h"
#include "net/transport_test.h"

namespace glim::net {
namespace {

using ::testing::HasSubstr;

class KeyFileTest : public ::testing::Test {
 protected:
  void SetUp() override { folder_ = env_->files().MakeTemporaryFolder("glim-key-").value(); }
  void TearDown() override { EXPECT_TRUE(env_->files().RemoveAll(folder_).ok()); }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  const std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  std::string folder_;
};

TEST_F(KeyFileTest, ComesBackAsItWasWritten) {
  const Key cluster = MakeClusterKey("blue-1").value();
  EXPECT_EQ(cluster.tokens.size(), 3u);
  EXPECT_NE(cluster.tokens.at(Role::kNode), cluster.tokens.at(Role::kClient));
  const Key client = MakeClientKey(cluster, Role::kClient);
  EXPECT_EQ(client.tokens.size(), 1u);
  for (const Key& key : {cluster, client}) {
    const std::string path = Path(key.of_cluster() ? "cluster.key" : "client.key");
    ASSERT_TRUE(WriteKey(env_->files(), path, key).ok());
    EXPECT_EQ(env_->files().Stat(path)->permissions, 0600u);
    const auto read = ReadKey(env_->files(), path);
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_EQ(FormatKey(*read), FormatKey(key));
    EXPECT_EQ(read->of_cluster(), key.of_cluster());
  }
  EXPECT_THAT(FormatKey(client), ::testing::Not(HasSubstr(ToHex(cluster.tokens.at(Role::kNode)))));
  EXPECT_THAT(FormatKey(client), ::testing::Not(HasSubstr("PRIVATE")));
}

TEST_F(KeyFileTest, ThatOthersMayReadOrWriteIsRefusedWithNameAndMode) {
  ASSERT_TRUE(WriteKey(env_->files(), Path("a.key"), TestKey()).ok());
  for (const auto& [mode, text] : {std::pair(0640, "0640"), {0604, "0604"}, {0620, "0620"}, {0777, "0777"}}) {
    ASSERT_EQ(::chmod(Path("a.key").c_str(), static_cast<mode_t>(mode)), 0);
    const auto read = ReadKey(env_->files(), Path("a.key"));
    EXPECT_EQ(read.status().code(), Code::kInvalid);
    EXPECT_EQ(read.status().message(), "\"" + Path("a.key") +
                                           "\": others than its owner can read or write this key (mode " + text +
                                           "); chmod 600 it");
  }
  ASSERT_EQ(::chmod(Path("a.key").c_str(), 0400), 0);
  EXPECT_TRUE(ReadKey(env_->files(), Path("a.key")).ok());
}

TEST_F(KeyFileTest, IsNeverReplaced) {
  ASSERT_TRUE(WriteKey(env_->files(), Path("a.key"), TestKey()).ok());
  const Status status = WriteKey(env_->files(), Path("a.key"), MakeClusterKey("other").value());
  EXPECT_THAT(status.message(), HasSubstr("is there already"));
  EXPECT_EQ(ReadKey(env_->files(), Path("a.key"))->cluster, "local");
  EXPECT_EQ(ReadKey(env_->files(), Path("b.key")).status().code(), Code::kNotFound);
}

TEST_F(KeyFileTest, ThatIsNoneSaysWhatIsWrong) {
  const std::string good = FormatKey(TestKey());
  const std::string client = FormatKey(MakeClientKey(TestKey(), Role::kReadOnly));
  const auto without = [](std::string text, const std::string& from, const std::string& to) {
    const size_t begin = text.find(from);
    return text.erase(begin, text.find(to, begin) - begin);
  };
  const std::string other = FormatKey(MakeClusterKey("local").value());
  const std::pair<std::string, std::string> cases[] = {
      {"", "is not a key of Glim"},
      {"root:x:0:0:root:/root:/bin/bash\n", "is not a key of Glim"},
      {without(good, "cluster local", "fingerprint"), "has no line \"cluster ...\" where it should be"},
      {without(good, "token client", "token node"), "has not the tokens that it should"},
      {without(good, "-----BEGIN CERT", "-----BEGIN PRIV"), "has no certificate"},
      {good.substr(0, good.find("-----BEGIN CERT")) + other.substr(other.find("-----BEGIN CERT")),
       "has a certificate that does not fit its fingerprint"},
      {good.substr(0, good.find("-----BEGIN PRIV")) + other.substr(other.find("-----BEGIN PRIV")),
       "has a private key that does not fit its certificate"},
      {client + "more\n", "has lines behind its token"},
      {without(client, "token", "\n"), "has not the tokens that it should"},
      {"glim client key 1\ncluster UP\n", "a name of a cluster has 1 to 64 of a-z, 0-9 and -"},
      {"glim client key 1\ncluster a\nfingerprint 12\n", "has a number that is not 64 hexadecimal digits"},
      {without(client, "token", "\n") + "token king 00\n", "has not the tokens that it should"},
  };
  for (const auto& [text, message] : cases) {
    const auto parsed = ParseKey(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_THAT(parsed.status().message(), HasSubstr(message));
  }
  // Wherever a file is cut off.
  for (const std::string& text : {good, client}) {
    for (size_t size = 0; size + 1 < text.size(); ++size) EXPECT_FALSE(ParseKey(text.substr(0, size)).ok()) << size;
  }
}

TEST_F(KeyFileTest, AFullDiskIsTold) {
  env::FaultyFileSystem files(env_->files());
  files.FailAt(env::FileOperation::kWrite, 1, Status::Exhausted("disk full"));
  EXPECT_EQ(WriteKey(files, Path("a.key"), TestKey()).code(), Code::kExhausted);
}

// Who gets in, with which key and role: plain and by TLS.
class KeyTest : public ::testing::TestWithParam<bool> {
 protected:
  // What the client is told; ok when it was let in.
  Closing TryConnect(std::shared_ptr<const Key> server_key, std::shared_ptr<const Key> client_key, Role role) {
    EventLoop loop;
    TransportOptions options = TestOptions();
    options.tls_on_loopback = GetParam();
    options.key = std::move(server_key);
    const auto server = MakeTcpTransport(loop, options);
    options.key = std::move(client_key);
    options.role = role;
    const auto client = MakeTcpTransport(loop, options);
    const auto served = std::make_shared<Recorder>();
    const auto listener =
        server->Listen("127.0.0.1:0", [&](const std::shared_ptr<Connection>& connection) { return served; });
    EXPECT_TRUE(listener.ok()) << listener.status().message();
    const auto recorder = std::make_shared<Recorder>();
    const auto connection = client->Connect((*listener)->address(), kTestNanos, recorder);
    if (recorder->WaitOpen()) {
      EXPECT_TRUE(served->WaitOpen());
      EXPECT_EQ(served->peer.role, role);
      return {CloseReason::kClosedHere, Status::Ok()};
    }
    EXPECT_FALSE(served->open);
    return recorder->closed;
  }
};

INSTANTIATE_TEST_SUITE_P(Each, KeyTest, ::testing::Bool(),
                         [](const auto& info) { return std::string(info.param ? "tls" : "plain"); });

TEST_P(KeyTest, LetsInWhoHasTheTokenOfTheRole) {
  const auto cluster = std::make_shared<Key>(TestKey());
  for (const Role role : {Role::kReadOnly, Role::kClient, Role::kNode}) {
    EXPECT_TRUE(TryConnect(cluster, cluster, role).status.ok());
    for (const Role has : {Role::kReadOnly, Role::kClient}) {
      const Closing closing = TryConnect(cluster, std::make_shared<Key>(MakeClientKey(TestKey(), has)), role);
      EXPECT_EQ(closing.status.ok(), role == has) << closing.status.message();
      if (role != has) {
        EXPECT_EQ(closing.reason, CloseReason::kRefused);
        EXPECT_THAT(closing.status.message(), HasSubstr("the key has no token for role"));
      }
    }
  }
}

TEST_P(KeyTest, KeepsOutWhoHasAnotherKeyOrLiesAboutItsRole) {
  const auto cluster = std::make_shared<Key>(TestKey());
  // Another cluster's key.
  const auto other = std::make_shared<Key>(MakeClusterKey("local").value());
  Closing closing = TryConnect(cluster, other, Role::kClient);
  EXPECT_EQ(closing.reason, CloseReason::kRefused);
  EXPECT_THAT(closing.status.message(), HasSubstr(GetParam() ? "has a certificate that is not the one of this key"
                                                             : "does not fit this cluster and role client"));
  // The client's token, told to be a node's.
  auto liar = std::make_shared<Key>(MakeClientKey(TestKey(), Role::kClient));
  liar->tokens[Role::kNode] = liar->tokens[Role::kClient];
  closing = TryConnect(cluster, liar, Role::kNode);
  EXPECT_EQ(closing.reason, CloseReason::kRefused);
  EXPECT_THAT(closing.status.message(), HasSubstr("does not fit this cluster and role node"));
}

TEST_P(KeyTest, AKeyOnOneSideAloneIsNotEnough) {
  const auto cluster = std::make_shared<Key>(TestKey());
  for (const bool at_server : {true, false}) {
    const Closing closing = TryConnect(at_server ? cluster : nullptr, at_server ? nullptr : cluster, Role::kClient);
    EXPECT_FALSE(closing.status.ok());
    if (!GetParam()) {
      EXPECT_THAT(closing.status.message(), HasSubstr("does not fit this cluster"));
    }
  }
}

TEST(Key, WhoIsTurnedAwayIsCountedAndTheLogNamesSomeAndNoSecret) {
  EventLoop loop;
  TransportOptions options = TestOptions();
  options.key = std::make_shared<Key>(TestKey());
  const auto server = MakeTcpTransport(loop, options);
  const auto listener = server->Listen("127.0.0.1:0", [](const auto&) { return std::make_shared<Recorder>(); });
  ASSERT_TRUE(listener.ok());
  const auto friendly = MakeTcpTransport(loop, options);
  const auto welcome = std::make_shared<Recorder>();
  const auto connection = friendly->Connect((*listener)->address(), kTestNanos, welcome);
  ASSERT_TRUE(welcome->WaitOpen());
  EXPECT_EQ(server->refused_count(), 0u);
  const Key other = MakeClusterKey("local").value();
  options.key = std::make_shared<Key>(other);
  options.node = "mallory";
  const auto stranger = MakeTcpTransport(loop, options);
  constexpr uint64_t kTries = 50;
  testing::internal::CaptureStderr();
  for (uint64_t i = 0; i < kTries; ++i) {
    const auto recorder = std::make_shared<Recorder>();
    const auto tried = stranger->Connect((*listener)->address(), kTestNanos, recorder);
    ASSERT_TRUE(recorder->WaitClosed());
  }
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(server->refused_count(), kTries);
  EXPECT_EQ(stranger->refused_count(), 0u);
  EXPECT_THAT(log, HasSubstr("turned away: refused 127.0.0.1:"));
  EXPECT_THAT(log, HasSubstr("the key of \"mallory\" does not fit"));
  EXPECT_LT(std::count(log.begin(), log.end(), '\n'), int64_t{kTries});
  for (const Key& key : {TestKey(), other}) {
    for (const auto& [role, token] : key.tokens) {
      EXPECT_EQ(log.find(token), std::string::npos);
      EXPECT_EQ(log.find(ToHex(token)), std::string::npos);
    }
  }
}

TEST(Key, AServerWithoutTheTokensIsNotBelieved) {
  // A process that took the server's port, and lets everybody in.
  TransportOptions thief = TestOptions();
  TransportOptions honest = TestOptions();
  honest.key = std::make_shared<Key>(TestKey());
  Handshake client(honest), server(thief);
  const auto hello = client.OnChallenge(server.Challenge());
  ASSERT_TRUE(hello.ok());
  EXPECT_FALSE(server.OnHello(*hello).ok());
  const auto welcome = client.OnWelcome(server.Welcome());
  EXPECT_EQ(welcome.status().message(), "the server does not have the key of this cluster");
}

TEST(Key, AnOverheardHelloIsOfNoUse) {
  TransportOptions options = TestOptions();
  options.key = std::make_shared<Key>(TestKey());
  Handshake client(options), server(options), again(options);
  const auto hello = client.OnChallenge(server.Challenge());
  ASSERT_TRUE(server.OnHello(*hello).ok());
  (void)again.Challenge();
  EXPECT_THAT(again.OnHello(*hello).status().message(), HasSubstr("does not fit"));
}

TEST(Key, NobodyListensBeyondThisMachineWithoutAClusterKey) {
  EventLoop loop;
  TransportOptions options = TestOptions();
  for (const auto& key : {std::shared_ptr<Key>(), std::make_shared<Key>(MakeClientKey(TestKey(), Role::kNode))}) {
    options.key = key;
    const auto transport = MakeTcpTransport(loop, options);
    for (const std::string address : {"0.0.0.0:0", "[::]:0"}) {
      const auto listener = transport->Listen(address, [](const auto&) { return nullptr; });
      EXPECT_EQ(listener.status().code(), Code::kInvalid);
      EXPECT_THAT(listener.status().message(), HasSubstr("refusing to listen at " + address));
    }
  }
}

}  // namespace
}  // namespace glim::net
