// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/try.h"
#include "cluster/job/cached_parts.h"
#include "cluster/job/file_folder.h"
#include "cluster/job/line.h"
#include "cluster/job/messages.h"
#include "cluster/job/peer.h"
#include "cluster/job/remote_rows.h"
#include "cluster/job/row_packing.h"
#include "cluster/job/task_queue.h"
#include "env/output_capture.h"
#include "exec/function_facts.h"
#include "exec/plan_tasks.h"
#include "net/event_loop.h"
#include "net/transport.h"
#include "param/cluster_client.h"
#include "plan/processes.h"

namespace glim::cluster {
namespace {

// A run, from OpenRun to EndRun.
struct Run {
  OpenRun open;
  plan::SpreadPlan spread;
  std::unique_ptr<exec::PlanTasks> tasks;
  const std::shared_ptr<std::atomic<bool>> cancelled = std::make_shared<std::atomic<bool>>(false);
  // Exchanges are not let go of while somebody reads from them.
  std::shared_mutex outputs;
  // Tasks that are at work or about to be, by stage and number, and whether they were given up. A task is here once.
  std::mutex tasks_mutex;
  std::map<std::pair<int, int>, std::shared_ptr<std::atomic<bool>>> at_work;
};

}  // namespace

class ExecutorProcess::Impl {
 public:
  Impl(env::Env& env, ExecutorOptions options, std::function<void(Status)> ended)
      : env_(env), options_(std::move(options)), ended_(std::move(ended)) {}

  ~Impl() {
    {
      const std::lock_guard lock(run_mutex_);
      if (run_ != nullptr) Cancel(*run_);
    }
    loop_.Call([this] { stopping_ = true; });
    printing_over_.store(true);
    // Who works may still ask others, so they end first.
    orders_.reset();
    queue_.reset();
    rows_.reset();
    if (printer_.joinable()) printer_.join();
    listener_.reset();
    transport_.reset();
  }

  Status Start() {
    Status status;
    loop_.Call([&] { status = StartInLoop(); });
    return status;
  }
  Status CaptureOutput() {
    ASSIGN_OR_RETURN(capture_, env::OutputCapture::Begin(options_.sends_errors));
    captures_.store(true);
    printer_ = std::thread([this] { SendOutput(); });
    return Status::Ok();
  }
  const std::string& address() const { return address_; }

 private:
  static constexpr int64_t kConnectNanos = 3'000'000'000;
  static constexpr uint32_t kCachedBytes = 1 << 20;  // That are asked for at once.

  Status StartInLoop() {
    net::TransportOptions transport;
    transport.messages = &JobMessages();
    transport.key = options_.key;
    if (options_.key != nullptr) transport.cluster = options_.key->cluster;
    transport.node = "executor";
    transport.limits.payload_bytes_max = kPayloadBytesMax;
    transport_ = net::MakeTcpTransport(loop_, std::move(transport));
    ASSIGN_OR_RETURN(listener_,
                     transport_->Listen(options_.address, [this](const std::shared_ptr<net::Connection>& connection) {
                       auto peer = MakePeer("a peer");
                       peer->Attach(connection);
                       return peer;
                     }));
    address_ = listener_->address();
    return Status::Ok();
  }

  std::shared_ptr<Peer> MakePeer(std::string name) {
    return std::make_shared<Peer>(
        loop_, std::move(name),
        [this](const std::shared_ptr<Peer>& peer, net::Frame frame) { OnQuestion(peer, std::move(frame)); },
        [this](const std::shared_ptr<Peer>& peer, const Status& why) { OnLost(peer, why); });
  }

  // ---------------------------------------------------------------------------------------------------------
  // the loop

