// SPDX-License-Identifier: Apache-2.0
//
// One member's copy of a replicated shard: the rules by which pushes are applied exactly once and survive their
// servers. A state machine without I/O, clock or threads: the server feeds it from sockets, the simulation (sim/) from
// a seeded queue.
//
//   rows + rule state + who pushed what (sessions) + position are one object, changed by records of one log only
//   primary: appends a push to its log, sends it to all of its view, applies and acknowledges it when all have it
//   others:  hold records in order, apply what the primary says is committed
//
// The rules, by the numbers that the simulation and docs/design/servers.md use:
//   R1  order       a push is appended if its seq is the next one of its producer; smaller ones are only answered
//   R2  one state   the same test is made again where a record is applied, on every member, in the order of the log
//   R3  then ack    applied, and acknowledged, when every member of the view holds all records up to there
//   R4  views       a message of another view is not looked at; nobody but the master leaves a member out
//   R5  activation  a new primary applies and answers nothing before the master has written down that it is active
//   R6  keep        a member that is left out keeps its state until a view without it is active
//   R7  join        a joiner gets a snapshot and every record after it; before it is reported, acks wait for it too
//   R8  pulls       by the active primary, from what is applied, once all that it took over is; within its lease
//   R9  sessions    a task begins with seq 1; unknown with a larger one is an error, never a new one
//   R10 attempts    the first word of a later attempt goes through the log, and is answered when it is applied: from
//                   then on no older one is heard, on any member
//
//   R15 numbers     any other producer opens a session first, through the log; its number is the lsn of that record,
//                   and a push of another session than the one that is open is an error, whoever it is from
//   R16 eras        a record of the primary's begins an era now and then; a session of which the era before it had no
//                   push is forgotten where that record is applied. Time counts only while the primary is at work
//
//   R17 silent      a primary that has waited for a member for some seconds and heard nothing of it tells the master,
//                   which makes a view in which nobody has to: time counts only while the primary is at work and has
//                   its lease
//
// What a push is answered (the rows of a PushPull) is computed once, where its record is applied, on every member, and
// kept with the session for the last kAnswersKept pushes: asked again, of whomever, it is the same answer.
//
// And where the shard is kept on disk:
//   R11 held        a record is held when it is on the disk: before, a backup does not say so, a joiner does not say
//                   that its snapshot is installed, and a primary does not count itself
//   R12 kept        a process that starts again takes up what its disk has. The state of its earlier incarnations stays
//                   until a view without them and itself is active; the master puts it where they stood
//   R13 unkept      a disk that fails to sync ends the process; what it then has is what is found there, as far as
//                   every checksum is right. A part is nothing: such a shard is not claimed
//   R14 full        while a disk takes no more, new pushes are refused; what was taken before waits for room
//
// A log holds what somebody in the view may still need; when it is full, or the state has no room, pushes are answered
// kBusy. The state of two members at the same position is equal bit by bit.
//
// Thread: that of its owner.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "param/replication/messages.h"
#include "param/replication/mutant.h"
#include "param/replication/shard_state.h"

namespace glim::param {

// Where answers go; the server's own number of a connection.
using ClientId = uint64_t;

using PeerMessage = std::variant<Append, AppendReply, SnapshotPart, SnapshotReply>;

// What a replica makes happen. Calls do not come back into the replica.
class ReplicaOutput {
 public:
  virtual ~ReplicaOutput() = default;
  virtual void Send(const Member& to, PeerMessage message) = 0;
  virtual void Answer(ClientId to, PushReply reply) = 0;
  virtual void Answer(ClientId to, PullReply reply) = 0;
  virtual void Report(const ShardReport& report) = 0;
  // For shards that are kept on disk. Writes `record` behind what the disk has of the shard; or lets a snapshot take
  // the place of all of it. OnWritten tells the replica when it is there.
  virtual void Write(const ShardId& shard, const Record& record) = 0;
  virtual void Write(const ShardId& shard, const ShardSnapshot& snapshot) = 0;
  // What the disk has of the shard is needed no more.
  virtual void Erase(const ShardId& shard) = 0;
  // Everything up to `record` is applied.
  virtual void Applied(const ShardId& shard, const Record& record) {}
};

struct ReplicaOptions {
  int64_t resend_nanos = 100'000'000;
  int64_t pull_wait_nanos = 30'000'000'000;  // For the pushes that a pull is to see.
  uint64_t log_bytes_max = 64 << 20;
  uint64_t message_bytes_max = 1 << 20;  // Of records or snapshot in one message; one record may be larger.
  uint64_t snapshot_bytes_max = uint64_t{1} << 34;
  size_t waiting_pulls_max = 1024;
  int64_t era_nanos = 900'000'000'000;  // A session that is silent is forgotten after one to two of these.
  // Longer than the dead time, so that the master knows of those who are dead before it hears that they are silent.
  int64_t silent_nanos = 4'000'000'000;
};

class Replica {
 public:
  // `out` must live as long. The state is that before the first operation.
  Replica(ShardId shard, Member self, std::unique_ptr<ShardState> state, const ReplicaOptions& options,
          ReplicaOutput& out);

