// SPDX-License-Identifier: Apache-2.0
#include "cluster/server_process.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/memory_budget.h"
#include "base/try.h"
#include "cluster/data_folder.h"
#include "cluster/metrics.h"
#include "cluster/server_disk.h"
#include "net/event_loop.h"
#include "net/transport.h"
#include "param/clocks/clocked_state.h"
#include "param/table_state.h"
#include "param/wire.h"
#include "table/manifest.h"

namespace glim::cluster {

using param::ClientId;
using param::Member;

constexpr size_t kOwnersMax = 64;

class ServerProcess::Impl final : public ServerNodeOutput, private ServerDiskEvents {
 public:
  Impl(env::Env& env, ServerProcessOptions options, std::function<void(Status)> stopped)
      : env_(env),
        options_(std::move(options)),
        stopped_(std::move(stopped)),
        memory_(std::make_shared<base::MemoryBudget>(static_cast<int64_t>(options_.memory_max))),
        loop_(std::make_unique<net::EventLoop>()),
        timer_(std::make_unique<net::Timer>(*loop_)) {
    const size_t wanted = options_.owners > 0 ? options_.owners : static_cast<size_t>(env_.machine().cores);
    for (size_t i = 0; i < std::clamp<size_t>(wanted, 1, kOwnersMax); ++i) {
      owners_.push_back(std::make_unique<Owner>(*this));
    }
  }

  // First what could call us, then the threads, then what they worked on.
  ~Impl() override {
    loop_->Call([this] {
      stopping_ = true;
      timer_.reset();
    });
    for (const auto& owner : owners_) owner->Stop();
    disk_.reset();
    listener_.reset();
    transport_.reset();
    for (const auto& owner : owners_) owner->EndThread();
    loop_.reset();
  }

  Status Start() {
    number_ = options_.node;
    if (!options_.folder.empty()) {
      ASSIGN_OR_RETURN(folder_, DataFolder::Open(env_, options_.folder, FolderKind::kServer,
                                                 options_.key ? options_.key->cluster : "local", options_.node));
      number_ = folder_->server();
      ASSIGN_OR_RETURN(disk_, ServerDisk::Open(env_, options_.folder, options_.disk, *this));
    } else if (number_ == 0) {
      number_ = NewServerNumber(env_);
    }
    Status status;
    loop_->Call([&] { status = StartInLoop(); });
    return status;
  }
  std::string address() const { return address_; }
  uint32_t node() const { return number_; }
  Status HandOver(int64_t nanos_max);

 private:
  class Session;

  // Who dialled us. Rows go out in pieces, as fast as the client takes them: no more than some megabytes are in the
  // connection's queue. While answers wait, what the client sends waits, too, and the bytes of it count as received but
  // not worked on: so a client that asks for more than it takes is slowed down.
  struct Client {
    std::shared_ptr<net::Connection> connection;
    std::weak_ptr<Session> session;
    std::deque<param::PullReply> answers;  // Of the first one, rows from offset on are still to be sent.
    uint64_t answer_bytes = 0;             // Of `answers`.
    uint64_t unsent_bytes = 0;             // In the connection's queue.
    std::deque<std::pair<net::Frame, net::Credit>> held;
    size_t pulls_at_work = 0;  // With the shards.
    bool going_on = false;     // Sending may say at once that it is done.

    bool MustWait() const { return !answers.empty() || !held.empty() || pulls_at_work >= kPullsAtWorkMax; }
  };
  static constexpr uint64_t kPieceBytes = 1 << 20;
  static constexpr uint64_t kUnsentBytesMax = 4 << 20;
  static constexpr uint64_t kAnswerBytesMax = 256 << 20;  // What waits beyond that is dropped, and asked again.

  static constexpr size_t kPullsAtWorkMax = 16;  // Then what the client sends waits, too.

  static constexpr int64_t kConnectNanos = 3'000'000'000;
  static constexpr int64_t kTickNanos = 50'000'000;
  // Shards that are silent for longer are not at work; they hang.
  static constexpr int64_t kAtWorkNanosMax = 60'000'000'000;

  int64_t now() { return env_.clock().MonotonicNanos(); }
  Status StartInLoop();

  // ----------------------------------------------------------------------------------------------------------
  // threads

