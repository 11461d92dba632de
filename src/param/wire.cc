// SPDX-License-Identifier: Apache-2.0
#include "param/wire.h"

#include <fmt/format.h>

#include <string>
#include <type_traits>
#include <utility>

#include "net/bytes.h"

namespace glim::param {
namespace {

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

// The fields of everything that travels, in the order of the wire. One list serves both ways, so they cannot differ.
template <class A>
void Fields(A& a, Member& m) {
  a(m.node, m.incarnation);
}
template <class A>
void Fields(A& a, ShardId& m) {
  a(m.table, m.shard);
}
template <class A>
void Fields(A& a, Producer& m) {
  a(m.high, m.low);
}
template <class A>
void Fields(A& a, View& m) {
  a(m.number, m.primary, m.backups, m.joiner);
}
template <class A>
void Fields(A& a, Record& m) {
  a(m.lsn, m.view, m.kind, m.producer, m.attempt, m.seq, m.op);
}
template <class A>
void Fields(A& a, PushRequest& m) {
  a(m.shard, m.producer, m.attempt, m.seq, m.kind, m.session, m.op);
}
template <class A>
void Fields(A& a, PushReply& m) {
  a(m.shard, m.producer, m.attempt, m.outcome, m.seq, m.view, m.error);
}
template <class A>
void Fields(A& a, PullRequest& m) {
  a(m.shard, m.request, m.producer, m.after_seq, m.answer_seq, m.op);
}
template <class A>
void Fields(A& a, PullReply& m) {
  a(m.shard, m.request, m.outcome, m.view, m.lsn, m.offset, m.size, m.rows, m.error);
}
template <class A>
void Fields(A& a, Append& m) {
  a(m.shard, m.view, m.from, m.prev_lsn, m.prev_view, m.committed, m.needless, m.records);
}
template <class A>
void Fields(A& a, AppendReply& m) {
  a(m.shard, m.view, m.from, m.matched, m.held, m.applied, m.full);
}
template <class A>
void Fields(A& a, SnapshotPart& m) {
  a(m.shard, m.view, m.from, m.lsn, m.lsn_view, m.offset, m.size, m.bytes);
}
template <class A>
void Fields(A& a, SnapshotReply& m) {
  a(m.shard, m.view, m.from, m.lsn, m.received, m.installed);
}
template <class A>
void Fields(A& a, ViewUpdate& m) {
  a(m.shard, m.view, m.active, m.dropped, m.table, m.addresses);
}
template <class A>
void Fields(A& a, SilentMember& m) {
  a(m.member, m.nanos);
}
template <class A>
void Fields(A& a, ShardReport& m) {
  a(m.shard, m.view, m.active, m.synced, m.kept, m.declined, m.silent);
}
template <class A>
void Fields(A& a, Beat& m) {
  a(m.member, m.sent_at, m.address, m.start, m.has_disk, m.leaving);
}
template <class A>
void Fields(A& a, BeatReply& m) {
  a(m.epoch, m.sent_at, m.leased, m.fenced, m.incarnation, m.start, m.drain, m.shards);
}
template <class A>
void Fields(A& a, FullReport& m) {
  a(m.member, m.epoch, m.shards, m.before);
}

template <class A>
void Fields(A& a, MemberAddress& m) {
  a(m.member, m.address);
}
template <class A>
void Fields(A& a, TableEntry& m) {
  a(m.id, m.name, m.shards, m.replicas, m.on_disk, m.spec);
}
template <class A>
void Fields(A& a, TableQuery& m) {
  a(m.request, m.name);
}
template <class A>
void Fields(A& a, TableChange& m) {
  a(m.request, m.action, m.table);
}
template <class A>
void Fields(A& a, TableAnswer& m) {
  a(m.request, m.code, m.error, m.tables);
}
template <class A>
void Fields(A& a, ShardRoute& m) {
  a(m.shard, m.view, m.active, m.address);
}
template <class A>
void Fields(A& a, RouteQuery& m) {
  a(m.table);
}
template <class A>
void Fields(A& a, RouteAnswer& m) {
  a(m.table, m.shards);
}
template <class A>
void Fields(A& a, StatusQuery& m) {
  a(m.request);
}
template <class A>
void Fields(A& a, MemberStatus& m) {
  a(m.member, m.address, m.alive, m.draining, m.primary_of, m.backup_of);
}
template <class A>
void Fields(A& a, CutServers& m) {
  a(m.one, m.other);
}
template <class A>
void Fields(A& a, TableStatus& m) {
  a(m.table, m.served, m.complete);
}
template <class A>
void Fields(A& a, AgentBeat& m) {
  a(m.name, m.address, m.version, m.start, m.cores, m.executors, m.memory_bytes, m.memory_used_bytes, m.labels);
}
template <class A>
void Fields(A& a, AgentStatus& m) {
  a(m.agent, m.alive);
}
template <class A>
void Fields(A& a, JobStatus& m) {
  a(m.id, m.name, m.driver, m.state, m.begun_millis, m.ended_millis, m.stage, m.stages, m.tasks_done, m.tasks,
    m.executors, m.error);
}
template <class A>
void Fields(A& a, JobReport& m) {
  a(m.request, m.job);
}
template <class A>
void Fields(A& a, JobReportAnswer& m) {
  a(m.request, m.cancel);
}
template <class A>
void Fields(A& a, JobLogPiece& m) {
  a(m.request, m.id, m.from, m.text);
}
template <class A>
void Fields(A& a, JobLogPieceAnswer& m) {
  a(m.request, m.code, m.error, m.end);
}
template <class A>
void Fields(A& a, JobLogQuery& m) {
  a(m.request, m.id, m.from);
}
template <class A>
void Fields(A& a, JobLogAnswer& m) {
  a(m.request, m.code, m.error, m.running, m.size, m.text);
}
template <class A>
void Fields(A& a, CancelJob& m) {
  a(m.request, m.id);
}
template <class A>
void Fields(A& a, CancelJobAnswer& m) {
  a(m.request, m.code, m.error);
}
template <class A>
void Fields(A& a, StatusAnswer& m) {
  a(m.request, m.epoch, m.members, m.tables, m.agents, m.jobs, m.cuts);
}
template <class A>
void Fields(A& a, DrainChange& m) {
  a(m.request, m.server, m.draining);
}
template <class A>
void Fields(A& a, DrainAnswer& m) {
  a(m.request, m.code, m.error, m.drain, m.shards);
}
template <class A>
void Fields(A& a, EpochBegun& m) {
  a(m.epoch);
}
template <class A>
void Fields(A& a, TableCreated& m) {
  a(m.table);
}
template <class A>
void Fields(A& a, TableDropped& m) {
  a(m.id);
}
template <class A>
void Fields(A& a, ViewMade& m) {
  a(m.shard, m.view);
}
template <class A>
void Fields(A& a, ViewActivated& m) {
  a(m.shard, m.number);
}
template <class A>
void Fields(A& a, NodeDrained& m) {
  a(m.node, m.draining);
}
template <class A>
void Fields(A& a, ShardFileHead& m) {
  a(m.folder, m.shard, m.number, m.before_bytes, m.table);
}
template <class A>
void Fields(A& a, ShardRecords& m) {
  a(m.records);
}

// The last value of each enumeration.
RecordKind LastOf(RecordKind) { return RecordKind::kEra; }
PushOutcome LastOf(PushOutcome) { return PushOutcome::kOpened; }
PullOutcome LastOf(PullOutcome) { return PullOutcome::kWaiting; }
DrainState LastOf(DrainState) { return DrainState::kDone; }
TableAction LastOf(TableAction) { return TableAction::kDrop; }
JobState LastOf(JobState) { return JobState::kLost; }
Code LastOf(Code) { return Code::kUnreachable; }

template <class Message>
struct TypeOf;
using Push = PushRequest;
using Pull = PullRequest;
// clang-format off
#define GLIM_EACH_MESSAGE(X)                                                                          \
  X(Push) X(PushReply) X(Pull) X(PullReply) X(Append) X(AppendReply) X(SnapshotPart) X(SnapshotReply) \
  X(ViewUpdate) X(ShardReport) X(Beat) X(BeatReply) X(FullReport) X(TableQuery) X(TableChange)        \
  X(TableAnswer) X(RouteQuery) X(RouteAnswer) X(StatusQuery) X(StatusAnswer) X(DrainChange)           \
  X(DrainAnswer) X(AgentBeat) X(JobReport) X(JobReportAnswer) X(CancelJob) X(CancelJobAnswer)         \
  X(JobLogPiece) X(JobLogPieceAnswer) X(JobLogQuery) X(JobLogAnswer) X(EpochBegun) X(TableCreated)    \
  X(TableDropped) X(ViewMade) X(ViewActivated) X(NodeDrained) X(ShardFileHead) X(ShardRecords)
// clang-format on

#define GLIM_TYPE_OF(Name)                                 \
  template <>                                              \
  struct TypeOf<Name> {                                    \
    static constexpr MessageType kType = k##Name##Message; \
    static constexpr std::string_view kName = #Name;       \
  };
GLIM_EACH_MESSAGE(GLIM_TYPE_OF)
#undef GLIM_TYPE_OF

class Writer {
 public:
  explicit Writer(net::Frame* frame) : frame_(frame) {}

