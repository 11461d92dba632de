// SPDX-License-Identifier: Apache-2.0
#include "param/replication/replica.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace glim::param {
namespace {

// What a record of the log counts for beside its operation: one number in every build, as the simulation's events
// depend on it.
constexpr uint64_t kRecordBytes = 96;

uint64_t BytesOf(const Record& record) { return kRecordBytes + record.op.bytes.size(); }

void PutNumber(uint64_t number, std::string* to) {
  char bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(number >> (8 * i));
  to->append(bytes, sizeof(bytes));
}

bool TakeNumber(std::string_view* from, uint64_t* number) {
  if (from->size() < 8) return false;
  *number = 0;
  for (int i = 0; i < 8; ++i) *number |= uint64_t{static_cast<unsigned char>((*from)[i])} << (8 * i);
  from->remove_prefix(8);
  return true;
}

}  // namespace

bool View::Holds(const Member& member) const {
  return primary == member || std::find(backups.begin(), backups.end(), member) != backups.end();
}

SharedBytes SharedBytes::Of(std::string text) {
  auto owner = std::make_shared<const std::string>(std::move(text));
  const std::span<const std::byte> bytes = std::as_bytes(std::span(*owner));
  return {std::move(owner), bytes};
}

Replica::Replica(ShardId shard, Member self, std::unique_ptr<ShardState> state, const ReplicaOptions& options,
                 ReplicaOutput& out)
    : shard_(shard), self_(self), options_(options), out_(out), state_(std::move(state)), on_disk_(state_->on_disk()) {}

Status Replica::Keep(const KeptShard& kept, const std::vector<uint64_t>& before) {
  if (kept.snapshot) {
    const auto bytes = kept.snapshot->bytes.bytes;
    const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (Status status = RestoreAll(text); !status.ok()) return status;
    base_lsn_ = applied_lsn_ = kept.snapshot->lsn;
    base_view_ = kept.snapshot->lsn_view;
  }
  for (const Record& record : kept.records) {
    if (record.lsn <= base_lsn_) {
      CutLog(base_lsn_);  // It took the place of what was written before it, and the snapshot has it.
      continue;
    }
    if (record.lsn > last_lsn() + 1) {
      const uint64_t missing = last_lsn() + 1;
      state_->Clear();
      sessions_.clear();
      era_ = 0;
      CutLog(base_lsn_);
      base_lsn_ = base_view_ = applied_lsn_ = 0;
      return Status::Corrupt(fmt::format("record {} is missing; the next one is {}", missing, record.lsn));
    }
    CutLog(record.lsn - 1);
    log_bytes_ += BytesOf(record);
    log_.push_back(record);
  }
  written_lsn_ = last_lsn();
  recorded_ = true;
  before_ = before;
  kept_ = true;
  return Status::Ok();
}

uint64_t Replica::ViewAt(uint64_t lsn) const { return lsn == base_lsn_ ? base_view_ : RecordAt(lsn).view; }

ShardReport Replica::report() const {
  if (on_disk_ && !recorded_ && view_.Holds(self_)) return {shard_, 0, false, std::nullopt, false, false};
  return {shard_, view_.number, active_, synced_ ? view_.joiner : std::nullopt, kept_, declined_};
}

bool Replica::Holds(const View& view) const {
  if (view.Holds(self_) || view.joiner == self_) return true;
  return kept_ && !GLIM_MUTANT(kForgetKept) && std::any_of(before_.begin(), before_.end(), [&](uint64_t incarnation) {
           return view.Holds({self_.node, incarnation});
         });
}

uint64_t Replica::held_lsn() const {
  if (!on_disk_ || GLIM_MUTANT(kHeldBeforeWritten)) return last_lsn();
  return written_lsn_;
}

// ------------------------------------------------------------------------------------------------------------------
// views

void Replica::OnView(const View& view, bool active, int64_t now) {
  if (view.number < view_.number) return;
  if (view.number > view_.number) Adopt(view, now);
  if (active && !active_) Activate(now);
  // Others hold all that was acknowledged, and only they may be fallen back to: what R6 kept is needed no more.
  if (active_ && !Holds(view_)) Clear();
  // Also what was said before: the master may not have heard it.
  if (!recording_) out_.Report(report());
}

