// SPDX-License-Identifier: Apache-2.0
#include "cluster/agent_process.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/try.h"
#include "base/version.h"
#include "cluster/data_folder.h"
#include "cluster/job/line.h"
#include "cluster/job/messages.h"
#include "cluster/job/peer.h"
#include "cluster/metrics.h"
#include "cluster/program_store.h"
#include "env/architecture.h"
#include "env/path.h"
#include "net/event_loop.h"
#include "net/transport.h"
#include "param/wire.h"

namespace glim::cluster {
namespace {

constexpr int64_t kTickNanos = 500'000'000;
constexpr int64_t kConnectNanos = 3'000'000'000;
constexpr int64_t kMemoryMin = int64_t{64} << 20;  // Of an executor.
constexpr size_t kExecutorsMax = 256;
constexpr int64_t kFetchNanos = 120'000'000'000;  // For a driver to send its program.

std::string Mebibytes(int64_t bytes) { return fmt::format("{} MiB", bytes >> 20); }

}  // namespace

class AgentProcess::Impl {
 public:
  Impl(env::Env& env, AgentProcessOptions options, std::function<void(Status)> stopped)
      : env_(env), options_(std::move(options)), stopped_(std::move(stopped)), start_(env.RandomSeed()) {}

  ~Impl() {
    loop_.Call([this] {
      stopping_ = true;
      timer_.Cancel();
    });
    programs_over_.store(true);
    programs_line_.reset();
    orders_.reset();
    listener_.reset();
    drivers_transport_.reset();
    master_transport_.reset();
    for (const auto& [id, executor] : executors_) executor.child.process->Kill();
  }

  Status Start() {
    ASSIGN_OR_RETURN(folder_, DataFolder::Open(env_, options_.folder, FolderKind::kAgent,
                                               options_.key ? options_.key->cluster : "local"));
    // Executors go to the folders of their drivers.
    tmp_folder_ = env::JoinPath(options_.folder, "tmp");
    if (!tmp_folder_.starts_with('/')) tmp_folder_ = env::JoinPath(env::CurrentFolder(), tmp_folder_);
    // What an agent left that was killed.
    if (env_.files().Stat(tmp_folder_).ok()) RETURN_IF_ERROR(env_.files().RemoveAll(tmp_folder_));
    RETURN_IF_ERROR(env_.files().MakeFolders(tmp_folder_));
    const std::string folder = tmp_folder_.substr(0, tmp_folder_.rfind('/'));
    ASSIGN_OR_RETURN(programs_, ProgramStore::Open(env_, {.folder = env::JoinPath(folder, "programs")}));
    Status status;
    loop_.Call([&] { status = StartInLoop(); });
    return status;
  }
  const std::string& address() const { return address_; }

 private:
  struct Executor {
    AgentChild child;
    std::shared_ptr<Peer> driver;
    int64_t memory_bytes = 0;
  };

  class MasterHandler final : public net::ConnectionHandler {
   public:
    explicit MasterHandler(Impl& agent) : agent_(agent) {}
    void OnOpen(net::Connection&) override {
      if (std::exchange(agent_.master_away_, false)) base::LogWarning("the master answers again");
      agent_.Beat();
    }
    void OnFrame(net::Frame, net::Credit) override {}
    void OnClosed(const net::Closing& closing) override { agent_.OnMasterGone(closing); }

   private:
    Impl& agent_;
  };

  Status StartInLoop() {
    net::TransportOptions transport;
    transport.messages = &JobMessages();
    transport.key = options_.key;
    if (options_.key != nullptr) transport.cluster = options_.key->cluster;
    transport.node = "agent";
    transport.shared_memory = false;  // Little is said.
    transport.http =
        MakeHttpHandler("agent", [] { return Status::Ok(); }, [this](Metrics* metrics) { AddMetrics(metrics); });
    transport.http_for_all = options_.open_metrics;
    drivers_transport_ = net::MakeTcpTransport(loop_, transport);
    transport.messages = &param::ClusterMessages();
    master_transport_ = net::MakeTcpTransport(loop_, std::move(transport));
    const auto accept = [this](const std::shared_ptr<net::Connection>& connection) {
      auto peer = std::make_shared<Peer>(
          loop_, "a driver",
          [this](const std::shared_ptr<Peer>& from, net::Frame frame) { OnQuestion(from, std::move(frame)); },
          [this](const std::shared_ptr<Peer>& lost, const Status&) { OnDriverGone(lost); });
      peer->Attach(connection);
      drivers_.insert(peer);
      return peer;
    };
    ASSIGN_OR_RETURN(listener_, drivers_transport_->Listen(options_.address, accept));
    address_ = Reachable(listener_->address());
    Tick();
    return Status::Ok();
  }

