// SPDX-License-Identifier: Apache-2.0
#include "param/cluster_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <utility>

#include "base/try.h"
#include "net/event_loop.h"
#include "net/transport.h"
#include "param/after.h"
#include "param/model_folder.h"
#include "param/replication/push_session.h"
#include "param/table_layout.h"
#include "param/table_state.h"
#include "param/wire.h"
#include "table/manifest.h"

namespace glim::param {
namespace {

constexpr int64_t kConnectNanos = 3'000'000'000;
constexpr int64_t kTickNanos = 50'000'000;
constexpr int64_t kAwaitServersNanos = 3'000'000'000;
constexpr int64_t kAskAgainNanos = 100'000'000;
constexpr int64_t kPullAgainNanos = 300'000'000;
constexpr size_t kSliceKeys = 65536;
constexpr size_t kSliceBytes = 4 << 20;
constexpr uint32_t kDefaultShards = 16;

// One request of the program, over all its parts. The parts' outcomes come in the network thread.
struct Call {
  Call(size_t parts, Deadline deadline) : promise(deadline), left(parts) {}

  // The last one completes it.
  void Done(Status status) {
    if (!status.ok() && failure.ok()) failure = std::move(status);
    if (--left > 0) return;
    promise.Fill([&]() -> Status {
      if (failure.ok() && fill) fill();
      return failure;
    });
    if (release) release();
  }

  Promise<void> promise;
  size_t left;
  Status failure;
  std::function<void()> fill;     // Writes to the caller's memory.
  std::function<void()> release;  // Of what was under way.
};

// A part of a request: its keys of one shard, and which rows of the caller's they are.
struct Part {
  uint32_t shard = 0;
  std::vector<Key> keys;
  std::vector<uint64_t> rows;
};

TableChange DropOf(const std::string& name) {
  TableChange change;
  change.action = TableAction::kDrop;
  change.table.name = name;
  return change;
}

}  // namespace

class RemoteTable;

SharedBytes EncodeTableSpec(const TableSpec& spec) {
  table::Manifest manifest;
  manifest.spec = spec;
  return SharedBytes::Of(table::EncodeManifest(manifest));
}

Result<TableSpec> DecodeTableSpec(const SharedBytes& bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.bytes.data()), bytes.bytes.size());
  ASSIGN_OR_RETURN(const table::Manifest manifest, table::DecodeManifest(text));
  return CheckTableSpec(manifest.spec);
}

// The network's side: connections, questions to the master, a clock. All but Ask, Reserve, Release and Post belongs to
// the network thread.
class ClusterClient::Impl : public std::enable_shared_from_this<ClusterClient::Impl> {
 public:
  Impl(env::Env& env, ClusterClientOptions options);

  // Nothing happens from then on. Called by the one that made it.
  void Stop();

  env::Env& env() { return env_; }
  int64_t now() { return env_.clock().MonotonicNanos(); }
  const Producer& producer() const { return producer_; }

  // kInvalid when our key is for reading only.
  Status CheckMayPush() const;
  // Waits until so many bytes may be under way, or the deadline. More than the limit may be when nothing else is.
  Status Reserve(uint64_t bytes, Deadline deadline);
  void Release(uint64_t bytes);
  // Runs it in the network thread. kCancelled when the client is gone; then, and when it goes meanwhile, `work` is
  // dropped.
  Status Post(std::function<void()> work);
  bool InLoop();

  // Asks the master, and waits for its answer.
  template <class Answer, class Question>
  Result<Answer> Ask(Question question);
  void WantRoutes(uint64_t table);

  // kInvalid when our role may not send this. What a full queue does not take is sent again later.
  template <class Message>
  Status Send(const std::string& address, const Message& message) {
    if (stopped_ || address.empty()) return Status::Ok();
    auto& connection = dialled_[address];
    if (connection == nullptr) connection = Dial(address);
    Status status = connection->Send(ToFrame(message));
    return status.code() == Code::kInvalid ? status : Status::Ok();
  }

  // The one object of a table. A second one would number its pushes from 1 on, too, and they would pass for repeated
  // ones.
  Result<std::shared_ptr<RemoteTable>> FindOrMake(uint64_t id, const TableSpec& spec);

