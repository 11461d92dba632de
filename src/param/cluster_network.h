// SPDX-License-Identifier: Apache-2.0
//
// The network side of a program's way to a cluster (cluster_client.h): connections, questions to the master, where
// shards are, and the bound on what may be under way. Tables (remote_table.h) are made over it.
//
// The network thread is whoever is in the loop (net/event_loop.h): a caller who makes a request when nobody else is,
// and a caller who waits for an answer. So a request and its answer wake nobody in this process.
//
// Thread: what is marked so belongs to the network thread; the rest from any.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "env/env.h"
#include "glim/future.h"
#include "net/event_loop.h"
#include "net/large_blocks.h"
#include "net/transport.h"
#include "param/cluster_client.h"
#include "param/wire.h"

namespace glim::param {

// Who is told of what servers and the master say about a table. Network thread.
class NetworkTable {
 public:
  virtual ~NetworkTable() = default;
  virtual void OnReply(const PushReply& reply) = 0;
  virtual void OnReply(const PullReply& reply) = 0;
  virtual void OnRoute(const ShardRoute& route) = 0;
  virtual void OnDropped() = 0;
  // Every 50 ms.
  virtual void Tick() = 0;
  // The program ends: shards may forget it. `sent` is called for each word of that when it is on its way; how many.
  virtual size_t Close(const std::function<void()>& sent) = 0;
  // The client is gone, and with it the network thread: whatever waits is dropped, and so answered.
  virtual void Cancel() = 0;
};

class ClusterNetwork final : public internal::Helper, public std::enable_shared_from_this<ClusterNetwork> {
 public:
  ClusterNetwork(env::Env& env, ClusterClientOptions options);
  // Nothing happens from then on. Called by the one that made it.
  void Stop();

  env::Env& env() { return env_; }
  int64_t now() { return env_.clock().MonotonicNanos(); }
  const ClusterClientOptions& options() const { return options_; }
  // Who this program is to the shards.
  const Producer& producer() const { return producer_; }
  bool InNetworkThread();
  // kInvalid when our key is for reading only.
  Status CheckMayPush() const;

  // A part of what may be under way, given back when the last one lets go of it.
  using Room = std::shared_ptr<const void>;
  // Waits until there is room, or the deadline: null. More than the limit fits when nothing else is under way. The
  // network thread never waits, as nobody else would make room.
  Room WaitForRoom(uint64_t bytes, Deadline deadline);
  Room TakeRoom(uint64_t bytes);
  uint64_t under_way_bytes() const;
  // Of large requests.
  net::LargeBlocks& memory() { return *memory_; }

  // Runs it in the network thread, later. kCancelled when the client is gone; then, and when it goes meanwhile, `work`
  // is dropped.
  Status Post(std::function<void()> work);
  // The same, at once when nobody else is in the network thread. So `work` calls nobody's callbacks.
  Status Run(std::function<void()> work);
  // Whoever waits for what the network thread answers works in its place.
  void HelpUntil(const std::function<bool()>& done, Deadline until) override;

  // Asks the master, and waits for its answer.
  template <class Answer, class Question>
  Result<Answer> Ask(Question question);
  // The same, and asks again when a master that is known goes or is away: for what may be asked twice. `asked_again`,
  // if given, says whether that was done: the master may have heard it before.
  template <class Answer, class Question>
  Result<Answer> AskAgain(const Question& question, bool* asked_again = nullptr);

  // Drops it at the master, and waits for the answer.
  Status DropTable(const std::string& name);

  // Network thread.
  void WantRoutes(uint64_t table);
  // When this server was last heard.
  int64_t heard_at(const std::string& address) const;
  // `sent`: the bytes are out, or lost.
  // kInvalid when our role may not send this. What a full queue does not take is lost, and sent again later.
  template <class Message>
  Status Send(const std::string& address, const Message& message, std::function<void()> sent = {}) {
    Status status = SendFrame(address, ToFrame(message), sent);
    if (!status.ok() && sent) sent();
    return status.code() == Code::kInvalid ? status : Status::Ok();
  }