  void OnQuestion(const std::shared_ptr<Peer>& peer, net::Frame frame) {
    if (stopping_) return;
    const auto shared = std::make_shared<net::Frame>(std::move(frame));
    switch (shared->header.type) {
      case kOpenRunMessage:
        driver_ = peer;
        orders_->Add([this, peer, shared] { AnswerStatus(*peer, *shared, OnOpenRun(*shared)); });
        return;
      case kTellOutcomesMessage:
        orders_->Add([this, peer, shared] { AnswerStatus(*peer, *shared, OnTellOutcomes(*shared)); });
        return;
      case kFindFilesMessage: orders_->Add([this, peer, shared] { peer->Answer(OnFindFiles(*shared)); }); return;
      case kTellStageMessage:
        orders_->Add([this, peer, shared] { AnswerStatus(*peer, *shared, OnTellStage(*shared)); });
        return;
      case kDropOutputMessage:
        orders_->Add([this, peer, shared] { AnswerStatus(*peer, *shared, OnDropOutput(*shared)); });
        return;
      case kEndRunMessage: {
        // At once, for tasks to notice.
        const auto end = FromFrame<EndRun>(*shared);
        const std::lock_guard lock(run_mutex_);
        if (end.ok()) ended_run_ = end->run;
        if (run_ != nullptr && end.ok() && run_->open.run == end->run) Cancel(*run_);
        orders_->Add([this, peer, shared] { AnswerStatus(*peer, *shared, OnEndRun(*shared)); });
        return;
      }
      case kRunTaskMessage: OnRunTask(peer, shared); return;
      case kGiveUpTaskMessage: return AnswerStatus(*peer, *shared, OnGiveUpTask(*shared));
      case kFetchMessage:
        rows_->Add([this, peer, shared, way = peer->Way()] { peer->Answer(OnFetch(*shared, way)); });
        return;
      default: peer->Close();
    }
  }

  void OnLost(const std::shared_ptr<Peer>& peer, const Status& why) {
    std::erase_if(peers_, [&](const auto& entry) { return entry.second == peer; });
    if (peer != driver_) return;
    driver_ = nullptr;
    if (ended_) std::exchange(ended_, nullptr)(why);
  }

  // The process at a place; 0 is the driver. Null when there is none of that number.
  std::shared_ptr<Peer> PeerAt(int place) {
    std::shared_ptr<Peer> peer;
    loop_.Call([&] {
      if (stopping_) return;
      if (place == 0) {
        peer = driver_;
        return;
      }
      if (const auto it = peers_.find(place); it != peers_.end()) {
        peer = it->second;
        return;
      }
      const auto address = addresses_.find(place);
      if (address == addresses_.end()) return;
      peer = MakePeer(fmt::format("executor {}", place));
      peers_[place] = peer;
      peer->Attach(transport_->Connect(address->second, kConnectNanos, peer));
    });
    return peer;
  }

  // ---------------------------------------------------------------------------------------------------------
  // orders

  static void AnswerStatus(Peer& peer, const net::Frame& question, const Status& status) {
    peer.Answer(MakeAnswer(question.header.request, status));
  }

  static void Cancel(Run& run) {
    run.cancelled->store(true);
    run.tasks->Fail(Status::Cancelled("cancelled"));
  }

  Result<std::shared_ptr<Run>> FindRun(uint64_t run) {
    const std::lock_guard lock(run_mutex_);
    if (run_ == nullptr || run_->open.run != run) return Status::Cancelled("this run has ended");
    return run_;
  }