  // Before anything else: takes up what the disk has, of this member's earlier incarnations `before`. kCorrupt: nothing
  // of it is used.
  Status Keep(const KeptShard& kept, const std::vector<uint64_t>& before);

  // The master's word. Older views than the one adopted are passed over.
  void OnView(const View& view, bool active, int64_t now);
  // Pulls may be answered until then.
  void OnLease(int64_t until) { lease_until_ = until; }
  void OnPeer(const PeerMessage& message, int64_t now);
  void OnPush(ClientId from, const PushRequest& request, int64_t now);
  void OnPull(ClientId from, const PullRequest& request, int64_t now);
  // The first `count` writes are on the disk.
  void OnWritten(uint64_t count, int64_t now);
  // Whether the disk takes no more at the moment; then pushes are answered kBusy.
  void OnDiskFull(bool full) { disk_full_ = full; }
  // Now and then, at least every resend_nanos.
  void OnTick(int64_t now);

  // What is applied; records up to there may then go from the disk.
  ShardSnapshot TakeSnapshot() const;
  bool on_disk() const { return on_disk_; }

  ShardReport report() const;
  const View& view() const { return view_; }
  bool is_active_primary() const { return active_ && is_primary(); }
  // Active, and all that it took over is applied: pulls are answered.
  bool is_serving() const { return is_active_primary() && applied_lsn_ >= ready_lsn_; }
  uint64_t applied_lsn() const { return applied_lsn_; }
  uint64_t last_lsn() const { return base_lsn_ + log_.size(); }
  uint64_t log_bytes() const { return log_bytes_; }
  size_t session_count() const { return sessions_.size(); }
  // Those that were opened; the others are of tasks.
  size_t open_count() const;
  const ShardState& state() const { return *state_; }

 private:
  struct Session {
    uint64_t attempt = 0;
    uint64_t hi = 0;      // Pushes 1 to hi are in.
    uint64_t number = 0;  // 0: a task's.
    uint64_t era = 0;     // Of its last push.
    // What the last kAnswersKept of them were answered, those that have an answer: (seq, answer).
    std::deque<std::pair<uint64_t, SharedBytes>> answers;
  };
  using Sessions = std::map<Producer, Session>;

  // What the primary knows of another member, in this view.
  struct Peer {
    Member member;
    bool joiner = false;
    bool matched = false;  // Its log is known to be ours up to `held`.
    uint64_t next = 1;     // To be sent.
    uint64_t held = 0;
    uint64_t applied = 0;
    int64_t sent_at = 0;
    int64_t heard_at = 0;
    int64_t silent_nanos = 0;  // Since then, of our time at work, as long as we wait for it.
    bool full = false;         // Its disk.
    // A joiner's.
    bool installed = false;
    std::shared_ptr<const std::string> snapshot;
    uint64_t snapshot_lsn = 0;
    uint64_t snapshot_view = 0;
    uint64_t part_next = 0;
  };

  struct Waiting {
    ClientId client = 0;
    uint64_t attempt = 0;
    uint64_t closes = 0;  // The seq of its close.
  };

  struct WaitingPull {
    ClientId from = 0;
    PullRequest request;
    int64_t until = 0;

    bool IsAgain(ClientId other, const PullRequest& again) const {
      return from == other && request.request == again.request && request.producer == again.producer;
    }
  };

  // A snapshot that is arriving.
  struct Incoming {
    uint64_t view = 0;
    uint64_t lsn = 0;
    std::string bytes;
  };

  static bool IsSilent(const Session& session, uint64_t era) { return session.number != 0 && session.era + 2 <= era; }

  bool is_primary() const { return view_.number > 0 && view_.primary == self_; }
  // That is: our state, or what we took up from earlier incarnations, may be what the view relies on.
  bool Holds(const View& view) const;
  // What we have ourselves of the log, so that no crash of this process takes it.
  uint64_t held_lsn() const;
  void SendHeld();
  uint64_t ViewAt(uint64_t lsn) const;
  const Record& RecordAt(uint64_t lsn) const { return log_[lsn - base_lsn_ - 1]; }