 private:
  class Session;
  struct Asked {
    uint16_t answer_type;
    std::function<void(Result<net::Frame>)> answered;
  };

  std::shared_ptr<net::Connection> Dial(const std::string& address);
  void Tick();
  Status OnFrame(const net::Frame& frame);
  template <class Answer>
  Status OnAnswer(const net::Frame& frame);
  void OnClosed(const std::string& address, const net::Closing& closing);
  void OnRoutes(const RouteAnswer& answer);

  env::Env& env_;
  const ClusterClientOptions options_;
  const Producer producer_;
  net::Role role_ = net::Role::kClient;
  std::mutex loop_mutex_;
  std::unique_ptr<net::EventLoop> loop_;  // Null when stopped.
  std::unique_ptr<net::Timer> timer_;
  std::unique_ptr<net::Transport> transport_;
  bool stopped_ = false;  // The network thread's.

  std::mutex under_way_mutex_;
  std::condition_variable under_way_less_;
  uint64_t under_way_bytes_ = 0;

  std::map<std::string, std::shared_ptr<net::Connection>> dialled_;
  std::map<uint64_t, std::shared_ptr<RemoteTable>> tables_;
  std::map<uint64_t, int64_t> routes_asked_;  // By table: when.
  std::map<uint64_t, Asked> asked_;           // By request.
  uint64_t next_request_ = 1;
};

// -----------------------------------------------------------------------------------------------------------------
// table

class RemoteTable final : public TableClient, public std::enable_shared_from_this<RemoteTable> {
 public:
  RemoteTable(std::shared_ptr<ClusterClient::Impl> client, uint64_t id, TableSpec spec)
      : client_(std::move(client)), id_(id), layout_(std::move(spec)) {
    for (uint32_t s = 0; s < layout_.spec().shards; ++s) links_.push_back(std::make_unique<Link>(*this, s));
  }

  const TableSpec& spec() const override { return layout_.spec(); }
  Future<void> Push(std::span<const Key> keys, std::span<const std::byte> values, const PushOptions& options) override;
  Future<void> Pull(std::span<const Key> keys, std::span<std::byte> out, const PullOptions& options) override;
  Future<void> PushPull(std::span<const Key>, std::span<const std::byte>, std::span<std::byte>,
                        const PushOptions&) override {
    return NotYet("PushPull");
  }
  Future<void> VPush(std::span<const Key>, std::span<const std::byte>, std::span<const uint32_t>,
                     const PushOptions&) override {
    return NotYet("VPush");
  }
  Future<VariableBytes> VPull(std::span<const Key>, const PullOptions&) override { return NotYet("VPull"); }
  Status Scan(ScanCursor*, size_t, RowChunk*) override { return NotYet("Scan"); }
  Result<uint64_t> CountNonZero() override { return NotYet("CountNonZero"); }
  Result<TableInfo> Describe() override { return TableInfo{.spec = spec()}; }
  Status Save(const std::string&, const SaveOptions&) override { return NotYet("Save"); }
  Status Load(const std::string&, const LoadOptions&) override { return NotYet("Load"); }
  Status Drop() override;

  // The network thread's, and after its end.
  void Cancel();
  void Tick();
  void OnRoute(const ShardRoute& route);
  void OnDropped();
  void OnReply(const PushReply& reply);
  void OnReply(const PullReply& reply);

 private:
  struct WaitingPull {
    PullRequest request;
    int64_t sent_at = 0;
    int64_t deadline = 0;
    std::function<void(Status, const SharedBytes&)> done;
  };

  // What the client knows of one shard.
  struct Link final : PushSessionOutput {
    Link(RemoteTable& table, uint32_t shard)
        : table(table),
          id{table.id_, shard},
          session(id, table.client_->producer(), 0, {.in_flight_max = 16, .queued_max = 64}, *this) {}

