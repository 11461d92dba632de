// SPDX-License-Identifier: Apache-2.0
#include "param/cluster_network.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "base/try.h"

namespace glim::param {
namespace {

constexpr int64_t kConnectNanos = 3'000'000'000;
constexpr int64_t kTickNanos = 50'000'000;
constexpr int64_t kRoutesAgainNanos = 20'000'000;

}  // namespace

struct ClusterNetwork::UnderWay {
  explicit UnderWay(uint64_t bytes_max) : bytes_max(bytes_max) {}

  static Room Give(const std::shared_ptr<UnderWay>& under_way, uint64_t bytes) {
    struct Part {
      Part(std::shared_ptr<UnderWay> all, uint64_t bytes) : all(std::move(all)), bytes(bytes) {}
      ~Part() {
        {
          const std::lock_guard lock(all->mutex);
          all->bytes -= bytes;
        }
        all->less.notify_all();
      }
      const std::shared_ptr<UnderWay> all;
      const uint64_t bytes;
    };
    return std::make_shared<Part>(under_way, bytes);
  }

  const uint64_t bytes_max;
  std::mutex mutex;
  std::condition_variable less;
  uint64_t bytes = 0;
};

class ClusterNetwork::Session final : public net::ConnectionHandler {
 public:
  Session(ClusterNetwork& network, std::string address) : network_(network), address_(std::move(address)) {}
  void OnFrame(net::Frame frame, net::Credit credit) override {
    network_.heard_at_[address_] = network_.now();
    // What makes no sense is passed over: whatever it was to answer is asked again.
    (void)network_.OnFrame(frame);
  }
  void OnClosed(const net::Closing& closing) override { network_.OnClosed(address_, closing); }

 private:
  ClusterNetwork& network_;
  const std::string address_;
};

ClusterNetwork::ClusterNetwork(env::Env& env, ClusterClientOptions options)
    : env_(env),
      options_(std::move(options)),
      producer_{env.RandomSeed(), env.RandomSeed()},
      loop_(std::make_unique<net::EventLoop>()),
      under_way_(std::make_shared<UnderWay>(options_.under_way_bytes_max)),
      master_known_(options_.master_is_known),
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
  // What may be under way bounds the queues, too: with room for what is sent twice, they are never full.
  transport.send_queue_bytes_max = std::max<size_t>(transport.send_queue_bytes_max, 2 * options_.under_way_bytes_max);
  transport.send_queue_frames_max = 1 << 20;
  transport.blocks = memory_;
  transport_ = net::MakeTcpTransport(*loop_, std::move(transport));
  loop_->Call([this] { Tick(); });
}

void ClusterNetwork::Stop() {
  if (loop_ == nullptr) return;
  // A courtesy: what does not get out at once is forgotten by the shards in time.
  constexpr int64_t kCloseNanos = 100'000'000;
  const auto sent = std::make_shared<std::atomic<size_t>>(0);
  size_t closing = 0;
  loop_->Call([&] {
    for (const auto& [id, table] : tables_) closing += table->Close([sent] { ++*sent; });
  });
  if (closing > 0) {
    HelpUntil([&] { return *sent >= closing; }, Deadline(std::chrono::nanoseconds(now() + kCloseNanos)));
  }
  loop_->Call([this] {
    stopped_ = true;
    timer_.reset();
    for (auto& [request, asked] : std::exchange(asked_, {})) asked.answered(Status::Cancelled("the client is gone"));
  });
  transport_.reset();
  {
    std::unique_lock lock(loop_mutex_);
    loop_gone_ = true;
    loop_unused_.wait(lock, [this] { return loop_users_ == 0; });
  }
  loop_.reset();  // And with it what was posted.
  // They hold the network, and it them.
  for (const auto& [id, table] : std::exchange(tables_, {})) table->Cancel();
}

Status ClusterNetwork::Post(std::function<void()> work) {
  if (UseLoop([&](net::EventLoop& loop) { loop.Post(std::move(work)); })) return Status::Ok();
  return Status::Cancelled("the connection to the cluster was given up");
}

Status ClusterNetwork::Run(std::function<void()> work) {
  if (UseLoop([&](net::EventLoop& loop) { loop.Run(std::move(work)); })) return Status::Ok();
  return Status::Cancelled("the connection to the cluster was given up");
}

void ClusterNetwork::HelpUntil(const std::function<bool()>& done, Deadline until) {
  // Stop waits for helpers, so they leave when it begins.
  const auto over = [&] { return stopped_ || done(); };
  UseLoop([&](net::EventLoop& loop) {
    const int64_t nanos = until == kNoDeadline ? -1 : std::max<int64_t>(0, until.time_since_epoch().count() - now());
    (void)loop.HelpUntil(over, nanos);
  });
}

Status ClusterNetwork::CheckMayPush() const { return ClusterMessages().Check(kPushMessage, role_); }

bool ClusterNetwork::InNetworkThread() {
  bool in_loop = false;
  (void)UseLoop([&](net::EventLoop& loop) { in_loop = loop.InLoop(); });
  return in_loop;
}