void Replica::Adopt(const View& view, int64_t now) {
  view_ = view;
  active_ = false;
  synced_ = false;
  declined_ = false;
  matched_lsn_ = 0;
  said_silent_ = false;
  installing_.reset();
  peers_.clear();
  // R6: what is appended stays, whether we are in the view or not. It may have been acknowledged, and we may be the one
  // that the master falls back to.
  if (GLIM_MUTANT(kDropStateOnRemoval) && !Holds(view)) Clear();
  for (const auto& [producer, waiting] : std::exchange(waiting_, {})) {
    out_.Answer(waiting.client,
                PushReply{shard_, producer, waiting.attempt, PushOutcome::kNotPrimary, 0, view_.number, ""});
  }
  for (const WaitingPull& pull : std::exchange(waiting_pulls_, {})) {
    AnswerPull(pull.from, pull.request, PullOutcome::kNotPrimary);
  }
  appended_.clear();
  // R12: who starts again must find that it was a member, also when nothing was pushed.
  if (on_disk_ && !recorded_ && !recording_ && view.Holds(self_)) {
    out_.Write(shard_, TakeSnapshot());
    recording_ = ++writes_;
  }
  if (is_primary()) {
    const auto add = [&](const Member& member, bool joiner) {
      Peer peer;
      peer.member = member;
      peer.joiner = joiner;
      peer.next = last_lsn() + 1;
      peer.heard_at = now;
      peers_.push_back(std::move(peer));
    };
    for (const Member& member : view.backups) add(member, false);
    if (view.joiner) add(*view.joiner, true);
  }
  if (GLIM_MUTANT(kAckBeforeActive) && is_primary()) Activate(now);
}

void Replica::Clear() {
  state_->Clear();
  sessions_.clear();
  era_ = 0;
  incoming_.reset();
  CutLog(base_lsn_);
  base_lsn_ = base_view_ = applied_lsn_ = 0;
  unwritten_.clear();
  written_lsn_ = 0;
  kept_ = recorded_ = false;
  recording_.reset();
  installing_.reset();
  if (on_disk_) out_.Erase(shard_);
}

void Replica::Activate(int64_t now) {
  active_ = true;
  if (!is_primary()) return;
  ready_lsn_ = last_lsn();
  state_->Watch(now);
  appended_ = sessions_;
  appended_era_ = era_;
  era_time_ = 0;
  counted_at_ = now;
  for (uint64_t lsn = applied_lsn_ + 1; lsn <= last_lsn(); ++lsn) {
    const Record& record = RecordAt(lsn);
    if (record.kind == RecordKind::kOwn) continue;
    if (record.kind == RecordKind::kEra) {
      ++appended_era_;
      std::erase_if(appended_, [&](const auto& entry) { return IsSilent(entry.second, appended_era_); });
      continue;
    }
    if (record.kind == RecordKind::kOpen) {
      appended_[record.producer] = Session{record.attempt, 0, record.lsn, appended_era_, {}};
      continue;
    }
    if (record.kind == RecordKind::kClose) {
      appended_.erase(record.producer);
      continue;
    }
    Session& session = appended_[record.producer];
    session.attempt = std::max(session.attempt, record.attempt);
    if (record.kind != RecordKind::kPush || record.seq != session.hi + 1) continue;
    session.hi = record.seq;
    session.era = appended_era_;
  }
  SendToAll(now);
  Commit(now);
}

// --------------------------------------------------------------------------------------------------------------------
// log

void Replica::Append_(Record record) {
  log_bytes_ += BytesOf(record);
  if (on_disk_) {
    out_.Write(shard_, record);
    unwritten_.emplace_back(++writes_, record.lsn);
  }
  log_.push_back(std::move(record));
}

void Replica::CutLog(uint64_t last) {
  while (last_lsn() > last) {
    log_bytes_ -= BytesOf(log_.back());
    log_.pop_back();
  }
  // What stands on the disk from there on is not this log's any more.
  written_lsn_ = std::min(written_lsn_, last_lsn());
  while (!unwritten_.empty() && unwritten_.back().second > last) unwritten_.pop_back();
}

void Replica::ForgetLog(uint64_t lsn) {
  while (base_lsn_ < std::min(lsn, applied_lsn_)) {
    ++base_lsn_;
    base_view_ = log_.front().view;
    log_bytes_ -= BytesOf(log_.front());
    log_.pop_front();
  }
}

bool Replica::MustHold(const Peer& peer, int64_t now) const {
  if (GLIM_MUTANT(kAckBeforeBackup)) return false;
  if (GLIM_MUTANT(kPrimaryDropsBackup) && !peer.joiner && now - peer.heard_at > 5 * options_.resend_nanos) return false;
  if (!peer.joiner) return true;
  return peer.installed && !GLIM_MUTANT(kAckWithoutJoiner);
}

void Replica::Commit(int64_t now) {
  if (!is_primary() || !(active_ || GLIM_MUTANT(kCommitBeforeActive))) return;
  uint64_t upto = GLIM_MUTANT(kAckBeforeOwnDisk) ? last_lsn() : held_lsn();
  for (const Peer& peer : peers_) {
    if (MustHold(peer, now)) upto = std::min(upto, peer.held);
  }
  if (upto > applied_lsn_) {
    const uint64_t before = applied_lsn_;
    ApplyUpTo(upto);
    for (uint64_t lsn = before + 1; lsn <= upto; ++lsn) AnswerProducer(RecordAt(lsn).producer);
  }
  for (const Peer& peer : peers_) {
    if (!peer.joiner || !peer.installed || synced_) continue;
    // What we took over may have been acknowledged before, although it is not applied yet.
    const uint64_t needed = GLIM_MUTANT(kSyncedBeforeCaughtUp) ? applied_lsn_ : std::max(applied_lsn_, ready_lsn_);
    if (peer.matched && (peer.held >= needed || GLIM_MUTANT(kSyncedWithoutTail))) {
      synced_ = true;
      out_.Report(report());
    }
  }
  ForgetNeedless();
  AnswerPulls(now);
}