    void Send(const Member& primary, PushRequest request) override { (void)table.client_->Send(address, request); }
    void WantRoute(const ShardId& shard) override { table.client_->WantRoutes(shard.table); }
    void Done(uint64_t push, PushResult result, const std::string& error) override;
    void StartPush(SharedBytes op, int64_t deadline, std::shared_ptr<Call> call);
    void StartPull(WaitingPull pull);
    void SendPull(WaitingPull& pull);
    // What could not be numbered yet, in its order.
    void GoOn();

    RemoteTable& table;
    const ShardId id;
    std::string address;
    PushSession session;
    std::map<uint64_t, std::shared_ptr<Call>> calls;
    std::map<uint64_t, WaitingPull> pulls;
    uint64_t next_pull = 1;
    std::deque<std::function<bool()>> backlog;  // Each is true when it was done.
  };

  Status NotYet(std::string_view what) const {
    return Status::Unavailable(fmt::format("table \"{}\": {} is not there on servers yet", spec().name, what));
  }
  // The keys of each shard, in slices of some megabytes.
  std::vector<Part> Split(std::span<const Key> keys) const;

  const std::shared_ptr<ClusterClient::Impl> client_;
  const uint64_t id_;
  const TableLayout layout_;
  // The network thread's.
  std::vector<std::unique_ptr<Link>> links_;
  Status over_;  // Why there is no such table any more.
};

std::vector<Part> RemoteTable::Split(std::span<const Key> keys) const {
  const size_t slice = std::clamp<size_t>(kSliceBytes / (layout_.row_bytes() + sizeof(Key)), 1, kSliceKeys);
  std::vector<Part> parts;
  partition::SplitKeys split;
  for (size_t first = 0; first < keys.size(); first += slice) {
    layout_.partition().Split(keys.subspan(first, std::min(slice, keys.size() - first)), &split);
    for (uint32_t s = 0; s < spec().shards; ++s) {
      if (split.begin(s) == split.end(s)) continue;
      Part part;
      part.shard = s;
      for (uint32_t i = split.begin(s); i < split.end(s); ++i) {
        part.keys.push_back(split.keys[i]);
        part.rows.push_back(first + (split.positions ? split.positions[i] : i));
      }
      parts.push_back(std::move(part));
    }
  }
  return parts;
}

Future<void> RemoteTable::Push(std::span<const Key> keys, std::span<const std::byte> values,
                               const PushOptions& options) {
  RETURN_IF_ERROR(client_->CheckMayPush());
  RETURN_IF_ERROR(layout_.CheckFixed("Push"));
  RETURN_IF_ERROR(layout_.CheckKeys(keys));
  RETURN_IF_ERROR(layout_.CheckRows("values", keys.size(), values.size()));
  RETURN_IF_ERROR(layout_.CheckValues(keys, values, nullptr));
  if (!AllReady(options.after)) return NotYet("a push after other requests");
  if (Status failure = FailureOf(options.after); !failure.ok()) return failure;
  if (keys.empty()) return {};
  const Deadline deadline = DeadlineOf(options, client_->env().clock());
  std::vector<Part> parts = Split(keys);
  const uint64_t bytes = values.size() + keys.size() * sizeof(Key);
  RETURN_IF_ERROR(client_->Reserve(bytes, deadline));
  auto call = std::make_shared<Call>(parts.size(), deadline);
  call->release = [client = client_, bytes] { client->Release(bytes); };
  Future<void> future = call->promise.GetFuture();
  const size_t row = layout_.row_bytes();
  std::vector<std::pair<uint32_t, SharedBytes>> operations;
  std::vector<std::byte> rows;
  for (Part& part : parts) {
    rows.resize(part.rows.size() * row);
    for (size_t i = 0; i < part.rows.size(); ++i) {
      std::memcpy(rows.data() + i * row, values.data() + part.rows[i] * row, row);
    }
    operations.emplace_back(part.shard, EncodeTableRequest({TableCall::kPush, std::move(part.keys), {}, rows}));
  }
  RETURN_IF_ERROR(client_->Post([self = shared_from_this(), operations = std::move(operations), call, deadline] {
    for (const auto& [shard, op] : operations) {
      self->links_[shard]->StartPush(op, deadline.time_since_epoch().count(), call);
    }
  }));
  return future;
}