  // A thread with some of the shards. All but Run, Call, Stop and EndThread is in its loop.
  class Owner final : public ShardOwnerOutput {
   public:
    explicit Owner(Impl& server)
        : server_(server), loop_(std::make_unique<net::EventLoop>()), timer_(std::make_unique<net::Timer>(*loop_)) {}

    void Begin() {
      loop_->Call([this] {
        core_.emplace(
            [this](param::ShardId shard, const param::SharedBytes& table) { return server_.MakeState(shard, table); },
            server_.options_.node_options.replica, *this);
        Tick();
      });
    }
    // What is short is done in the caller's thread when the shards have nothing to do: a wake-up takes longer.
    void Run(bool is_short, std::function<void(ShardOwner&)> work) {
      auto unless_stopping = [this, work = std::move(work)] {
        if (!stopping_) work(*core_);
      };
      is_short ? loop_->Run(std::move(unless_stopping)) : loop_->Post(std::move(unless_stopping));
    }
    bool IsNamed() {
      bool is_named = false;
      loop_->Call([&] { is_named = core_->IsNamed(); });
      return is_named;
    }
    // Does nothing from then on.
    void Stop() {
      loop_->Call([this] {
        stopping_ = true;
        timer_.reset();
      });
    }
    void EndThread() { loop_.reset(); }
    int64_t at_work_at() const { return at_work_at_.load(std::memory_order_relaxed); }
    // As of the last tick.
    size_t shards() const { return shards_.load(std::memory_order_relaxed); }
    size_t primaries() const { return primaries_.load(std::memory_order_relaxed); }
    void CutWhenApplied(const param::ShardId& shard, uint64_t lsn) { cuts_[shard] = lsn; }

    void Send(const Member& to, param::PeerMessage message) override { server_.Send(to, std::move(message)); }
    void Answer(ClientId to, param::PushReply reply) override { server_.Answer(to, std::move(reply)); }
    void Answer(ClientId to, param::PullReply reply) override { server_.Answer(to, std::move(reply)); }
    void SendToMaster(const param::ShardReport& report) override {
      server_.InNetwork([&server = server_, report] { server.SendReport(report); });
    }
    void ToNode(OwnerWord word) override {
      server_.InNetwork([&server = server_, word = std::move(word)] { server.node_->OnOwner(word); });
    }
    // Only replicas of tables on disk call these, and MakeState made those with a disk only.
    void Write(const param::ShardId& shard, const param::SharedBytes& table, const param::Record& record) override {
      server_.disk_->Write(shard, table, record);
    }
    void Write(const param::ShardId& shard, const param::SharedBytes& table,
               const param::ShardSnapshot& snapshot) override {
      server_.disk_->Write(shard, table, snapshot);
    }
    void Erase(const param::ShardId& shard) override { server_.disk_->Erase(shard); }

   private:
    void Tick() {
      core_->OnTick(server_.now());
      CutLogs();
      const auto& replicas = core_->replicas();
      shards_ = replicas.size();
      primaries_ = static_cast<size_t>(std::count_if(
          replicas.begin(), replicas.end(), [](const auto& entry) { return entry.second->is_active_primary(); }));
      at_work_at_ = server_.now();
      timer_->Start(kTickNanos, [this] { Tick(); });
    }
    // Snapshots for logs that have grown, once the records of these are applied.
    void CutLogs() {
      std::erase_if(cuts_, [&](const auto& cut) {
        const auto replica = core_->replicas().find(cut.first);
        if (replica == core_->replicas().end()) return true;
        if (replica->second->applied_lsn() < cut.second) return false;
        server_.disk_->Cut(cut.first, replica->second->TakeSnapshot());
        return true;
      });
    }

    Impl& server_;
    std::unique_ptr<net::EventLoop> loop_;
    std::unique_ptr<net::Timer> timer_;
    std::optional<ShardOwner> core_;
    std::map<param::ShardId, uint64_t> cuts_;  // Wanted, with the record that must be applied.
    bool stopping_ = false;
    std::atomic<int64_t> at_work_at_{0};  // Its last tick.
    std::atomic<size_t> shards_{0};
    std::atomic<size_t> primaries_{0};
  };