void Replica::ForgetNeedless() {
  uint64_t needless = applied_lsn_;
  for (const Peer& peer : peers_) {
    needless = std::min(needless, peer.joiner && !peer.installed ? peer.snapshot_lsn : peer.applied);
  }
  ForgetLog(needless);
}

void Replica::ApplyUpTo(uint64_t lsn) {
  while (applied_lsn_ < lsn) {
    Apply(RecordAt(applied_lsn_ + 1));
    ++applied_lsn_;
    out_.Applied(shard_, RecordAt(applied_lsn_));
  }
}

// R2: whatever the log holds, however often.
void Replica::Apply(const Record& record) {
  if (record.kind == RecordKind::kOwn) {
    (void)state_->Apply(record);
    return;
  }
  if (record.kind == RecordKind::kClose) {
    sessions_.erase(record.producer);
    state_->Forget(record.producer);
    return;
  }
  if (record.kind == RecordKind::kOpen) {
    state_->Forget(record.producer);  // What an earlier session of it has left.
    sessions_[record.producer] = Session{record.attempt, 0, record.lsn, era_, {}};
    return;
  }
  if (record.kind == RecordKind::kEra) {
    ++era_;
    std::erase_if(sessions_, [&](const auto& entry) {
      const bool is_silent = IsSilent(entry.second, era_);
      if (is_silent) state_->Forget(entry.first);
      return is_silent;
    });
    return;
  }
  Session& session = sessions_[record.producer];
  if (record.attempt < session.attempt) return;
  session.attempt = record.attempt;
  if (record.kind != RecordKind::kPush) return;
  const bool comes_again = GLIM_MUTANT(kNoDuplicateTable) && record.seq <= session.hi;
  if (GLIM_MUTANT(kWindowOfFive) ? record.seq <= session.hi && record.seq + 5 > session.hi
                                 : record.seq != session.hi + 1 && !comes_again) {
    return;
  }
  session.hi = std::max(session.hi, record.seq);
  session.era = era_;
  SharedBytes answer = state_->Apply(record);
  if (answer.owner != nullptr) session.answers.emplace_back(session.hi, std::move(answer));
  while (!session.answers.empty() && session.answers.front().first + kAnswersKept <= session.hi) {
    session.answers.pop_front();
  }
}

// ----------------------------------------------------------------------------------------------------------------
// pushes

void Replica::Refuse(ClientId to, const PushRequest& request, PushOutcome outcome, uint64_t seq, std::string error) {
  out_.Answer(to, PushReply{shard_, request.producer, request.attempt, outcome, seq, view_.number, std::move(error)});
}

