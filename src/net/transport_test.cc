// SPDX-License-Identifier: Apache-2.0
//
// What every transport promises, tried on each.
#include "net/transport_test.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <thread>

namespace glim::net {
namespace {

using ::testing::HasSubstr;

class TransportTest : public ::testing::TestWithParam<TransportKind> {
 protected:
  // A transport that listens, each of its connections with a recorder, and one that connects.
  void Begin(TransportOptions server_options = TestOptions(), TransportOptions client_options = TestOptions()) {
    server_options.node = "server";
    client_options.node = "client";
    server_ = GetParam().make(server_loop_, hub_, server_options);
    client_ = GetParam().make(client_loop_, hub_, client_options);
    auto listener = server_->Listen(GetParam().address, [this](const std::shared_ptr<Connection>& connection) {
      auto recorder = std::make_shared<Recorder>();
      if (prepare_accepted_) prepare_accepted_(*recorder);
      const std::lock_guard lock(mutex_);
      accepted_.emplace_back(connection, recorder);
      changed_.notify_all();
      return recorder;
    });
    ASSERT_TRUE(listener.ok()) << listener.status().message();
    listener_ = *std::move(listener);
  }
  std::shared_ptr<Connection> Connect(const std::shared_ptr<Recorder>& recorder) {
    return client_->Connect(listener_->address(), kTestNanos, recorder);
  }
  // The server's side of the connection that was made as the n-th, from 0.
  std::pair<std::shared_ptr<Connection>, std::shared_ptr<Recorder>> Accepted(size_t n = 0) {
    std::unique_lock lock(mutex_);
    const bool came =
        changed_.wait_for(lock, std::chrono::nanoseconds(kTestNanos), [&] { return accepted_.size() > n; });
    EXPECT_TRUE(came);
    return came ? accepted_[n] : std::pair<std::shared_ptr<Connection>, std::shared_ptr<Recorder>>{};
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<std::shared_ptr<Connection>, std::shared_ptr<Recorder>>> accepted_;
  std::function<void(Recorder&)> prepare_accepted_;
  InprocHub hub_;
  EventLoop server_loop_, client_loop_;
  std::unique_ptr<Transport> server_, client_;
  std::unique_ptr<Listener> listener_;
};

INSTANTIATE_TEST_SUITE_P(Each, TransportTest, ::testing::ValuesIn(TransportKinds()),
                         [](const auto& info) { return info.param.name; });

TEST_P(TransportTest, BothSidesKnowWhoIsThere) {
  TransportOptions client = TestOptions();
  client.role = Role::kClient;
  Begin(TestOptions(), client);
  const auto recorder = std::make_shared<Recorder>();
  const auto connection = Connect(recorder);
  ASSERT_TRUE(recorder->WaitOpen()) << recorder->closed.status.message();
  EXPECT_EQ(recorder->peer.node, "server");
  EXPECT_EQ(recorder->peer.address.ends_with("(shared memory)"), GetParam().name == "shm") << recorder->peer.address;
  EXPECT_EQ(recorder->peer.role, Role::kNode);
  EXPECT_FALSE(recorder->peer.other_machine);
  const auto [_, accepted] = Accepted();
  ASSERT_TRUE(accepted->WaitOpen());
  EXPECT_EQ(accepted->peer.node, "client");
  EXPECT_EQ(accepted->peer.role, Role::kClient);
}

TEST_P(TransportTest, FramesComeWholeAndInOrderBothWays) {
  Begin();
  const auto recorder = std::make_shared<Recorder>();
  const auto connection = Connect(recorder);
  const auto [server, accepted] = Accepted();
  SentCount sent;
  constexpr size_t kFrames = 1000;
  for (size_t i = 0; i < kFrames; ++i) {
    for (Connection* side : {connection.get(), server.get()}) {
      std::vector<Segment> segments;
      if (i % 3 > 0) segments.push_back(Segment::Copy(std::string(i * 7, static_cast<char>(i))));
      if (i % 3 > 1) segments.push_back(Segment::Copy(std::to_string(i)));
      Frame frame = MessageOf(i, "body " + std::to_string(i), std::move(segments));
      frame.header.flags = static_cast<uint16_t>(i);
      frame.header.epoch = ~uint64_t{i};
      ASSERT_TRUE(side->Send(std::move(frame), std::ref(sent)).ok());
    }
  }
  ASSERT_TRUE(sent.Wait(2 * kFrames));
  EXPECT_EQ(sent.ok, int{2 * kFrames});
  for (Recorder* side : {recorder.get(), accepted.get()}) {
    ASSERT_TRUE(side->WaitFrames(kFrames));
    for (size_t i = 0; i < kFrames; ++i) {
      const Frame& frame = side->frames[i];
      ASSERT_EQ(frame.header, (FrameHeader{kWriteMessage, static_cast<uint16_t>(i), i, ~uint64_t{i}}));
      ASSERT_EQ(frame.body, "body " + std::to_string(i));
      ASSERT_EQ(frame.segments.size(), i % 3);
      if (i % 3 > 0) {
        EXPECT_EQ(frame.segments[0].bytes, std::string(i * 7, static_cast<char>(i)));
      }
      if (i % 3 > 1) {
        EXPECT_EQ(frame.segments[1].bytes, std::to_string(i));
      }
    }
  }
}

TEST_P(TransportTest, WhatIsSentWhileAConnectionOpensComesBehindItsOpening) {
  Begin();
  for (int i = 0; i < 100; ++i) {
    const auto recorder = std::make_shared<Recorder>();
    const auto connection = Connect(recorder);
    const auto [server, accepted] = Accepted(i);
    for (uint64_t j = 0; j < 10; ++j) ASSERT_TRUE(server->Send(MessageOf(j)).ok());
    ASSERT_TRUE(recorder->Wait([&] { return recorder->frames.size() == 10 || recorder->closed_count > 0; }));
    ASSERT_EQ(recorder->closed_count, 0) << recorder->closed.status.message();
    for (uint64_t j = 0; j < 10; ++j) EXPECT_EQ(recorder->frames[j].header.request, j);
  }
}

TEST_P(TransportTest, ThreadsThatSendOnOneConnectionKeepTheirOwnOrder) {
  Begin();
  const auto recorder = std::make_shared<Recorder>();
  const auto connection = Connect(recorder);
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (uint64_t i = 0; i < 500; ++i) EXPECT_TRUE(connection->Send(MessageOf(thread << 32 | i)).ok());
    });
  }
  for (auto& thread : threads) thread.join();
  const auto [_, accepted] = Accepted();
  ASSERT_TRUE(accepted->WaitFrames(2000));
  uint64_t next[4] = {};
  for (const Frame& frame : accepted->frames) {
    EXPECT_EQ(frame.header.request & 0xffffffff, next[frame.header.request >> 32]++);
  }
}

