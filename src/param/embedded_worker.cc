// SPDX-License-Identifier: Apache-2.0
//
// A worker of an embedded table: its requests are the table's, before and after a word with the clock. A request that
// is to wait for others (`after`) waits in the call, so that all of a worker's requests are in its order.
#include <fmt/format.h>

#include <utility>

#include "base/try.h"
#include "param/after.h"
#include "param/clocks/worker_table.h"
#include "param/embedded_table.h"

namespace glim::param {

class EmbeddedTable::Worker final : public WorkerTable {
 public:
  Worker(std::shared_ptr<EmbeddedTable> table, const JoinOptions& options, const EmbeddedClock::Joined& joined)
      : WorkerTable(table, options), table_(std::move(table)), id_(joined.id), clock_(joined.clock) {}
  ~Worker() override { (void)Leave(); }

  uint64_t clock() const override { return clock_; }

  Future<void> Push(std::span<const Key> keys, std::span<const std::byte> values, const PushOptions& options) override {
    RETURN_IF_ERROR(WaitFor(options));
    RETURN_IF_ERROR(table_->CheckPush(keys, values));
    ASSIGN_OR_RETURN(const bool now, Take(keys, values, {}, false));
    return now ? table_->PushRows(keys, values) : Status::Ok();
  }
  Future<void> VPush(std::span<const Key> keys, std::span<const std::byte> values, std::span<const uint32_t> lengths,
                     const PushOptions& options) override {
    RETURN_IF_ERROR(WaitFor(options));
    std::vector<uint64_t> begins;
    RETURN_IF_ERROR(table_->CheckVPush(keys, values, lengths, &begins));
    ASSIGN_OR_RETURN(const bool now, Take(keys, values, lengths, true));
    return now ? table_->VPushRows(keys, values, lengths, begins) : Status::Ok();
  }
  Future<void> Pull(std::span<const Key> keys, std::span<std::byte> out, const PullOptions& options) override {
    RETURN_IF_ERROR(WaitFor(options));
    RETURN_IF_ERROR(table_->clock_.WaitToPull(id_, clock_, DeadlineOf(options, table_->env_.clock())));
    return table_->PullNow(keys, out);
  }
  Future<VariableBytes> VPull(std::span<const Key> keys, const PullOptions& options) override {
    RETURN_IF_ERROR(WaitFor(options));
    RETURN_IF_ERROR(table_->clock_.WaitToPull(id_, clock_, DeadlineOf(options, table_->env_.clock())));
    VariableBytes rows;
    RETURN_IF_ERROR(table_->VPullNow(keys, &rows));
    return rows;
  }

  Status Clock(std::chrono::nanoseconds) override {
    const auto saving = table_->HoldSnapshots();
    RETURN_IF_ERROR(table_->clock_.Clock(id_, clock_));
    ++clock_;
    pushes_ = 0;
    return Status::Ok();
  }
  Status Barrier(std::chrono::nanoseconds deadline) override {
    RETURN_IF_ERROR(Clock(deadline));
    return table_->clock_.WaitForAll(id_, clock_,
                                     DeadlineOf({.deadline = deadline, .after = {}}, table_->env_.clock()));
  }
  Status Leave() override {
    const auto saving = table_->HoldSnapshots();
    return table_->clock_.Leave(id_);
  }

 private:
  Status WaitFor(const RequestOptions& options) { return WaitForOthers(options, table_->env_.clock()); }

  // Whether the push is to be made now, and not held by the clock.
  Result<bool> Take(std::span<const Key> keys, std::span<const std::byte> values, std::span<const uint32_t> lengths,
                    bool variable) {
    std::shared_ptr<HeldPush> held;
    if (spec().consistency == kBsp) {
      held = std::make_shared<HeldPush>(HeldPush{
          {keys.begin(), keys.end()}, {values.begin(), values.end()}, {lengths.begin(), lengths.end()}, variable});
    }
    ASSIGN_OR_RETURN(const WorkerClocks::Taken taken, table_->clock_.Push(id_, clock_, pushes_, std::move(held)));
    ++pushes_;
    return taken == WorkerClocks::Taken::kApply;
  }

  const std::shared_ptr<EmbeddedTable> table_;
  const WorkerId id_;
  uint64_t clock_;
  uint64_t pushes_ = 0;
};

Result<WorkerHandle> EmbeddedTable::Join(const JoinOptions& options) {
  RETURN_IF_ERROR(layout_.CheckJoin(options));
  ASSIGN_OR_RETURN(const EmbeddedClock::Joined joined, clock_.Join(options.worker, options.workers));
  return WorkerHandle(std::make_shared<Worker>(shared_from_this(), options, joined));
}

Status EmbeddedTable::RemoveWorker(uint32_t worker) {
  const auto saving = HoldSnapshots();
  return clock_.Leave({worker, 0});
}

std::unique_lock<std::mutex> EmbeddedTable::HoldSnapshots() {
  return spec_.consistency == kBsp ? std::unique_lock(save_mutex_) : std::unique_lock<std::mutex>();
}

void EmbeddedTable::Combine(const HeldPush& push) {
  if (!push.variable) {
    (void)PushRows(push.keys, push.values);  // It fails when the table was dropped.
    return;
  }
  std::vector<uint64_t> begins;
  if (layout_.CheckLengths(push.values.size(), push.lengths, &begins).ok()) {
    (void)VPushRows(push.keys, push.values, push.lengths, begins);
  }
}

}  // namespace glim::param