void Replica::OnPush(ClientId from, const PushRequest& request, int64_t now) {
  const auto applied = sessions_.find(request.producer);
  const uint64_t applied_hi = applied == sessions_.end() ? 0 : applied->second.hi;
  const uint64_t applied_attempt = applied == sessions_.end() ? 0 : applied->second.attempt;
  if (!is_active_primary()) {
    if (GLIM_MUTANT(kDuplicateBeforeActive) && is_primary() && request.seq <= applied_hi) {
      return Refuse(from, request, PushOutcome::kApplied, applied_hi);
    }
    return Refuse(from, request, PushOutcome::kNotPrimary, 0);
  }
  if (request.kind == RecordKind::kOpen) return OnOpen(from, request, now);
  if (request.kind != RecordKind::kPush && request.kind != RecordKind::kClose) {
    return Refuse(from, request, PushOutcome::kRefused, request.seq, "not what a client sends");
  }
  state_->Heard(request.op, now);
  const auto it = appended_.find(request.producer);
  const bool known = it != appended_.end();
  Session session = known ? it->second : Session{request.attempt, 0, 0, appended_era_, {}};
  // R9.
  if (!known && request.seq != 1) return Refuse(from, request, PushOutcome::kNoSession, 0);
  // R15.
  if (session.number != request.session && !GLIM_MUTANT(kTakeAnySession)) {
    return Refuse(from, request, PushOutcome::kNoSession, 0);
  }
  if (request.attempt < session.attempt) return Refuse(from, request, PushOutcome::kFenced, 0);
  const bool fences = request.attempt > session.attempt;
  session.attempt = request.attempt;
  const auto append = [&](RecordKind kind, uint64_t seq, const SharedBytes& op) {
    Append_({last_lsn() + 1, view_.number, kind, request.producer, request.attempt, seq, op});
  };
  // A task that is done again sends what was applied already. That, too, must end the one before it.
  if (fences && !GLIM_MUTANT(kForgetFence)) {
    append(RecordKind::kAttempt, 0, {});
    appended_[request.producer] = session;
  }

  // R1.
  const bool comes_again = GLIM_MUTANT(kNoDuplicateTable) && request.seq <= session.hi;
  const bool window = GLIM_MUTANT(kWindowOfFive) || comes_again;
  if (request.seq <= applied_hi && !comes_again && !(window && request.seq + 5 <= applied_hi)) {
    if (applied_attempt < request.attempt && !GLIM_MUTANT(kForgetFence)) {
      waiting_[request.producer] = {from, request.attempt};  // The fence, too, must survive us.
    } else {
      Refuse(from, request, PushOutcome::kApplied, applied_hi);
    }
  } else if (request.seq <= session.hi && !window) {
    waiting_[request.producer] = {from, request.attempt};
    if (GLIM_MUTANT(kAckAppendedDuplicate)) Refuse(from, request, PushOutcome::kApplied, session.hi);
  } else if (request.seq > session.hi + 1 && !window) {
    Refuse(from, request, PushOutcome::kGap, session.hi);
  } else if (request.kind == RecordKind::kClose && request.session == 0) {
    Refuse(from, request, PushOutcome::kRefused, request.seq, "a task may be done again, and is not closed");
  } else if (request.kind == RecordKind::kClose) {
    append(RecordKind::kClose, request.seq, {});
    appended_.erase(request.producer);
    waiting_[request.producer] = {from, request.attempt, request.seq};
  } else if (const Status status = state_->Check(request.op); !status.ok()) {
    Refuse(from, request, PushOutcome::kRefused, request.seq, status.message());
  } else if (std::string full = FullError(); !full.empty()) {
    Refuse(from, request, PushOutcome::kBusy, session.hi, std::move(full));
  } else if (log_bytes_ + request.op.bytes.size() > options_.log_bytes_max || !state_->Fits(request.op, 0)) {
    Refuse(from, request, PushOutcome::kBusy, session.hi);
  } else {
    append(RecordKind::kPush, request.seq, request.op);
    session.hi = std::max(session.hi, request.seq);
    session.era = appended_era_;
    appended_[request.producer] = session;
    waiting_[request.producer] = {from, request.attempt};
  }
  if (!GLIM_MUTANT(kAckBeforeBackup)) SendToAll(now);  // Those bring it to the others now and then.
  Commit(now);
}

// A later opening of the same producer takes the place of what is open; the same one comes again, or was late.
void Replica::OnOpen(ClientId from, const PushRequest& request, int64_t now) {
  const auto it = appended_.find(request.producer);
  const bool known = it != appended_.end();
  if (known && (it->second.number == 0 || it->second.attempt > request.attempt)) {
    return Refuse(from, request, PushOutcome::kFenced, 0);
  }
  if (!known || it->second.attempt < request.attempt) {
    if (std::string full = FullError(); !full.empty()) {
      return Refuse(from, request, PushOutcome::kBusy, 0, std::move(full));
    }
    if (log_bytes_ > options_.log_bytes_max) return Refuse(from, request, PushOutcome::kBusy, 0);
    Append_({last_lsn() + 1, view_.number, RecordKind::kOpen, request.producer, request.attempt, 0, {}});
    appended_[request.producer] = Session{request.attempt, 0, last_lsn(), appended_era_, {}};
    waiting_[request.producer] = {from, request.attempt};
    SendToAll(now);
    return Commit(now);
  }
  const auto applied = sessions_.find(request.producer);
  if (applied == sessions_.end() || applied->second.number != it->second.number) {
    waiting_[request.producer] = {from, request.attempt};
  } else {
    Refuse(from, request, PushOutcome::kOpened, applied->second.number);
  }
}

// R14. Nothing while all disks have room.
std::string Replica::FullError() const {
  const auto text = [](const Member& member) { return fmt::format("the disk of server {} is full", member.node); };
  if (disk_full_) return text(self_);
  for (const Peer& peer : peers_) {
    if (peer.full) return text(peer.member);
  }
  return "";
}

void Replica::AnswerProducer(const Producer& producer) {
  const auto waiting = waiting_.find(producer);
  if (waiting == waiting_.end()) return;
  const auto it = sessions_.find(producer);
  const Waiting to = waiting->second;
  if (it == sessions_.end()) {
    // Closed; or forgotten behind what was waited for, and what came later was not taken. It may be opening again.
    if (appended_.contains(producer)) return;
    waiting_.erase(waiting);
    const PushOutcome outcome = to.closes != 0 ? PushOutcome::kApplied : PushOutcome::kNoSession;
    out_.Answer(to.client, PushReply{shard_, producer, to.attempt, outcome, to.closes, view_.number, ""});
    return;
  }
  const Session& session = it->second;
  if (session.attempt < to.attempt && !GLIM_MUTANT(kForgetFence)) return;
  const auto appended = appended_.find(producer);
  if (appended == appended_.end() || appended->second.hi <= session.hi) waiting_.erase(waiting);
  const bool is_opened = session.number != 0 && session.hi == 0;
  out_.Answer(to.client,
              PushReply{shard_, producer, to.attempt, is_opened ? PushOutcome::kOpened : PushOutcome::kApplied,
                        is_opened ? session.number : session.hi, view_.number, ""});
}