  // As others reach what listens there.
  std::string Reachable(const std::string& address) const {
    if (options_.advertised_host.empty()) return address;
    return options_.advertised_host + address.substr(address.rfind(':'));
  }

  // ---------------------------------------------------------------------------------------------------------
  // the master

  void Tick() {
    if (stopping_) return;
    if (master_ == nullptr) {
      master_ = master_transport_->Connect(options_.master, kConnectNanos, std::make_shared<MasterHandler>(*this));
    } else {
      Beat();
    }
    orders_->Add([this] { LookAfterChildren(); });
    timer_.Start(kTickNanos, [this] { Tick(); });
  }

  void Beat() {
    if (master_ == nullptr) return;
    param::AgentBeat beat{.name = options_.name,
                          .address = address_,
                          .version = kVersion,
                          .start = start_,
                          .cores = static_cast<uint32_t>(options_.threads),
                          .executors = 0,
                          .memory_bytes = static_cast<uint64_t>(options_.memory_bytes),
                          .memory_used_bytes = 0,
                          .labels = options_.labels};
    {
      const std::lock_guard lock(mutex_);
      beat.executors = static_cast<uint32_t>(executors_.size());
      beat.memory_used_bytes = static_cast<uint64_t>(MemoryUsed());
    }
    // One that is lost is followed by another one.
    (void)master_->Send(param::ToFrame(beat));
  }

  void AddMetrics(Metrics* metrics) {
    const std::lock_guard lock(mutex_);
    metrics->Gauge("glim_agent_cores", "Threads that this agent offers to each session.", options_.threads);
    metrics->Gauge("glim_agent_executors", "Executors that run here.", static_cast<double>(executors_.size()));
    metrics->Counter("glim_agent_executors_started_total", "Executors that were started here.",
                     static_cast<double>(executors_started_));
    metrics->Gauge("glim_agent_memory_bytes", "Memory that this agent offers to executors.",
                   static_cast<double>(options_.memory_bytes));
    metrics->Gauge("glim_agent_memory_used_bytes", "What of it executors were given.",
                   static_cast<double>(MemoryUsed()));
    metrics->Gauge("glim_agent_sessions", "Programs that are connected.", static_cast<double>(drivers_.size()));
    metrics->Gauge("glim_agent_master_answers", "1 when the master answers, else 0.", master_away_ ? 0 : 1);
    metrics->Counter("glim_connections_refused_total", "Connections that were turned away.",
                     static_cast<double>(drivers_transport_->refused_count()));
  }

  void OnMasterGone(const net::Closing& closing) {
    master_ = nullptr;
    if (stopping_) return;
    if (closing.reason == net::CloseReason::kRefused) {
      if (stopped_) std::exchange(stopped_, nullptr)(Status(closing.status).With("the master at " + options_.master));
      return;
    }
    if (!std::exchange(master_away_, true))
      base::LogWarning("the master does not answer: {}; trying again", closing.status.message());
  }

  // ---------------------------------------------------------------------------------------------------------
  // drivers

  void OnQuestion(const std::shared_ptr<Peer>& peer, net::Frame frame) {
    if (stopping_) return;
    const auto shared = std::make_shared<net::Frame>(std::move(frame));
    switch (shared->header.type) {
      case kStartExecutorMessage:
        orders_->Add([this, peer, shared] {
          const auto answer = OnStartExecutor(peer, *shared);
          peer->Answer(MakeAnswer(shared->header.request, answer.status(), answer.ok() ? Encode(*answer) : ""));
        });
        return;
      case kStartProgramMessage:
        programs_line_->Add([this, peer, shared] {
          const auto answer = OnStartProgram(peer, *shared);
          peer->Answer(MakeAnswer(shared->header.request, answer.status(), answer.ok() ? Encode(*answer) : ""));
        });
        return;
      case kStopExecutorMessage:
        orders_->Add([this, peer, shared] {
          const auto stop = FromFrame<StopExecutor>(*shared);
          if (stop.ok()) End([&](uint64_t id, const Executor& e) { return id == stop->id && e.driver == peer; });
          peer->Answer(MakeAnswer(shared->header.request, stop.status()));
        });
        return;
      default: peer->Close();
    }
  }