  template <class... T>
  void operator()(T&... fields) {
    (Put(fields), ...);
  }

 private:
  template <class T>
  void Put(T& field) {
    if constexpr (std::is_enum_v<T> || std::is_integral_v<T>) {
      net::PutNumber(field, &frame_->body);
    } else if constexpr (std::is_same_v<T, std::string>) {
      // A reason, or an address. A peer that sends more than fits has lost nothing we need.
      net::PutText(std::string_view(field).substr(0, 4096), &frame_->body);
    } else if constexpr (IsVector<T>::value) {
      net::PutNumber(static_cast<uint32_t>(field.size()), &frame_->body);
      for (auto& item : field) Put(item);
    } else if constexpr (IsOptional<T>::value) {
      net::PutNumber(static_cast<uint8_t>(field.has_value()), &frame_->body);
      if (field) Put(*field);
    } else if constexpr (std::is_same_v<T, SharedBytes>) {
      PutPayload(field);
    } else {
      Fields(*this, field);
    }
  }

  // A segment of its own, as long as there are any; then all that follows together in the last one.
  void PutPayload(const SharedBytes& bytes) {
    net::PutNumber(static_cast<uint32_t>(bytes.size()), &frame_->body);
    if (bytes.size() == 0) return;
    const std::string_view text = TextOf(bytes.bytes), more = TextOf(bytes.more);
    if (frame_->segments.size() + 1 < net::kSegmentsMax) {
      frame_->segments.push_back({text, bytes.owner, bytes.crc, more});
      return;
    }
    if (rest_ == nullptr) {
      rest_ = std::make_shared<std::string>();
      frame_->segments.push_back({{}, rest_});
    }
    rest_->append(text).append(more);
    frame_->segments.back().bytes = *rest_;
  }
  static std::string_view TextOf(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  net::Frame* const frame_;
  std::shared_ptr<std::string> rest_;
};

class Reader {
 public:
  explicit Reader(const net::Frame& frame) : frame_(frame), body_(frame.body) {}