// -----------------------------------------------------------------------------------------------------------------
// pulls

bool Replica::MayAnswer(const PullRequest& request, int64_t now) const {
  return Sees(request) && !state_->WaitsFor(request.op, now);
}

bool Replica::Sees(const PullRequest& request) const {
  if (applied_lsn_ < ready_lsn_ && !GLIM_MUTANT(kReadBeforeCaughtUp)) return false;
  const uint64_t seq = std::max(request.after_seq, request.answer_seq);
  if (seq == 0) return true;
  const auto it = sessions_.find(request.producer);
  return it != sessions_.end() && it->second.hi >= seq;
}

void Replica::OnPull(ClientId from, const PullRequest& request, int64_t now) {
  // R8: another primary may be at work when the master has not answered us for long.
  if (!is_active_primary() || (now >= lease_until_ && !GLIM_MUTANT(kReadWithoutLease))) {
    return AnswerPull(from, request, PullOutcome::kNotPrimary);
  }
  state_->Heard(request.op, now);
  if (MayAnswer(request, now)) return AnswerPull(from, request, PullOutcome::kOk);
  const auto again = std::find_if(waiting_pulls_.begin(), waiting_pulls_.end(),
                                  [&](const WaitingPull& pull) { return pull.IsAgain(from, request); });
  if (again != waiting_pulls_.end()) {
    again->until = now + options_.pull_wait_nanos;
  } else if (waiting_pulls_.size() >= options_.waiting_pulls_max) {
    return AnswerPull(from, request, PullOutcome::kBusy);
  } else {
    waiting_pulls_.push_back({from, request, now + options_.pull_wait_nanos});
  }
  if (auto error = state_->WaitsFor(request.op, now)) {
    AnswerPull(from, request, PullOutcome::kWaiting, *std::move(error));
  }
}

void Replica::AnswerPulls(int64_t now) {
  std::erase_if(waiting_pulls_, [&](const WaitingPull& pull) {
    const bool leased = now < lease_until_ || GLIM_MUTANT(kReadWithoutLease);
    const bool answered = leased && MayAnswer(pull.request, now);
    if (leased && !answered && now < pull.until) return false;
    AnswerPull(pull.from, pull.request,
               !leased    ? PullOutcome::kNotPrimary
               : answered ? PullOutcome::kOk
                          : PullOutcome::kBusy);
    return true;
  });
}

Result<SharedBytes> Replica::AnswerOf(const PullRequest& request) const {
  if (GLIM_MUTANT(kAnswerWhenAsked)) return state_->Read(request.op);
  if (const auto it = sessions_.find(request.producer); it != sessions_.end()) {
    for (const auto& [seq, answer] : it->second.answers) {
      if (seq == request.answer_seq) return answer;
    }
  }
  return Status::Invalid("the answer to this push is not kept any more, or it has none");
}

void Replica::AnswerPull(ClientId to, const PullRequest& request, PullOutcome outcome, std::string error) {
  PullReply reply{shard_, request.request, outcome, view_.number, applied_lsn_, 0, 0, {}, std::move(error)};
  if (outcome == PullOutcome::kOk) {
    if (auto rows = request.answer_seq > 0 ? AnswerOf(request) : state_->Read(request.op); rows.ok()) {
      reply.rows = *std::move(rows);
      reply.size = reply.rows.bytes.size();
    } else {
      reply.outcome = rows.status().code() == Code::kExhausted ? PullOutcome::kBusy : PullOutcome::kRefused;
      reply.error = rows.status().message();
    }
  }
  out_.Answer(to, std::move(reply));
}

// ------------------------------------------------------------------------------------------------------------
// replication

Replica::Peer* Replica::FindPeer(const Member& member) {
  for (Peer& peer : peers_) {
    if (peer.member == member) return &peer;
  }
  return nullptr;
}

void Replica::SendToAll(int64_t now) {
  for (Peer& peer : peers_) {
    if (!peer.matched || peer.next <= last_lsn()) SendTo(peer, now);
  }
}

// One message. What it leaves follows when it was answered, or with the next push.
void Replica::SendTo(Peer& peer, int64_t now) {
  if (peer.joiner && !peer.installed) return SendSnapshot(peer, now);
  peer.next = std::max(peer.next, base_lsn_ + 1);
  Append message{shard_, view_.number, self_, peer.next - 1, ViewAt(peer.next - 1), {}, applied_lsn_, base_lsn_};
  uint64_t bytes = 0;
  while (peer.next <= last_lsn() && bytes < options_.message_bytes_max) {
    message.records.push_back(RecordAt(peer.next++));
    bytes += BytesOf(message.records.back());
  }
  out_.Send(peer.member, std::move(message));
  peer.sent_at = now;
}

