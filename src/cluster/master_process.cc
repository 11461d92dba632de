// SPDX-License-Identifier: Apache-2.0
#include "cluster/master_process.h"

#include <fmt/format.h>

#include <array>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "base/try.h"
#include "cluster/data_folder.h"
#include "cluster/job_history.h"
#include "cluster/job_logs.h"
#include "cluster/master_log.h"
#include "cluster/metrics.h"
#include "cluster/roster.h"
#include "net/event_loop.h"
#include "net/transport.h"
#include "param/wire.h"

namespace glim::cluster {

using param::Member;

class MasterProcess::Impl final : public MasterOutput {
 public:
  Impl(env::Env& env, MasterProcessOptions options, std::function<void(Status)> stopped)
      : env_(env),
        options_(std::move(options)),
        stopped_(std::move(stopped)),
        loop_(std::make_unique<net::EventLoop>()),
        timer_(std::make_unique<net::Timer>(*loop_)) {}

  // First what could call us, then the thread, then what it worked on.
  ~Impl() override {
    loop_->Call([this] { timer_.reset(); });
    listener_.reset();
    transport_.reset();
    loop_.reset();
  }

  Status Start() {
    ASSIGN_OR_RETURN(folder_, DataFolder::Open(env_, options_.folder, FolderKind::kMaster,
                                               options_.key ? options_.key->cluster : "local"));
    ASSIGN_OR_RETURN(const std::vector<Decision> decided, ReadMasterLog(env_.files(), options_.folder));
    history_ = JobHistory::Open(env_.files(), options_.folder);
    logs_.emplace(env_.files(), options_.folder);
    for (const param::JobStatus& job : history_->before()) roster_.Remember(job);
    Status status;
    loop_->Call([&] { status = StartInLoop(decided); });
    return status;
  }

  std::string address() const { return address_; }

 private:
  class Session;

  struct Pending {
    uint64_t decided = 0;  // Answered when so many decisions are on the disk.
    std::weak_ptr<net::Connection> to;
    param::TableAnswer answer;
  };

  int64_t now() { return env_.clock().MonotonicNanos(); }

  Status StartInLoop(const std::vector<Decision>& decided);

  void Tick() {
    master_->OnTick(now());
    roster_.OnTick(now(), env_.clock().WallNanos() / 1'000'000);
    timer_->Start(options_.master.resend_nanos / 2, [this] { Tick(); });
  }

  // ------------------------------------------------------------------------------------------------------ what it
  // makes happen

  void Write(const Decision& decision) override {
    if (!failed_.ok()) return;
    ++appended_;
    failed_ = log_->Append(decision);
    // One sync for all that are decided by what is at work now.
    if (std::exchange(sync_posted_, true)) return;
    loop_->Post([this] { Sync(); });
  }

  void Sync() {
    sync_posted_ = false;
    if (failed_.ok()) failed_ = log_->Sync();
    if (!failed_.ok()) return Stop(Status(failed_).With("the master's log"));
    const uint64_t written = written_ = appended_;
    master_->OnWritten(written, now());
    AnswerDrains();
    while (!pending_.empty() && pending_.front().decided <= written) {
      Pending pending = std::move(pending_.front());
      pending_.pop_front();
      if (pending.answer.code == Code::kOk && !pending.answer.tables.empty()) {
        const TableEntry* table = master_->FindTable(pending.answer.tables[0].name);
        if (table != nullptr) pending.answer.tables[0] = *table;
      }
      if (const auto to = pending.to.lock()) Answer(*to, pending.answer);
    }
  }

  void Stop(Status why) {
    timer_->Cancel();
    if (stopped_) std::exchange(stopped_, nullptr)(std::move(why));
  }

  // From then on nothing that comes is heard.
  void StopIfBehind() {
    if (!failed_.ok() || master_->behind().empty()) return;
    failed_ = Status::Stale(fmt::format(
        "{}: \"{}\" is an older copy of the master's folder, or another cluster's; start the newest one, or the servers "
        "anew, without their folders",
        master_->behind(), options_.folder));
    Stop(failed_);
  }

  void Send(const Member& to, const param::ViewUpdate& update) override { SendMessage(to, update); }
  void Send(const Member& to, const param::BeatReply& reply) override { SendMessage(to, reply); }

