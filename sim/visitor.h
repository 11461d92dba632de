// SPDX-License-Identifier: Apache-2.0
//
// A program that comes, pushes a little to every shard, closes its sessions and goes; or is paused for long, or dies.
// When a session of it ends, or was idle, it opens another one, as a table's link does (src/param/shard_link.h). What
// it pushes next has the next number in its text, also when it does not know what became of the one before: so what is
// applied may leave out numbers that nobody was told of, and never comes twice.
//
// Thread: that of the run.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "run.h"

namespace glim::sim {

class Visitor final : public param::PushSessionOutput {
 public:
  static constexpr uint64_t kFirstLow = 1'000'000;  // Of its producer; those of clients are smaller.

  Visitor(Run& run, uint32_t process, uint64_t number);
  void Send(const Member& primary, param::PushRequest request) override;
  void WantRoute(const ShardId& shard) override;
  void Done(uint64_t push, param::PushResult result, const std::string& error) override;

  void Tick(Random& dice);
  void OnRoute(const ShardId& shard, const Member& primary);
  void OnReply(const param::PushReply& reply);
  bool finished() const { return finished_; }

 private:
  struct ToShard {
    std::unique_ptr<param::PushSession> session;
    uint64_t attempt = 0;
    std::optional<Member> primary;
    uint64_t next_id = 1;
    std::map<uint64_t, uint64_t> ids;  // Push of the session -> id.
  };
  void Open(size_t shard);

  Run& run_;
  const uint32_t process_;
  const param::Producer producer_;
  const uint64_t pushes_;  // To each shard.
  size_t working_on_ = 0;
  std::vector<ToShard> shards_;
  bool finished_ = false;
};

}  // namespace glim::sim
