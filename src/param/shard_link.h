// SPDX-License-Identifier: Apache-2.0
//
// What a program's table knows of one shard: where its primary is, the pushes on their way (numbered by a PushSession,
// sent until answered), and the pulls that wait for their rows. Requests are begun in the order in which they came; a
// pull sees the pushes begun before it. What cannot be begun yet waits in a backlog, in its order.
//
// A push that wants an answer (PushPull) is a push and a pull of what the shard keeps as its answer, both sent at once;
// no more than kAnswersKept pushes are begun before the answer is here.
//
// A pull may see pushes that were begun after it and before its rows came.
//
// When a session ends (the shard has lost what it acknowledged, or refuses what this program took for good), what is
// behind it is unknown or refused. Once all before it is heard of, a new one begins under another name, and what came
// meanwhile is pushed. A task's link (task_table.h) has but one session: with that it ends, and so it does when it
// cannot make a push in time, because the next attempt must find the first pushes of this one, without a hole.
//
// Thread: the network thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "param/cluster_network.h"
#include "param/replication/push_session.h"

namespace glim::param {

// Of a task that pushes under a name of its own; or of another part of a program that does not stand in line with the
// rest.
struct TaskProducer {
  Producer producer;
  uint64_t attempt = 0;
  uint64_t first_pull = 0;  // Pulls of all links to one shard have different numbers.
  bool is_task = true;      // Else its sessions are opened and closed as those of the program are.
};

class ShardLink final : private PushSessionOutput, public std::enable_shared_from_this<ShardLink> {
 public:
  // Pieces come in order; one with offset 0 begins anew. `done` comes once, and ends it.
  struct Answer {
    uint64_t bytes = ~uint64_t{0};  // Expected in all; when known.
    std::function<void(std::span<const std::byte> piece, uint64_t offset)> take;
    std::function<void(Status)> done;
  };
  struct Pull {
    SharedBytes op;
    int64_t deadline = 0;
    Answer answer;
    ClusterNetwork::Room room;
  };
  struct Push {
    SharedBytes op;
    int64_t deadline = 0;
    std::function<void(Status)> done;
    std::optional<Answer> answer;
  };

  ShardLink(std::shared_ptr<ClusterNetwork> network, ShardId shard, std::string table,
            const std::optional<TaskProducer>& task);

  void Start(Push push);
  void Start(Pull pull);

  void OnReply(const PushReply& reply);
  void OnReply(const PullReply& reply);
  void OnRoute(const ShardRoute& route);
  // What another link to the same shard knows.
  void TakeRoute(const ShardLink& other);
  const std::string& address() const { return address_; }  // Of the primary, as far as it is known.
  void Tick();
  // The program ends: the shard may forget it. `sent` is called when that is on its way; false: it will not be.
  bool Close(std::function<void()> sent);
  // Everything, and all that comes later, is answered so.
  void End(const Status& status);
  // Forgets everything.
  void Cancel();

 private:
  struct Asked {
    PullRequest request;
    Answer answer;
    ClusterNetwork::Room room;
    int64_t deadline = 0;
    int64_t heard_at = 0;
    bool busy = false;
    std::string waits_for;  // What the shard says must happen before.
    uint64_t received = 0;
  };
  struct Waiting {
    std::optional<Push> push;
    std::optional<Pull> pull;
  };
  struct Sent {
    std::function<void(Status)> done;
    uint64_t answer = 0;  // The number of the pull that asks for it.
  };

  void Send(const Member& primary, PushRequest request) override;
  void WantRoute(const ShardId& shard) override { network_->WantRoutes(shard.table); }
  void Done(uint64_t push, PushResult result, const std::string& error) override;

  void NewSession();
  void RenewIfIdle();
  void FollowIfOver();
  bool Begin(Push* push);
  void Begin(Pull* pull);
  void Ask(Asked asked);
  void AskAgain(uint64_t number);
  void Finish(uint64_t number, Status status);
  // What could not be begun before.
  void GoOn();

  const std::shared_ptr<ClusterNetwork> network_;
  const ShardId shard_;
  const std::string table_;
  const bool of_task_;
  uint64_t attempt_;  // A task's; else counts our sessions.
  Producer producer_;
  std::optional<PushSession> session_;
  std::string address_;
  std::optional<Member> primary_;
  Status over_;
  std::deque<Waiting> backlog_;
  std::map<uint64_t, Sent> sent_;  // By the session's number of the push.
  size_t unsent_ = 0;              // Pushes that are not on their way yet.
  std::function<void()> closed_;
  std::map<uint64_t, Asked> asked_;
  uint64_t next_pull_ = 1;
  std::multiset<uint64_t> answers_wanted_;  // Their pushes' seqs.
};

}  // namespace glim::param