void Replica::SendSnapshot(Peer& peer, int64_t now) {
  // R6: a snapshot replaces what the joiner has, so nobody sends one who may not become the primary after all.
  if (!active_) return;
  constexpr uint64_t kPartsAtOnce = 4;
  if (!peer.snapshot) {
    peer.snapshot = std::make_shared<const std::string>(SaveAll());
    peer.snapshot_lsn = applied_lsn_;
    peer.snapshot_view = ViewAt(applied_lsn_);
    peer.part_next = peer.held = 0;
  }
  // Until it is installed, `held` counts its bytes.
  const uint64_t size = peer.snapshot->size();
  const uint64_t window = peer.held + kPartsAtOnce * options_.message_bytes_max;
  while (peer.part_next < std::min(size, window)) {
    const auto part = std::as_bytes(std::span(*peer.snapshot))
                          .subspan(peer.part_next, std::min(options_.message_bytes_max, size - peer.part_next));
    out_.Send(peer.member, SnapshotPart{shard_, view_.number, self_, peer.snapshot_lsn, peer.snapshot_view,
                                        peer.part_next, size, SharedBytes{peer.snapshot, part}});
    peer.part_next += part.size();
  }
  peer.sent_at = now;
}

void Replica::OnPeer(const PeerMessage& message, int64_t now) {
  if (const auto* append = std::get_if<Append>(&message)) return OnAppend(*append);
  if (const auto* reply = std::get_if<AppendReply>(&message)) return OnAppendReply(*reply, now);
  if (const auto* part = std::get_if<SnapshotPart>(&message)) return OnSnapshotPart(*part);
  OnSnapshotReply(std::get<SnapshotReply>(message), now);
}

void Replica::OnAppend(const Append& message) {
  // R4.
  const bool current = message.view == view_.number && message.from == view_.primary;
  if (!current && !(GLIM_MUTANT(kIgnoreViewNumber) && message.view < view_.number && !is_primary())) return;
  if (is_primary() || (view_.joiner == self_ && installed_view_ != view_.number)) return;

  AppendReply reply{shard_, message.view, self_, false, applied_lsn_, applied_lsn_, disk_full_};
  // What is applied is the same everywhere; beyond it our log may be that of a primary which did not get so far.
  const uint64_t prev = message.prev_lsn;
  const bool matches = prev <= last_lsn() && (prev <= applied_lsn_ || ViewAt(prev) == message.prev_view);
  if (!matches && !GLIM_MUTANT(kHeldWithHoles)) {
    out_.Send(message.from, reply);
    return;
  }
  uint64_t held = std::max(prev, applied_lsn_);
  for (const Record& record : message.records) {
    if (record.lsn <= applied_lsn_) continue;
    if (GLIM_MUTANT(kHeldWithHoles) && record.lsn > last_lsn() + 1) {
      held = record.lsn;
      continue;
    }
    if (record.lsn > last_lsn() + 1) break;  // Not what a primary sends.
    if (record.lsn <= last_lsn() && ViewAt(record.lsn) != record.view && !GLIM_MUTANT(kKeepTail))
      CutLog(record.lsn - 1);
    if (record.lsn > last_lsn()) Append_(record);
    held = std::max(held, record.lsn);
  }
  ApplyUpTo(std::min({message.committed, held, last_lsn()}));
  ForgetLog(message.needless);
  matched_lsn_ = std::max(matched_lsn_, held);
  // R11. OnWritten says the rest.
  if (held > held_lsn() && !disk_full_) return;
  reply.matched = true;
  reply.held = std::min(held, held_lsn());
  reply.applied = applied_lsn_;
  out_.Send(message.from, reply);
}

void Replica::SendHeld() {
  const uint64_t held = std::min(matched_lsn_, held_lsn());
  if (view_.number == 0 || is_primary() || held == 0) return;
  out_.Send(view_.primary, AppendReply{shard_, view_.number, self_, true, held, applied_lsn_, disk_full_});
}

void Replica::OnWritten(uint64_t count, int64_t now) {
  while (!unwritten_.empty() && unwritten_.front().first <= count) {
    written_lsn_ = unwritten_.front().second;
    unwritten_.pop_front();
  }
  if (recording_ && *recording_ <= count) {
    recording_.reset();
    recorded_ = true;
    out_.Report(report());
  }
  if (installing_ && installing_->write <= count) {
    recorded_ = true;
    written_lsn_ = installing_->lsn;
    installed_view_ = view_.number;
    out_.Send(view_.primary,
              SnapshotReply{shard_, view_.number, self_, std::exchange(installing_, std::nullopt)->lsn, 0, true});
  }
  if (is_primary()) return Commit(now);
  SendHeld();
}

