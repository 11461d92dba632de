// SPDX-License-Identifier: Apache-2.0
//
// Save and Load of a table on servers, as of one moment.
//
// The moment: every shard is asked to hold, that is to take no pushes of others for a while (they are sent again). When
// all do, nothing that was acknowledged is missing anywhere, and nothing that is begun now can be in before the holds
// end. Then Save has all shards mark their rows, or Load has them take the rows that were brought before; then all go
// on. It is a few round trips long; a shard whose holder is silent goes on by itself after five seconds.
//
// Of two programs that save at once one waits: all ask shard 0 first.
//
// What Save and Load send does not stand behind the program's own pushes, which may be held, but has sessions of its
// own; what the program began before is waited for first.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "base/try.h"
#include "param/after.h"
#include "param/model_folder.h"
#include "param/remote_table.h"
#include "param/table_state.h"

namespace glim::param {
namespace {

using std::chrono::seconds;

constexpr int kTries = 10;
constexpr int64_t kAskAgainNanos = 20'000'000;
constexpr seconds kHoldTime{30};
constexpr seconds kTakeTime{600};
constexpr seconds kReleaseTime{2};  // What is not heard of is ended by the shards.
constexpr int64_t kTellEveryNanos = TableState::kMarkNanos / 8;

}  // namespace

Status RemoteTable::Hold(uint64_t save) {
  const uint64_t numbers[] = {save};
  const SharedBytes hold = EncodeTableRequest({.call = TableCall::kHold, .keys = numbers});
  RETURN_IF_ERROR(TellShards(hold, kHoldTime, 0, 1));
  return TellShards(hold, kHoldTime, 1);
}

Result<std::vector<ClockStatus>> RemoteTable::AskClocks() {
  ASSIGN_OR_RETURN(const auto answers, AskShards(EncodeClockRequest(ClockCall::kStatus, {}, 0, 0)));
  std::vector<ClockStatus> shards;
  for (const std::string& answer : answers) {
    ASSIGN_OR_RETURN(shards.emplace_back(), DecodeClockStatus(SharedBytes::Of(answer)));
  }
  return shards;
}

Status RemoteTable::MarkRows(uint64_t save, bool state) {
  RETURN_IF_ERROR(Hold(save));
  const uint64_t numbers[] = {save};
  const uint16_t form = state ? kFormState : 0;
  const SharedBytes mark = EncodeTableRequest({.call = TableCall::kMark, .form = form, .keys = numbers});
  const TableRequest go_on{.call = TableCall::kGoOn, .keys = numbers};
  if (spec().consistency.kind != Consistency::Kind::kBsp) {
    RETURN_IF_ERROR(TellShards(mark, kHoldTime));
    return TellShards(go_on, kHoldTime);
  }
  // Pushes count when their clock is over. A shard that has heard the last worker end its clock is one ahead of a shard
  // that has not; that one is marked when it is as far.
  ASSIGN_OR_RETURN(auto shards, AskClocks());
  uint64_t clock = 0;
  for (const ClockStatus& shard : shards) clock = std::max(clock, shard.min_clock);
  RETURN_IF_ERROR(TellShards(EncodeClockRequest(ClockCall::kAt, {}, clock, 0, mark.bytes), kHoldTime));
  RETURN_IF_ERROR(TellShards(go_on, kHoldTime));
  const Deadline deadline = DeadlineOf({.deadline = kHoldTime}, network_->env().clock());
  const auto is_there = [&](const ClockStatus& shard) { return shard.min_clock >= clock || shard.workers.empty(); };
  while (!std::all_of(shards.begin(), shards.end(), is_there)) {
    if (network_->env().clock().MonotonicNanos() >= deadline.time_since_epoch().count()) {
      return Status::Timeout(fmt::format("a worker has not ended clock {} at all shards", clock - 1));
    }
    network_->env().clock().SleepFor(kAskAgainNanos);
    ASSIGN_OR_RETURN(shards, AskClocks());
  }
  return Status::Ok();
}

Status RemoteTable::SaveShards(ModelWriter* writer, uint64_t save, bool state) {
  env::Clock& clock = network_->env().clock();
  int64_t told_at = clock.MonotonicNanos();
  RowChunk chunk;
  const auto read = [&](ScanCursor* cursor) -> Status {
    const uint64_t numbers[] = {save, cursor->position};
    const uint16_t form = state ? kFormState : 0;
    auto answer = AskShard(cursor->shard, {.call = TableCall::kScanMarked, .form = form, .keys = numbers}, kHoldTime);
    // What a shard refuses is a save that it does not know (any more).
    if (answer.status().code() == Code::kInvalid) return Status::Stale(answer.status().message());
    RETURN_IF_ERROR(answer.status());
    return TakeScanned(*answer, state, cursor, &chunk);
  };
  // None is to have been held up by a silent moment: before anything is written.
  std::vector<ScanCursor> cursors(spec().shards);
  for (uint32_t s = 0; s < spec().shards; ++s) {
    cursors[s] = {.shard = s, .position = ~uint64_t{0}};
    RETURN_IF_ERROR(read(&cursors[s]));
  }
  RETURN_IF_ERROR(writer->Begin());
  for (uint32_t s = 0; s < spec().shards; ++s) {
    RETURN_IF_ERROR(writer->BeginFile());
    for (ScanCursor cursor{.shard = s}; !cursor.done;) {
      if (network_->env().interrupted()) return Status::Cancelled("interrupted");
      RETURN_IF_ERROR(read(&cursor));
      if (!chunk.keys.empty()) RETURN_IF_ERROR(writer->Append(chunk));
      if (clock.MonotonicNanos() - told_at < kTellEveryNanos) continue;
      // Those whose turn is not yet keep what nobody seems to want. That word changes nothing, and it is a push, so it
      // keeps the session, too.
      const uint64_t numbers[] = {save};
      RETURN_IF_ERROR(TellShards({.call = TableCall::kGoOn, .keys = numbers}, kHoldTime));
      told_at = clock.MonotonicNanos();
    }
    RETURN_IF_ERROR(writer->EndFile());
    RETURN_IF_ERROR(writer->SyncFile());
  }
  return writer->Commit();
}

Status SavedMoment::Take() {
  Status status = own_->MarkRows(number_, state_);
  dropped_ = status.code() == Code::kNotFound;
  return status;
}

Status SavedMoment::Write(const std::string& folder) {
  ModelWriter writer(own_->network().env(), folder, own_->spec(), own_->layout_.kernel(), state_);
  Status status = own_->SaveShards(&writer, number_, state_);
  if (!status.ok()) writer.Abandon();
  dropped_ = status.code() == Code::kNotFound;
  return status;
}

SavedMoment::~SavedMoment() {
  const uint64_t numbers[] = {number_};
  if (!dropped_) (void)own_->TellShards({.call = TableCall::kRelease, .keys = numbers}, kReleaseTime).ok();
  (void)own_->network().Post([own = own_] { (void)own->Close(nullptr); });
}

Result<std::unique_ptr<SavedMoment>> RemoteTable::TakeMoment(const SaveOptions& options) {
  RETURN_IF_ERROR(network_->CheckMayPush());
  RETURN_IF_ERROR(AskCounts(0).status());  // Has seen what this program pushed before.
  ASSIGN_OR_RETURN(auto own, ForItself());
  auto moment = std::make_unique<SavedMoment>(std::move(own), network_->env().RandomSeed() | 1, options.rule_state);
  RETURN_IF_ERROR(moment->Take());
  return moment;
}

Status RemoteTable::Save(const std::string& folder, const SaveOptions& options) {
  Status status = Status::Stale("");
  // What is lost is lost where a shard went to another server, or another program was first.
  for (int i = 0; i < kTries && status.code() == Code::kStale; ++i) {
    const auto moment = TakeMoment(options);
    status = moment.ok() ? (*moment)->Write(folder) : moment.status();
  }
  if (status.code() == Code::kNotFound) return status;
  return std::move(status).With(fmt::format("saving table \"{}\" to \"{}\"", spec().name, folder));
}

Status RemoteTable::LoadNow(const std::string& folder, bool state) {
  Status status = LoadRows(folder, state);
  const uint64_t load = network_->env().RandomSeed() | 1;
  const uint64_t numbers[] = {load};
  const TableRequest release{.call = TableCall::kRelease, .keys = numbers};
  if (status.ok()) {
    status = Hold(load);
    if (!status.ok()) (void)TellShards(release, kReleaseTime).ok();
  }
  if (!status.ok()) {
    (void)TellShards({.call = TableCall::kDropLoaded}, kReleaseTime).ok();
    return status;
  }
  status = TellShards({.call = TableCall::kTakeLoaded}, kTakeTime);
  (void)TellShards(release, kReleaseTime).ok();
  if (status.ok()) return status;
  return std::move(status).With("some of its shards may have the new rows, and some the old ones: load again");
}

Status RemoteTable::Load(const std::string& folder, const LoadOptions& options) {
  if (network_->InNetworkThread()) return Status::Invalid("a callback cannot wait for an answer");
  RETURN_IF_ERROR(network_->CheckMayPush());
  RETURN_IF_ERROR(AskCounts(0).status());
  ASSIGN_OR_RETURN(const auto own, ForItself());
  Status status = own->LoadNow(folder, options.rule_state);
  (void)network_->Post([own] { (void)own->Close(nullptr); });
  if (status.code() == Code::kNotFound && !status.message().starts_with('"')) return status;
  return std::move(status).With(fmt::format("loading table \"{}\" from \"{}\"", spec().name, folder));
}

}  // namespace glim::param