  void OnDriverGone(const std::shared_ptr<Peer>& peer) {
    drivers_.erase(peer);
    if (stopping_) return;
    {
      // Its next connection may come before they have ended.
      const std::lock_guard lock(mutex_);
      for (auto& [id, executor] : executors_) {
        if (executor.driver == peer) executor.memory_bytes = 0;
      }
    }
    orders_->Add([this, peer] { End([&](uint64_t, const Executor& e) { return e.driver == peer; }); });
  }

  // ---------------------------------------------------------------------------------------------------------
  // children; in the orders' thread

  Result<StartExecutorAnswer> OnStartExecutor(const std::shared_ptr<Peer>& driver, const net::Frame& frame) {
    ASSIGN_OR_RETURN(const StartExecutor start, FromFrame<StartExecutor>(frame));
    return Grant(driver, start, [&](int32_t threads) { return options_.start_executor(threads, tmp_folder_); });
  }

  // In the programs' thread.
  Result<StartExecutorAnswer> OnStartProgram(const std::shared_ptr<Peer>& driver, const net::Frame& frame) {
    ASSIGN_OR_RETURN(const StartProgram start, FromFrame<StartProgram>(frame));
    if (options_.start_program == nullptr) return Status::Invalid("this agent starts no programs");
    ASSIGN_OR_RETURN(const StartProgram::Binary binary, BinaryForHere(start));
    const int64_t until = env_.clock().MonotonicNanos() + kFetchNanos;
    const auto fetch = [&](uint64_t offset) { return FetchPiece(driver, {binary.program, offset}, until); };
    auto path = programs_->Get(binary.program, binary.size, fetch);
    if (!path.ok()) return std::move(path).status().With("agent " + options_.name);
    return Grant(driver, start.executor,
                 [&](int32_t threads) { return options_.start_program(start, *path, threads, tmp_folder_); });
  }

  Result<StartProgram::Binary> BinaryForHere(const StartProgram& start) const {
    const std::string here = env::Architecture();
    std::string others;
    for (const StartProgram::Binary& binary : start.binaries) {
      if (binary.architecture == here) return binary;
      others += (others.empty() ? "" : ", ") + binary.architecture;
    }
    return Status::Invalid(fmt::format("agent {} is on {}, and the program is there for {}: --binary {}=PATH names one",
                                       options_.name, here, others.empty() ? "nothing" : others, here));
  }

  Result<std::string> FetchPiece(const std::shared_ptr<Peer>& driver, const FetchProgram& piece, int64_t until) {
    const auto promise = std::make_shared<std::promise<Result<net::Frame>>>();
    driver->Ask(ToFrame(piece), [promise](Result<net::Frame> answer) { promise->set_value(std::move(answer)); });
    auto answer = promise->get_future();
    // A connection that is lost answers, too.
    while (answer.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready) {
      if (programs_over_.load()) return Status::Cancelled("the agent ends");
      if (env_.clock().MonotonicNanos() > until)
        return Status::Unavailable("the driver's program did not come in time");
    }
    ASSIGN_OR_RETURN(const net::Frame frame, answer.get());
    RETURN_IF_ERROR(BodyOfAnswer(frame).status());
    if (frame.segments.size() != 2) return Status::Corrupt("a piece of a program that is not there");
    return std::string(frame.segments[1].bytes);
  }