  template <class... T>
  void operator()(T&... fields) {
    (Take(fields), ...);
  }
  bool complete() const { return ok_ && body_.complete() && segment_ == frame_.segments.size(); }

 private:
  template <class T>
  void Take(T& field) {
    if (!ok_ || !body_.ok()) return;
    if constexpr (std::is_enum_v<T>) {
      using Number = std::underlying_type_t<T>;
      const auto number = body_.Number<Number>();
      ok_ = number <= static_cast<Number>(LastOf(T{}));
      if (ok_) field = static_cast<T>(number);
    } else if constexpr (std::is_same_v<T, bool>) {
      const auto number = body_.Number<uint8_t>();
      ok_ = number <= 1;
      field = number == 1;
    } else if constexpr (std::is_integral_v<T>) {
      field = body_.Number<T>();
    } else if constexpr (std::is_same_v<T, std::string>) {
      field = body_.Text();
    } else if constexpr (IsVector<T>::value) {
      const auto count = body_.Number<uint32_t>();
      // Each item takes a part of the body, so a count that lies ends with it.
      for (uint32_t i = 0; i < count && ok_ && body_.ok(); ++i) Take(field.emplace_back());
    } else if constexpr (IsOptional<T>::value) {
      bool there = false;
      Take(there);
      if (there) Take(field.emplace());
    } else if constexpr (std::is_same_v<T, SharedBytes>) {
      TakePayload(&field);
    } else {
      Fields(*this, field);
    }
  }