Future<void> RemoteTable::Pull(std::span<const Key> keys, std::span<std::byte> out, const PullOptions& options) {
  RETURN_IF_ERROR(layout_.CheckFixed("Pull"));
  RETURN_IF_ERROR(layout_.CheckKeys(keys));
  RETURN_IF_ERROR(layout_.CheckRows("room", keys.size(), out.size()));
  if (!AllReady(options.after)) return NotYet("a pull after other requests");
  if (Status failure = FailureOf(options.after); !failure.ok()) return failure;
  if (keys.empty()) return {};
  const Deadline deadline = DeadlineOf(options, client_->env().clock());
  struct Answers {
    std::vector<Part> parts;
    std::vector<SharedBytes> rows;
  };
  auto answers = std::make_shared<Answers>();
  answers->parts = Split(keys);
  answers->rows.resize(answers->parts.size());
  auto call = std::make_shared<Call>(answers->parts.size(), deadline);
  call->fill = [answers, out, row = layout_.row_bytes()] {
    for (size_t p = 0; p < answers->parts.size(); ++p) {
      const std::vector<uint64_t>& rows = answers->parts[p].rows;
      for (size_t i = 0; i < rows.size(); ++i) {
        std::memcpy(out.data() + rows[i] * row, answers->rows[p].bytes.data() + i * row, row);
      }
    }
  };
  Future<void> future = call->promise.GetFuture();
  RETURN_IF_ERROR(client_->Post([self = shared_from_this(), answers, call, deadline] {
    for (size_t p = 0; p < answers->parts.size(); ++p) {
      const Part& part = answers->parts[p];
      WaitingPull pull;
      pull.request.op = EncodeTableRequest({TableCall::kPull, part.keys, {}, {}});
      pull.deadline = deadline.time_since_epoch().count();
      const size_t bytes = part.rows.size() * self->layout_.row_bytes();
      pull.done = [answers, call, p, bytes](Status status, const SharedBytes& rows) {
        if (status.ok() && rows.bytes.size() != bytes) status = Status::Corrupt("a server answered with other rows");
        answers->rows[p] = rows;
        call->Done(std::move(status));
      };
      self->links_[part.shard]->StartPull(std::move(pull));
    }
  }));
  return future;
}

void RemoteTable::Link::StartPush(SharedBytes op, int64_t deadline, std::shared_ptr<Call> call) {
  auto push = [this, op = std::move(op), deadline, call = std::move(call)] {
    if (!table.over_.ok()) {
      call->Done(table.over_);
      return true;
    }
    const auto number = session.Push(op, deadline, table.client_->now());
    if (number.ok()) {
      calls[*number] = call;
    } else if (number.status().code() == Code::kExhausted) {
      return false;
    } else {
      call->Done(number.status());
    }
    return true;
  };
  if (!backlog.empty() || !push()) backlog.push_back(std::move(push));
}

void RemoteTable::Link::StartPull(WaitingPull waiting) {
  auto pull = [this, waiting = std::move(waiting)]() mutable {
    if (!table.over_.ok()) {
      waiting.done(table.over_, {});
      return true;
    }
    waiting.request.shard = id;
    waiting.request.producer = table.client_->producer();
    waiting.request.after_seq = session.last_seq();
    waiting.request.request = next_pull;
    SendPull(pulls[next_pull++] = std::move(waiting));
    return true;
  };
  if (backlog.empty()) {
    pull();
  } else {
    backlog.push_back(std::move(pull));
  }
}

void RemoteTable::Link::SendPull(WaitingPull& pull) {
  pull.sent_at = table.client_->now();
  if (address.empty()) return WantRoute(id);
  (void)table.client_->Send(address, pull.request);
}

void RemoteTable::Link::GoOn() {
  while (!backlog.empty() && backlog.front()()) backlog.pop_front();
}