  void Adopt(const View& view, int64_t now);
  void Activate(int64_t now);
  void Clear();

  void Append_(Record record);
  void CutLog(uint64_t last_lsn);
  void ForgetLog(uint64_t lsn);
  void Commit(int64_t now);
  void ApplyUpTo(uint64_t lsn);
  void Apply(const Record& record);
  bool MustHold(const Peer& peer, int64_t now) const;
  void ForgetNeedless();

  void SendTo(Peer& peer, int64_t now);
  void SendSnapshot(Peer& peer, int64_t now);
  void SendToAll(int64_t now);
  Peer* FindPeer(const Member& member);

  void OnAppend(const Append& message);
  std::string FullError() const;
  void OnAppendReply(const AppendReply& message, int64_t now);
  void OnSnapshotPart(const SnapshotPart& message);
  void OnSnapshotReply(const SnapshotReply& message, int64_t now);

  void Refuse(ClientId to, const PushRequest& request, PushOutcome outcome, uint64_t seq, std::string error = "");
  void AnswerProducer(const Producer& producer);
  void AnswerPulls(int64_t now);
  bool Sees(const PullRequest& request) const;
  Result<SharedBytes> AnswerOf(const PullRequest& request) const;
  // Its client sees what it is to see, and the state waits for nobody.
  bool MayAnswer(const PullRequest& request, int64_t now) const;
  void AnswerPull(ClientId to, const PullRequest& request, PullOutcome outcome, std::string error = "");
  void LogOverdue(int64_t now);
  void OnOpen(ClientId from, const PushRequest& request, int64_t now);
  void CountTime(int64_t now);
  void CountSilence(int64_t now);
  std::vector<SilentMember> Silent() const;

  std::string SaveAll() const;
  Status RestoreAll(const std::string& bytes);

  const ShardId shard_;
  const Member self_;
  const ReplicaOptions options_;
  ReplicaOutput& out_;

  View view_;
  bool active_ = false;
  bool synced_ = false;          // The view's joiner was reported complete.
  bool declined_ = false;        // We are the joiner, and have no room.
  uint64_t installed_view_ = 0;  // In which we, a joiner, got our snapshot.
  uint64_t ready_lsn_ = 0;       // What an active primary took over ends here.
  int64_t lease_until_ = 0;

  // Records (base_lsn_, last_lsn()]; those up to applied_lsn_ are applied, and the same on every member.
  std::deque<Record> log_;
  uint64_t base_lsn_ = 0;
  uint64_t base_view_ = 0;
  uint64_t applied_lsn_ = 0;
  uint64_t log_bytes_ = 0;

  std::unique_ptr<ShardState> state_;
  Sessions sessions_;  // As of applied_lsn_.
  uint64_t era_ = 0;

  // An active primary's.
  Sessions appended_;  // As of last_lsn().
  uint64_t appended_era_ = 0;
  int64_t era_time_ = 0;  // Of this era, spent at work.
  int64_t counted_at_ = 0;
  uint64_t counted_lsn_ = 0;  // Applied then.
  std::vector<Peer> peers_;
  int64_t silence_counted_at_ = 0;
  bool said_silent_ = false;             // The last report named somebody.
  std::map<Producer, Waiting> waiting_;  // For an acknowledgement.
  std::vector<WaitingPull> waiting_pulls_;

  std::optional<Incoming> incoming_;

  // Of a shard that is kept on disk.
  const bool on_disk_;
  bool disk_full_ = false;
  bool recorded_ = false;              // The disk knows of the shard; before, nobody hears that we adopted a view.
  std::optional<uint64_t> recording_;  // The write that makes it so.
  bool kept_ = false;                  // The state was taken up from the disk, and nothing else took its place.
  std::vector<uint64_t> before_;       // Our incarnations whose state it is.
  uint64_t writes_ = 0;
  std::deque<std::pair<uint64_t, uint64_t>> unwritten_;  // Number of the write, lsn.
  uint64_t written_lsn_ = 0;
  uint64_t matched_lsn_ = 0;  // A backup's: its log is that of the view's primary up to here.
  struct Installing {
    uint64_t write = 0;
    uint64_t lsn = 0;
  };
  std::optional<Installing> installing_;  // A joiner's snapshot, on its way to the disk.
};

}  // namespace glim::param