void Replica::OnAppendReply(const AppendReply& message, int64_t now) {
  Peer* peer = FindPeer(message.from);
  if (message.view != view_.number || peer == nullptr || (peer->joiner && !peer->installed)) return;
  peer->heard_at = now;
  peer->silent_nanos = 0;
  peer->full = message.full;
  if (!message.matched) {
    if (peer->matched) return;  // Said before it knew.
    peer->next = std::min(message.held, last_lsn()) + 1;
    return SendTo(*peer, now);
  }
  peer->matched = true;
  peer->held = std::max(peer->held, std::min(message.held, last_lsn()));
  peer->applied = std::max(peer->applied, std::min(message.applied, last_lsn()));
  peer->next = std::max(peer->next, peer->held + 1);
  if (peer->next <= last_lsn()) SendTo(*peer, now);
  Commit(now);
}

void Replica::OnSnapshotPart(const SnapshotPart& message) {
  if (message.view != view_.number || message.from != view_.primary || view_.joiner != self_) return;
  SnapshotReply reply{shard_, message.view, self_, message.lsn, 0, false};
  if (installed_view_ == view_.number) {
    reply.installed = true;
    reply.lsn = base_lsn_;
    out_.Send(message.from, reply);
    return;
  }
  if (installing_) return;
  // The master finds another one, or asks again later.
  if (declined_) return out_.Report(report());
  if (!incoming_ || incoming_->view != message.view || incoming_->lsn != message.lsn) {
    declined_ = message.size > options_.snapshot_bytes_max || !state_->FitsSnapshot(message.size);
    if (declined_) return out_.Report(report());
    incoming_ = Incoming{message.view, message.lsn, {}};
  }
  std::string& bytes = incoming_->bytes;
  if (message.offset == bytes.size() && bytes.size() + message.bytes.bytes.size() <= options_.snapshot_bytes_max) {
    bytes.append(reinterpret_cast<const char*>(message.bytes.bytes.data()), message.bytes.bytes.size());
  }
  reply.received = bytes.size();
  if (bytes.size() == message.size) {
    if (const Status status = RestoreAll(bytes); status.ok()) {
      CutLog(base_lsn_);
      base_lsn_ = applied_lsn_ = message.lsn;
      base_view_ = message.lsn_view;
      kept_ = false;
      if (on_disk_) {
        out_.Write(shard_, ShardSnapshot{message.lsn, message.lsn_view, SharedBytes::Of(std::move(bytes))});
        installing_ = Installing{++writes_, message.lsn};
        recorded_ = false;
        recording_.reset();
        unwritten_.clear();
        written_lsn_ = 0;
      }
      if (!installing_ || GLIM_MUTANT(kInstalledBeforeWritten)) {
        installed_view_ = view_.number;
        written_lsn_ = base_lsn_;
        reply.installed = true;
      }
    } else {
      declined_ = true;
      out_.Report(report());
    }
    incoming_.reset();
    if (declined_ || (installing_ && !reply.installed)) return;  // Else OnWritten answers.
  }
  out_.Send(message.from, reply);
}

void Replica::OnSnapshotReply(const SnapshotReply& message, int64_t now) {
  Peer* peer = FindPeer(message.from);
  if (message.view != view_.number || peer == nullptr || !peer->joiner || peer->installed) return;
  if (message.lsn != peer->snapshot_lsn || !peer->snapshot) return;
  peer->heard_at = now;
  peer->silent_nanos = 0;
  if (!message.installed) {
    peer->held = std::min<uint64_t>(std::max(peer->held, message.received), peer->snapshot->size());
    return SendSnapshot(*peer, now);
  }
  peer->installed = true;
  peer->snapshot.reset();
  peer->held = peer->applied = peer->snapshot_lsn;
  peer->next = peer->snapshot_lsn + 1;
  SendTo(*peer, now);
}

void Replica::OnTick(int64_t now) {
  if (!is_primary()) return;
  CountSilence(now);
  if (synced_ || said_silent_ || !Silent().empty()) {
    ShardReport to_master = report();
    to_master.silent = Silent();
    said_silent_ = !to_master.silent.empty();
    out_.Report(to_master);
  }
  if (is_serving() && now < lease_until_) LogOverdue(now);
  CountTime(now);
  for (Peer& peer : peers_) {
    if (now - peer.sent_at < options_.resend_nanos) continue;
    if (peer.joiner && !peer.installed) {
      peer.part_next = peer.held;
      SendSnapshot(peer, now);
    } else if (!peer.matched || std::min(peer.held, peer.applied) < last_lsn() || peer.full) {
      if (peer.matched) peer.next = peer.held + 1;
      SendTo(peer, now);
    }
  }
  Commit(now);
}

// R17. A primary that the master does not hear accuses nobody, and what one could not hear while it was paused or busy
// does not count.
void Replica::CountSilence(int64_t now) {
  const int64_t passed = std::min(now - std::exchange(silence_counted_at_, now), 2 * options_.resend_nanos);
  if (!active_ || now >= lease_until_) return;
  for (Peer& peer : peers_) {
    const bool waits = (peer.joiner && !peer.installed) || peer.held < last_lsn();
    peer.silent_nanos = waits ? peer.silent_nanos + passed : 0;
  }
}

