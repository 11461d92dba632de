// SPDX-License-Identifier: Apache-2.0
//
// The other end of a connection between a driver and an executor, or two executors: both sides ask, both answer.
//
// When the connection is lost, all that was asked and not answered fails with kStale, and so does what is asked later:
// who asked must look for another way. A question itself has no deadline, since a task may take hours; a connection
// has: it is lost when the other side shows no sign of life for some seconds.
//
// What waits to be sent is bounded by what was asked: a side that asks more than kUnansweredMax questions at once is
// cut off.
//
// Thread: Ask, Answer and Close from any; callbacks come in the loop.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "glim/status.h"
#include "net/event_loop.h"
#include "net/transport.h"

namespace glim::cluster {

// The way to the other side.
struct PeerWay {
  bool other_machine = false;
  // That got there lately while some were under way: how fast the network is. 0: it is not known yet.
  double bytes_per_second = 0;
};

class Peer final : public net::ConnectionHandler, public std::enable_shared_from_this<Peer> {
 public:
  static constexpr size_t kUnansweredMax = 4096;
  using Answered = std::function<void(Result<net::Frame>)>;
  using Asked = std::function<void(const std::shared_ptr<Peer>&, net::Frame)>;
  using Lost = std::function<void(const std::shared_ptr<Peer>&, const Status& why)>;

  // `name`: for messages. `loop` outlives the connection.
  Peer(net::EventLoop& loop, std::string name, Asked asked, Lost lost)
      : loop_(loop), name_(std::move(name)), asked_(std::move(asked)), lost_(std::move(lost)) {}

  // One that was lost before it was found.
  static std::shared_ptr<Peer> MakeLost(net::EventLoop& loop);

  // In the loop, once, before anything else.
  void Attach(std::shared_ptr<net::Connection> connection) { connection_ = std::move(connection); }

  void Ask(net::Frame question, Answered answered);
  void Answer(net::Frame answer);
  void Close();
  const std::string& name() const { return name_; }
  // In the loop, once the other side has said something.
  PeerWay Way();

  void OnFrame(net::Frame frame, net::Credit credit) override;
  void OnWritable() override;
  void OnClosed(const net::Closing& closing) override;

 private:
  void Send(net::Frame frame);
  void Fail(const Status& status);

  net::EventLoop& loop_;
  const std::string name_;
  Asked asked_;
  Lost lost_;
  // The loop's.
  std::shared_ptr<net::Connection> connection_;
  bool closed_ = false;
  Status why_;
  uint64_t next_request_ = 1;
  size_t unanswered_ = 0;  // Questions of the other side.
  std::map<uint64_t, Answered> waiting_;
  std::deque<net::Frame> unsent_;
  net::Delivery measured_;  // Until then, and how fast it was.
  double bytes_per_second_ = 0;
};

}  // namespace glim::cluster