  template <class Message>
  void SendMessage(const Member& to, const Message& message) {
    const auto it = members_.find(to);
    if (it == members_.end()) return;  // It will beat when it is there.
    Answer(*it->second, message);
  }

  // A peer whose queue is full loses what it is sent; all of it is said again, or asked for again.
  template <class Message>
  static void Answer(net::Connection& to, const Message& message) {
    (void)to.Send(param::ToFrame(message));
  }

  // ---------------------------------------------------------------------------------------------------------- what it
  // is told

  void OnTableQuery(net::Connection& from, const param::TableQuery& query) {
    param::TableAnswer answer{query.request, Code::kOk, "", {}};
    for (const auto& [id, table] : master_->tables()) {
      if (query.name.empty() || table.name == query.name) answer.tables.push_back(table);
    }
    if (!query.name.empty() && answer.tables.empty()) {
      answer.code = Code::kNotFound;
      answer.error = "there is no table \"" + query.name + "\"";
    }
    Answer(from, answer);
  }

  void OnTableChange(const std::shared_ptr<net::Connection>& from, const param::TableChange& change) {
    Pending pending{0, from, {change.request, Code::kOk, "", {}}};
    Status status;
    if (change.action == param::TableAction::kCreate) {
      status = master_->CreateTable(change.table, now()).status();
      pending.answer.tables = {change.table};
    } else {
      status = master_->DropTable(change.table.name);
    }
    pending.decided = master_->decided();
    if (status.ok()) {
      pending_.push_back(std::move(pending));
      return;
    }
    pending.answer = {change.request, status.code(), status.message(), {}};
    Answer(*from, pending.answer);
  }

  void OnDrainChange(const std::shared_ptr<net::Connection>& from, const param::DrainChange& change) {
    const Status status = master_->SetDraining(change.server, change.draining);
    const auto [drain, shards] = master_->DrainOf(change.server);
    const param::DrainAnswer answer{change.request, status.code(), status.message(), drain, shards};
    if (!status.ok()) return Answer(*from, answer);
    // Not before it is on the disk; who is told that it is done asks again.
    drains_.push_back({master_->decided(), from, answer});
    if (master_->decided() <= written_) AnswerDrains();
  }

  void AnswerDrains() {
    while (!drains_.empty() && drains_.front().decided <= written_) {
      if (const auto to = drains_.front().to.lock()) Answer(*to, drains_.front().answer);
      drains_.pop_front();
    }
  }

  void OnJobLogPiece(net::Connection& from, const param::JobLogPiece& piece) {
    const std::string_view text(reinterpret_cast<const char*>(piece.text.bytes.data()), piece.text.bytes.size());
    const auto end = logs_->Append(piece.id, piece.from, text);
    param::JobLogPieceAnswer answer{piece.request, end.status().code(), std::string(end.status().message())};
    if (end.ok()) answer.end = *end;
    Answer(from, answer);
  }

  void OnJobLogQuery(net::Connection& from, const param::JobLogQuery& query) {
    param::JobLogAnswer answer;
    answer.request = query.request;
    answer.running = roster_.IsRunning(query.id);
    auto piece = logs_->Read(query.id, query.from);
    if (piece.ok()) {
      answer.size = piece->size;
      answer.text = param::SharedBytes::Of(std::move(piece->text));
    } else {
      answer.code = piece.status().code();
      answer.error = piece.status().message();
    }
    Answer(from, answer);
  }

  param::StatusAnswer Describe() {
    param::StatusAnswer answer = master_->Describe(now());
    roster_.Describe(now(), &answer);
    return answer;
  }

  void AddMetrics(Metrics* metrics) {
    AddClusterMetrics(Describe(), metrics);
    metrics->Begin("glim_jobs_ended_total", "counter", "Jobs that have ended since this master has started.");
    using enum param::JobState;
    for (const param::JobState state : {kDone, kFailed, kCancelled, kLost}) {
      metrics->Add(static_cast<double>(ended_jobs_[static_cast<size_t>(state)]), {{"state", param::NameOf(state)}});
    }
    metrics->Counter("glim_master_decisions_total", "What this master has written to its log.",
                     static_cast<double>(appended_));
    metrics->Counter("glim_connections_refused_total", "Connections that were turned away.",
                     static_cast<double>(transport_->refused_count()));
  }