  void InNetwork(std::function<void()> work) {
    auto unless_stopping = [this, work = std::move(work)] {
      if (!stopping_) work();
    };
    loop_->InLoop() ? unless_stopping() : loop_->Run(std::move(unless_stopping));
  }
  // In the network's loop, which knows whose shard it is.
  Owner& OwnerOf(const param::ShardId& shard) { return *owners_[node_->OwnerOf(shard)]; }
  void ToOwner(size_t owner, NodeWord word) override {
    owners_[owner]->Run(
        false, [this, word = std::move(word)](ShardOwner& core) mutable { core.OnNode(std::move(word), now()); });
  }

  bool Hangs() {
    return std::any_of(owners_.begin(), owners_.end(),
                       [&](const auto& owner) { return now() - owner->at_work_at() >= kAtWorkNanosMax; });
  }
  Status Health() {
    if (node_->fenced()) return Status::Stale("another process has taken this server's place");
    return Hangs() ? Status::Unavailable("shards are at one thing for a minute") : Status::Ok();
  }
  void AddMetrics(Metrics* metrics);

  // Beats say that the owners are there, also while one of them is at work for long.
  void Tick() {
    if (!Hangs()) node_->OnTick(now());
    if (node_->fenced()) {
      if (stopped_) {
        std::exchange(stopped_, nullptr)(Status::Stale(fmt::format(
            "another process has taken the place of server {}; this one is not a member any more", number_)));
      }
      return;
    }
    timer_->Start(kTickNanos, [this] { Tick(); });
  }

  // One layout for all shards of a table, as long as any is here. Thread: any.
  Result<std::shared_ptr<const param::TableLayout>> LayoutOf(param::ShardId shard,
                                                             const param::SharedBytes& description) {
    const std::lock_guard lock(layouts_mutex_);
    std::shared_ptr<const param::TableLayout> layout = layouts_[shard.table].lock();
    if (layout == nullptr) {
      const std::string_view text(reinterpret_cast<const char*>(description.bytes.data()), description.bytes.size());
      ASSIGN_OR_RETURN(const table::Manifest manifest, table::DecodeManifest(text));
      ASSIGN_OR_RETURN(TableSpec spec, CheckTableSpec(manifest.spec));
      if (spec.durability == Durability::kDisk && disk_ == nullptr) {
        return Status::Invalid(
            fmt::format("table \"{}\" is to be kept on disk, and this server has no data folder", spec.name));
      }
      if (spec.shards == 0 || shard.shard >= spec.shards) return Status::Corrupt("a table without this shard");
      layout = std::make_shared<const param::TableLayout>(std::move(spec));
      layouts_[shard.table] = layout;
    }
    return layout;
  }

  Result<std::unique_ptr<param::ShardState>> MakeState(param::ShardId shard, const param::SharedBytes& description) {
    ASSIGN_OR_RETURN(std::shared_ptr<const param::TableLayout> layout, LayoutOf(shard, description));
    const Consistency consistency = layout->spec().consistency;
    std::unique_ptr<param::ShardState> rows =
        std::make_unique<param::TableState>(std::move(layout), shard.shard, memory_);
    if (options_.around_rows) rows = options_.around_rows(std::move(rows));
    return std::unique_ptr<param::ShardState>(std::make_unique<param::ClockedState>(consistency, std::move(rows)));
  }

  // ----------------------------------------------------------------------------------------------------------
  // connections

  // The connection that we dialled to this address, or a new one.
  net::Connection* Dial(const std::string& address);

  template <class Message>
  void SendToAddress(const std::string& address, const Message& message) {
    if (address.empty()) return;
    // A full queue loses it, as a network would.
    if (net::Connection* connection = Dial(address)) (void)connection->Send(param::ToFrame(message));
  }

