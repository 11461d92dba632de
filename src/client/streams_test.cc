// SPDX-License-Identifier: Apache-2.0
//
// Rows that come while the flow runs: Read, Channel, Listen.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <sstream>
#include <thread>

#include "env/env.h"
#include "glim/glim.h"

namespace glim {
namespace {

using ::testing::HasSubstr;

std::string Text(const std::vector<Row>& rows) {
  std::string text;
  for (const Row& row : rows) {
    for (const Value& value : row) text += value.ToString() + "|";
    text += "\n";
  }
  return text;
}

// ---- Read ----

TEST(Read, LinesOfAStreamAreRowsOfTheFieldsBetweenTabs) {
  std::istringstream stream("a\tb\nc\n\nlast");
  Flow flow;
  std::vector<Row> rows;
  EXPECT_TRUE(flow.Read(stream).Collect(&rows).Run().ok());
  EXPECT_EQ(Text(rows), "a|b|\nc|\n|\nlast|\n");
}

TEST(Read, AFunctionGivesBytesUntilItGivesNone) {
  std::string expected;
  for (int i = 0; i < 100000; ++i) expected += std::to_string(i) + "\n";
  Flow flow;
  std::vector<Row> rows;
  size_t at = 0;
  flow.Read([&](std::span<char> out) -> Result<size_t> {
        const size_t size = expected.copy(out.data(), std::min<size_t>(out.size(), 1 + at % 1000), at);
        at += size;
        return size;
      })
      .Collect(&rows);
  EXPECT_TRUE(flow.Run().ok());
  ASSERT_EQ(rows.size(), 100000u);
  EXPECT_EQ(rows[99999][0], Value("99999"));
}

TEST(Read, AFunctionThatFailsOrThrowsFailsTheRun) {
  Flow failing;
  EXPECT_EQ(failing.Read([](std::span<char>) -> Result<size_t> { return Status::Unavailable("no more today"); })
                .Run()
                .message(),
            "Read: no more today");
  Flow throwing;
  EXPECT_THAT(throwing.Read([](std::span<char>) -> Result<size_t> { throw std::runtime_error("oh"); }).Run().message(),
              HasSubstr("the function threw: oh"));
  Flow lying;
  EXPECT_THAT(lying.Read([](std::span<char> out) -> Result<size_t> { return out.size() + 1; }).Run().message(),
              HasSubstr("where there is room for"));
}

TEST(Read, EndsEarlyWhenTheRowsAreEnough) {
  Flow flow;
  std::vector<Row> rows;
  // Endless.
  flow.Read([](std::span<char> out) -> Result<size_t> {
        std::memcpy(out.data(), "x\n", 2);
        return size_t{2};
      })
      .Limit(3)
      .Collect(&rows);
  EXPECT_TRUE(flow.Run().ok());
  EXPECT_EQ(rows.size(), 3u);
}

// ---- Channel ----

TEST(Channel, GivesTheRowsOfAnotherThreadInOrder) {
  auto channel = std::make_shared<Channel>(/*rows_max=*/7);
  std::thread pusher([channel] {
    for (int64_t i = 0; i < 10000; ++i) EXPECT_TRUE(channel->Push({i, "x"}).ok());
    EXPECT_TRUE(channel->Push({"narrow"}).ok());
    channel->Close();
    EXPECT_EQ(channel->Push({1}).code(), Code::kInvalid);
  });
  Flow flow;
  std::vector<Row> rows;
  EXPECT_TRUE(flow.Channel(channel).Collect(&rows).Run().ok());
  pusher.join();
  ASSERT_EQ(rows.size(), 10001u);
  for (int64_t i = 0; i < 10000; ++i) ASSERT_EQ(rows[static_cast<size_t>(i)][0], Value(i));
  EXPECT_EQ(rows[10000], Row{"narrow"});
}

TEST(Channel, AFullOneMakesThePusherWait) {
  Channel channel(/*rows_max=*/2);
  EXPECT_TRUE(channel.Push({1}).ok());
  EXPECT_TRUE(channel.Push({2}).ok());
  EXPECT_EQ(channel.Push({3}, 0).code(), Code::kTimeout);
  EXPECT_EQ(channel.Push({3}, 1000).code(), Code::kTimeout);
  std::vector<Row> rows;
  EXPECT_EQ(**channel.Take(0, &rows), true);
  EXPECT_EQ(Text(rows), "1|\n2|\n");
  EXPECT_TRUE(channel.Push({3}, 0).ok());
}

TEST(Channel, ThePusherIsToldThatTheRowsAreEnough) {
  auto channel = std::make_shared<Channel>();
  Status last;
  std::thread pusher([&] {
    for (int64_t i = 0; last.ok(); ++i) last = channel->Push({i});
  });
  Flow flow;
  std::vector<Row> rows;
  EXPECT_TRUE(flow.Channel(channel).Limit(5).Collect(&rows).Run().ok());
  pusher.join();
  EXPECT_EQ(rows.size(), 5u);
  EXPECT_EQ(last.code(), Code::kCancelled);
}

TEST(Channel, ThePusherIsToldThatTheRunFailed) {
  for (const bool before_it_starts : {false, true}) {
    auto channel = std::make_shared<Channel>();
    Status last;
    std::thread pusher([&] {
      for (int64_t i = 0; last.ok(); ++i) last = channel->Push({i});
    });
    Flow flow;
    flow.Channel(channel).Map(before_it_starts ? "no Lua" : "function(i) if i == 9 then error('nine') end end");
    EXPECT_FALSE(flow.Run().ok());
    pusher.join();
    EXPECT_EQ(last.code(), Code::kCancelled);
  }
}

TEST(Channel, AnEmptyOneDoesNotKeepAFailedRunAlive) {
  // Nobody pushes, nobody closes; another task fails.
  auto channel = std::make_shared<Channel>();
  Flow flow;
  const Dataset waiting = flow.Channel(channel);
  waiting.Map("function(x) return x end");
  EXPECT_TRUE(channel->Push({1}).ok());
  EXPECT_FALSE(waiting.Map("function(x) error('first') end").Run().ok());
  EXPECT_EQ(channel->Push({1}).code(), Code::kCancelled);
}

TEST(Channel, AReasonToCloseFailsTheRunBehindTheRows) {
  auto channel = std::make_shared<Channel>();
  EXPECT_TRUE(channel->Push({1}).ok());
  channel->Close(Status::Unavailable("the feed broke off"));
  Flow flow;
  int64_t seen = 0;
  const Status status = flow.Channel(channel)
                            .OutputRow([&](const Row&) {
                              ++seen;
                              return Status::Ok();
                            })
                            .Run();
  EXPECT_EQ(status.message(), "Channel: the feed broke off");
  EXPECT_EQ(seen, 1);
}

TEST(Channel, IsReadByOneSourceInOneRun) {
  auto channel = std::make_shared<Channel>();
  channel->Close();
  Flow flow;
  const Dataset rows = flow.Channel(channel);
  EXPECT_TRUE(rows.Run().ok());
  EXPECT_THAT(rows.Run().message(), HasSubstr("an earlier run has read the channel"));
  Flow other;
  EXPECT_THAT(other.Channel(channel).Run().message(), HasSubstr("another source reads this channel"));
}

// ---- Listen ----

class Listen : public ::testing::Test {
 protected:
  ~Listen() override { EXPECT_TRUE(env_->files().RemoveAll(folder_).ok()); }