std::vector<SilentMember> Replica::Silent() const {
  std::vector<SilentMember> silent;
  for (const Peer& peer : peers_) {
    if (GLIM_MUTANT(kSilentForEver) || peer.silent_nanos < options_.silent_nanos) continue;
    silent.push_back({peer.member, peer.silent_nanos});
  }
  return silent;
}

// R16. Whoever is silent while nobody could hear it, or while nothing could be taken, is not silent.
void Replica::CountTime(int64_t now) {
  constexpr int64_t kAtMost = 1'000'000'000;  // Between two ticks; else we were not at work.
  const int64_t passed = std::min(now - std::exchange(counted_at_, now), kAtMost);
  const bool goes_on = std::exchange(counted_lsn_, applied_lsn_) < applied_lsn_ || applied_lsn_ == last_lsn();
  if (!is_serving() || now >= lease_until_ || GLIM_MUTANT(kNeverForgotten)) return;
  if (!goes_on || !FullError().empty()) return;
  era_time_ += passed;
  if (era_time_ < options_.era_nanos) return;
  era_time_ = 0;
  if (GLIM_MUTANT(kForgetUnlogged)) {
    ++era_;
    std::erase_if(sessions_, [&](const auto& entry) { return IsSilent(entry.second, era_); });
    appended_ = sessions_;
    return;
  }
  const auto is_open = [](const auto& entry) { return entry.second.number != 0; };
  if (std::none_of(appended_.begin(), appended_.end(), is_open)) return;
  Append_({last_lsn() + 1, view_.number, RecordKind::kEra, {}, 0, 0, {}});
  ++appended_era_;
  std::erase_if(appended_, [&](const auto& entry) { return IsSilent(entry.second, appended_era_); });
  SendToAll(now);
}

size_t Replica::open_count() const {
  return std::count_if(sessions_.begin(), sessions_.end(), [](const auto& entry) { return entry.second.number != 0; });
}

// The state never looks at a clock: what time decides is a record, which all members apply at the same place.
void Replica::LogOverdue(int64_t now) {
  while (auto op = state_->Overdue(now)) {
    Append_({last_lsn() + 1, view_.number, RecordKind::kOwn, {}, 0, 0, *std::move(op)});
    SendToAll(now);
  }
}

// ---------------------------------------------------------------------------------------------------------------
// snapshot

ShardSnapshot Replica::TakeSnapshot() const { return {applied_lsn_, ViewAt(applied_lsn_), SharedBytes::Of(SaveAll())}; }

std::string Replica::SaveAll() const {
  std::string bytes;
  PutNumber(era_, &bytes);
  PutNumber(GLIM_MUTANT(kSnapshotWithoutSessions) ? 0 : sessions_.size(), &bytes);
  for (const auto& [producer, session] : sessions_) {
    if (GLIM_MUTANT(kSnapshotWithoutSessions)) break;
    const uint64_t answers = GLIM_MUTANT(kSnapshotWithoutAnswers) ? 0 : session.answers.size();
    for (const uint64_t number :
         {producer.high, producer.low, session.attempt, session.hi, session.number, session.era, answers}) {
      PutNumber(number, &bytes);
    }
    for (const auto& [seq, answer] : session.answers) {
      if (answers == 0) break;
      PutNumber(seq, &bytes);
      PutNumber(answer.bytes.size(), &bytes);
      bytes.append(reinterpret_cast<const char*>(answer.bytes.data()), answer.bytes.size());
    }
  }
  return bytes + state_->Save();
}

Status Replica::RestoreAll(const std::string& bytes) {
  std::string_view left = bytes;
  uint64_t count = 0;
  Sessions sessions;
  uint64_t era = 0;
  bool whole = TakeNumber(&left, &era) && TakeNumber(&left, &count);
  for (uint64_t i = 0; whole && i < count; ++i) {
    Producer producer;
    Session session;
    uint64_t answers = 0;
    whole = TakeNumber(&left, &producer.high) && TakeNumber(&left, &producer.low) &&
            TakeNumber(&left, &session.attempt) && TakeNumber(&left, &session.hi) &&
            TakeNumber(&left, &session.number) && TakeNumber(&left, &session.era) && TakeNumber(&left, &answers);
    for (; whole && answers > 0; --answers) {
      uint64_t seq, size;
      whole = TakeNumber(&left, &seq) && TakeNumber(&left, &size) && size <= left.size();
      if (!whole) break;
      session.answers.emplace_back(seq, SharedBytes::Of(std::string(left.substr(0, size))));
      left.remove_prefix(size);
    }
    if (whole) sessions[producer] = std::move(session);
  }
  if (!whole) return Status::Corrupt("a snapshot of a shard ends within its list of producers");
  if (Status status = state_->Restore(std::as_bytes(std::span(left))); !status.ok()) return status;
  sessions_ = std::move(sessions);
  era_ = era;
  return Status::Ok();
}

}  // namespace glim::param