void RemoteTable::Link::Done(uint64_t push, PushResult result, const std::string& error) {
  const auto it = calls.find(push);
  if (it == calls.end()) return;
  const std::shared_ptr<Call> call = std::move(it->second);
  calls.erase(it);
  switch (result) {
    case PushResult::kApplied: return call->Done(Status::Ok());
    case PushResult::kRefused: return call->Done(Status::Invalid(error));
    case PushResult::kUnknown:
      return call->Done(Status::Timeout(
          fmt::format("table \"{}\": it is not known whether the push is applied: {}", table.spec().name, error)));
  }
}

void RemoteTable::OnReply(const PushReply& reply) {
  if (reply.shard.shard >= links_.size()) return;
  Link& link = *links_[reply.shard.shard];
  link.session.OnReply(reply, client_->now());
  link.GoOn();
}

void RemoteTable::OnReply(const PullReply& reply) {
  if (reply.shard.shard >= links_.size()) return;
  Link& link = *links_[reply.shard.shard];
  const auto it = link.pulls.find(reply.request);
  if (it == link.pulls.end()) return;  // Answered before.
  if (reply.outcome == PullOutcome::kNotPrimary) return link.WantRoute(link.id);
  if (reply.outcome == PullOutcome::kBusy) return;  // Tick asks again.
  const WaitingPull pull = std::move(it->second);
  link.pulls.erase(it);
  pull.done(reply.outcome == PullOutcome::kOk ? Status::Ok() : Status::Invalid(reply.error), reply.rows);
}

void RemoteTable::OnRoute(const ShardRoute& route) {
  if (route.shard.shard >= links_.size() || !route.active || route.address.empty()) return;
  Link& link = *links_[route.shard.shard];
  const bool other = link.address != route.address;
  link.address = route.address;
  link.session.OnRoute(route.view.primary, client_->now());
  if (!other) return;
  for (auto& [number, pull] : link.pulls) link.SendPull(pull);
}

void RemoteTable::Tick() {
  if (!over_.ok()) return;
  const int64_t now = client_->now();
  for (const auto& link : links_) {
    link->session.OnTick(now);
    link->GoOn();
    for (auto it = link->pulls.begin(); it != link->pulls.end();) {
      WaitingPull& pull = it->second;
      if (now >= pull.deadline) {
        const WaitingPull late = std::move(pull);
        it = link->pulls.erase(it);
        late.done(Status::Timeout(fmt::format("table \"{}\": no answer to a pull", spec().name)), {});
        continue;
      }
      if (now - pull.sent_at >= kPullAgainNanos) {
        link->WantRoute(link->id);
        link->SendPull(pull);
      }
      ++it;
    }
  }
}

void RemoteTable::OnDropped() {
  over_ = Status::NotFound(fmt::format("table \"{}\" was dropped", spec().name));
  for (const auto& link : links_) {
    for (const auto& [number, call] : std::exchange(link->calls, {})) call->Done(over_);
    for (const auto& [number, pull] : std::exchange(link->pulls, {})) pull.done(over_, {});
    link->GoOn();
  }
}

// The calls that wait are dropped, and so answered.
void RemoteTable::Cancel() {
  for (const auto& link : links_) {
    link->backlog.clear();
    link->calls.clear();
    link->pulls.clear();
  }
}

Status RemoteTable::Drop() {
  ASSIGN_OR_RETURN(const TableAnswer answer, client_->Ask<TableAnswer>(DropOf(spec().name)));
  if (answer.code != Code::kOk) return Status(answer.code, answer.error);
  return client_->Post([self = shared_from_this()] { self->OnDropped(); });
}

// ----------------------------------------------------------------------------------------------------------------
// client

class ClusterClient::Impl::Session final : public net::ConnectionHandler {
 public:
  Session(Impl& client, std::string address) : client_(client), address_(std::move(address)) {}
  void OnFrame(net::Frame frame, net::Credit credit) override {
    // What makes no sense is passed over: whatever it was to answer is asked again.
    (void)client_.OnFrame(frame);
  }
  void OnClosed(const net::Closing& closing) override { client_.OnClosed(address_, closing); }

 private:
  Impl& client_;
  const std::string address_;
};