  Status OnOpenRun(const net::Frame& frame) {
    auto run = std::make_shared<Run>();
    ASSIGN_OR_RETURN(run->open, FromFrame<OpenRun>(frame));
    const OpenRun& open = run->open;
    if (frame.segments.size() != 2) return Status::Corrupt("a run without a graph");
    exec::GraphDecoding decoding;
    decoding.open_table = [this](const std::string& handle) { return OpenTable(handle); };
    decoding.table_object = options_.table_object;
    RETURN_IF_ERROR(GetFiles(open));
    // What main printed on its way is dropped by now, and it does not go on before it hears how this run went.
    ASSIGN_OR_RETURN(const std::shared_ptr<const flow::Graph> own, OwnFlow(open));
    decoding.own = own.get();
    auto decoded = exec::DecodeGraph(frame.segments[1].bytes, decoding);
    if (!decoded.ok()) return own != nullptr ? OfAnotherPlan(std::move(decoded).status()) : std::move(decoded).status();
    const std::shared_ptr<flow::Graph> graph = *std::move(decoded);
    ASSIGN_OR_RETURN(const plan::Plan plan,
                     plan::MakePlan(graph, std::vector<int>(open.ends.begin(), open.ends.end())));
    run->spread = plan::SpreadOverProcesses(plan, exec::FactsOfFunctions(*graph));
    if (plan::Fingerprint(run->spread.plan) != open.plan_hash) {
      return Status::Invalid(
          "the executor has made another plan of the flow than the driver: they are not of one build");
    }
    ASSIGN_OR_RETURN(const int64_t memory_bytes, TakeCaches(*run, *graph));
    // Where the driver is, if that folder is here too.
    if (const Status status = env::ChangeFolder(open.folder); !status.ok())
      base::LogInfo("{}; files of relative paths are looked for in another one", status.message());
    if (pool_ == nullptr) {
      pool_ = std::make_unique<exec::WorkerPool>(
          options_.threads, udf::HostOptions{.lua_memory_bytes_max = open.lua_memory_bytes,
                                             .lua_kernels = open.lua_kernels,
                                             .lua_path = open.lua_path,
                                             .find_module = [this](const std::string& name, const std::string& path) {
                                               return FindModuleAtDriver(name, path);
                                             }});
    }
    run->tasks = std::make_unique<exec::PlanTasks>(&env_,
                                                   exec::PlanTasksOptions{.threads = options_.threads,
                                                                          .partitions = open.partitions,
                                                                          .memory_bytes = memory_bytes,
                                                                          .tmp_folder = options_.tmp_folder,
                                                                          .keeps_outputs = true,
                                                                          .job = open.job,
                                                                          .taps = open.taps},
                                                   run->spread.plan);
    RETURN_IF_ERROR(run->tasks->Open(/*tasks_only=*/true));
    {
      const std::lock_guard lock(run_mutex_);
      if (run_ != nullptr) return Status::Invalid("this executor is at work for another run");
      run_ = run;
      queue_ = std::make_unique<TaskQueue>(pool_.get());
    }
    prints_.store(true);
    return Status::Ok();
  }

  // Where tasks find what caches hold. The memory that is left for rows.
  Result<int64_t> TakeCaches(const Run& run, const flow::Graph& graph) {
    std::set<uint64_t> alive, read;
    for (const OpenRun::Cache& cache : run.open.caches) {
      alive.insert(cache.id);
      if (cache.step < 0) continue;
      const auto* step = cache.step < static_cast<int32_t>(graph.steps().size())
                             ? std::get_if<flow::CacheStep>(&graph.steps()[cache.step].body)
                             : nullptr;
      if (step == nullptr) return Status::Corrupt("a cache that the flow has not");
      read.insert(cache.id);
      step->rows->read = [this, id = cache.id, number = run.open.run, cancelled = run.cancelled](size_t partition) {
        return cached_.Read(id, partition, [&] { return FetchCachedPart(number, id, partition, cancelled); });
      };
    }
    return cached_.Begin(alive, std::move(read), run.open.memory_bytes);
  }
  std::unique_ptr<exchange::PartitionReader> FetchCachedPart(
      uint64_t run, uint64_t cache, size_t partition, const std::shared_ptr<const std::atomic<bool>>& cancelled) {
    const auto ask = [run, cache, partition](const exchange::SlotPosition& from) {
      return ToFrame(FetchCached{.run = run,
                                 .cache = cache,
                                 .partition = static_cast<uint32_t>(partition),
                                 .from = from,
                                 .bytes_max = kCachedBytes});
    };
    return ReadRemotely(PeerAt(0), ask, cancelled);
  }

