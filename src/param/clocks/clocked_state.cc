// SPDX-License-Identifier: Apache-2.0
#include "param/clocks/clocked_state.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "base/try.h"
#include "param/replication/mutant.h"

namespace glim::param {
namespace {

constexpr size_t kHeaderBytes = 32;

Record OfRows(const Record& record, const SharedBytes& op) {
  Record inner = record;
  inner.op = op;
  return inner;
}

}  // namespace

SharedBytes EncodeClockRequest(ClockCall call, WorkerId id, uint64_t clock, uint64_t number,
                               std::span<const std::byte> inner) {
  std::string text;
  text.reserve(kHeaderBytes + inner.size());
  const auto put = [&](const auto& field) { text.append(reinterpret_cast<const char*>(&field), sizeof(field)); };
  put(call);
  put(id.worker);
  put(id.attempt);
  put(clock);
  put(number);
  text.append(reinterpret_cast<const char*>(inner.data()), inner.size());
  return SharedBytes::Of(std::move(text));
}

std::optional<ClockRequest> DecodeClockRequest(const SharedBytes& bytes) {
  if (bytes.bytes.size() < kHeaderBytes) return std::nullopt;
  uint32_t call;
  std::memcpy(&call, bytes.bytes.data(), 4);
  if (call < static_cast<uint32_t>(ClockCall::kJoin) || call > static_cast<uint32_t>(ClockCall::kAt)) {
    return std::nullopt;
  }
  ClockRequest request;
  request.call = static_cast<ClockCall>(call);
  std::memcpy(&request.id.worker, bytes.bytes.data() + 4, 4);
  std::memcpy(&request.id.attempt, bytes.bytes.data() + 8, 8);
  std::memcpy(&request.clock, bytes.bytes.data() + 16, 8);
  std::memcpy(&request.number, bytes.bytes.data() + 24, 8);
  request.inner = {bytes.owner, bytes.bytes.subspan(kHeaderBytes)};
  return request;
}

Result<ClockStatus> DecodeClockStatus(const SharedBytes& bytes) {
  std::vector<uint64_t> numbers(bytes.bytes.size() / 8);
  if (bytes.bytes.size() % 8 != 0 || numbers.size() < 2 || (numbers.size() - 2) % 4 != 0) {
    return Status::Corrupt("a server answered with something else than the clocks of workers");
  }
  std::memcpy(numbers.data(), bytes.bytes.data(), bytes.bytes.size());
  ClockStatus status{numbers[0], numbers[1], {}};
  for (size_t i = 2; i < numbers.size(); i += 4) {
    status.workers.push_back({numbers[i], numbers[i + 1], numbers[i + 2], numbers[i + 3] != 0});
  }
  return status;
}

ClockedState::ClockedState(Consistency consistency, std::unique_ptr<ShardState> rows, int64_t lease_nanos)
    : lease_nanos_(lease_nanos), rows_(std::move(rows)), clocks_(consistency, [this](const WorkerClocks::Held& held) {
        CarryOutPlanned(held.clock);
        Record record;
        record.producer = held.producer;
        record.op = held.op;
        (void)rows_->Apply(record);
      }) {}

Status ClockedState::Check(const SharedBytes& op) const {
  const auto request = DecodeClockRequest(op);
  if (!request) return rows_->Check(op);
  if (request->id.worker >= kWorkersMax) {
    return Status::Invalid(fmt::format("there is no worker {}", request->id.worker));
  }
  switch (request->call) {
    case ClockCall::kJoin:
      if (request->number <= request->id.worker || request->number > kWorkersMax || request->id.attempt == 0) {
        return Status::Invalid(fmt::format("worker {} of {} cannot join", request->id.worker, request->number));
      }
      return Status::Ok();
    case ClockCall::kPush:
    case ClockCall::kAt: return rows_->Check(request->inner);
    case ClockCall::kClock:
    case ClockCall::kRedo:
    case ClockCall::kLeave: return Status::Ok();
    default: return Status::Invalid("a question was sent as a push");
  }
}

bool ClockedState::Fits(const SharedBytes& op, uint64_t reserved_bytes) const {
  const auto request = DecodeClockRequest(op);
  // What ends a clock or a worker frees memory.
  if (request && request->call == ClockCall::kAt) return rows_->Fits(request->inner, reserved_bytes);
  if (request && request->call != ClockCall::kPush) return !rows_->is_held();
  return rows_->Fits(request ? request->inner : op, reserved_bytes + clocks_.held_bytes());
}

SharedBytes ClockedState::Apply(const Record& record) {
  const auto request = DecodeClockRequest(record.op);
  if (!request) return rows_->Apply(record);
  switch (request->call) {
    case ClockCall::kJoin:
      // Whoever joins asks afterwards how that went.
      (void)clocks_.Join(request->id, static_cast<uint32_t>(request->number));
      break;
    case ClockCall::kPush:
      if (clocks_.Push(request->id, request->number, {request->clock, record.producer, request->inner}) ==
          WorkerClocks::Taken::kApply) {
        return rows_->Apply(OfRows(record, request->inner));
      }
      break;
    case ClockCall::kClock: clocks_.Clock(request->id, request->clock); break;
    case ClockCall::kRedo: clocks_.Redo(request->id, request->clock); break;
    case ClockCall::kLeave: clocks_.Leave(request->id); break;
    case ClockCall::kAt:
      if (clocks_.min_clock() > request->clock) return {};
      planned_.push_back({request->clock, OfRows(record, request->inner)});
      break;
    default: break;
  }
  // When all have left, no clock of theirs will come.
  CarryOutPlanned(clocks_.workers().empty() ? ~uint64_t{0} : clocks_.min_clock());
  return {};
}

void ClockedState::CarryOutPlanned(uint64_t clock) {
  std::erase_if(planned_, [&](const Planned& planned) {
    if (planned.clock > clock) return false;
    (void)rows_->Apply(planned.record);
    return true;
  });
}

void ClockedState::Forget(const Producer& producer) {
  std::erase_if(planned_, [&](const Planned& planned) { return planned.record.producer == producer; });
  rows_->Forget(producer);
}

Result<SharedBytes> ClockedState::Read(const SharedBytes& bytes) const {
  const auto request = DecodeClockRequest(bytes);
  if (!request) return rows_->Read(bytes);
  switch (request->call) {
    case ClockCall::kStatus: {
      std::vector<uint64_t> numbers{clocks_.attempt_max(), clocks_.min_clock()};
      for (const WorkerClocks::Worker& worker : clocks_.workers()) {
        numbers.insert(numbers.end(), {worker.attempt, worker.clock, worker.ended, worker.left ? 1U : 0U});
      }
      return SharedBytes::Of(std::string(reinterpret_cast<const char*>(numbers.data()), numbers.size() * 8));
    }
    case ClockCall::kPull: RETURN_IF_ERROR(clocks_.CheckIsCurrent(request->id)); return rows_->Read(request->inner);
    case ClockCall::kWait:
    case ClockCall::kBeat: RETURN_IF_ERROR(clocks_.CheckIsCurrent(request->id)); return SharedBytes{};
    default: return Status::Invalid("a push was sent as a question");
  }
}

// u64 bytes of the clocks, they, the rows.
std::string ClockedState::Save() const {
  std::string clocks, text(8, '\0');
  if (!GLIM_MUTANT(kSnapshotWithoutClocks)) clocks_.Save(&clocks);
  const uint64_t size = clocks.size();
  std::memcpy(text.data(), &size, 8);
  return text + clocks + rows_->Save();
}

Status ClockedState::Restore(std::span<const std::byte> bytes) {
  uint64_t size = 0;
  if (bytes.size() >= 8) std::memcpy(&size, bytes.data(), 8);
  if (bytes.size() < 8 || size > bytes.size() - 8) {
    return Status::Corrupt("a snapshot of a shard ends within the clocks of its workers");
  }
  std::span<const std::byte> saved = bytes.subspan(8, size);
  WorkerClocks clocks(clocks_.consistency(), nullptr);
  if (size > 0) RETURN_IF_ERROR(clocks.Restore(&saved));
  RETURN_IF_ERROR(rows_->Restore(bytes.subspan(8 + size)));
  planned_.clear();
  clocks_.TakeOver(std::move(clocks));
  return Status::Ok();
}

void ClockedState::Clear() {
  clocks_.Clear();
  planned_.clear();
  rows_->Clear();
}

void ClockedState::Watch(int64_t now) {
  looked_at_ = now;
  seen_.clear();
  rows_->Watch(now);
}

void ClockedState::Heard(const SharedBytes& bytes, int64_t now) {
  const auto request = DecodeClockRequest(bytes);
  if (!request) return rows_->Heard(bytes, now);
  if (request->id.worker >= seen_.size()) return;
  Seen& seen = seen_[request->id.worker];
  if (seen.attempt == request->id.attempt) seen.heard_at = now;
}

std::optional<SharedBytes> ClockedState::Overdue(int64_t now) {
  if (auto op = rows_->Overdue(now); op || rows_->is_held()) return op;
  // We slept, and what was said meanwhile is still in our queue.
  if (now - looked_at_ > lease_nanos_ / 4) seen_.clear();
  looked_at_ = now;
  seen_.resize(clocks_.workers().size());
  for (uint32_t w = 0; w < seen_.size(); ++w) {
    const WorkerClocks::Worker& worker = clocks_.workers()[w];
    Seen& seen = seen_[w];
    if (seen.attempt != worker.attempt || seen.heard_at == 0) seen = {worker.attempt, worker.clock, now, now, false};
    if (seen.clock != worker.clock) {
      seen.clock = worker.clock;
      seen.moved_at = now;
    }
    // Who has not joined yet may be on its way.
    if (worker.attempt == 0 || worker.left || seen.given_up || now - seen.heard_at <= lease_nanos_) continue;
    if (GLIM_MUTANT(kNeverTakenOut)) continue;
    seen.given_up = true;
    if (GLIM_MUTANT(kTakenOutUnlogged)) {
      clocks_.Leave({w, worker.attempt});
      return std::nullopt;
    }
    return EncodeClockRequest(ClockCall::kLeave, {w, worker.attempt}, 0, 0);
  }
  return std::nullopt;
}

std::optional<std::string> ClockedState::WaitsFor(const SharedBytes& bytes, int64_t now) const {
  const auto request = DecodeClockRequest(bytes);
  if (!request || (request->call != ClockCall::kPull && request->call != ClockCall::kWait)) return std::nullopt;
  if (!clocks_.CheckIsCurrent(request->id).ok()) return std::nullopt;
  const bool may =
      request->call == ClockCall::kPull ? clocks_.MayPull(request->clock) : clocks_.AllReached(request->clock);
  if (may) return std::nullopt;
  const uint32_t slowest = clocks_.slowest();
  const bool known = slowest < seen_.size() && seen_[slowest].heard_at != 0;
  return Straggler(clocks_, known ? static_cast<double>(now - seen_[slowest].moved_at) / 1e9 : -1);
}

}  // namespace glim::param