ClusterClient::Impl::Impl(env::Env& env, ClusterClientOptions options)
    : env_(env),
      options_(std::move(options)),
      producer_{env.RandomSeed(), env.RandomSeed()},
      loop_(std::make_unique<net::EventLoop>()),
      timer_(std::make_unique<net::Timer>(*loop_)) {
  net::TransportOptions transport;
  transport.messages = &ClusterMessages();
  transport.key = options_.key;
  if (options_.key) transport.cluster = options_.key->cluster;
  transport.node = options_.name;
  // The key of a client is for one role.
  const bool reads_only =
      options_.key && !options_.key->of_cluster() && !options_.key->tokens.contains(net::Role::kClient);
  role_ = transport.role = reads_only ? net::Role::kReadOnly : net::Role::kClient;
  transport_ = net::MakeTcpTransport(*loop_, std::move(transport));
  loop_->Call([this] { Tick(); });
}

void ClusterClient::Impl::Stop() {
  loop_->Call([this] {
    stopped_ = true;
    timer_.reset();
  });
  transport_.reset();
  std::unique_ptr<net::EventLoop> loop;
  {
    const std::lock_guard lock(loop_mutex_);
    loop = std::move(loop_);
  }
  loop.reset();  // And with it what was posted.
  // They hold the client, and it them.
  for (const auto& [id, table] : std::exchange(tables_, {})) table->Cancel();
  for (auto& [request, asked] : std::exchange(asked_, {})) asked.answered(Status::Cancelled("the client is gone"));
}

Status ClusterClient::Impl::CheckMayPush() const { return ClusterMessages().Check(kPushMessage, role_); }

Status ClusterClient::Impl::Post(std::function<void()> work) {
  const std::lock_guard lock(loop_mutex_);
  if (loop_ == nullptr) return Status::Cancelled("the connection to the cluster was given up");
  loop_->Post(std::move(work));
  return Status::Ok();
}

bool ClusterClient::Impl::InLoop() {
  const std::lock_guard lock(loop_mutex_);
  return loop_ != nullptr && loop_->InLoop();
}

Status ClusterClient::Impl::Reserve(uint64_t bytes, Deadline deadline) {
  std::unique_lock lock(under_way_mutex_);
  const auto fits = [&] { return under_way_bytes_ == 0 || under_way_bytes_ + bytes <= options_.under_way_bytes_max; };
  // Nobody would take the answers that it waits for.
  if (!fits() && InLoop()) {
    return Status::Exhausted("too many pushes are under way to push from a callback");
  }
  if (!under_way_less_.wait_until(lock, deadline, fits)) {
    return Status::Timeout("the pushes made before took too long; this one was not made");
  }
  under_way_bytes_ += bytes;
  return Status::Ok();
}

void ClusterClient::Impl::Release(uint64_t bytes) {
  {
    const std::lock_guard lock(under_way_mutex_);
    under_way_bytes_ -= bytes;
  }
  under_way_less_.notify_all();
}

template <class Answer, class Question>
Result<Answer> ClusterClient::Impl::Ask(Question question) {
  auto promise = std::make_shared<Promise<Answer>>(Deadline(std::chrono::nanoseconds(now() + options_.call_nanos)));
  Future<Answer> future = promise->GetFuture();
  RETURN_IF_ERROR(Post([this, question = std::move(question), promise]() mutable {
    question.request = next_request_++;
    asked_[question.request] = {static_cast<uint16_t>(ToFrame(Answer{}).header.type),
                                [promise](Result<net::Frame> frame) {
                                  if (!frame.ok()) {
                                    promise->Set(frame.status());
                                  } else {
                                    promise->Set(FromFrame<Answer>(*frame));
                                  }
                                }};
    if (Status refused = Send(options_.master, question); !refused.ok()) {
      asked_.erase(question.request);
      promise->Set(std::move(refused).With("this key does not allow it"));
    }
  }));
  Result<Answer> answer = std::move(future).Get();
  if (!answer.ok() && answer.status().code() == Code::kTimeout) {
    return Status::Unavailable(fmt::format("the master at {} does not answer", options_.master));
  }
  return answer;
}