  void Send(const Member& to, param::PeerMessage message) {
    InNetwork([this, to, message = std::move(message)] {
      const auto it = addresses_.find(to);
      if (it == addresses_.end()) return;
      std::visit([&](const auto& m) { SendToAddress(it->second, m); }, message);
    });
  }
  void Answer(ClientId to, param::PushReply reply) {
    InNetwork([this, to, reply = std::move(reply)] {
      if (const auto it = clients_.find(to); it != clients_.end()) {
        (void)it->second.connection->Send(param::ToFrame(reply));
      }
    });
  }
  void Answer(ClientId to, param::PullReply reply);
  void SendAnswer(ClientId to, param::PullReply reply);
  void PullIsDone(ClientId client);
  // As much of the answers that wait as may be on its way; then what the client asked meanwhile.
  void GoOn(ClientId to);
  void SendToMaster(const param::Beat& beat) override { SendToAddress(options_.master, beat); }
  // Whoever is on the line and does not answer is at work, or its disk is: it is waited for, as long as that can be
  // work.
  void SendReport(param::ShardReport report) {
    std::erase_if(report.silent, [&](const param::SilentMember& silent) {
      const auto it = addresses_.find(silent.member);
      return it != addresses_.end() && reached_.contains(it->second) && silent.nanos < kAtWorkNanosMax;
    });
    for (const param::SilentMember& silent : report.silent) {
      const auto it = addresses_.find(silent.member);
      if (it == addresses_.end() || !missed_.insert(it->second).second) continue;
      base::LogWarning(
          "server {} at {} is not reached from here; where it holds shards up, the master is asked for others",
          silent.member.node, it->second);
    }
    SendToAddress(options_.master, report);
  }
  void SendToMaster(const param::FullReport& report) override { SendToAddress(options_.master, report); }

  // ----------------------------------------------------------------------------------------------------------
  // the disk

  void Begin(uint64_t incarnation) override {
    if (disk_) return disk_->Begin(incarnation);
    loop_->Post([this] { node_->OnBegun(); });
  }

  void OnBegun() override {
    InNetwork([this] { node_->OnBegun(); });
  }
  void OnWritten(const param::ShardId& shard, uint64_t count) override {
    InNetwork([this, shard, count] {
      OwnerOf(shard).Run(false, [=, this](ShardOwner& core) { core.OnWritten(shard, count, now()); });
    });
  }
  void OnFull(bool full) override {
    if (full) base::LogWarning("\"{}\": the disk is full; pushes to tables that are kept there are refused", folder());
    if (!full) base::LogWarning("\"{}\": the disk has room again", folder());
    for (const auto& owner : owners_) {
      owner->Run(false, [full](ShardOwner& core) { core.OnDiskFull(full); });
    }
  }
  void OnLogFull(const param::ShardId& shard, uint64_t lsn) override {
    InNetwork([this, shard, lsn] {
      Owner& owner = OwnerOf(shard);
      owner.Run(false, [&owner, shard, lsn](ShardOwner&) { owner.CutWhenApplied(shard, lsn); });
    });
  }
  void OnFailed(const Status& status) override {
    for (const auto& owner : owners_) owner->Stop();
    InNetwork([this, status] {
      stopping_ = true;
      timer_->Cancel();
      if (stopped_) std::exchange(stopped_, nullptr)(status);
    });
  }
  const std::string& folder() const { return options_.folder; }

  void OnViewUpdate(const param::ViewUpdate& update) {
    for (const param::MemberAddress& entry : update.addresses) {
      if (!entry.address.empty()) addresses_[entry.member] = entry.address;
    }
    node_->OnViewUpdate(update);
  }

  env::Env& env_;
  const ServerProcessOptions options_;
  std::function<void(Status)> stopped_;
  const std::shared_ptr<base::MemoryBudget> memory_;  // Of all shards, and of answers on their way.
  uint32_t number_ = 0;
  std::unique_ptr<DataFolder> folder_;
  std::unique_ptr<ServerDisk> disk_;
  std::unique_ptr<net::EventLoop> loop_;  // The network's.
  std::unique_ptr<net::Timer> timer_;
  std::vector<std::unique_ptr<Owner>> owners_;
  std::string address_;

  std::mutex layouts_mutex_;  // Guards the next line.
  std::map<uint64_t, std::weak_ptr<const param::TableLayout>> layouts_;

  // The network's thread has these.
  std::optional<ServerNode> node_;
  std::unique_ptr<net::Transport> transport_;
  std::unique_ptr<net::Listener> listener_;
  bool stopping_ = false;  // Nobody is heard any more.
  std::map<Member, std::string> addresses_;
  std::map<std::string, std::shared_ptr<net::Connection>> dialled_;
  std::set<std::string> reached_;  // Of these connections, those that are open.
  std::set<std::string> missed_;   // Said to be out of reach, and not reached since.
  std::map<ClientId, Client> clients_;
  ClientId next_client_ = 1;
  uint64_t pushes_ = 0, pushed_bytes_ = 0;  // That came.
  uint64_t pulls_ = 0, pulled_bytes_ = 0;   // Bytes that went.
};

// One connection: dialled by us (address set), or accepted (client set).
class ServerProcess::Impl::Session final : public net::ConnectionHandler {
 public:
  Session(Impl& server, std::string address) : server_(server), address_(std::move(address)) {}
  void set_connection(const std::shared_ptr<net::Connection>& connection) { connection_ = connection; }
  Session(Impl& server, ClientId client) : server_(server), client_(client) {}

