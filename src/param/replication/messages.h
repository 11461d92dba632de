// SPDX-License-Identifier: Apache-2.0
//
// What the members of a replicated shard, its clients and the master say to each other. Plain data; who sends what and
// why is told in replica.h (servers), push_session.h (clients) and cluster/master.h.
//
//   client  -> primary   PushRequest, PullRequest       primary -> client   PushReply, PullReply
//   primary -> replica   Append, SnapshotPart           replica -> primary  AppendReply, SnapshotReply
//   master  -> replica   ViewUpdate                     replica -> master   ShardReport
//
// Messages may be lost, doubled and reordered: the state machines expect no more of a network.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "glim/status.h"

namespace glim::param {

// One start of a process. A process that starts again has another incarnation: what the old one held is gone, but for
// what it has kept on its disk.
struct Member {
  uint32_t node = 0;
  uint64_t incarnation = 0;  // Given by the master, larger with each start; 0: not yet.
  auto operator<=>(const Member&) const = default;
};

struct ShardId {
  uint64_t table = 0;  // Never used again after the table was dropped.
  uint32_t shard = 0;
  auto operator<=>(const ShardId&) const = default;
};

// Who pushes: a partition of a stage of a job, or a client of its own. It outlives the process that speaks for it.
struct Producer {
  uint64_t high = 0;
  uint64_t low = 0;
  auto operator<=>(const Producer&) const = default;
};

// Who holds a shard. Made by the master; numbers only grow. Until the master has written down that a view is active,
// its primary answers nobody.
struct View {
  uint64_t number = 0;  // 0: none yet.
  Member primary;
  std::vector<Member> backups;   // With the primary: all that must hold a push before it is acknowledged.
  std::optional<Member> joiner;  // Is being brought up to that.

  bool Holds(const Member& member) const;  // As primary or backup.
  bool operator==(const View&) const = default;
};

// Bytes that are shared, not copied, between the log, messages and the table.
struct SharedBytes {
  std::shared_ptr<const void> owner;
  std::span<const std::byte> bytes;
  std::optional<uint32_t> crc = {};  // As they came with it; see net::Segment.
  // What a program sends may lie in two places: this follows `bytes`, and the owner has it, too. Who receives it has it
  // all in `bytes`.
  std::span<const std::byte> more = {};