  void OnRouteQuery(net::Connection& from, const param::RouteQuery& query) {
    param::RouteAnswer answer{query.table, {}};
    if (const auto it = master_->tables().find(query.table); it != master_->tables().end()) {
      for (uint32_t i = 0; i < it->second.shards; ++i) {
        const param::ShardId shard{query.table, i};
        const Route route = master_->FindRoute(shard).value_or(Route{});  // Nobody has it yet.
        answer.shards.push_back({shard, route.view, route.active, master_->AddressOf(route.view.primary)});
      }
    }
    Answer(from, answer);
  }

  env::Env& env_;
  const MasterProcessOptions options_;
  std::function<void(Status)> stopped_;
  std::unique_ptr<net::EventLoop> loop_;
  std::unique_ptr<net::Timer> timer_;
  std::string address_;
  std::unique_ptr<DataFolder> folder_;

  // The loop's.
  std::unique_ptr<net::Transport> transport_;
  std::unique_ptr<net::Listener> listener_;
  std::optional<Master> master_;
  std::unique_ptr<MasterLog> log_;
  std::unique_ptr<JobHistory> history_;
  std::optional<JobLogs> logs_;
  Roster roster_{{}, [this](const param::JobStatus& job) {
                   history_->Add(job);
                   logs_->End(job.id);
                   ++ended_jobs_[static_cast<size_t>(job.state)];
                 }};
  std::array<uint64_t, param::kJobStates> ended_jobs_{};  // Since this master has started, by state.
  uint64_t appended_ = 0;
  uint64_t written_ = 0;
  bool sync_posted_ = false;
  Status failed_;
  std::deque<Pending> pending_;
  struct PendingDrain {
    uint64_t decided = 0;
    std::weak_ptr<net::Connection> to;
    param::DrainAnswer answer;
  };
  std::deque<PendingDrain> drains_;
  std::map<Member, std::shared_ptr<net::Connection>> members_;
};

// One connection, of a member or a client.
class MasterProcess::Impl::Session final : public net::ConnectionHandler {
 public:
  Session(Impl& master, std::shared_ptr<net::Connection> connection)
      : master_(master), connection_(std::move(connection)) {}

  void OnFrame(net::Frame frame, net::Credit credit) override {
    if (!master_.failed_.ok()) return;
    const Status status = Work(frame);
    if (!status.ok()) connection_->Close();  // Not one of ours.
  }

  void OnClosed(const net::Closing& closing) override {
    const auto it = master_.members_.find(member_);
    if (it != master_.members_.end() && it->second == connection_) master_.members_.erase(it);
    connection_.reset();
  }