ClusterNetwork::Room ClusterNetwork::WaitForRoom(uint64_t bytes, Deadline deadline) {
  UnderWay& all = *under_way_;
  if (InNetworkThread()) return TakeRoom(bytes);
  const auto fits = [&] { return all.bytes == 0 || all.bytes + bytes <= all.bytes_max; };
  std::unique_lock lock(all.mutex);
  if (!fits()) {
    lock.unlock();
    HelpUntil(
        [&] {
          const std::lock_guard looking(all.mutex);
          return fits();
        },
        deadline);
    lock.lock();
  }
  if (!fits()) {
    // Without a deadline wait_until would overflow in some libraries.
    if (deadline == kNoDeadline) {
      all.less.wait(lock, fits);
    } else if (!all.less.wait_until(lock, deadline, fits)) {
      return nullptr;
    }
  }
  all.bytes += bytes;
  lock.unlock();
  return UnderWay::Give(under_way_, bytes);
}

ClusterNetwork::Room ClusterNetwork::TakeRoom(uint64_t bytes) {
  {
    const std::lock_guard lock(under_way_->mutex);
    under_way_->bytes += bytes;
  }
  return UnderWay::Give(under_way_, bytes);
}

uint64_t ClusterNetwork::under_way_bytes() const {
  const std::lock_guard lock(under_way_->mutex);
  return under_way_->bytes;
}

Status ClusterNetwork::NoAnswer() const {
  return Status::Unavailable(fmt::format("the master at {} does not answer", options_.master));
}

std::shared_ptr<NetworkTable> ClusterNetwork::FindOrAdd(uint64_t id,
                                                        const std::function<std::shared_ptr<NetworkTable>()>& make) {
  std::shared_ptr<NetworkTable>& table = tables_[id];
  if (table == nullptr) table = make();
  return table;
}

void ClusterNetwork::Forget(uint64_t id) {
  tables_.erase(id);
  routes_asked_.erase(id);
}

int64_t ClusterNetwork::heard_at(const std::string& address) const {
  const auto it = heard_at_.find(address);
  return it == heard_at_.end() ? 0 : it->second;
}

Status ClusterNetwork::DropTable(const std::string& name) {
  TableChange change;
  change.action = TableAction::kDrop;
  change.table.name = name;
  bool asked_again = false;
  ASSIGN_OR_RETURN(const TableAnswer answer, AskAgain<TableAnswer>(change, &asked_again));
  // A master that went before it answered may have dropped it.
  if (answer.code == Code::kOk || (asked_again && answer.code == Code::kNotFound)) return Status::Ok();
  return Status(answer.code, answer.error);
}

void ClusterNetwork::WantRoutes(uint64_t table) {
  int64_t& asked_at = routes_asked_[table];
  if (asked_at != 0 && now() - asked_at < kRoutesAgainNanos) return;
  asked_at = now();
  (void)Send(options_.master, RouteQuery{table});
}

Status ClusterNetwork::SendFrame(const std::string& address, net::Frame frame, const std::function<void()>& sent) {
  if (stopped_ || address.empty()) return Status::Unavailable("nobody to send it to");
  auto& connection = dialled_[address];
  if (connection == nullptr) connection = Dial(address);
  net::Connection::SentCallback callback;
  if (sent) callback = [sent](const Status&) { sent(); };
  return connection->Send(std::move(frame), std::move(callback));
}

std::shared_ptr<net::Connection> ClusterNetwork::Dial(const std::string& address) {
  return transport_->Connect(address, kConnectNanos, std::make_shared<Session>(*this, address));
}

void ClusterNetwork::Tick() {
  // A table may be dropped, and forgotten, on the way.
  const auto tables = tables_;
  for (const auto& [id, table] : tables) table->Tick();
  timer_->Start(kTickNanos, [this] { Tick(); });
}

void ClusterNetwork::OnClosed(const std::string& address, const net::Closing& closing) {
  dialled_.erase(address);
  if (address != options_.master) return;
  for (auto& [request, asked] : std::exchange(asked_, {})) {
    asked.answered(Status::Unavailable(fmt::format("the master at {}: {}", address, closing.status.message())));
  }
}

Status ClusterNetwork::OnFrame(const net::Frame& frame) {
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
    case kDrainAnswerMessage: return OnAnswer<DrainAnswer>(frame);
    case kJobReportAnswerMessage: return OnAnswer<JobReportAnswer>(frame);
    case kCancelJobAnswerMessage: return OnAnswer<CancelJobAnswer>(frame);
    case kJobLogPieceAnswerMessage: return OnAnswer<JobLogPieceAnswer>(frame);
    case kJobLogAnswerMessage: return OnAnswer<JobLogAnswer>(frame);
  }
  return Status::Corrupt("nothing for a client");
}

template <class Answer>
Status ClusterNetwork::OnAnswer(const net::Frame& frame) {
  ASSIGN_OR_RETURN(const Answer answer, FromFrame<Answer>(frame));
  const auto it = asked_.find(answer.request);
  if (it == asked_.end() || it->second.answer_type != frame.header.type) return Status::Ok();
  const auto answered = std::move(it->second.answered);
  asked_.erase(it);
  master_known_ = true;
  answered(frame);
  return Status::Ok();
}

void ClusterNetwork::OnRoutes(const RouteAnswer& answer) {
  const auto it = tables_.find(answer.table);
  if (it == tables_.end()) return;
  const std::shared_ptr<NetworkTable> table = it->second;
  if (answer.shards.empty()) return table->OnDropped();
  for (const ShardRoute& route : answer.shards) {
    if (route.shard.table == answer.table) table->OnRoute(route);
  }
}

}  // namespace glim::param
