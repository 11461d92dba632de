// SPDX-License-Identifier: Apache-2.0
#include "param/task_table.h"

#include <fmt/format.h>

#include <deque>
#include <mutex>
#include <utility>

#include "base/hash.h"
#include "base/try.h"
#include "param/after.h"
#include "param/forwarding_table.h"
#include "param/remote_table.h"

namespace glim::param {

// What became of the pushes of a task.
// Thread: Note and first from any, the rest the task's.
class PushesOfTask {
 public:
  // From now on it is under way. Waits for the oldest when there are many.
  void Keep(Dependency push) {
    while (!under_way_.empty() && (under_way_.size() >= kUnderWayMax || under_way_.front().ready())) {
      (void)under_way_.front().Wait();
      under_way_.pop_front();
    }
    if (!push.ready()) under_way_.push_back(std::move(push));
  }
  void WaitForAll() {
    for (; !under_way_.empty(); under_way_.pop_front()) Note(under_way_.front().Wait());
  }

  void Note(const Status& status) {
    if (status.ok() || status.code() == Code::kInvalid) return;
    const std::lock_guard lock(mutex_);
    if (first_.ok()) first_ = status;
  }
  Status first() const {
    const std::lock_guard lock(mutex_);
    return first_;
  }

 private:
  static constexpr size_t kUnderWayMax = 64;

  std::deque<Dependency> under_way_;
  mutable std::mutex mutex_;
  Status first_;  // Failure.
};

namespace {

Future<void> Noted(Future<void> push, const std::shared_ptr<PushesOfTask>& pushes) {
  const Dependency done(push);
  done.Then([done, pushes] { pushes->Note(done.status()); });
  pushes->Keep(done);
  return push;
}

class TaskTable final : public ForwardingTable {
 public:
  TaskTable(TableHandle table, std::shared_ptr<RemoteTable> own, bool again, std::shared_ptr<PushesOfTask> pushes)
      : table_(std::move(table)), own_(std::move(own)), again_(again), pushes_(std::move(pushes)) {}

  Future<void> Push(std::span<const Key> keys, std::span<const std::byte> values, const PushOptions& options) override {
    RETURN_IF_ERROR(MayPush(options));
    return Noted(own_->Push(keys, values, WithoutOthers(options)), pushes_);
  }
  Future<void> VPush(std::span<const Key> keys, std::span<const std::byte> values, std::span<const uint32_t> lengths,
                     const PushOptions& options) override {
    RETURN_IF_ERROR(MayPush(options));
    return Noted(own_->VPush(keys, values, lengths, WithoutOthers(options)), pushes_);
  }
  Future<void> PushPull(std::span<const Key> keys, std::span<const std::byte> values, std::span<std::byte> out,
                        const PushOptions& options) override {
    RETURN_IF_ERROR(MayPush(options));
    if (!again_) return Noted(own_->PushPull(keys, values, out, WithoutOthers(options)), pushes_);
    // The shard has the answers of the last pushes only.
    RETURN_IF_ERROR(Noted(own_->Push(keys, values, WithoutOthers(options)), pushes_).Wait());
    return own_->Pull(keys, out, WithoutOthers(options));
  }
  // They see the task's pushes.
  Future<void> Pull(std::span<const Key> keys, std::span<std::byte> out, const PullOptions& options) override {
    return own_->Pull(keys, out, options);
  }
  Future<VariableBytes> VPull(std::span<const Key> keys, const PullOptions& options) override {
    return own_->VPull(keys, options);
  }

 protected:
  TableHandle table() const override { return table_; }

 private:
  // The order of pushes is that of the calls, whatever they follow.
  Status MayPush(const PushOptions& options) {
    ClusterNetwork& network = own_->network();
    if (network.InNetworkThread()) {
      return Status::Invalid(
          fmt::format("table \"{}\": a task pushes from its own thread, not from callbacks and not "
                      "more than a million keys of a range at a time",
                      spec().name));
    }
    if (failed_.ok() && own_->has_hole()) {
      failed_ = Status::Stale(fmt::format(
          "table \"{}\": an earlier push of this task was not made whole, and only its next attempt can go on",
          spec().name));
    }
    if (failed_.ok()) failed_ = WaitForOthers(options, network.env().clock());
    pushes_->Note(failed_);
    return failed_;
  }
  static PushOptions WithoutOthers(const PushOptions& options) {
    return {.deadline = options.deadline, .after = {}, .owner = options.owner};
  }

  const TableHandle table_;
  const std::shared_ptr<RemoteTable> own_;
  const bool again_;
  const std::shared_ptr<PushesOfTask> pushes_;
  Status failed_;
};

}  // namespace

Producer ProducerOf(const TaskAttempt& task) {
  const std::string name = fmt::format("{} {} {} {}", task.stage, task.partition, task.step, task.job);
  return {base::HashBytes(name, 1), base::HashBytes(name, 2)};
}

TaskTables::TaskTables(TaskAttempt task) : task_(std::move(task)), pushes_(std::make_shared<PushesOfTask>()) {}
TaskTables::~TaskTables() = default;
void TaskTables::WaitForPushes() { pushes_->WaitForAll(); }
Status TaskTables::failure() const { return pushes_->first(); }

Result<TableHandle> TaskTables::Of(const TableHandle& table) {
  const TableHandle now = ReboundTable::Now(table);
  const auto shared = std::dynamic_pointer_cast<RemoteTable>(now);
  if (shared == nullptr) return table;
  const auto [known, is_new] = tables_.try_emplace(table);
  if (is_new) {
    auto own = shared->ForTask(ProducerOf(task_), task_.attempt);
    if (!own.ok()) {
      tables_.erase(known);
      return std::move(own).status();
    }
    known->second = std::make_shared<TaskTable>(now, *std::move(own), task_.attempt > 0, pushes_);
  }
  return known->second;
}

}  // namespace glim::param