  void TakePayload(SharedBytes* field) {
    const auto size = body_.Number<uint32_t>();
    if (size == 0) return;
    ok_ = segment_ < frame_.segments.size() && size <= frame_.segments[segment_].bytes.size() - offset_;
    if (!ok_) return;
    const net::Segment& segment = frame_.segments[segment_];
    *field = {segment.owner, std::as_bytes(std::span(segment.bytes.substr(offset_, size))), {}};
    if (size == segment.bytes.size()) field->crc = segment.crc;
    offset_ += size;
    if (offset_ < segment.bytes.size()) return;
    ++segment_;
    offset_ = 0;
  }

  const net::Frame& frame_;
  net::ByteReader body_;
  bool ok_ = true;
  size_t segment_ = 0;  // Of the payload that comes next, from `offset_` on.
  size_t offset_ = 0;
};

}  // namespace

const net::MessageTable& ClusterMessages() {
  static const net::MessageTable& table = *[] {
    auto* made = new net::MessageTable;
    using enum net::Role;
    made->Add(kPushMessage, "push", kClient);
    made->Add(kPushReplyMessage, "push reply", kNode);
    made->Add(kPullMessage, "pull", kReadOnly);
    made->Add(kPullReplyMessage, "pull reply", kNode);
    made->Add(kAppendMessage, "append", kNode);
    made->Add(kAppendReplyMessage, "append reply", kNode);
    made->Add(kSnapshotPartMessage, "snapshot part", kNode);
    made->Add(kSnapshotReplyMessage, "snapshot reply", kNode);
    made->Add(kViewUpdateMessage, "view update", kNode);
    made->Add(kShardReportMessage, "shard report", kNode);
    made->Add(kBeatMessage, "beat", kNode);
    made->Add(kBeatReplyMessage, "beat reply", kNode);
    made->Add(kFullReportMessage, "full report", kNode);
    made->Add(kTableQueryMessage, "table query", kReadOnly);
    made->Add(kTableChangeMessage, "table change", kClient);
    made->Add(kTableAnswerMessage, "table answer", kNode);
    made->Add(kRouteQueryMessage, "route query", kReadOnly);
    made->Add(kRouteAnswerMessage, "route answer", kNode);
    made->Add(kStatusQueryMessage, "status query", kReadOnly);
    made->Add(kStatusAnswerMessage, "status answer", kNode);
    made->Add(kDrainChangeMessage, "drain change", kClient);
    made->Add(kDrainAnswerMessage, "drain answer", kNode);
    made->Add(kAgentBeatMessage, "agent beat", kNode);
    made->Add(kJobReportMessage, "job report", kClient);
    made->Add(kJobReportAnswerMessage, "job report answer", kNode);
    made->Add(kCancelJobMessage, "cancel job", kClient);
    made->Add(kCancelJobAnswerMessage, "cancel job answer", kNode);
    made->Add(kJobLogPieceMessage, "job log piece", kClient);
    made->Add(kJobLogPieceAnswerMessage, "job log piece answer", kNode);
    made->Add(kJobLogQueryMessage, "job log query", kReadOnly);
    made->Add(kJobLogAnswerMessage, "job log answer", kNode);
    return made;
  }();
  return table;
}

template <class Message>
net::Frame ToFrame(const Message& message) {
  net::Frame frame;
  frame.header.type = TypeOf<Message>::kType;
  Writer writer(&frame);
  Fields(writer, const_cast<Message&>(message));  // A writer only looks.
  return frame;
}

template <class Message>
Result<Message> FromFrame(const net::Frame& frame) {
  if (frame.header.type != TypeOf<Message>::kType) {
    return Status::Corrupt(fmt::format("a frame of type {} is no {}", frame.header.type, TypeOf<Message>::kName));
  }
  Message message;
  Reader reader(frame);
  Fields(reader, message);
  if (!reader.complete()) {
    return Status::Corrupt(
        fmt::format("a {} of {} bytes does not hold what one has", TypeOf<Message>::kName, frame.body.size()));
  }
  return message;
}

#define GLIM_BOTH_WAYS(Name)                      \
  template net::Frame ToFrame<Name>(const Name&); \
  template Result<Name> FromFrame<Name>(const net::Frame&);
GLIM_EACH_MESSAGE(GLIM_BOTH_WAYS)
#undef GLIM_BOTH_WAYS

}  // namespace glim::param
