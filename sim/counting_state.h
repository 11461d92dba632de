// SPDX-License-Identifier: Apache-2.0
//
// The state that simulated shards hold: of every producer the pushes that were applied, by the number that the producer
// gave them in its own text. What is applied twice, or before an earlier one, is noted.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "param/replication/shard_state.h"

namespace glim::sim {

// What a push of the simulation says: "push `id` of this producer". One that `is_bad` is refused.
struct Operation {
  uint64_t id = 0;
  bool is_bad = false;
};
param::SharedBytes Encode(const Operation& operation);
Operation DecodeOperation(const param::SharedBytes& bytes);

// Of each producer, by the low half of its number, the last push applied.
using LastIds = std::map<uint64_t, uint64_t>;
LastIds DecodeLastIds(std::span<const std::byte> bytes);

class CountingState final : public param::ShardState {
 public:
  // `applied` is told of each push that is not a duplicate for the replica.
  using Observer = std::function<void(const param::Record& record, uint64_t last_id)>;
  // `fits`: whether there is room now.
  CountingState(bool on_disk, std::function<bool()> fits, Observer applied)
      : on_disk_(on_disk), fits_(std::move(fits)), applied_(std::move(applied)) {}

  Status Check(const param::SharedBytes& op) const override;
  bool Fits(const param::SharedBytes& op, uint64_t reserved_bytes) const override { return fits_(); }
  bool FitsSnapshot(uint64_t bytes) const override { return fits_(); }
  param::SharedBytes Apply(const param::Record& record) override;
  Result<param::SharedBytes> Read(const param::SharedBytes& request) const override;
  std::string Save() const override;
  Status Restore(std::span<const std::byte> bytes) override;
  bool on_disk() const override { return on_disk_; }
  void Clear() override { last_ids_.clear(); }

  // Whether a push is answered; with what the state is right behind it.
  static bool HasAnswer(uint64_t id) { return id % 3 == 0; }
  const LastIds& last_ids() const { return last_ids_; }

 private:
  const bool on_disk_;
  const std::function<bool()> fits_;
  const Observer applied_;
  LastIds last_ids_;
};

}  // namespace glim::sim