Result<std::shared_ptr<RemoteTable>> ClusterClient::Impl::FindOrMake(uint64_t id, const TableSpec& spec) {
  auto promise = std::make_shared<Promise<std::shared_ptr<RemoteTable>>>();
  Future<std::shared_ptr<RemoteTable>> future = promise->GetFuture();
  RETURN_IF_ERROR(Post([self = shared_from_this(), id, spec, promise] {
    std::shared_ptr<RemoteTable>& table = self->tables_[id];
    if (table == nullptr) table = std::make_shared<RemoteTable>(self, id, spec);
    promise->Set(table);
  }));
  promise.reset();  // When it was dropped with the loop, the future says so.
  return std::move(future).Get();
}

void ClusterClient::Impl::WantRoutes(uint64_t table) {
  constexpr int64_t kAgainNanos = 20'000'000;
  int64_t& asked_at = routes_asked_[table];
  if (asked_at != 0 && now() - asked_at < kAgainNanos) return;
  asked_at = now();
  (void)Send(options_.master, RouteQuery{table});
}

std::shared_ptr<net::Connection> ClusterClient::Impl::Dial(const std::string& address) {
  return transport_->Connect(address, kConnectNanos, std::make_shared<Session>(*this, address));
}

void ClusterClient::Impl::Tick() {
  for (const auto& [id, table] : tables_) table->Tick();
  timer_->Start(kTickNanos, [this] { Tick(); });
}

void ClusterClient::Impl::OnClosed(const std::string& address, const net::Closing& closing) {
  dialled_.erase(address);
  if (address != options_.master) return;
  for (auto& [request, asked] : std::exchange(asked_, {})) {
    asked.answered(Status::Unavailable(fmt::format("the master at {}: {}", address, closing.status.message())));
  }
}

Status ClusterClient::Impl::OnFrame(const net::Frame& frame) {
  const auto table_of = [&](const ShardId& shard) {
    const auto it = tables_.find(shard.table);
    return it == tables_.end() ? nullptr : it->second;
  };
  switch (frame.header.type) {
    case kPushReplyMessage: {
      ASSIGN_OR_RETURN(const PushReply reply, FromFrame<PushReply>(frame));
      if (const auto table = table_of(reply.shard)) table->OnReply(reply);
      return Status::Ok();
    }
    case kPullReplyMessage: {
      ASSIGN_OR_RETURN(const PullReply reply, FromFrame<PullReply>(frame));
      if (const auto table = table_of(reply.shard)) table->OnReply(reply);
      return Status::Ok();
    }
    case kRouteAnswerMessage: {
      ASSIGN_OR_RETURN(const RouteAnswer answer, FromFrame<RouteAnswer>(frame));
      OnRoutes(answer);
      return Status::Ok();
    }
    case kTableAnswerMessage: return OnAnswer<TableAnswer>(frame);
    case kStatusAnswerMessage: return OnAnswer<StatusAnswer>(frame);
  }
  return Status::Corrupt("nothing for a client");
}

template <class Answer>
Status ClusterClient::Impl::OnAnswer(const net::Frame& frame) {
  ASSIGN_OR_RETURN(const Answer answer, FromFrame<Answer>(frame));
  const auto it = asked_.find(answer.request);
  if (it == asked_.end() || it->second.answer_type != frame.header.type) return Status::Ok();
  const auto answered = std::move(it->second.answered);
  asked_.erase(it);
  answered(frame);
  return Status::Ok();
}

void ClusterClient::Impl::OnRoutes(const RouteAnswer& answer) {
  if (const auto it = tables_.find(answer.table); answer.shards.empty() && it != tables_.end()) {
    it->second->OnDropped();
    return;
  }
  for (const ShardRoute& route : answer.shards) {
    const auto it = tables_.find(route.shard.table);
    if (it != tables_.end()) it->second->OnRoute(route);
  }
}

ClusterClient::ClusterClient(env::Env& env, ClusterClientOptions options)
    : env_(env), impl_(std::make_shared<Impl>(env, std::move(options))) {}

ClusterClient::~ClusterClient() { impl_->Stop(); }

Status ClusterClient::Ping() { return impl_->Ask<TableAnswer>(TableQuery{}).status(); }