  Result<std::shared_ptr<const flow::Graph>> OwnFlow(const OpenRun& open) {
    if (open.program_run == 0) return std::shared_ptr<const flow::Graph>();
    if (options_.own_flow == nullptr) return Status::Invalid("this executor is not the driver's program");
    const auto given_up = [&] { return GivenUp(open); };
    auto own = options_.own_flow(open.program_run,
                                 env_.clock().MonotonicNanos() + std::max<int64_t>(open.reach_nanos, 0), given_up);
    if (!own.ok()) return OfAnotherPlan(std::move(own).status());
    FlushOutput();
    return own;
  }

  // Nobody waits for it to be opened any more.
  bool GivenUp(const OpenRun& open) {
    const std::lock_guard lock(run_mutex_);
    return ended_run_ >= open.run;
  }

  Status GetFiles(const OpenRun& open) {
    const auto fetch = [&](const OpenRun::File& file, uint64_t offset) -> Result<std::string> {
      if (GivenUp(open)) return Status::Cancelled("this run has ended");
      ASSIGN_OR_RETURN(const net::Frame frame, AskDriver(ToFrame(FetchFile{file.name, file.digest, offset})));
      RETURN_IF_ERROR(BodyOfAnswer(frame).status());
      if (frame.segments.size() != 2) return Status::Corrupt("a piece of a file that is not there");
      return std::string(frame.segments[1].bytes);
    };
    Status status = files_.Get(open.files, fetch);
    if (status.ok() || status.code() == Code::kStale || status.code() == Code::kCancelled) return status;
    return std::move(status).With("--files");
  }

  static Status OfAnotherPlan(Status status) {
    if (status.code() != Code::kInvalid) return status;
    return std::move(status).With("the driver's program, started as an executor, was built for another plan");
  }

  Status OnTellOutcomes(const net::Frame& frame) {
    ASSIGN_OR_RETURN(TellOutcomes tell, FromFrame<TellOutcomes>(frame));
    if (options_.on_outcomes == nullptr) return Status::Invalid("this executor is not the driver's program");
    return options_.on_outcomes(tell.first, std::move(tell.outcomes));
  }

  // In a thread that runs a task.
  Result<udf::ModuleSource> FindModuleAtDriver(const std::string& name, const std::string& path) {
    ASSIGN_OR_RETURN(const net::Frame frame, AskDriver(ToFrame(FindModule{name, path})));
    ASSIGN_OR_RETURN(const std::string_view body, BodyOfAnswer(frame));
    ASSIGN_OR_RETURN(FindModuleAnswer answer, DecodeFindModuleAnswer(body));
    return udf::ModuleSource{answer.found, std::move(answer.file), std::move(answer.source)};
  }

  Result<net::Frame> AskDriver(net::Frame question) {
    const std::shared_ptr<Peer> driver = PeerAt(0);
    if (driver == nullptr) return Status::Stale("the driver has gone");
    const auto promise = std::make_shared<std::promise<Result<net::Frame>>>();
    driver->Ask(std::move(question), [promise](Result<net::Frame> answer) { promise->set_value(std::move(answer)); });
    // A connection that is lost answers, too.
    return promise->get_future().get();
  }

  Result<TableHandle> OpenTable(const std::string& handle) {
    ASSIGN_OR_RETURN(const param::TableAddress address, param::ParseTableAddress(handle));
    auto& tables = tables_[address.place];
    if (tables == nullptr) {
      param::ClusterClientOptions client;
      client.master = address.place;
      client.key = options_.key;
      client.name = "executor";
      client.master_is_known = true;  // To the driver.
      tables = std::make_unique<param::ClusterClient>(env_, std::move(client));
    }
    return tables->OpenTable(address);
  }

  net::Frame OnFindFiles(const net::Frame& frame) {
    const auto find = [&]() -> Result<exec::FoundFiles> {
      ASSIGN_OR_RETURN(const FindFiles message, FromFrame<FindFiles>(frame));
      ASSIGN_OR_RETURN(const std::shared_ptr<Run> run, FindRun(message.run));
      if (message.stage < 0 || message.stage >= static_cast<int>(run->spread.plan.stages.size()))
        return Status::Corrupt("a stage that the plan has not");
      return run->tasks->FindFiles(message.stage);
    };
    const auto found = find();
    if (!found.ok()) return MakeAnswer(frame.header.request, found.status());
    return MakeAnswer(frame.header.request, Status::Ok(), Encode(*found));
  }