  // The one object of a table. A second one would number its pushes from 1 on, too, and they would pass for repeated
  // ones.
  std::shared_ptr<NetworkTable> FindOrAdd(uint64_t id, const std::function<std::shared_ptr<NetworkTable>()>& make);
  void Forget(uint64_t id);

 private:
  class Session;
  struct UnderWay;
  struct Asked {
    uint16_t answer_type;
    std::function<void(Result<net::Frame>)> answered;
  };

  // Uses the loop, which stays meanwhile. False when it is gone.
  template <class Use>
  bool UseLoop(Use use) {
    {
      const std::lock_guard lock(loop_mutex_);
      if (loop_gone_) return false;
      ++loop_users_;
    }
    use(*loop_);
    const std::lock_guard lock(loop_mutex_);
    if (--loop_users_ == 0 && loop_gone_) loop_unused_.notify_all();
    return true;
  }

  Status SendFrame(const std::string& address, net::Frame frame, const std::function<void()>& sent);
  std::shared_ptr<net::Connection> Dial(const std::string& address);
  Status NoAnswer() const;
  void Tick();
  Status OnFrame(const net::Frame& frame);
  template <class Answer>
  Status OnAnswer(const net::Frame& frame);
  void OnClosed(const std::string& address, const net::Closing& closing);
  void OnRoutes(const RouteAnswer& answer);

  env::Env& env_;
  const ClusterClientOptions options_;
  const Producer producer_;
  net::Role role_ = net::Role::kClient;
  std::unique_ptr<net::EventLoop> loop_;
  std::mutex loop_mutex_;  // Guards the next lines.
  std::condition_variable loop_unused_;
  size_t loop_users_ = 0;
  bool loop_gone_ = false;  // Or will be when nobody uses it.
  const std::shared_ptr<UnderWay> under_way_;
  const std::shared_ptr<net::LargeBlocks> memory_ = std::make_shared<net::LargeBlocks>();

  std::atomic<bool> master_known_;  // It has answered, or somebody else knows.

  // The network thread's.
  std::unique_ptr<net::Timer> timer_;
  std::unique_ptr<net::Transport> transport_;
  bool stopped_ = false;
  std::map<std::string, std::shared_ptr<net::Connection>> dialled_;
  std::map<std::string, int64_t> heard_at_;
  std::map<uint64_t, std::shared_ptr<NetworkTable>> tables_;
  std::map<uint64_t, int64_t> routes_asked_;  // By table: when.
  std::map<uint64_t, Asked> asked_;           // By request.
  uint64_t next_request_ = 1;
};

template <class Answer, class Question>
Result<Answer> ClusterNetwork::Ask(Question question) {
  auto promise = std::make_shared<Promise<Answer>>(Deadline(std::chrono::nanoseconds(now() + options_.call_nanos)),
                                                   shared_from_this());
  Future<Answer> future = promise->GetFuture();
  const auto ask = [this, question = std::move(question), promise]() mutable {
    question.request = next_request_++;
    asked_[question.request] = {static_cast<uint16_t>(ToFrame(Answer{}).header.type),
                                [promise](Result<net::Frame> frame) {
                                  promise->Set(frame.ok() ? FromFrame<Answer>(*frame) : Result<Answer>(frame.status()));
                                }};
    if (Status refused = Send(options_.master, question); !refused.ok()) {
      asked_.erase(question.request);
      promise->Set(std::move(refused).With("this key does not allow it"));
    }
  };
  if (Status status = Run(ask); !status.ok()) return status;
  Result<Answer> answer = std::move(future).Get();
  if (!answer.ok() && answer.status().code() == Code::kTimeout) return NoAnswer();
  return answer;
}

template <class Answer, class Question>
Result<Answer> ClusterNetwork::AskAgain(const Question& question, bool* asked_again) {
  constexpr int64_t kPauseNanos = 100'000'000;
  const int64_t until = now() + options_.call_nanos;
  while (true) {
    Result<Answer> answer = Ask<Answer>(question);
    if (answer.ok() || answer.status().code() != Code::kUnavailable || !master_known_ || now() >= until) return answer;
    if (asked_again != nullptr) *asked_again = true;
    env_.clock().SleepFor(kPauseNanos);
  }
}

}  // namespace glim::param