 private:
  Status Work(const net::Frame& frame) {
    switch (frame.header.type) {
      case param::kBeatMessage: {
        ASSIGN_OR_RETURN(const param::Beat beat, param::FromFrame<param::Beat>(frame));
        member_ = beat.member;
        master_.members_[member_] = connection_;
        master_.master_->OnBeat(beat, master_.now());
        return Status::Ok();
      }
      case param::kShardReportMessage: {
        ASSIGN_OR_RETURN(const param::ShardReport report, param::FromFrame<param::ShardReport>(frame));
        master_.master_->OnReport(member_, report, master_.now());
        master_.StopIfBehind();
        return Status::Ok();
      }
      case param::kFullReportMessage: {
        ASSIGN_OR_RETURN(const param::FullReport report, param::FromFrame<param::FullReport>(frame));
        master_.master_->OnFullReport(report, master_.now());
        master_.StopIfBehind();
        return Status::Ok();
      }
      case param::kTableQueryMessage: {
        ASSIGN_OR_RETURN(const param::TableQuery query, param::FromFrame<param::TableQuery>(frame));
        master_.OnTableQuery(*connection_, query);
        return Status::Ok();
      }
      case param::kTableChangeMessage: {
        ASSIGN_OR_RETURN(const param::TableChange change, param::FromFrame<param::TableChange>(frame));
        master_.OnTableChange(connection_, change);
        return Status::Ok();
      }
      case param::kDrainChangeMessage: {
        ASSIGN_OR_RETURN(const param::DrainChange change, param::FromFrame<param::DrainChange>(frame));
        master_.OnDrainChange(connection_, change);
        return Status::Ok();
      }
      case param::kStatusQueryMessage: {
        ASSIGN_OR_RETURN(const param::StatusQuery query, param::FromFrame<param::StatusQuery>(frame));
        param::StatusAnswer answer = master_.Describe();
        answer.request = query.request;
        Answer(*connection_, answer);
        return Status::Ok();
      }
      case param::kAgentBeatMessage: {
        ASSIGN_OR_RETURN(const param::AgentBeat beat, param::FromFrame<param::AgentBeat>(frame));
        master_.roster_.OnAgent(beat, master_.now());
        return Status::Ok();
      }
      case param::kJobReportMessage: {
        ASSIGN_OR_RETURN(const param::JobReport report, param::FromFrame<param::JobReport>(frame));
        const bool cancel = master_.roster_.OnJob(report.job, master_.now());
        Answer(*connection_, param::JobReportAnswer{report.request, cancel});
        return Status::Ok();
      }
      case param::kJobLogPieceMessage: {
        ASSIGN_OR_RETURN(const param::JobLogPiece piece, param::FromFrame<param::JobLogPiece>(frame));
        master_.OnJobLogPiece(*connection_, piece);
        return Status::Ok();
      }
      case param::kJobLogQueryMessage: {
        ASSIGN_OR_RETURN(const param::JobLogQuery query, param::FromFrame<param::JobLogQuery>(frame));
        master_.OnJobLogQuery(*connection_, query);
        return Status::Ok();
      }
      case param::kCancelJobMessage: {
        ASSIGN_OR_RETURN(const param::CancelJob cancel, param::FromFrame<param::CancelJob>(frame));
        const Status status = master_.roster_.Cancel(cancel.id);
        Answer(*connection_, param::CancelJobAnswer{cancel.request, status.code(), status.message()});
        return Status::Ok();
      }
      case param::kRouteQueryMessage: {
        ASSIGN_OR_RETURN(const param::RouteQuery query, param::FromFrame<param::RouteQuery>(frame));
        master_.OnRouteQuery(*connection_, query);
        return Status::Ok();
      }
    }
    return Status::Corrupt("not a message for a master");
  }

  Impl& master_;
  std::shared_ptr<net::Connection> connection_;  // Until it closes.
  Member member_;
};

Status MasterProcess::Impl::StartInLoop(const std::vector<Decision>& decided) {
  // What the old log says, in fewer words, is the begin of the new one.
  struct Nowhere final : MasterOutput {
    void Write(const Decision&) override {}
    void Send(const Member&, const param::ViewUpdate&) override {}
    void Send(const Member&, const param::BeatReply&) override {}
  } nowhere;
  std::vector<Decision> compact;
  if (!decided.empty()) {
    const Master reader(options_.master, decided, 0, nowhere);
    compact = reader.CompactLog();
  }
  ASSIGN_OR_RETURN(log_, MasterLog::Begin(env_.files(), options_.folder, compact));
  net::TransportOptions transport;
  transport.messages = &param::ClusterMessages();
  transport.shared_memory = false;  // Many members say little: the memory would be the larger part of a master.
  transport.key = options_.key;
  if (options_.key) transport.cluster = options_.key->cluster;
  transport.node = "master";
  transport.dead_nanos = options_.master.dead_nanos;
  transport.http =
      MakeHttpHandler("master", [this] { return failed_; }, [this](Metrics* metrics) { AddMetrics(metrics); });
  transport.http_for_all = options_.open_metrics;
  transport_ = net::MakeTcpTransport(*loop_, std::move(transport));
  master_.emplace(options_.master, compact, now(), *this);
  ASSIGN_OR_RETURN(listener_,
                   transport_->Listen(options_.address, [this](const std::shared_ptr<net::Connection>& connection) {
                     return std::make_shared<Session>(*this, connection);
                   }));
  address_ = listener_->address();
  Tick();
  return Status::Ok();
}

MasterProcess::MasterProcess(env::Env& env, MasterProcessOptions options, std::function<void(Status)> stopped)
    : impl_(std::make_unique<Impl>(env, std::move(options), std::move(stopped))) {}
MasterProcess::~MasterProcess() = default;
Status MasterProcess::Start() { return impl_->Start(); }
std::string MasterProcess::address() const { return impl_->address(); }

}  // namespace glim::cluster