  // What is asked for, if so much is free.
  template <class Start>
  Result<StartExecutorAnswer> Grant(const std::shared_ptr<Peer>& driver, const StartExecutor& start,
                                    Start start_child) {
    StartExecutorAnswer answer;
    answer.threads = start.threads > 0 ? std::min(start.threads, options_.threads) : options_.threads;
    {
      const std::lock_guard lock(mutex_);
      const int64_t free = options_.memory_bytes - MemoryUsed();
      answer.memory_bytes = start.memory_bytes > 0 ? start.memory_bytes : std::max(free / 2, kMemoryMin);
      if (answer.memory_bytes > free) {
        return Status::Exhausted(fmt::format("agent {} has {} of {} free for executors, and {} are wanted",
                                             options_.name, Mebibytes(std::max<int64_t>(free, 0)),
                                             Mebibytes(options_.memory_bytes), Mebibytes(answer.memory_bytes)));
      }
      if (executors_.size() >= kExecutorsMax)
        return Status::Exhausted(fmt::format("agent {} runs {} executors already", options_.name, executors_.size()));
      starting_bytes_ += answer.memory_bytes;
    }
    auto child = start_child(answer.threads);
    Status status = child.ok() ? Status::Ok() : std::move(child).status().With("agent " + options_.name);
    // In the loop, which tells when a driver has gone: what is entered before that is ended then.
    bool is_there = false;
    loop_.Call([&] {
      is_there = drivers_.contains(driver);
      const std::lock_guard lock(mutex_);
      starting_bytes_ -= answer.memory_bytes;
      if (!status.ok() || !is_there) return;
      answer.address = Reachable(child->address);
      answer.id = next_id_++;
      executors_[answer.id] = {*std::move(child), driver, answer.memory_bytes};
      ++executors_started_;
    });
    RETURN_IF_ERROR(std::move(status));
    if (!is_there) return Status::Stale("the driver has gone");
    return answer;
  }

  template <class Wanted>
  void End(Wanted wanted) {
    std::vector<Executor> ended;
    {
      const std::lock_guard lock(mutex_);
      for (auto it = executors_.begin(); it != executors_.end();) {
        if (wanted(it->first, it->second)) {
          ended.push_back(std::move(it->second));
          it = executors_.erase(it);
        } else {
          ++it;
        }
      }
    }
    for (const Executor& executor : ended) executor.child.process->Kill();
  }

  void LookAfterChildren() {
    End([](uint64_t, const Executor& executor) { return executor.child.process->ExitCode().has_value(); });
    if (options_.start_server == nullptr) return;
    if (server_.process != nullptr) {
      const auto code = server_.process->ExitCode();
      if (!code) return;
      base::LogWarning("the server has ended with exit code {}; it is started again", *code);
      server_.process.reset();
    }
    const int64_t now = env_.clock().MonotonicNanos();
    if (now < server_again_at_) return;
    auto child = options_.start_server();
    if (child.ok()) {
      server_ = *std::move(child);
      server_pause_ = kTickNanos;
      return;
    }
    base::LogWarning("{}", child.status().message());
    server_pause_ = std::min(server_pause_ * 2, kServerPauseMax);
    server_again_at_ = now + server_pause_;
  }

  // Under mutex_.
  int64_t MemoryUsed() const {
    int64_t used = starting_bytes_;
    for (const auto& [id, executor] : executors_) used += executor.memory_bytes;
    return used;
  }

  static constexpr int64_t kServerPauseMax = 30'000'000'000;

  env::Env& env_;
  const AgentProcessOptions options_;
  std::function<void(Status)> stopped_;
  const uint64_t start_;
  std::unique_ptr<DataFolder> folder_;
  std::string tmp_folder_;
  std::string address_;
  net::EventLoop loop_;
  net::Timer timer_{loop_};

  // The loop's.
  bool stopping_ = false;
  std::unique_ptr<net::Transport> drivers_transport_, master_transport_;
  std::unique_ptr<net::Listener> listener_;
  std::set<std::shared_ptr<Peer>> drivers_;
  std::shared_ptr<net::Connection> master_;
  bool master_away_ = false;

  // The orders'.
  AgentChild server_;
  int64_t server_again_at_ = 0;
  int64_t server_pause_ = kTickNanos;

  // The programs'.
  std::unique_ptr<ProgramStore> programs_;

  std::atomic<bool> programs_over_{false};
  std::mutex mutex_;  // Of the next four.
  std::map<uint64_t, Executor> executors_;
  uint64_t executors_started_ = 0;
  int64_t starting_bytes_ = 0;  // Of those that are being started.
  uint64_t next_id_ = 1;
  std::unique_ptr<Line> programs_line_ = std::make_unique<Line>();
  std::unique_ptr<Line> orders_ = std::make_unique<Line>();
};

AgentProcess::AgentProcess(env::Env& env, AgentProcessOptions options, std::function<void(Status)> stopped)
    : impl_(std::make_unique<Impl>(env, std::move(options), std::move(stopped))) {}
AgentProcess::~AgentProcess() = default;
Status AgentProcess::Start() { return impl_->Start(); }
std::string AgentProcess::address() const { return impl_->address(); }

}  // namespace glim::cluster