  size_t size() const { return bytes.size() + more.size(); }
  static SharedBytes Of(std::string text);
};

enum class RecordKind : uint8_t {
  kPush,     // Apply `op`.
  kAttempt,  // From here on only this attempt of the producer may push.
  kClose,    // The producer is done: forget it.
  kOwn,      // Apply `op`, which no producer sent: the primary's own decision.
  kOpen,     // A session of the producer begins; its number is this record's lsn.
  kEra,      // The next era begins: sessions of which none of the one before has a push are forgotten.
};

struct Record {
  uint64_t lsn = 0;   // Position in the shard's log, from 1 on.
  uint64_t view = 0;  // In which it was appended. Equal (lsn, view) means equal record, and equal records before it.
  RecordKind kind = RecordKind::kPush;
  Producer producer;
  uint64_t attempt = 0;
  uint64_t seq = 0;
  SharedBytes op;
};

// The state of a shard after the record `lsn`, as SnapshotParts and disks hold it.
struct ShardSnapshot {
  uint64_t lsn = 0;
  uint64_t lsn_view = 0;
  SharedBytes bytes;
};

// What a disk has of a shard.
struct KeptShard {
  ShardId shard;
  SharedBytes table;                      // Its description.
  std::optional<ShardSnapshot> snapshot;  // Nothing: the state before the first record.
  std::vector<Record> records;            // As they were written. One takes the place of older ones from its lsn on.
};

// ------------------------------------------------------------------------------------------------ clients and the
// primary

// `seq` counts the pushes of a producer to this shard, from 1 on, without holes.
struct PushRequest {
  ShardId shard;
  Producer producer;
  uint64_t attempt = 0;
  uint64_t seq = 0;
  RecordKind kind = RecordKind::kPush;  // Or kOpen, with seq 0, or kClose.
  SharedBytes op;
  uint64_t session = 0;  // As the shard numbered it (kOpened); 0: a task's, which lasts for ever and is not opened.
};

enum class PushOutcome : uint8_t {
  kApplied,     // All pushes up to `seq` are applied, each once.
  kGap,         // `seq` is the last one the shard has; send from the next one on.
  kRefused,     // Push `seq` makes no sense; neither it nor a later one was taken. See `error`.
  kBusy,        // No room at the moment; nothing was taken.
  kNotPrimary,  // Ask the master who is.
  kFenced,      // A later attempt of this producer is at work.
  kNoSession,   // The shard does not know the session; or not the task, and this is not its first push.
  kOpened,      // `seq` is the session's number.
};

struct PushReply {
  ShardId shard;
  Producer producer;
  uint64_t attempt = 0;
  PushOutcome outcome = PushOutcome::kApplied;
  uint64_t seq = 0;
  uint64_t view = 0;
  std::string error;
};

// A shard keeps what it answers to the last so many pushes of a producer, as a part of its state. A client that wants
// an answer gets it before it pushes more than that.
inline constexpr uint64_t kAnswersKept = 4;

// Sees at least what is applied when `producer` has `after_seq` pushes in.
struct PullRequest {
  ShardId shard;
  uint64_t request = 0;  // The client's own number for it.
  Producer producer;
  uint64_t after_seq = 0;
  uint64_t answer_seq = 0;  // Not 0: what this push of the producer was answered when it was applied, instead of `op`.
  SharedBytes op;
};

enum class PullOutcome : uint8_t {
  kOk,
  kRefused,
  kBusy,
  kNotPrimary,
  kWaiting,  // It will be answered when something has happened: see `error`. Meanwhile it may be asked again.
};

struct PullReply {
  ShardId shard;
  uint64_t request = 0;
  PullOutcome outcome = PullOutcome::kOk;
  uint64_t view = 0;
  uint64_t lsn = 0;     // The rows are those after this record.
  uint64_t offset = 0;  // An answer may come in pieces, one after the other: from this byte on, ...
  uint64_t size = 0;    // ... of so many.
  SharedBytes rows;
  std::string error;
};

// ------------------------------------------------------------------------------------------------------ primary and
// others

// Records that follow each other, the first after (prev_lsn, prev_view). Without records it asks whether those match.
struct Append {
  ShardId shard;
  uint64_t view = 0;
  Member from;
  uint64_t prev_lsn = 0;
  uint64_t prev_view = 0;
  std::vector<Record> records;
  uint64_t committed = 0;  // Apply up to here.
  uint64_t needless = 0;   // Everybody has applied these; forget them.
};

struct AppendReply {
  ShardId shard;
  uint64_t view = 0;
  Member from;
  bool matched = false;
  uint64_t held = 0;  // The log is the primary's up to here. When not matched: go on after this one.
  uint64_t applied = 0;
  bool full = false;  // Its disk takes no more at the moment.
};

struct SnapshotPart {
  ShardId shard;
  uint64_t view = 0;
  Member from;
  uint64_t lsn = 0;  // The state after this record ...
  uint64_t lsn_view = 0;
  uint64_t offset = 0;  // ... from this byte on,
  uint64_t size = 0;    // of so many.
  SharedBytes bytes;
};

struct SnapshotReply {
  ShardId shard;
  uint64_t view = 0;
  Member from;
  uint64_t lsn = 0;
  uint64_t received = 0;  // Bytes from the beginning, without holes.
  bool installed = false;
};

// ------------------------------------------------------------------------------------------------------- master and
// members

struct MemberAddress {
  Member member;
  std::string address;  // "host:port"; empty: not known.
};

// Sent until the member's report says that it knows.
struct ViewUpdate {
  ShardId shard;
  View view;
  bool active = false;
  bool dropped = false;                  // The table is no more; forget the shard.
  SharedBytes table;                     // Its description, for a member that has not heard of it.
  std::vector<MemberAddress> addresses;  // Of the view's members.
};

// Of whom the primary has heard nothing for so long, while it waited for it and was at work itself.
struct SilentMember {
  Member member;
  int64_t nanos = 0;
};

// What a member knows of its shard: its answer to a ViewUpdate, and whenever it changes.
struct ShardReport {
  ShardId shard;
  uint64_t view = 0;  // Adopted.
  bool active = false;
  std::optional<Member> synced;  // The primary's word: this joiner holds all that was acknowledged, and always will.
  bool kept = false;             // It has what earlier starts of the process had written to its disk (FullReport).
  bool declined = false;         // It is the joiner, and cannot take the shard: there is no room.
  std::vector<SilentMember> silent = {};  // The active primary's word (R17).
};

// A member's sign of life.
struct Beat {
  Member member;
  int64_t sent_at = 0;    // By the member's clock; comes back in the reply.
  std::string address;    // Where others reach it.
  uint64_t start = 0;     // A random number, by which one who asks for an incarnation knows the answer.
  bool has_disk = false;  // It has a data folder, so it may hold shards that are kept on disk.
  bool leaving = false;   // It is about to end: others are to take its shards. Never taken back.
};

// How far a node is that is to hand over its shards.
enum class DrainState : uint8_t {
  kNone,    // It is not.
  kAtWork,  // They are on their way to others.
  kNobody,  // There is nobody who could take those that are left.
  kDone,    // It holds none, and gets none.
};

struct BeatReply {
  uint64_t epoch = 0;  // Of the master, one more with each of its starts.
  int64_t sent_at = 0;
  // The member may answer pulls for half the dead time from sent_at on: there is no view that it does not know.
  bool leased = false;
  bool fenced = false;  // Another incarnation of this node is at work: stop.
  // For the member that asked with incarnation 0: the one it has from now on.
  uint64_t incarnation = 0;
  uint64_t start = 0;
  DrainState drain = DrainState::kNone;
  uint32_t shards = 0;  // That the member holds, or is joining.
};

// All shards of a member, with the epoch of the master that asked by being a new one.
struct FullReport {
  Member member;
  uint64_t epoch = 0;
  std::vector<ShardReport> shards;
  std::vector<uint64_t> before;  // The earlier incarnations that wrote to its disk.
};

// ------------------------------------------------------------------------------------------------------ master and
// clients

struct TableEntry {
  uint64_t id = 0;
  std::string name;
  uint32_t shards = 1;
  uint32_t replicas = 1;
  bool on_disk = false;  // Its durability; only servers that have a disk for it hold it.
  SharedBytes spec;      // The table's description, which the master does not look into.
};

// Which tables there are: the one of this name, or all.
struct TableQuery {
  uint64_t request = 0;
  std::string name;
};

enum class TableAction : uint8_t { kCreate, kDrop };

// The answer comes when what was decided is on the master's disk.
struct TableChange {
  uint64_t request = 0;
  TableAction action = TableAction::kCreate;
  TableEntry table;  // To drop it, its name.
};

struct TableAnswer {
  uint64_t request = 0;
  Code code = Code::kOk;
  std::string error;
  std::vector<TableEntry> tables;
};

struct ShardRoute {
  ShardId shard;
  View view;
  bool active = false;
  std::string address;  // Of the primary.
};

// Where the shards of a table are.
struct RouteQuery {
  uint64_t table = 0;
};

struct RouteAnswer {
  uint64_t table = 0;
  std::vector<ShardRoute> shards;  // Empty: there is no such table. View number 0: nobody has the shard yet.
};

// A server is to hand over its shards and get no new ones; or that is taken back. What is so already may be said again,
// to hear how far it is.
struct DrainChange {
  uint64_t request = 0;
  uint32_t server = 0;
  bool draining = true;
};

struct DrainAnswer {
  uint64_t request = 0;
  Code code = Code::kOk;
  std::string error;
  DrainState drain = DrainState::kNone;
  uint32_t shards = 0;  // That it holds, or is joining.
};

// How the cluster is.
struct StatusQuery {
  uint64_t request = 0;
};

struct MemberStatus {
  Member member;
  std::string address;
  bool alive = false;
  bool draining = false;
  uint32_t primary_of = 0;  // Shards.
  uint32_t backup_of = 0;
};

// One of them, at least, said that it does not hear the other; for as long as the master asks neither to take a shard
// from the other.
struct CutServers {
  uint32_t one = 0;  // The smaller number.
  uint32_t other = 0;
};

struct TableStatus {
  TableEntry table;
  uint32_t served = 0;    // Shards with an active view and a living primary.
  uint32_t complete = 0;  // Shards that as many living members hold as the table wants.
};

// An agent tells the master that it is there, and what it has: again and again, since the master keeps it in memory
// only.
struct AgentBeat {
  std::string name;
  std::string address;             // host:port, which is what tells agents apart.
  std::string version;             // Of the program.
  uint64_t start = 0;              // Any number, another one with each start.
  uint32_t cores = 0;              // That it offers to each session.
  uint32_t executors = 0;          // That run there now.
  uint64_t memory_bytes = 0;       // That it offers in all;
  uint64_t memory_used_bytes = 0;  // what of it executors were given.
  std::vector<std::string> labels;
};

struct AgentStatus {
  AgentBeat agent;
  bool alive = false;
};

enum class JobState : uint8_t { kRunning, kDone, kFailed, kCancelled, kLost };
constexpr size_t kJobStates = 5;
// "running", "done", ...
constexpr std::string_view NameOf(JobState state) {
  constexpr std::string_view kNames[kJobStates] = {"running", "done", "failed", "cancelled", "lost"};
  return kNames[static_cast<size_t>(state)];
}

// A run of a flow on executors, as its driver sees it.
struct JobStatus {
  std::string id;      // 16 hexadecimal digits, by chance.
  std::string name;    // Of the flow.
  std::string driver;  // Where it runs: host, and number of the process.
  JobState state = JobState::kRunning;
  int64_t begun_millis = 0;  // Since 1970.
  int64_t ended_millis = 0;  // 0: not yet.
  uint32_t stage = 0;        // From 1 on.
  uint32_t stages = 0;
  uint32_t tasks_done = 0;  // Of that stage.
  uint32_t tasks = 0;
  uint32_t executors = 0;
  std::string error;  // Why it failed.
};

// The driver tells of its job twice a second and when it has ended; the answer says whether somebody wants it to end.
struct JobReport {
  uint64_t request = 0;
  JobStatus job;
};
struct JobReportAnswer {
  uint64_t request = 0;
  bool cancel = false;
};

// Somebody wants the job to end. kNotFound: no job of that id runs.
// A piece of what a driver keeps of its job for people, and up to where it need not be sent again.
struct JobLogPiece {
  uint64_t request = 0;
  std::string id;
  uint64_t from = 0;  // Where in the log it begins.
  SharedBytes text;
};
struct JobLogPieceAnswer {
  uint64_t request = 0;
  Code code = Code::kOk;
  std::string error;
  uint64_t end = 0;
};
struct JobLogQuery {
  uint64_t request = 0;
  std::string id;
  uint64_t from = 0;
};
struct JobLogAnswer {
  uint64_t request = 0;
  Code code = Code::kOk;
  std::string error;
  bool running = false;
  uint64_t size = 0;  // Of the whole log until now.
  SharedBytes text;
};

struct CancelJob {
  uint64_t request = 0;
  std::string id;
};
struct CancelJobAnswer {
  uint64_t request = 0;
  Code code = Code::kOk;
  std::string error;
};

struct StatusAnswer {
  uint64_t request = 0;
  uint64_t epoch = 0;                 // How often the master has started.
  std::vector<MemberStatus> members;  // By node.
  std::vector<TableStatus> tables;    // By id.
  std::vector<AgentStatus> agents;    // By address.
  std::vector<JobStatus> jobs;        // That run, and the last that have ended; in the order in which they began.
  std::vector<CutServers> cuts;       // Of living servers, in order.
};

// ------------------------------------------------------------------------------------------------------- the files of
// a server

// Begins each file about a shard.
struct ShardFileHead {
  uint64_t folder = 0;  // The data folder's random number.
  ShardId shard;
  uint64_t number = 0;        // The file's.
  uint64_t before_bytes = 0;  // Of a log: so much of the log before it counts.
  SharedBytes table;          // Its description.
};
struct ShardRecords {
  std::vector<Record> records;
};

// ------------------------------------------------------------------------------------------------------- the master's
// log

struct EpochBegun {
  uint64_t epoch = 0;
};
struct TableCreated {
  TableEntry table;
};
struct TableDropped {
  uint64_t id = 0;
};
struct NodeDrained {
  uint32_t node = 0;
  bool draining = false;
};
struct ViewMade {
  ShardId shard;
  View view;
};
struct ViewActivated {
  ShardId shard;
  uint64_t number = 0;
};

}  // namespace glim::param