TEST_P(TransportTest, PayloadUpToTheLimitArrivesAndBeyondItIsRefusedBySend) {
  TransportOptions options = TestOptions();
  options.send_queue_bytes_max = size_t{128} << 20;
  Begin(TestOptions(), options);
  const auto recorder = std::make_shared<Recorder>();
  const auto connection = Connect(recorder);
  const std::string megabytes = [] {
    std::string bytes(size_t{32} << 20, '\0');
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 2654435761u >> 24);
    return bytes;
  }();
  const std::string_view borrowed = megabytes;
  SentCount sent;
  ASSERT_TRUE(connection->Send(MessageOf(1, {}, {{borrowed.substr(0, 100'000), nullptr}}), std::ref(sent)).ok());
  ASSERT_TRUE(connection->Send(MessageOf(2, {}, {{borrowed, nullptr}, {borrowed, nullptr}}), std::ref(sent)).ok());
  EXPECT_EQ(connection->Send(MessageOf(3, "", {{borrowed, nullptr}, {borrowed, nullptr}, {"x", nullptr}})).code(),
            Code::kInvalid);
  EXPECT_EQ(connection->Send(MessageOf(3, std::string((size_t{1} << 20) + 1, 'x'))).code(), Code::kInvalid);
  ASSERT_TRUE(connection->Send(MessageOf(4, std::string(size_t{1} << 20, 'x')), std::ref(sent)).ok());
  const auto [_, accepted] = Accepted();
  ASSERT_TRUE(accepted->WaitFrames(3));
  EXPECT_EQ(accepted->frames[0].segments[0].bytes, borrowed.substr(0, 100'000));
  EXPECT_TRUE(accepted->frames[1].segments[0].bytes == borrowed);
  EXPECT_TRUE(accepted->frames[1].segments[1].bytes == borrowed);
  EXPECT_EQ(accepted->frames[2].body.size(), size_t{1} << 20);
  EXPECT_TRUE(sent.Wait(3));
}

TEST_P(TransportTest, ASegmentMayLieInTwoPlaces) {
  Begin();
  const auto recorder = std::make_shared<Recorder>();
  const auto connection = Connect(recorder);
  const std::string more(300'000, 'v');
  SentCount sent;
  ASSERT_TRUE(
      connection
          ->Send(MessageOf(7, "", {{"head", nullptr, {}, more}, {"", nullptr, {}, "only more"}, Segment::Copy("end")}),
                 std::ref(sent))
          .ok());
  const auto [_, accepted] = Accepted();
  ASSERT_TRUE(accepted->WaitFrames(1));
  const auto& segments = accepted->frames[0].segments;
  ASSERT_EQ(segments.size(), 3U);
  EXPECT_TRUE(segments[0].bytes == "head" + more);
  EXPECT_EQ(segments[1].bytes, "only more");
  EXPECT_EQ(segments[2].bytes, "end");
  EXPECT_TRUE(sent.Wait(1));
}

TEST_P(TransportTest, PayloadIsReceivedIntoTheReceiversBuffer) {
  std::string own(200'000, '-');
  prepare_accepted_ = [&](Recorder& recorder) {
    recorder.on_body = [&](const FrameHead& head, std::span<std::span<char>> targets) {
      EXPECT_EQ(head.header.request, 7u);
      ASSERT_EQ(targets.size(), 2u);
      ASSERT_EQ(head.segment_bytes[1], 150'000u);
      targets[1] = std::span(own);
    };
  };
  Begin();
  const auto recorder = std::make_shared<Recorder>();
  const auto connection = Connect(recorder);
  ASSERT_TRUE(
      connection->Send(MessageOf(7, "", {Segment::Copy("keys"), Segment::Copy(std::string(150'000, 'v'))})).ok());
  const auto [_, accepted] = Accepted();
  ASSERT_TRUE(accepted->WaitFrames(1));
  EXPECT_EQ(accepted->frames[0].segments[0].bytes, "keys");
  EXPECT_EQ(accepted->frames[0].segments[1].bytes.data(), own.data());
  EXPECT_EQ(own, std::string(150'000, 'v') + std::string(50'000, '-'));
}

TEST_P(TransportTest, OneListenerHasManyConnections) {
  Begin();
  constexpr size_t kConnections = 200;
  std::vector<std::shared_ptr<Recorder>> recorders;
  std::vector<std::shared_ptr<Connection>> connections;
  for (size_t i = 0; i < kConnections; ++i) {
    recorders.push_back(std::make_shared<Recorder>());
    connections.push_back(Connect(recorders.back()));
    ASSERT_TRUE(connections.back()->Send(MessageOf(i)).ok());
    ASSERT_TRUE(recorders[i]->WaitOpen()) << recorders[i]->closed.status.message();
  }
  for (size_t i = 0; i < kConnections; ++i) {
    const auto [server, accepted] = Accepted(i);
    ASSERT_TRUE(accepted->WaitFrames(1));
    ASSERT_TRUE(server->Send(MessageOf(accepted->frames[0].header.request + 1000)).ok());
  }
  for (size_t i = 0; i < kConnections; ++i) {
    ASSERT_TRUE(recorders[i]->WaitFrames(1));
    EXPECT_EQ(recorders[i]->frames[0].header.request, i + 1000);
  }
}

TEST_P(TransportTest, CloseWhileSendingEndsEverySendOnce) {
  Begin();
  const auto recorder = std::make_shared<Recorder>();
  const auto connection = Connect(recorder);
  ASSERT_TRUE(recorder->WaitOpen());
  const std::string payload(1 << 20, 'x');
  SentCount sent;
  int accepted_sends = 0;
  for (int i = 0; i < 100; ++i) {
    accepted_sends += connection->Send(MessageOf(1, "", {{payload, nullptr}}), std::ref(sent)).ok();
    if (i == 50) connection->Close();
  }
  ASSERT_TRUE(recorder->WaitClosed());
  EXPECT_EQ(recorder->closed.reason, CloseReason::kClosedHere);
  EXPECT_TRUE(sent.Wait(accepted_sends));
  EXPECT_EQ(sent.ok + sent.failed, accepted_sends);
  EXPECT_EQ(connection->Send(MessageOf(2)).code(), Code::kUnavailable);
  const auto [_, accepted] = Accepted();
  ASSERT_TRUE(accepted->WaitClosed());
  client_.reset();
  EXPECT_EQ(recorder->closed_count, 1);
  EXPECT_EQ(sent.ok + sent.failed, accepted_sends);
}

TEST_P(TransportTest, ThePeerIsToldOfAClose) {
  Begin();
  const auto recorder = std::make_shared<Recorder>();
  const auto connection = Connect(recorder);
  const auto [server, accepted] = Accepted();
  ASSERT_TRUE(recorder->WaitOpen());
  server->Close();
  ASSERT_TRUE(recorder->WaitClosed());
  EXPECT_EQ(recorder->closed.reason, CloseReason::kClosedThere) << recorder->closed.status.message();
  EXPECT_THAT(recorder->closed.status.message(), HasSubstr("closed the connection"));
  EXPECT_EQ(connection->Send(MessageOf(1)).code(), Code::kUnavailable);
}

TEST_P(TransportTest, BothSidesMayCloseAtOnce) {
  Begin();
  for (int i = 0; i < 50; ++i) {
    const auto recorder = std::make_shared<Recorder>();
    const auto connection = Connect(recorder);
    ASSERT_TRUE(connection->Send(MessageOf(1)).ok());
    const auto [server, accepted] = Accepted(i);
    std::thread other([&, server = server] { server->Close(); });
    connection->Close();
    other.join();
    ASSERT_TRUE(recorder->WaitClosed());
    ASSERT_TRUE(accepted->WaitClosed());
    EXPECT_EQ(recorder->closed_count, 1);
    EXPECT_EQ(accepted->closed_count, 1);
  }
}

// Also when the handshake was over before the client waited for anything: what was open does not begin anew.
TEST_P(TransportTest, TheEndOfAnOpenConnectionIsNotTakenForARefusal) {
  Begin();
  for (int i = 0; i < 300; ++i) {
    const auto recorder = std::make_shared<Recorder>();
    const auto connection = Connect(recorder);
    const auto [server, accepted] = Accepted(i);
    ASSERT_TRUE(recorder->WaitOpen()) << recorder->closed.status.message();
    server->Close();
    ASSERT_TRUE(recorder->WaitClosed());
    EXPECT_EQ(recorder->closed.reason, CloseReason::kClosedThere) << recorder->closed.status.message();
    const std::lock_guard lock(mutex_);
    ASSERT_EQ(accepted_.size(), i + 1);
  }
}

TEST_P(TransportTest, AHandlerMayCloseWhereverItIsCalled) {
  Begin();
  for (int where = 0; where < 3; ++where) {
    const auto recorder = std::make_shared<Recorder>();
    std::promise<std::shared_ptr<Connection>> made;
    const auto connection_future = made.get_future().share();
    const auto close = [&] { connection_future.get()->Close(); };
    recorder->on_open = [&](Connection&) {
      if (where == 0) close();
    };
    recorder->on_body = [&](const FrameHead&, std::span<std::span<char>>) {
      if (where == 1) close();
    };
    recorder->on_frame = [&](const Frame&) {
      if (where == 2) close();
    };
    made.set_value(Connect(recorder));
    const auto [server, accepted] = Accepted(where);
    for (int i = 0; i < 10; ++i) (void)server->Send(MessageOf(1, "", {Segment::Copy("x")})).ok();
    ASSERT_TRUE(recorder->WaitClosed());
    EXPECT_EQ(recorder->closed.reason, CloseReason::kClosedHere);
    ASSERT_TRUE(accepted->WaitClosed());
  }
}

TEST_P(TransportTest, AStoppedReaderStopsItsWriterAndMemoryStaysBounded) {
  TransportOptions options = TestOptions();
  options.receive_window_bytes = 1 << 20;
  options.send_queue_bytes_max = 1 << 20;
  prepare_accepted_ = [](Recorder& recorder) { recorder.keep_credit = true; };
  Begin(options, options);
  const auto recorder = std::make_shared<Recorder>();
  const auto connection = Connect(recorder);
  ASSERT_TRUE(recorder->WaitOpen());
  // The receiver takes its window, the sender's queue fills up, and there it ends.
  const auto payload = Segment::Copy(std::string(64 * 1024, 'x'));
  constexpr uint64_t kBoundFrames = (2 << 20) / (64 * 1024) + 2;
  uint64_t frames = 0;
  Status status;
  while (status.ok()) {
    status = connection->Send(MessageOf(frames, "", {payload}));
    frames += status.ok();
    if (frames > 10 * kBoundFrames) break;
    // The queue is full for good only when the receiver has its window.
    if (!status.ok() && frames < 20) {
      EXPECT_TRUE(recorder->Wait([&] { return recorder->writable > 0; }));
      status = {};
    }
  }
  EXPECT_EQ(status.code(), Code::kExhausted);
  EXPECT_LE(frames, kBoundFrames);
  const auto [_, accepted] = Accepted();
  ASSERT_TRUE(accepted->WaitFrames(16));

  // The reader goes on: so does the writer, and all comes in order.
  const uint64_t wanted = frames + 100;
  std::thread reader([&, accepted = accepted] {
    for (size_t seen = 0; seen < wanted;) {
      std::vector<Credit> released;
      accepted->Wait([&] { return !accepted->credits.empty(); });
      accepted->Change([&] { released.swap(accepted->credits); });
      seen += released.size();
    }
  });
  while (frames < wanted) {
    const int before = recorder->Read<int>([&] { return recorder->writable; });
    if (connection->Send(MessageOf(frames, "", {payload})).ok()) {
      ++frames;
    } else {
      EXPECT_TRUE(recorder->Wait([&] { return recorder->writable > before; }));
    }
  }
  reader.join();
  for (uint64_t i = 0; i < wanted; ++i) ASSERT_EQ(accepted->frames[i].header.request, i);
}

TEST_P(TransportTest, NobodyThereIsToldAsUnreachable) {
  Begin();
  const std::string address = listener_->address();
  listener_.reset();
  const auto recorder = std::make_shared<Recorder>();
  const auto connection = client_->Connect(address, kTestNanos, recorder);
  (void)connection->Send(MessageOf(1)).ok();
  ASSERT_TRUE(recorder->WaitClosed());
  EXPECT_FALSE(recorder->open);
  EXPECT_EQ(recorder->closed.reason, CloseReason::kUnreachable);
  EXPECT_THAT(recorder->closed.status.message(), HasSubstr("cannot connect to " + address));
}

TEST_P(TransportTest, ConnectingHasADeadline) {
  Begin();
  // A server that is there and does nothing.
  std::promise<void> go_on;
  server_loop_.Post([&] { go_on.get_future().wait(); });
  const auto recorder = std::make_shared<Recorder>();
  const auto connection = client_->Connect(listener_->address(), 20'000'000, recorder);
  EXPECT_TRUE(recorder->WaitClosed());
  EXPECT_EQ(recorder->closed.reason, CloseReason::kTimeout);
  EXPECT_THAT(recorder->closed.status.message(), HasSubstr("took more than 20 ms"));
  go_on.set_value();
}

TEST_P(TransportTest, APeerThatStandsStillIsNoticed) {
  TransportOptions client = TestOptions();
  client.heartbeat_nanos = 5'000'000;
  client.dead_nanos = 500'000'000;
  std::promise<void> go_on;
  std::shared_future<void> gone_on = go_on.get_future().share();
  prepare_accepted_ = [&](Recorder& recorder) { recorder.on_frame = [&](const Frame&) { gone_on.wait(); }; };
  TransportOptions server = TestOptions();
  server.heartbeat_nanos = 5'000'000;
  Begin(server, client);
  const auto recorder = std::make_shared<Recorder>();
  const auto connection = Connect(recorder);
  ASSERT_TRUE(recorder->WaitOpen()) << recorder->closed.status.message();
  ASSERT_TRUE(connection->Send(MessageOf(1)).ok());
  EXPECT_TRUE(recorder->WaitClosed());
  EXPECT_EQ(recorder->closed.reason, CloseReason::kSilent) << recorder->closed.status.message();
  EXPECT_THAT(recorder->closed.status.message(), HasSubstr("no sign of life from"));
  go_on.set_value();
  const auto [_, accepted] = Accepted();
  EXPECT_TRUE(accepted->WaitClosed());
}

TEST_P(TransportTest, AnIdleConnectionStays) {
  TransportOptions options = TestOptions();
  options.heartbeat_nanos = 1'000'000;
  options.dead_nanos = 1'000'000'000;
  Begin(options, options);
  const auto recorder = std::make_shared<Recorder>();
  const auto connection = Connect(recorder);
  ASSERT_TRUE(recorder->WaitOpen());
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));  // Longer than the time of the dead.
  ASSERT_TRUE(connection->Send(MessageOf(1)).ok());
  const auto [_, accepted] = Accepted();
  ASSERT_TRUE(accepted->WaitFrames(1));
  EXPECT_EQ(recorder->closed_count, 0);
}

TEST_P(TransportTest, AnotherClusterIsRefused) {
  TransportOptions client = TestOptions();
  client.cluster = "other";
  Begin(TestOptions(), client);
  const auto recorder = std::make_shared<Recorder>();
  const auto connection = Connect(recorder);
  ASSERT_TRUE(recorder->WaitClosed());
  EXPECT_EQ(recorder->closed.reason, CloseReason::kRefused);
  EXPECT_THAT(recorder->closed.status.message(), HasSubstr("this is cluster \"local\", not \"other\""));
}

TEST_P(TransportTest, DestroyingTheTransportClosesItsConnections) {
  Begin();
  std::vector<std::shared_ptr<Recorder>> recorders;
  std::vector<std::shared_ptr<Connection>> connections;
  for (int i = 0; i < 20; ++i) {
    recorders.push_back(std::make_shared<Recorder>());
    connections.push_back(Connect(recorders.back()));
  }
  ASSERT_TRUE(recorders[3]->WaitOpen());
  client_.reset();
  for (const auto& recorder : recorders) {
    EXPECT_EQ(recorder->closed_count, 1);
    EXPECT_EQ(recorder->closed.reason, CloseReason::kShutdown);
  }
  const auto [server, accepted] = Accepted();
  EXPECT_TRUE(accepted->WaitClosed());
  server_.reset();  // Before its listener.
}

TEST_P(TransportTest, EachTypeWantsItsRole) {
  // What a client may send is asked twice: of the client, by its own Send, and of what the server receives.
  static const MessageTable lenient = [] {
    MessageTable table;
    for (const auto& [type, entry] : TestMessages().entries()) table.Add(type, entry.name, Role::kReadOnly);
    table.Add(99, "unknown to the server", Role::kReadOnly);
    return table;
  }();
  const std::pair<uint16_t, Role> needs[] = {
      {kReadMessage, Role::kReadOnly}, {kWriteMessage, Role::kClient}, {kNodeMessage, Role::kNode}};
  Begin();
  size_t made = 0;
  for (const Role role : {Role::kReadOnly, Role::kClient, Role::kNode}) {
    for (const auto& [type, least] : needs) {
      for (const bool honest : {true, false}) {
        SCOPED_TRACE(fmt::format("{} sends {}, {}", RoleName(role), type, honest ? "honest" : "forged"));
        TransportOptions options = TestOptions();
        options.role = role;
        if (!honest) options.messages = &lenient;
        const auto transport = GetParam().make(client_loop_, hub_, options);
        const auto recorder = std::make_shared<Recorder>();
        const auto connection = transport->Connect(listener_->address(), kTestNanos, recorder);
        const auto [server, accepted] = Accepted(made++);
        const Status status = connection->Send(MessageOf(1, "body", {}, type));
        if (role >= least) {
          EXPECT_TRUE(status.ok());
          EXPECT_TRUE(accepted->WaitFrames(1));
        } else if (honest) {
          EXPECT_THAT(status.message(), HasSubstr("wants role"));
        } else {
          EXPECT_TRUE(status.ok());
          EXPECT_TRUE(accepted->WaitClosed());
          EXPECT_EQ(accepted->closed.reason, CloseReason::kRefused);
          EXPECT_THAT(accepted->closed.status.message(), HasSubstr("wants role"));
          EXPECT_TRUE(accepted->frames.empty());
          EXPECT_TRUE(recorder->WaitClosed());
        }
      }
    }
  }
  TransportOptions options = TestOptions();
  options.messages = &lenient;
  const auto transport = GetParam().make(client_loop_, hub_, options);
  const auto recorder = std::make_shared<Recorder>();
  const auto connection = transport->Connect(listener_->address(), kTestNanos, recorder);
  ASSERT_TRUE(connection->Send(MessageOf(1, "", {}, 99)).ok());
  const auto [server, accepted] = Accepted(made);
  EXPECT_TRUE(accepted->WaitClosed());
  EXPECT_THAT(accepted->closed.status.message(), HasSubstr("99 is no type of message"));
}

}  // namespace
}  // namespace glim::net