  Status OnTellStage(const net::Frame& frame) {
    ASSIGN_OR_RETURN(const TellStage tell, FromFrame<TellStage>(frame));
    ASSIGN_OR_RETURN(const std::shared_ptr<Run> run, FindRun(tell.run));
    const auto count = static_cast<int32_t>(run->spread.plan.stages.size());
    const auto known = [&](int32_t stage) { return stage >= 0 && stage < count; };
    loop_.Call([&] {
      for (const auto& [place, address] : tell.executors) addresses_[place] = address;
    });
    for (const auto& [stage, shape] : tell.shapes) {
      if (!known(stage)) return Status::Corrupt("a stage that the plan has not");
      RETURN_IF_ERROR(run->tasks->SetShape(stage, shape));
    }
    for (const StageRows& rows : tell.rows) {
      exchange::Exchange* exchange = known(rows.stage) ? run->tasks->output(rows.stage) : nullptr;
      if (exchange == nullptr || exchange->producers() != static_cast<int>(rows.producers.size()))
        return Status::Corrupt("rows of a stage that sends none");
      std::map<int, std::shared_ptr<RemoteRows>> remote;
      for (size_t i = 0; i < rows.producers.size(); ++i) {
        const StageRows::Producer& producer = rows.producers[i];
        if (producer.place == run->open.place) continue;
        if (static_cast<int>(producer.rows.row_counts.size()) != exchange->consumers())
          return Status::Corrupt("rows for other partitions than there are");
        auto& from = remote[producer.place];
        if (from == nullptr) {
          const int place = producer.place;
          from = std::make_shared<RemoteRows>([this, place] { return PeerAt(place); }, tell.run, rows.stage,
                                              run->cancelled);
        }
        exchange->SetElsewhere(static_cast<int>(i), from, producer.rows);
      }
    }
    for (const int32_t table : tell.tables) {
      if (!known(table)) return Status::Corrupt("a table that the plan has not");
      RETURN_IF_ERROR(FillTable(*run, table));
    }
    if (!known(tell.stage)) return Status::Corrupt("a stage that the plan has not");
    return Prepare(*run, tell.stage);
  }

  Status Prepare(Run& run, int stage) {
    for (const int part : run.spread.plan.stages[stage].parts) RETURN_IF_ERROR(Prepare(run, part));
    return run.tasks->Prepare(stage);
  }

  // What functions look up is here whole, once; or it cannot be had any more in this run.
  Status FillTable(Run& run, int stage) {
    const auto filled = filled_.find(stage);
    if (filled != filled_.end()) return filled->second;
    return filled_[stage] = FillTableOnce(run, stage);
  }
  static Status FillTableOnce(Run& run, int stage) {
    udf::Hosts no_functions;
    Status status = run.tasks->Prepare(stage);
    for (int task = 0; task < run.tasks->shape(stage).tasks && status.ok(); ++task) {
      exec::TaskResult result;
      status = run.tasks->RunTask(stage, task, no_functions, &result);
    }
    if (status.ok()) status = run.tasks->FinishStage(stage);
    // Half of it was read: what is there is of no use, and cannot be taken back.
    if (status.code() == Code::kStale)
      return Status::Unavailable("an executor was lost while a table was being filled");
    return status;
  }