  // Connects once the flow listens, sends and closes.
  void Send(std::string_view bytes) const {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    while (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      env_->clock().SleepFor(1'000'000);
    }
    // A flow that has failed may be gone; that is for its test to look at.
    for (ssize_t sent = 1; !bytes.empty() && sent > 0;) {
      sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
    }
    ::close(socket);
  }

  std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  const std::string folder_ = *env_->files().MakeTemporaryFolder("listen");
  const std::string path_ = folder_ + "/socket";
};

TEST_F(Listen, LinesOfAConnectionAreRows) {
  std::thread sender([this] { Send("a\tb\nc\nlast"); });
  Flow flow;
  std::vector<Row> rows;
  const Status status = flow.Listen("unix", path_).Collect(&rows).Run();
  sender.join();
  EXPECT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(Text(rows), "a|b|\nc|\nlast|\n");
  EXPECT_FALSE(env_->files().Stat(path_).ok());
}

TEST_F(Listen, ManyConnectionsSendSideBySide) {
  constexpr int kSenders = 20, kLines = 2000;
  std::vector<std::thread> senders;
  for (int s = 0; s < kSenders; ++s) {
    senders.emplace_back([this, s] {
      std::string text;
      for (int i = 0; i < kLines; ++i) text += std::to_string(s) + "\t" + std::to_string(i) + "\n";
      Send(text);
    });
  }
  Flow flow;
  std::vector<Row> rows;
  const Status status = flow.Listen("unix", path_, {.connections = kSenders}).Collect(&rows).Run();
  for (std::thread& sender : senders) sender.join();
  ASSERT_TRUE(status.ok()) << status.ToString();
  ASSERT_EQ(rows.size(), size_t{kSenders} * kLines);
  // Each sender's lines are whole and in order.
  std::vector<int> next(kSenders);
  for (const Row& row : rows) EXPECT_EQ(std::stoi(row[1].ToString()), next[std::stoi(row[0].ToString())]++);
}

TEST_F(Listen, EndsWhenNothingCame) {
  Flow flow;
  std::vector<Row> rows;
  EXPECT_TRUE(flow.Listen("unix", path_, {.connections = 0, .idle_seconds = 0.01}).Collect(&rows).Run().ok());
  EXPECT_EQ(rows.size(), 0u);
}

TEST_F(Listen, EndsWhenTheRowsAreEnough) {
  std::thread sender([this] {
    for (int i = 0; i < 3; ++i) Send("line\n");
  });
  Flow flow;
  std::vector<Row> rows;
  EXPECT_TRUE(flow.Listen("unix", path_, {.connections = 0}).Limit(3).Collect(&rows).Run().ok());
  sender.join();
  EXPECT_EQ(rows.size(), 3u);
}

TEST_F(Listen, ALineWithoutEndFailsTheRun) {
  std::thread sender([this] { Send(std::string(1 << 20, 'x')); });
  Flow flow;
  const Status status = flow.Listen("unix", path_, {.line_bytes_max = 1000}).Run();
  sender.join();
  EXPECT_THAT(status.message(), HasSubstr("a line of more than line_bytes_max = 1000 bytes"));
}

TEST_F(Listen, WrongAddressesAreErrors) {
  const auto error = [](const std::string& network, const std::string& address) {
    return Flow().Listen(network, address).Run().message();
  };
  EXPECT_THAT(error("udp", ":0"), HasSubstr("there is no network \"udp\"; there are tcp, tcp4, tcp6 and unix"));
  EXPECT_THAT(error("tcp", "7000"), HasSubstr("write a host and a port, like :7000"));
  EXPECT_THAT(error("tcp", "127.0.0.1:port"), HasSubstr("Listen: \"127.0.0.1:port\": "));
  EXPECT_THAT(error("unix", folder_ + "/none/socket"), HasSubstr("/none/socket\": no such file"));
  EXPECT_THAT(error("unix", ""), HasSubstr("the path of a socket has 1 to "));
}

}  // namespace
}  // namespace glim
