// SPDX-License-Identifier: Apache-2.0
//
// A shard's state with the clocks of workers around its rows (docs/design/clocks.md): what a replica replicates when
// workers have clocks. Operations of workers are those of the rows with a header before them, or a header alone:
//
//   u32 kind (a ClockCall) | u32 worker | u64 attempt | u64 clock | u64 number | an operation or request of the rows
//
// All else goes to the rows as it is, so a table that no worker has joined pays a comparison. Kinds of rows' operations
// (param/table_state.h) are below 16.
//
// What is to be done at a clock (kAt; a Save of a bulk-synchronous table) waits for it here, and is passed over when
// that clock is over. Like what a Save keeps (param/table_state.h), it is not in snapshots.
//
// The primary's part: who waits, and who is not heard of any more. That is not replicated; what comes of it is an
// operation for the log (Overdue). While the rows are held (a Save takes its moment), no clock is ended and nobody is
// taken out.
//
// Thread: that of the replica.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "param/clocks/worker_clocks.h"
#include "param/replication/shard_state.h"

namespace glim::param {

enum class ClockCall : uint32_t {
  kJoin = 16,   // Of `number` workers.
  kPush = 17,   // The `number`th of its clock; carries the rows' operation.
  kClock = 18,  // `clock` is ended.
  kRedo = 19,   // `clock` is made again.
  kLeave = 20,
  kPull = 21,    // Carries the rows' request.
  kWait = 22,    // Until all have ended the clocks before `clock`.
  kStatus = 23,  // Answered by a ClockStatus; from anybody.
  kBeat = 24,    // The worker lives, and is it still.
  kAt = 25,      // Carries an operation of the rows, for the moment when all have ended the clocks before `clock`.
};

struct ClockRequest {
  ClockCall call = ClockCall::kStatus;
  WorkerId id;
  uint64_t clock = 0;
  uint64_t number = 0;
  SharedBytes inner;
};

SharedBytes EncodeClockRequest(ClockCall call, WorkerId id, uint64_t clock, uint64_t number,
                               std::span<const std::byte> inner = {});
// Nothing: it is none.
std::optional<ClockRequest> DecodeClockRequest(const SharedBytes& bytes);

// What a shard knows of its workers.
struct ClockStatus {
  struct Worker {
    uint64_t attempt = 0;
    uint64_t clock = 0;
    uint64_t ended = 0;
    bool left = false;
  };
  uint64_t attempt_max = 0;
  uint64_t min_clock = 0;
  std::vector<Worker> workers;
};
Result<ClockStatus> DecodeClockStatus(const SharedBytes& bytes);

class ClockedState final : public ShardState {
 public:
  static constexpr int64_t kLeaseNanos = 10'000'000'000;

  // `lease_nanos`: so long may a worker not be heard of.
  ClockedState(Consistency consistency, std::unique_ptr<ShardState> rows, int64_t lease_nanos = kLeaseNanos);

  Status Check(const SharedBytes& op) const override;
  bool is_held() const override { return rows_->is_held(); }
  bool Fits(const SharedBytes& op, uint64_t reserved_bytes) const override;
  bool FitsSnapshot(uint64_t bytes) const override { return rows_->FitsSnapshot(bytes); }
  SharedBytes Apply(const Record& record) override;
  void Forget(const Producer& producer) override;
  Result<SharedBytes> Read(const SharedBytes& request) const override;
  std::string Save() const override;
  Status Restore(std::span<const std::byte> bytes) override;
  bool on_disk() const override { return rows_->on_disk(); }
  void Clear() override;

  void Watch(int64_t now) override;
  void Heard(const SharedBytes& request, int64_t now) override;
  std::optional<SharedBytes> Overdue(int64_t now) override;
  std::optional<std::string> WaitsFor(const SharedBytes& request, int64_t now) const override;

  const WorkerClocks& clocks() const { return clocks_; }
  const ShardState& rows() const { return *rows_; }

 private:
  struct Planned {
    uint64_t clock = 0;
    Record record;
  };
  // What is planned for clocks up to this one, which is not begun.
  void CarryOutPlanned(uint64_t clock);

  // What the primary has seen of a worker.
  struct Seen {
    uint64_t attempt = 0;
    uint64_t clock = 0;
    int64_t heard_at = 0;
    int64_t moved_at = 0;
    bool given_up = false;
  };

  const int64_t lease_nanos_;
  const std::unique_ptr<ShardState> rows_;
  WorkerClocks clocks_;
  std::vector<Planned> planned_;
  std::vector<Seen> seen_;
  int64_t looked_at_ = 0;
};

}  // namespace glim::param