  void OnRunTask(const std::shared_ptr<Peer>& peer, const std::shared_ptr<net::Frame>& frame) {
    const uint64_t request = frame->header.request;
    const auto message = FromFrame<RunTask>(*frame);
    if (!message.ok()) return peer->Answer(MakeAnswer(request, message.status()));
    const std::lock_guard lock(run_mutex_);
    if (run_ == nullptr || run_->open.run != message->run)
      return peer->Answer(MakeAnswer(request, Status::Cancelled("this run has ended")));
    const auto given_up = std::make_shared<std::atomic<bool>>(false);
    {
      const std::lock_guard tasks_lock(run_->tasks_mutex);
      run_->at_work[{message->stage, message->task}] = given_up;
    }
    queue_->Add([run = run_, peer, request, task = *message, given_up](udf::Hosts& hosts) {
      net::Frame answer = RunOne(*run, request, task, *given_up, hosts);
      {
        const std::lock_guard tasks_lock(run->tasks_mutex);
        run->at_work.erase({task.stage, task.task});
      }
      peer->Answer(std::move(answer));
    });
  }

  Status OnGiveUpTask(const net::Frame& frame) {
    ASSIGN_OR_RETURN(const GiveUpTask give_up, FromFrame<GiveUpTask>(frame));
    ASSIGN_OR_RETURN(const std::shared_ptr<Run> run, FindRun(give_up.run));
    const std::lock_guard lock(run->tasks_mutex);
    // It may have ended.
    if (const auto task = run->at_work.find({give_up.stage, give_up.task}); task != run->at_work.end())
      task->second->store(true);
    return Status::Ok();
  }

  static net::Frame RunOne(Run& run, uint64_t request, const RunTask& task, const std::atomic<bool>& given_up,
                           udf::Hosts& hosts) {
    const bool known = task.stage >= 0 && task.stage < static_cast<int>(run.spread.plan.stages.size()) &&
                       task.task >= 0 && task.task < run.tasks->shape(task.stage).tasks;
    if (!known) return MakeAnswer(request, Status::Corrupt("a task that the plan has not"));
    TaskAnswer answer;
    const Status status = run.tasks->RunTask(task.stage, task.task, hosts, &answer.result, task.attempt, &given_up);
    if (!status.ok()) return MakeAnswer(request, status);
    if (const exchange::Exchange* output = run.tasks->output(task.stage)) answer.rows = output->RowsOf(task.task);
    answer.keys_seen = run.tasks->KeysSeen(task.stage);
    return MakeAnswer(request, Status::Ok(), Encode(answer));
  }

  Status OnDropOutput(const net::Frame& frame) {
    ASSIGN_OR_RETURN(const DropOutput drop, FromFrame<DropOutput>(frame));
    ASSIGN_OR_RETURN(const std::shared_ptr<Run> run, FindRun(drop.run));
    if (drop.stage < 0 || drop.stage >= static_cast<int>(run->spread.plan.stages.size()))
      return Status::Corrupt("a stage that the plan has not");
    const std::unique_lock lock(run->outputs);
    run->tasks->DropOutput(drop.stage);
    return Status::Ok();
  }

  Status OnEndRun(const net::Frame& frame) {
    ASSIGN_OR_RETURN(const EndRun end, FromFrame<EndRun>(frame));
    ASSIGN_OR_RETURN(const std::shared_ptr<Run> run, FindRun(end.run));
    std::unique_ptr<TaskQueue> queue;
    {
      const std::lock_guard lock(run_mutex_);
      run_ = nullptr;
      queue = std::move(queue_);
    }
    // All tasks have ended then.
    queue.reset();
    FlushOutput();
    prints_.store(options_.own_flow == nullptr);
    filled_.clear();
    const std::unique_lock lock(run->outputs);
    run->tasks.reset();
    return Status::Ok();
  }

  // ---------------------------------------------------------------------------------------------------------
  // what is printed