  void OnOpen(net::Connection& connection) override {
    if (address_.empty()) return;
    server_.reached_.insert(address_);
    server_.missed_.erase(address_);
  }
  void OnFrame(net::Frame frame, net::Credit credit) override {
    if (server_.stopping_) return;
    if (const auto it = server_.clients_.find(client_); it != server_.clients_.end() && it->second.MustWait()) {
      it->second.held.emplace_back(std::move(frame), std::move(credit));
      return;
    }
    WorkOff(frame, std::move(credit));
  }
  void OnClosed(const net::Closing& closing) override { Forget(false); }

  void WorkOff(const net::Frame& frame, net::Credit credit) {
    if (server_.stopping_) return;
    if (const Status status = Work(frame, std::move(credit)); !status.ok()) {
      base::LogWarning("a connection is closed: {}", status.message());
      Forget(true);
    }
  }

 private:
  void Forget(bool close) {
    auto& dialled = server_.dialled_;
    // Another one may have been dialled since.
    if (const auto it = dialled.find(address_); it != dialled.end() && it->second == connection_.lock()) {
      if (close) it->second->Close();
      dialled.erase(it);
      server_.reached_.erase(address_);
    }
    if (const auto it = server_.clients_.find(client_); it != server_.clients_.end()) {
      if (close) it->second.connection->Close();
      server_.clients_.erase(it);
    }
  }

  template <class Message>
  Status ToReplica(const net::Frame& frame, const std::shared_ptr<net::Credit>& credit) {
    ASSIGN_OR_RETURN(Message message, param::FromFrame<Message>(frame));
    Owner& owner = server_.OwnerOf(message.shard);
    owner.Run(false, [&server = server_, message = param::PeerMessage(std::move(message)), credit](ShardOwner& core) {
      core.OnPeer(message, server.now());
    });
    return Status::Ok();
  }

  // The credit is kept until the shards have done it: so what waits for them is bounded by the windows of connections.
  Status Work(const net::Frame& frame, net::Credit taken) {
    const auto credit = std::make_shared<net::Credit>(std::move(taken));
    switch (frame.header.type) {
      case param::kPushMessage: {
        ASSIGN_OR_RETURN(param::PushRequest push, param::FromFrame<param::PushRequest>(frame));
        ++server_.pushes_;
        server_.pushed_bytes_ += push.op.bytes.size();
        const bool is_short = param::IsShort(push.op.bytes);
        Owner& owner = server_.OwnerOf(push.shard);
        owner.Run(is_short, [&server = server_, client = client_, push = std::move(push), credit](ShardOwner& core) {
          core.OnPush(client, push, server.now());
        });
        return Status::Ok();
      }
      case param::kPullMessage: {
        ASSIGN_OR_RETURN(param::PullRequest pull, param::FromFrame<param::PullRequest>(frame));
        const auto it = server_.clients_.find(client_);
        if (it == server_.clients_.end()) return Status::Ok();
        ++server_.pulls_;
        ++it->second.pulls_at_work;
        const bool is_short = pull.answer_seq == 0 && param::IsShort(pull.op.bytes);
        Owner& owner = server_.OwnerOf(pull.shard);
        owner.Run(is_short, [&server = server_, client = client_, pull = std::move(pull), credit](ShardOwner& core) {
          core.OnPull(client, pull, server.now());
          server.InNetwork([&server, client] { server.PullIsDone(client); });
        });
        return Status::Ok();
      }
      case param::kAppendMessage: return ToReplica<param::Append>(frame, credit);
      case param::kAppendReplyMessage: return ToReplica<param::AppendReply>(frame, credit);
      case param::kSnapshotPartMessage: return ToReplica<param::SnapshotPart>(frame, credit);
      case param::kSnapshotReplyMessage: return ToReplica<param::SnapshotReply>(frame, credit);
      case param::kViewUpdateMessage: {
        ASSIGN_OR_RETURN(const param::ViewUpdate update, param::FromFrame<param::ViewUpdate>(frame));
        server_.OnViewUpdate(update);
        return Status::Ok();
      }
      case param::kBeatReplyMessage: {
        ASSIGN_OR_RETURN(const param::BeatReply reply, param::FromFrame<param::BeatReply>(frame));
        server_.node_->OnBeatReply(reply, server_.now());
        return Status::Ok();
      }
    }
    return Status::Corrupt(fmt::format("a frame of type {} is nothing for a server", frame.header.type));
  }

