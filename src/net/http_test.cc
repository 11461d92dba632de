// SPDX-License-Identifier: Apache-2.0
#include "net/http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/proxy_test.h"
#include "net/transport_test.h"

namespace glim::net {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

HttpResponse Echo(std::string_view path) {
  if (path == "/none") return {.status = 404, .body = "nothing\n"};
  return {.body = "path " + std::string(path) + "\n"};
}

const HttpHandler kEcho = Echo;

TEST(Http, GuessesByTheFirstBytes) {
  for (const auto* text : {"GET ", "GET /metrics HTTP/1.1", "HEAD /"}) EXPECT_EQ(GuessHttp(text), HttpGuess::kHttp);
  for (const auto* text : {"", "G", "GET", "HEAD"}) EXPECT_EQ(GuessHttp(text), HttpGuess::kUnknown);
  for (const auto* text : {"GLM\x01", "GETS", "get ", "POST /", "\x16\x03"}) {
    EXPECT_EQ(GuessHttp(text), HttpGuess::kOther);
  }
}

TEST(Http, AnswersWhateverThePieces) {
  const std::string request = "GET /a/b?c=d HTTP/1.1\r\nHost: here\r\nAccept: */*\r\n\r\n";
  for (size_t step = 1; step <= request.size(); ++step) {
    HttpExchange exchange(kEcho);
    std::string answer;
    for (size_t at = 0; at < request.size(); at += step) {
      EXPECT_EQ(answer, "");
      answer = exchange.Take(std::string_view(request).substr(at, step));
    }
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Content-Length: 10\r\n"),
                              HasSubstr("Connection: close\r\n"), EndsWith("\r\n\r\npath /a/b\n")));
    EXPECT_EQ(exchange.Take("GET / HTTP/1.1\r\n\r\n"), "");  // Once.
  }
}

TEST(Http, HeadHasTheSameHeadAndNoBody) {
  HttpExchange exchange(kEcho);
  EXPECT_THAT(exchange.Take("HEAD /x HTTP/1.0\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.0 200 OK\r\n"), HasSubstr("Content-Length: 8\r\n"), EndsWith("\r\n\r\n")));
}

TEST(Http, SaysWhatIsWrong) {
  const auto answer = [](std::string_view request) { return HttpExchange(kEcho).Take(request); };
  EXPECT_THAT(answer("GET /none HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_THAT(answer("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(answer("GET / SMTP\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(answer("GET / HTTP/1.1\r\nA: " + std::string(20'000, 'a')), StartsWith("HTTP/1.1 431 "));
  EXPECT_EQ(answer("GET / HTTP/1.1\r\nA: b\r\n"), "");
}

// ------------------------------------------------------------------------------------------------- at a port of frames

class HttpPortTest : public testing::Test {
 protected:
  HttpPortTest() {
    TransportOptions options = TestOptions();
    options.http = kEcho;
    transport_ = MakeTcpTransport(loop_, options);
    auto listener = transport_->Listen("127.0.0.1:0", [this](const std::shared_ptr<Connection>&) {
      auto recorder = std::make_shared<Recorder>();
      recorders_.push_back(recorder);
      return recorder;
    });
    EXPECT_TRUE(listener.ok()) << listener.status().message();
    listener_ = *std::move(listener);
  }
  ~HttpPortTest() override {
    listener_.reset();
    transport_.reset();
  }
  std::string Ask(std::string_view bytes) {
    RawSocket socket(listener_->address());
    EXPECT_TRUE(socket.Send(bytes));
    return socket.ReceiveAll();
  }

  EventLoop loop_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Listener> listener_;
  std::vector<std::shared_ptr<Recorder>> recorders_;
};

TEST_F(HttpPortTest, GetIsAnsweredAndTheConnectionClosed) {
  for (int i = 0; i < 100; ++i) {
    EXPECT_THAT(Ask("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
                AllOf(StartsWith("HTTP/1.1 200 OK"), EndsWith("path /healthz\n")));
  }
  EXPECT_EQ(transport_->refused_count(), 0u);
  EXPECT_TRUE(recorders_.empty());
}

TEST_F(HttpPortTest, FramesGoOnBesideIt) {
  const auto recorder = std::make_shared<Recorder>();
  const auto client = MakeTcpTransport(loop_, TestOptions());
  const auto connection = client->Connect(listener_->address(), kTestNanos, recorder);
  ASSERT_TRUE(recorder->WaitOpen());
  EXPECT_THAT(Ask("GET / HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 200"));
  connection->Close();
  EXPECT_TRUE(recorder->WaitClosed());
}

// Clients that wait for the server's first word, as those of other languages may.
TEST_F(HttpPortTest, WhoSaysNothingIsChallenged) {
  RawSocket socket(listener_->address());
  EXPECT_THAT(socket.Receive(), StartsWith("GLM"));
}

TEST_F(HttpPortTest, WhatIsNeitherIsTurnedAway) {
  EXPECT_THAT(Ask(std::string(100, 'x')), testing::Not(HasSubstr("HTTP")));
  EXPECT_EQ(transport_->refused_count(), 1u);
}

TEST_F(HttpPortTest, WithoutAHandlerThereIsNoHttp) {
  const auto plain = MakeTcpTransport(loop_, TestOptions());
  const auto listener = plain->Listen("127.0.0.1:0", [](const auto&) { return std::make_shared<Recorder>(); });
  ASSERT_TRUE(listener.ok());
  RawSocket socket((*listener)->address());
  EXPECT_TRUE(socket.Send("GET / HTTP/1.1\r\nUser-Agent: longer than the head of a frame\r\n\r\n"));
  EXPECT_THAT(socket.ReceiveAll(), testing::Not(HasSubstr("HTTP")));
}

}  // namespace
}  // namespace glim::net