  void SendOutput() {
    while (!printing_over_.load()) {
      auto piece = capture_->Read(kLookNanos);
      if (!piece.ok()) return;
      if (piece->bytes.empty() || !prints_.load()) continue;
      // Until there is a driver: it dials us as soon as it knows where we are.
      std::shared_ptr<Peer> driver;
      while (!printing_over_.load() && (driver = PeerAt(0)) == nullptr) env_.clock().SleepFor(kLookNanos);
      if (driver == nullptr) return;
      const auto written = std::make_shared<std::promise<void>>();
      driver->Ask(ToFrame(Output{piece->from_stderr, std::move(piece->bytes)}),
                  [written](const Result<net::Frame>&) { written->set_value(); });
      // A connection that is lost answers, too.
      auto answered = written->get_future();
      while (!printing_over_.load() &&
             answered.wait_for(std::chrono::nanoseconds(kLookNanos)) != std::future_status::ready) {
      }
    }
  }
  // Until it has reached the driver.
  void FlushOutput() {
    std::fflush(stdout);
    std::cout.flush();  // A program may have given it a buffer of its own.
    while (captures_.load() && !capture_->AllRead() && !printing_over_.load()) env_.clock().SleepFor(kBriefNanos);
  }
  static constexpr int64_t kLookNanos = 50'000'000;
  static constexpr int64_t kBriefNanos = 100'000;

  // ---------------------------------------------------------------------------------------------------------
  // rows for others

  net::Frame OnFetch(const net::Frame& frame, const PeerWay& way) {
    const uint64_t request = frame.header.request;
    const auto fetch = FromFrame<Fetch>(frame);
    if (!fetch.ok()) return MakeAnswer(request, fetch.status());
    const auto run = FindRun(fetch->run);
    if (!run.ok()) return MakeAnswer(request, Status::Stale("the run has ended there"));
    const std::shared_lock lock((*run)->outputs);
    const bool known = fetch->stage >= 0 && fetch->stage < static_cast<int>((*run)->spread.plan.stages.size());
    exchange::Exchange* rows = known && (*run)->tasks != nullptr ? (*run)->tasks->output(fetch->stage) : nullptr;
    if (rows == nullptr) return MakeAnswer(request, Status::Stale("the rows are not there any more"));
    return AnswerFetch(request, *fetch, *rows, packing_.Pays(way) ? &packing_ : nullptr);
  }

  env::Env& env_;
  const ExecutorOptions options_;
  std::string address_;
  net::EventLoop loop_;

  // The loop's.
  std::function<void(Status)> ended_;
  bool stopping_ = false;
  std::unique_ptr<net::Transport> transport_;
  std::unique_ptr<net::Listener> listener_;
  std::shared_ptr<Peer> driver_;
  std::map<int, std::shared_ptr<Peer>> peers_;  // Dialled, by place.
  std::map<int, std::string> addresses_;

  // The orders'.
  std::map<std::string, std::unique_ptr<param::ClusterClient>> tables_;  // By their master's address.
  std::map<int, Status> filled_;                                         // Stages whose table is filled, in this run.
  std::unique_ptr<exec::WorkerPool> pool_;
  FileFolder files_{env_, options_.files_folder};

  CachedParts cached_;

  std::mutex run_mutex_;  // Of the next three.
  uint64_t ended_run_ = 0;
  std::shared_ptr<Run> run_;
  std::unique_ptr<TaskQueue> queue_;
  std::unique_ptr<env::OutputCapture> capture_;
  std::atomic<bool> captures_{false};  // It is there: an order that flushes it may have come before.
  std::thread printer_;
  std::atomic<bool> printing_over_{false};
  std::atomic<bool> prints_{options_.own_flow == nullptr};  // What is printed goes to the driver.
  RowPacking packing_{env_};                                // The next one's.
  std::unique_ptr<Line> rows_ = std::make_unique<Line>();
  std::unique_ptr<Line> orders_ = std::make_unique<Line>();
};

ExecutorProcess::ExecutorProcess(env::Env& env, ExecutorOptions options, std::function<void(Status)> ended)
    : impl_(std::make_unique<Impl>(env, std::move(options), std::move(ended))) {}
ExecutorProcess::~ExecutorProcess() = default;
Status ExecutorProcess::Start() { return impl_->Start(); }
Status ExecutorProcess::CaptureOutput() { return impl_->CaptureOutput(); }
std::string ExecutorProcess::address() const { return impl_->address(); }

}  // namespace glim::cluster