  Impl& server_;
  const std::string address_;
  const ClientId client_ = 0;
  std::weak_ptr<net::Connection> connection_;  // When we dialled it.
};

net::Connection* ServerProcess::Impl::Dial(const std::string& address) {
  // Frames that were on their way still come in, when the transport is gone or about to go.
  if (stopping_) return nullptr;
  auto& connection = dialled_[address];
  if (connection == nullptr) {
    auto session = std::make_shared<Session>(*this, address);
    connection = transport_->Connect(address, kConnectNanos, session);
    session->set_connection(connection);
  }
  return connection.get();
}

void ServerProcess::Impl::Answer(ClientId to, param::PullReply reply) {
  InNetwork([this, to, reply = std::move(reply)] { SendAnswer(to, reply); });
}

void ServerProcess::Impl::PullIsDone(ClientId client) {
  const auto it = clients_.find(client);
  if (it == clients_.end()) return;
  --it->second.pulls_at_work;
  GoOn(client);
}

void ServerProcess::Impl::SendAnswer(ClientId to, param::PullReply reply) {
  const auto it = clients_.find(to);
  if (it == clients_.end()) return;
  Client& client = it->second;
  const uint64_t bytes = reply.rows.bytes.size();
  if (!client.answers.empty() && client.answer_bytes + bytes > kAnswerBytesMax) return;
  client.answer_bytes += bytes;
  client.answers.push_back(std::move(reply));
  GoOn(to);
}

void ServerProcess::Impl::GoOn(ClientId to) {
  const auto begun = clients_.find(to);
  if (begun == clients_.end() || std::exchange(begun->second.going_on, true)) return;
  // What is worked off may end the connection.
  for (auto it = clients_.find(to); it != clients_.end(); it = clients_.find(to)) {
    Client& client = it->second;
    if (client.answers.empty()) {
      const auto session = client.session.lock();
      client.going_on = !client.held.empty() && client.pulls_at_work < kPullsAtWorkMax && session != nullptr;
      if (!client.going_on) return;
      auto held = std::move(client.held.front());
      client.held.pop_front();
      session->WorkOff(held.first, std::move(held.second));
      continue;
    }
    client.going_on = client.unsent_bytes < kUnsentBytesMax;
    if (!client.going_on) return;
    param::PullReply& answer = client.answers.front();
    param::PullReply piece = answer;
    piece.rows.bytes = answer.rows.bytes.first(std::min<size_t>(answer.rows.bytes.size(), kPieceBytes));
    const uint64_t bytes = piece.rows.bytes.size();
    answer.rows.bytes = answer.rows.bytes.subspan(bytes);
    answer.offset += bytes;
    client.answer_bytes -= bytes;
    if (answer.rows.bytes.empty()) client.answers.pop_front();
    client.unsent_bytes += bytes;
    pulled_bytes_ += bytes;
    const auto sent = [this, to, bytes](const Status&) {
      const auto client = clients_.find(to);
      if (client == clients_.end()) return;
      client->second.unsent_bytes -= bytes;
      GoOn(to);
    };
    if (!client.connection->Send(param::ToFrame(piece), sent).ok()) client.unsent_bytes -= bytes;
  }
}

void ServerProcess::Impl::AddMetrics(Metrics* metrics) {
  size_t shards = 0, primaries = 0;
  for (const auto& owner : owners_) {
    shards += owner->shards();
    primaries += owner->primaries();
  }
  metrics->Begin("glim_server_shards", "gauge", "Shards that are here.");
  metrics->Add(static_cast<double>(primaries), {{"role", "primary"}});
  metrics->Add(static_cast<double>(shards - std::min(shards, primaries)), {{"role", "backup"}});
  metrics->Gauge("glim_server_memory_bytes", "What shards, and answers on their way, may take.",
                 static_cast<double>(memory_->limit_bytes()));
  metrics->Gauge("glim_server_memory_used_bytes", "What of it is in use.", static_cast<double>(memory_->used_bytes()));
  metrics->Gauge("glim_server_clients", "Connections of programs, other servers and the master.",
                 static_cast<double>(clients_.size()));
  metrics->Counter("glim_server_pushes_total", "Pushes that came, each time that they came.",
                   static_cast<double>(pushes_));
  metrics->Counter("glim_server_pushed_bytes_total", "What they had.", static_cast<double>(pushed_bytes_));
  metrics->Counter("glim_server_pulls_total", "Pulls that came, each time that they came.",
                   static_cast<double>(pulls_));
  metrics->Counter("glim_server_pulled_bytes_total", "What they were answered.", static_cast<double>(pulled_bytes_));
  metrics->Counter("glim_connections_refused_total", "Connections that were turned away.",
                   static_cast<double>(transport_->refused_count()));
}

Status ServerProcess::Impl::HandOver(int64_t nanos_max) {
  constexpr int64_t kLookNanos = 20'000'000;
  constexpr int64_t kNobodyNanos = 1'000'000'000;  // Somebody else may be starting anew.
  if (nanos_max <= 0) return Status::Ok();
  const int64_t begun_at = now();
  int64_t nobody_since = 0;
  loop_->Call([this] { node_->Leave(); });
  while (true) {
    ServerNode::Leaving left;
    loop_->Call([&] { left = node_->leaving(); });
    const auto is_named = [](const auto& owner) { return owner->IsNamed(); };
    if (left.state == param::DrainState::kDone && std::none_of(owners_.begin(), owners_.end(), is_named)) {
      return Status::Ok();
    }
    const auto ends = [&](const std::string& why) {
      return Status::Unavailable(
          fmt::format("server {} ends, and still holds {} shards: {}", number_, left.shards, why));
    };
    if (left.state != param::DrainState::kNobody) nobody_since = now();
    if (now() - nobody_since >= kNobodyNanos) return ends("there is no other server to take them");
    if (now() - std::max(begun_at, left.heard_at) >= options_.node_options.dead_nanos) {
      return ends("the master does not answer");
    }
    if (now() - begun_at >= nanos_max) {
      return ends(fmt::format("they could not be handed over within {} s", nanos_max / 1'000'000'000));
    }
    env_.clock().SleepFor(kLookNanos);
  }
}

Status ServerProcess::Impl::StartInLoop() {
  net::TransportOptions transport;
  transport.messages = &param::ClusterMessages();
  transport.key = options_.key;
  if (options_.key) transport.cluster = options_.key->cluster;
  transport.node = fmt::format("server-{}", number_);
  transport.dead_nanos = options_.node_options.dead_nanos;
  transport.shared_memory = options_.shared_memory;
  transport.http =
      MakeHttpHandler("server", [this] { return Health(); }, [this](Metrics* metrics) { AddMetrics(metrics); });
  transport.http_for_all = options_.open_metrics;
  transport_ = net::MakeTcpTransport(*loop_, std::move(transport));
  ASSIGN_OR_RETURN(listener_,
                   transport_->Listen(options_.address, [this](const std::shared_ptr<net::Connection>& connection) {
                     const ClientId client = next_client_++;
                     auto session = std::make_shared<Session>(*this, client);
                     clients_[client].connection = connection;
                     clients_[client].session = session;
                     return session;
                   }));
  address_ = listener_->address();
  std::string advertised = address_;
  if (!options_.advertised_host.empty()) {
    advertised = options_.advertised_host + address_.substr(address_.rfind(':'));
  }
  for (const auto& owner : owners_) owner->Begin();
  node_.emplace(number_, env_.RandomSeed(), advertised, disk_ ? disk_->TakeKept() : KeptServer(), owners_.size(),
                options_.node_options, *this);
  Tick();
  return Status::Ok();
}

ServerProcess::ServerProcess(env::Env& env, ServerProcessOptions options, std::function<void(Status)> stopped)
    : impl_(std::make_unique<Impl>(env, std::move(options), std::move(stopped))) {}
ServerProcess::~ServerProcess() = default;
Status ServerProcess::Start() { return impl_->Start(); }
std::string ServerProcess::address() const { return impl_->address(); }
uint32_t ServerProcess::node() const { return impl_->node(); }
Status ServerProcess::HandOver(int64_t nanos_max) { return impl_->HandOver(nanos_max); }

}  // namespace glim::cluster