Result<StatusAnswer> ClusterClient::DescribeCluster() { return impl_->Ask<StatusAnswer>(StatusQuery{}); }

Result<std::vector<TableInfo>> ClusterClient::ListTables() {
  ASSIGN_OR_RETURN(const TableAnswer answer, impl_->Ask<TableAnswer>(TableQuery{}));
  std::vector<TableInfo> infos;
  for (const TableEntry& entry : answer.tables) {
    auto info = DescribeTable(entry.name);
    if (!info.ok() && info.status().code() == Code::kNotFound) continue;  // It was dropped meanwhile.
    if (!info.ok()) return std::move(info).status();
    infos.push_back(*std::move(info));
  }
  std::sort(infos.begin(), infos.end(),
            [](const TableInfo& a, const TableInfo& b) { return a.spec.name < b.spec.name; });
  return infos;
}

Result<TableInfo> ClusterClient::DescribeTable(const std::string& name) {
  ASSIGN_OR_RETURN(const TableHandle table, OpenTable(name));
  return table->Describe();
}

Result<TableHandle> ClusterClient::CreateTable(TableSpec spec) {
  if (spec.shards == 0) spec.shards = kDefaultShards;
  ASSIGN_OR_RETURN(spec, CheckTableSpec(std::move(spec)));
  // No shard of a dense table shall be without keys.
  if (spec.keys.key_count > 0) {
    spec.shards = static_cast<uint32_t>(std::min<uint64_t>(spec.shards, spec.keys.key_count));
  }
  const TableChange create{0, TableAction::kCreate, {0, spec.name, spec.shards, spec.replicas, EncodeTableSpec(spec)}};
  // Servers that were started a moment ago may not have told the master yet.
  const int64_t until = env_.clock().MonotonicNanos() + kAwaitServersNanos;
  while (true) {
    ASSIGN_OR_RETURN(const TableAnswer answer, impl_->Ask<TableAnswer>(create));
    if (answer.code == Code::kOk) return OpenTable(spec.name);
    if (answer.code != Code::kUnavailable || env_.clock().MonotonicNanos() >= until) {
      return Status(answer.code, answer.error);
    }
    env_.clock().SleepFor(kAskAgainNanos);
  }
}

Result<TableHandle> ClusterClient::OpenTable(const std::string& name, std::optional<ValueType> value_type) {
  ASSIGN_OR_RETURN(const TableAnswer answer, impl_->Ask<TableAnswer>(TableQuery{0, name}));
  if (answer.code != Code::kOk) return Status(answer.code, answer.error);
  if (answer.tables.size() != 1) return Status::Corrupt("the master answered with other tables");
  const TableEntry& entry = answer.tables[0];
  ASSIGN_OR_RETURN(TableSpec spec, DecodeTableSpec(entry.spec));
  if (spec.shards != entry.shards) return Status::Corrupt("the master answered with another number of shards");
  RETURN_IF_ERROR(CheckValueType(spec, value_type));
  ASSIGN_OR_RETURN(std::shared_ptr<RemoteTable> table, impl_->FindOrMake(entry.id, spec));
  return TableHandle(std::move(table));
}

Result<TableHandle> ClusterClient::LoadTable(const std::string& folder, const std::string& name,
                                             const LoadOptions& options) {
  auto manifest = ReadManifest(env_.files(), folder);
  if (!manifest.ok()) return std::move(manifest).status().With("loading a table");
  TableSpec spec = manifest->spec;
  if (!name.empty()) spec.name = name;
  spec.shards = 0;
  ASSIGN_OR_RETURN(TableHandle table, CreateTable(std::move(spec)));
  if (Status status = table->Load(folder, options); !status.ok()) {
    (void)table->Drop();  // Nobody is to find an empty one.
    return status;
  }
  return table;
}

Status ClusterClient::DropTable(const std::string& name) {
  ASSIGN_OR_RETURN(const TableAnswer answer, impl_->Ask<TableAnswer>(DropOf(name)));
  return answer.code == Code::kOk ? Status::Ok() : Status(answer.code, answer.error);
}

}  // namespace glim::param
