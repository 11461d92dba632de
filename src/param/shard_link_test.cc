// SPDX-License-Identifier: Apache-2.0
//
// What a link tells of its pushes and pulls, against a shard whose answers the test gives.
#include "param/shard_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "env/env.h"
#include "net/transport_test.h"
#include "param/wire.h"

namespace glim::param {
namespace {

constexpr ShardId kShard{1, 0};

std::string TextOf(const SharedBytes& op) {
  std::string text;
  for (const std::byte byte : op.bytes) text += static_cast<char>(byte);
  return text;
}

class ShardLinkTest : public testing::Test {
 protected:
  ShardLinkTest() {
    net::TransportOptions options = net::TestOptions();
    options.messages = &ClusterMessages();
    server_ = net::MakeTcpTransport(loop_, options);
    auto listener = server_->Listen("127.0.0.1:0", [this](const auto&) { return shard_; });
    EXPECT_TRUE(listener.ok()) << listener.status().message();
    listener_ = std::move(listener).value();
    // No master is there; the route is told by hand.
    network_ = std::make_shared<ClusterNetwork>(*env_, ClusterClientOptions{.master = "127.0.0.1:1"});
    link_ = std::make_shared<ShardLink>(network_, kShard, "t", std::nullopt);
    InNetwork([&] {
      ShardRoute route{.shard = kShard, .active = true, .address = listener_->address()};
      route.view.primary = {1, 1};
      link_->OnRoute(route);
    });
  }
  ~ShardLinkTest() override {
    InNetwork([&] { link_->Cancel(); });
    network_->Stop();
    listener_.reset();
    server_.reset();
  }

  void InNetwork(const std::function<void()>& work) {
    std::promise<void> done;
    ASSERT_TRUE(network_
                    ->Post([&] {
                      work();
                      done.set_value();
                    })
                    .ok());
    done.get_future().wait();
  }

  std::shared_future<Status> Push(const std::string& op, bool with_answer = false) {
    auto promise = std::make_shared<std::promise<Status>>();
    InNetwork([&] {
      ShardLink::Push push{SharedBytes::Of(op), Deadline(), [promise](Status s) { promise->set_value(s); }, {}};
      if (with_answer) push.answer.emplace(ShardLink::Answer{.take = [](auto, auto) {}, .done = [](auto) {}});
      link_->Start(std::move(push));
    });
    return promise->get_future();
  }
  std::shared_future<Status> Pull() {
    auto promise = std::make_shared<std::promise<Status>>();
    InNetwork([&] {
      link_->Start(ShardLink::Pull{SharedBytes::Of("pull"),
                                   Deadline(),
                                   {.take = [](auto, auto) {}, .done = [promise](Status s) { promise->set_value(s); }},
                                   nullptr});
    });
    return promise->get_future();
  }
  int64_t Deadline() { return network_->now() + net::kTestNanos; }

  void Answer(uint64_t attempt, PushOutcome outcome, uint64_t seq, const std::string& error = "") {
    InNetwork([&] { link_->OnReply(PushReply{kShard, network_->producer(), attempt, outcome, seq, 1, error}); });
  }
  void AnswerPull(uint64_t request) {
    InNetwork([&] { link_->OnReply(PullReply{.shard = kShard, .request = request, .view = 1}); });
  }

  // The first message that came, or comes, and is as wanted.
  template <class Message>
  Message Received(const std::function<bool(const Message&)>& wanted) {
    std::optional<Message> found;
    EXPECT_TRUE(shard_->Wait([&] {
      for (const net::Frame& frame : shard_->frames) {
        if (frame.header.type != ToFrame(Message{}).header.type) continue;
        Result<Message> message = FromFrame<Message>(frame);
        if (message.ok() && wanted(*message)) found = *message;
        if (found) return true;
      }
      return false;
    }));
    return found.value_or(Message{});
  }

  static bool IsReady(const std::shared_future<Status>& future) {
    return future.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
  static Status Told(const std::shared_future<Status>& future) {
    if (future.wait_for(std::chrono::nanoseconds(net::kTestNanos)) == std::future_status::ready) return future.get();
    return Status::Timeout("nobody told");
  }

  const std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  net::EventLoop loop_;
  const std::shared_ptr<net::Recorder> shard_ = std::make_shared<net::Recorder>();
  std::unique_ptr<net::Transport> server_;
  std::unique_ptr<net::Listener> listener_;
  std::shared_ptr<ClusterNetwork> network_;
  std::shared_ptr<ShardLink> link_;
};

TEST_F(ShardLinkTest, PushesBeforeARefusedOneAreToldWhatBecomesOfThem) {
  const auto first = Push("first"), second = Push("second"), bad = Push("bad"), behind = Push("behind");
  const auto pull = Pull();
  Answer(1, PushOutcome::kOpened, 1);
  Received<PushRequest>([](const PushRequest& request) { return request.seq == 4; });
  Answer(1, PushOutcome::kRefused, 3, "it makes no sense");
  EXPECT_EQ(Told(bad).code(), Code::kInvalid);
  EXPECT_EQ(Told(behind).code(), Code::kInvalid);
  EXPECT_FALSE(IsReady(first));
  EXPECT_FALSE(IsReady(second));

  // It waits for the end of the session, in its order.
  const auto later = Push("later");
  EXPECT_FALSE(IsReady(later));
  Answer(1, PushOutcome::kApplied, 1);
  EXPECT_TRUE(Told(first).ok());
  EXPECT_FALSE(IsReady(second));
  Answer(1, PushOutcome::kApplied, 2);
  EXPECT_TRUE(Told(second).ok());

  const auto open = Received<PushRequest>([](const PushRequest& request) { return request.attempt == 2; });
  EXPECT_EQ(open.kind, RecordKind::kOpen);
  Answer(2, PushOutcome::kOpened, 2);
  Received<PushRequest>([](const PushRequest& request) {
    return request.session == 2 && request.seq == 1 && TextOf(request.op) == "later";
  });
  Answer(2, PushOutcome::kApplied, 1);
  EXPECT_TRUE(Told(later).ok());

  // The pull was to see four pushes of the first session, which will never be.
  const auto asked = Received<PullRequest>([](const PullRequest& request) { return request.after_seq == 0; });
  AnswerPull(asked.request);
  EXPECT_TRUE(Told(pull).ok());
}

TEST_F(ShardLinkTest, WhatAShardHasForgottenEndsAtOnceAndTheNextPushIsMade) {
  const auto first = Push("first");
  Answer(1, PushOutcome::kOpened, 1);
  Answer(1, PushOutcome::kNoSession, 0);
  EXPECT_EQ(Told(first).code(), Code::kTimeout);
  EXPECT_THAT(Told(first).message(), testing::HasSubstr("it is not known whether the push is applied"));
  const auto next = Push("next");
  Answer(2, PushOutcome::kOpened, 2);
  Answer(2, PushOutcome::kApplied, 1);
  EXPECT_TRUE(Told(next).ok());
}

}  // namespace
}  // namespace glim::param
