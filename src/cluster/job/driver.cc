// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/driver.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "base/log.h"
#include "base/try.h"
#include "cluster/job/cached_places.h"
#include "cluster/job/driver_answers.h"
#include "cluster/job/driver_events.h"
#include "cluster/job/executors.h"
#include "cluster/job/host_files.h"
#include "cluster/job/job_reports.h"
#include "cluster/job/line.h"
#include "cluster/job/messages.h"
#include "cluster/job/peer.h"
#include "cluster/job/preferred_places.h"
#include "cluster/job/remote_rows.h"
#include "cluster/job/row_packing.h"
#include "cluster/job/schedule.h"
#include "cluster/job/task_queue.h"
#include "cluster/job/training_stage.h"
#include "exec/function_facts.h"
#include "exec/graph_codec.h"
#include "exec/plan_tasks.h"
#include "net/event_loop.h"
#include "plan/processes.h"

namespace glim::cluster {
namespace {

constexpr int kAttemptsMax = 4;

}  // namespace

class JobDriver::Impl {
 public:
  Impl(env::Env& env, JobDriverOptions options) : env_(env), options_(std::move(options)) {}

  // First who makes connections, then connections: whoever is told of their end, or asks until then, finds the rest as
  // it was.
  ~Impl() {
    launcher_.reset();
    executors_.reset();
  }

  Status Run(const plan::Plan& plan, exec::WorkerPool* pool, const exec::RunnerOptions& options, const JobOptions& job);

 private:
  class JobRun;

  void OnQuestion(const std::shared_ptr<Peer>& peer, const net::Frame& frame);
  // In the loop: null for rows that go as they are.
  RowPacking* PackingFor(Peer& peer) { return packing_.Pays(peer.Way()) ? &packing_ : nullptr; }

  env::Env& env_;
  const JobDriverOptions options_;
  const uint64_t session_ = env_.RandomSeed();  // Its runs are no other session's.
  net::EventLoop loop_;
  std::unique_ptr<Executors> executors_ = std::make_unique<Executors>(
      options_, loop_,
      [this](const std::shared_ptr<Peer>& asking, const net::Frame& frame) { OnQuestion(asking, frame); });
  JobRun* run_ = nullptr;  // The loop's, and the next.
  RowPacking packing_{env_};
  uint64_t next_run_ = 1;
  CachedPlaces cached_places_;  // The running thread's.
  std::unique_ptr<Line> launcher_ = std::make_unique<Line>();
  std::unique_ptr<DriverAnswers> answers_ = std::make_unique<DriverAnswers>(env_);
  std::unique_ptr<Line> reporter_ = std::make_unique<Line>();
};

// One run of a plan.
class JobDriver::Impl::JobRun {
 public:
  JobRun(Impl& driver, uint64_t number, const plan::Plan& plan, exec::WorkerPool* pool,
         const exec::RunnerOptions& options, const JobOptions& job)
      : driver_(driver),
        env_(driver.env_),
        number_(number),
        spread_(plan::SpreadOverProcesses(plan, exec::FactsOfFunctions(*plan.graph))),
        stages_(spread_.plan.stages),
        pool_(pool),
        options_(options),
        job_(job),
        progress_(&env_, options.progress),
        tasks_(&env_,
               {.threads = pool->thread_count(),
                .partitions = options.partitions,
                .memory_bytes = options.memory_bytes,
                .tmp_folder = options.tmp_folder,
                .keeps_outputs = true,
                .taps = options.report != nullptr,
                .asks_hosts = driver.options_.hosts != nullptr,
                .progress = &progress_,
                .caches = options.caches},
               spread_.plan),
        schedule_(InputsOfStages(), kAttemptsMax),
        caches_(driver.cached_places_.OfGraph(*plan.graph)),
        finished_(stages_.size(), false) {
    driver_.answers_->SetLog(log_);
  }

  Status Run() {
    Status status = RunStages();
    // Ends of functions on executors are seen before the reason for them.
    if (!status.ok() && reports_.cancelled()) status = Status::Cancelled("cancelled by `glim cancel`");
    // Whoever still works notices; then nobody uses what is here.
    cancelled_->store(true);
    if (!status.ok()) tasks_.Fail(status);
    queue_.reset();
    EndAtExecutors();
    progress_.Clear();
    if (options_.report != nullptr) options_.report->Finish(tasks_.Now(), tasks_.peak_bytes(), tasks_.spilled_bytes());
    if (status.ok() && options_.counters != nullptr) *options_.counters = std::move(counters_);
    if (!status.ok()) {
      tasks_.Abort();
      if (status.code() == Code::kCancelled && env_.interrupted()) status = Status::Cancelled("interrupted");
    }
    reports_.ReportEnd(status);
    return status;
  }

  // In the loop: what caches hold.
  void OnFetchCached(const std::shared_ptr<Peer>& peer, const net::Frame& frame) {
    const auto fetch = FromFrame<FetchCached>(frame);
    const uint64_t request = frame.header.request;
    if (!fetch.ok()) return peer->Answer(MakeAnswer(request, fetch.status()));
    const auto rows = caches_.find(fetch->cache);
    peer->Answer(fetch->run != number_ || rows == caches_.end()
                     ? MakeAnswer(request, Status::Stale("the rows are not there any more"))
                     : AnswerFetchCached(request, *fetch, *rows->second, driver_.PackingFor(*peer)));
  }
  // In the loop: rows of tasks that ran here, for executors.
  void OnFetch(const std::shared_ptr<Peer>& peer, const net::Frame& frame) {
    const auto fetch = FromFrame<Fetch>(frame);
    const uint64_t request = frame.header.request;
    if (!fetch.ok()) return peer->Answer(MakeAnswer(request, fetch.status()));
    const std::lock_guard lock(outputs_mutex_);
    const bool known = fetch->run == number_ && fetch->stage >= 0 && fetch->stage < static_cast<int>(stages_.size());
    exchange::Exchange* rows = known ? tasks_.output(fetch->stage) : nullptr;
    peer->Answer(rows == nullptr ? MakeAnswer(request, Status::Stale("the rows are not there any more"))
                                 : AnswerFetch(request, *fetch, *rows, driver_.PackingFor(*peer)));
  }

 private:
  // ---------------------------------------------------------------------------------------------------------
  // what reads what

  // Of the stage's own operators, of its parts, and of the tables that its functions look into.
  std::vector<int> InputsOf(int stage) const {
    std::vector<int> inputs = exec::PlanTasks::Reads(stages_[stage]);
    const auto add = [&](const std::vector<int>& more) { inputs.insert(inputs.end(), more.begin(), more.end()); };
    for (const int part : stages_[stage].parts) add(InputsOf(part));
    for (const int table : stages_[stage].tables) add(InputsOf(table));
    std::sort(inputs.begin(), inputs.end());
    inputs.erase(std::unique(inputs.begin(), inputs.end()), inputs.end());
    return inputs;
  }
  std::vector<std::vector<int>> InputsOfStages() const {
    std::vector<std::vector<int>> inputs;
    for (size_t i = 0; i < stages_.size(); ++i) inputs.push_back(InputsOf(static_cast<int>(i)));
    return inputs;
  }

  // What is read here, and caches, have their rows here before they look at the first, so that nothing can be lost any
  // more when some of them have gone into a sink.
  bool WantedHere(int stage) const {
    if (spread_.at_driver[stage] || stages_[stage].output.kind == plan::ExchangeKind::kNone) return false;
    if (stages_[stage].cache >= 0 || spread_.repeats[stage].to_driver) return true;
    for (size_t reader = 0; reader < stages_.size(); ++reader) {
      if (!spread_.at_driver[reader]) continue;
      const std::vector<int> inputs = InputsOf(static_cast<int>(reader));
      if (std::find(inputs.begin(), inputs.end(), stage) != inputs.end()) return true;
    }
    return false;
  }

  // ---------------------------------------------------------------------------------------------------------
  // the course of a run

  Status RunStages() {
    if (env_.interrupted()) return Status::Cancelled("interrupted");
    RETURN_IF_ERROR(tasks_.Open());
    RETURN_IF_ERROR(FindHosts());
    RETURN_IF_ERROR(OpenAtExecutors());
    RETURN_IF_ERROR(FindHostFiles());
    schedule_.AddPlace(Schedule::kDriver, pool_->thread_count());
    queue_ = std::make_unique<TaskQueue>(pool_);
    for (int stage = 0; stage < static_cast<int>(stages_.size()); ++stage) {
      tasks_.Shape(stage);
      if (options_.report != nullptr) options_.report->AddStage(tasks_.Report(stage));
      if (tasks_.IsPart(stage)) continue;
      RETURN_IF_ERROR(RunStage(stage));
    }
    return Status::Ok();
  }

  Status RunStage(int stage) {
    progress_.StartStage(stage + 1, static_cast<int>(stages_.size()), tasks_.source_bytes());
    schedule_.SetTasks(stage, std::vector<bool>(tasks_.shape(stage).tasks, spread_.at_driver[stage]));
    BindToHosts(stage);
    if (stages_[stage].output.kind == plan::ExchangeKind::kNone) schedule_.GivesNoRows(stage);
    if (!spread_.at_driver[stage] && !spread_.repeats[stage].once.empty())
      schedule_.RunOnce(stage, spread_.repeats[stage].once);
    if (MayRace(stage)) schedule_.MayRace(stage, kStragglerNanos, spread_.repeats[stage].pushes ? 4 : 2);
    first_ = {};
    if (stages_[stage].output.kind != plan::ExchangeKind::kBroadcast && stages_[stage].input >= 0 &&
        stages_[stages_[stage].input].output.kind == plan::ExchangeKind::kKeep) {
      schedule_.RunBeside(stage, stages_[stage].input);
    }
    log_->Say(fmt::format("stage {} of {}: {} tasks", stage + 1, stages_.size(), tasks_.shape(stage).tasks));
    if (!spread_.at_driver[stage]) {
      std::vector<int> preferred = preferred_.Begin(stage, driver_.executors_->Addresses());
      if (!preferred.empty()) schedule_.Prefer(stage, std::move(preferred));
    }
    schedule_.Aim(stage);
    RETURN_IF_ERROR(training_.Begin(spread_.plan, tasks_, stage));
    while (true) {
      RETURN_IF_ERROR(Begin());
      ASSIGN_OR_RETURN(const bool taken, training_.TakeSnapshot());
      if (taken) RETURN_IF_ERROR(Begin());
      if (schedule_.Done(stage) && bringing_.empty()) break;
      RETURN_IF_ERROR(WorkOff(events_->Wait(std::chrono::milliseconds(100))));
      if (env_.interrupted()) return Status::Cancelled("interrupted");
      if (reports_.cancelled()) return Status::Cancelled("cancelled");
      Report(stage);
      RETURN_IF_ERROR(tasks_.failure());
      RETURN_IF_ERROR(schedule_.failure());
      RETURN_IF_ERROR(driver_.answers_->print_failure());
      RETURN_IF_ERROR(LookForExecutors());
      const int awaited = schedule_.HostAwaited();
      RETURN_IF_ERROR(AwaitHost(awaited == Schedule::kNoHost ? "" : files_.NameOf(awaited)));
      TakeUp(false);
      tasks_.Wake(stage);
      progress_.Draw();
    }
    if (const std::string words = preferred_.Words(); !words.empty() && !spread_.at_driver[stage]) log_->Say(words);
    if (options_.report != nullptr) ReportEnd(stage);
    RETURN_IF_ERROR(tasks_.FinishStage(stage));
    training_.End();
    finished_[stage] = true;
    for (const int part : stages_[stage].parts) finished_[part] = true;
    ReleaseWhatIsRead();
    return Status::Ok();
  }

  // What each machine has of its own is asked of an executor there.
  Status FindHosts() {
    const std::vector<int> stages = tasks_.HostStages();
    if (stages.empty()) return Status::Ok();
    for (const int stage : stages) {
      if (!spread_.at_driver[stage]) continue;
      return Status::Invalid(
          fmt::format("{}: files of each host are read on their machines, but what is in one Union "
                      "with them is read in this process",
                      exec::StepName(spread_.plan.graph->steps()[stages_[stage].source])));
    }
    std::vector<std::string> names;
    ASSIGN_OR_RETURN(const std::vector<ExecutorHost> hosts, Hosts());
    for (const ExecutorHost& host : hosts) names.push_back(host.name);
    if (names.empty()) return Status::Unavailable("no agent is there whose files could be read");
    files_ = HostFiles(std::move(names), stages);
    return Status::Ok();
  }
  Status FindHostFiles() {
    if (files_.hosts().empty()) return Status::Ok();
    while (!files_.complete()) {
      RETURN_IF_ERROR(WorkOff(events_->Wait(std::chrono::milliseconds(100))));
      if (env_.interrupted()) return Status::Cancelled("interrupted");
      RETURN_IF_ERROR(LookForExecutors());
      RETURN_IF_ERROR(AwaitHost(files_.Unasked()));
    }
    for (const int stage : tasks_.HostStages()) tasks_.SetFiles(stage, files_.Splits(stage));
    log_->Say(fmt::format("reads the files of {}", fmt::join(files_.hosts(), ", ")));
    return Status::Ok();
  }
  void AskForFiles(int place, const std::string& host) {
    for (const int stage : files_.Ask(host)) {
      PeerAt(place)->Ask(ToFrame(FindFiles{number_, stage}),
                         [events = events_, place, stage, host](const Result<net::Frame>& answer) {
                           events->Add(FilesFound{place, stage, host, DecodeFoundFiles(answer)});
                         });
    }
  }
  Status On(FilesFound& answer) {
    if (answer.found.ok()) return files_.Found(answer.stage, answer.host, *std::move(answer.found));
    if (!WasLost(answer.found.status(), answer.place))
      return std::move(answer.found).status().With("on " + answer.host);
    files_.NotFound(answer.stage, answer.host);
    return Status::Ok();
  }

  Result<std::vector<ExecutorHost>> Hosts() {
    Result<std::vector<ExecutorHost>> hosts = std::vector<ExecutorHost>();
    driver_.launcher_->Call([&] { hosts = driver_.options_.hosts(); });
    return hosts;
  }
  // Nothing can be done before there is an executor on it; empty: there is no such host.
  Status AwaitHost(const std::string& host) {
    const int64_t now = env_.clock().MonotonicNanos();
    if (host.empty() || awaited_.first != host) awaited_ = {host, now};
    if (host.empty() || now - awaited_.second <= driver_.options_.patience_nanos) return Status::Ok();
    std::string why = "it is not there";
    if (const auto hosts = Hosts(); hosts.ok()) {
      for (const ExecutorHost& known : *hosts) {
        if (known.name == host) why = known.refused.empty() ? "it gave none" : known.refused;
      }
    }
    return Status::Unavailable(
        fmt::format("agent {} has files of its own to be read, and no executor for it: {}", host, why));
  }
  void BindToHosts(int stage) {
    if (files_.hosts().empty()) return;
    std::vector<int> hosts;
    for (int task = 0; task < tasks_.shape(stage).tasks; ++task) {
      const std::span<const io::Split> splits = tasks_.SplitsOf(stage, task).second;
      hosts.push_back(splits.empty() ? Schedule::kNoHost : files_.NumberOf(splits[0].host));
    }
    schedule_.BindToHosts(stage, std::move(hosts));
  }

  // ---------------------------------------------------------------------------------------------------------
  // what is told of it

  void Report(int stage) {
    if (!reports_.IsDue()) return;
    const int tasks = tasks_.shape(stage).tasks;
    uint32_t done = 0;
    for (int task = 0; task < tasks; ++task) done += schedule_.HasRun(stage, task) ? 1 : 0;
    reports_.Report(stage, static_cast<uint32_t>(tasks), done, static_cast<uint32_t>(driver_.executors_->count()));
  }

  void ReportEnd(int stage) {
    for (const int part : stages_[stage].parts) ReportEnd(part);
    options_.report->EndStage(stage, tasks_.Now());
  }

  // Whoever is slow may be overtaken by a second attempt, unless it can be noticed that there were two: by other rows
  // than the first would have given, or by whatever a function does that is called for its effects. Tables do not
  // notice, but what a stage gives besides pushing may depend on what it pulled.
  bool MayRace(int stage) const {
    const plan::Repeat& repeat = spread_.repeats[stage];
    const bool gives_rows = stages_[stage].output.kind != plan::ExchangeKind::kNone;
    if (spread_.at_driver[stage] || !repeat.once.empty() || exec::HasEffects(spread_.plan, stage)) return false;
    return repeat.pushes ? !gives_rows : gives_rows && repeat.rows != plan::Again::kOther;
  }

  Status Begin() {
    schedule_.Tick(env_.clock().MonotonicNanos());
    while (const std::optional<Schedule::Step> step = schedule_.Next()) {
      const bool again = step->kind == Schedule::Step::kRun && step->attempt > 0;
      if (again && options_.report != nullptr) options_.report->AddAttempt(step->stage, step->second);
      if (step->kind == Schedule::Step::kTell) {
        RETURN_IF_ERROR(BeginTell(*step));
      } else if (step->place == Schedule::kDriver) {
        queue_->Add([this, step = *step](udf::Hosts& hosts) { RunHere(step, hosts); });
      } else {
        if (step->second) TellOfRace(*step);
        const RunTask task{.run = number_, .stage = step->stage, .task = step->task, .attempt = step->attempt};
        PeerAt(step->place)->Ask(ToFrame(task), [events = events_, step = *step](Result<net::Frame> frame) {
          events->Add(TaskEnded{step, DecodeAnswer(std::move(frame))});
        });
      }
    }
    return Status::Ok();
  }

  void TellOfRace(const Schedule::Step& step) {
    log_->Say(fmt::format("task {} of stage {} takes much longer than others at {}; begun at {}, too", step.task + 1,
                          step.stage + 1, NameOf(schedule_.PlaceOf(step.stage, step.task)), NameOf(step.place)));
  }
  std::string NameOf(int place) const {
    const auto executor = driver_.executors_->Find(place);
    if (!executor) return "a lost executor";
    return fmt::format("{}{}{}", executor->address, executor->host.empty() ? "" : " on ", executor->host);
  }

  static Result<TaskAnswer> DecodeAnswer(Result<net::Frame> frame) {
    RETURN_IF_ERROR(frame.status());
    ASSIGN_OR_RETURN(const std::string_view body, BodyOfAnswer(*frame));
    return DecodeTaskAnswer(body);
  }

  void RunHere(const Schedule::Step& step, udf::Hosts& hosts) {
    TaskAnswer answer;
    Status status = tasks_.RunTask(step.stage, step.task, hosts, &answer.result);
    if (status.ok()) {
      if (const exchange::Exchange* output = tasks_.output(step.stage)) answer.rows = output->RowsOf(step.task);
    }
    events_->Add(TaskEnded{step, status.ok() ? Result<TaskAnswer>(std::move(answer)) : std::move(status)});
  }

  // Exchanges may have been let go of, and be needed again.
  Status Refresh(int stage) {
    for (const int part : stages_[stage].parts) RETURN_IF_ERROR(Refresh(part));
    const std::lock_guard lock(outputs_mutex_);
    return tasks_.SetShape(stage, tasks_.shape(stage));
  }

  Status BeginTell(const Schedule::Step& step) {
    RETURN_IF_ERROR(Refresh(step.stage));
    if (step.place == Schedule::kDriver) {
      for (const int input : InputsOf(step.stage)) PointElsewhere(input);
      queue_->Add([this, step](udf::Hosts&) { events_->Add(TellEnded{step, Prepare(step.stage)}); });
      return Status::Ok();
    }
    PeerAt(step.place)->Ask(ToFrame(WhatToTell(step.stage)), [events = events_, step](Result<net::Frame> frame) {
      Status status = frame.status();
      if (frame.ok()) status = BodyOfAnswer(*frame).status();
      events->Add(TellEnded{step, std::move(status)});
    });
    return Status::Ok();
  }

  Status Prepare(int stage) {
    for (const int part : stages_[stage].parts) RETURN_IF_ERROR(Prepare(part));
    return tasks_.Prepare(stage);
  }

  TellStage WhatToTell(int stage) {
    TellStage tell{.run = number_, .stage = stage, .executors = {}, .shapes = {}, .rows = {}, .tables = {}};
    for (auto& [number, address] : driver_.executors_->Addresses()) tell.executors.emplace_back(number, address);
    const std::vector<int> inputs = InputsOf(stage);
    std::set<int> shaped(inputs.begin(), inputs.end());
    const std::function<void(int)> add = [&](int s) {
      shaped.insert(s);
      for (const int part : stages_[s].parts) add(part);
      for (const int table : stages_[s].tables) {
        add(table);
        tell.tables.push_back(table);
      }
    };
    add(stage);
    for (const int s : shaped) tell.shapes.emplace_back(s, tasks_.shape(s));
    for (const int input : inputs) {
      StageRows rows{.stage = input, .producers = {}};
      const exchange::Exchange& exchange = *tasks_.output(input);
      for (int producer = 0; producer < exchange.producers(); ++producer)
        rows.producers.push_back({.place = schedule_.PlaceOf(input, producer), .rows = exchange.RowsOf(producer)});
      tell.rows.push_back(std::move(rows));
    }
    return tell;
  }

  // Before tasks here read what executors have.
  void PointElsewhere(int input) {
    exchange::Exchange& exchange = *tasks_.output(input);
    for (int producer = 0; producer < exchange.producers(); ++producer) {
      const int place = schedule_.PlaceOf(input, producer);
      if (place != Schedule::kDriver) exchange.SetElsewhere(producer, RowsAt(place, input), exchange.RowsOf(producer));
    }
  }

  std::shared_ptr<RemoteRows> RowsAt(int place, int stage) {
    return std::make_shared<RemoteRows>([this, place] { return PeerAt(place); }, number_, stage, cancelled_);
  }

  // ---------------------------------------------------------------------------------------------------------
  // what happened

  Status WorkOff(std::deque<Event> events) {
    for (Event& event : events) {
      RETURN_IF_ERROR(std::visit([this](auto& e) { return On(e); }, event));
    }
    return Status::Ok();
  }

  // Rows could not be read: the one who had them may be lost, and we are yet to hear of it. Nothing is tried again
  // before that, or before a second has passed.
  template <class Ended>
  bool PutOff(Ended& ended) {
    if (ended.put_off || schedule_.InputsMovedSince(ended.step)) return false;
    ended.put_off = true;
    put_off_.emplace_back(env_.clock().MonotonicNanos() + kPutOffNanos, std::move(ended));
    return true;
  }
  void TakeUp(bool all) {
    const int64_t now = env_.clock().MonotonicNanos();
    auto later = std::exchange(put_off_, {});
    for (auto& [when, event] : later) {
      if (all || when <= now) {
        events_->Add(std::move(event));
      } else {
        put_off_.emplace_back(when, std::move(event));
      }
    }
  }

  // An error that may be due to the machine where it happened; what functions do is the same everywhere.
  Status At(int place, Status status) {
    if (status.code() == Code::kUserCode || status.code() == Code::kCancelled) return status;
    const auto executor = driver_.executors_->Find(place);
    if (!executor || executor->host.empty()) return status;
    return std::move(status).With("on " + executor->host);
  }

  // What it read, or what it ran on, is gone. An executor that was told to end breaks off its tasks before it goes, and
  // it is not this run that was cancelled.
  static bool WasLost(const Status& status, int place) {
    return status.code() == Code::kStale || (status.code() == Code::kCancelled && place != Schedule::kDriver);
  }

  bool IsLost(int place) const { return place != Schedule::kDriver && lost_.contains(place); }

  Status On(TellEnded& ended) {
    if (IsLost(ended.step.place)) return Status::Ok();
    if (ended.status.ok()) {
      schedule_.Told(ended.step);
      return Status::Ok();
    }
    // Others have done the stage meanwhile, and what it reads may be dropped: nobody waits for this place any more.
    if (finished_[ended.step.stage]) {
      (void)schedule_.NotTold(ended.step);
      return Status::Ok();
    }
    if (!WasLost(ended.status, ended.step.place)) return At(ended.step.place, std::move(ended.status));
    if (PutOff(ended)) return Status::Ok();
    return schedule_.NotTold(ended.step).With(ended.status.message());
  }

  Status On(TaskEnded& ended) {
    const Schedule::Step& step = ended.step;
    if (IsLost(step.place)) return Status::Ok();
    if (schedule_.IsLeftOver(step)) {
      schedule_.Dropped(step);
      return Status::Ok();
    }
    if (!ended.answer.ok()) {
      // What is wrong with a machine need not be wrong where the other attempt is.
      if (schedule_.IsRace(step) && ended.answer.status().code() != Code::kUserCode) return schedule_.RowsLost(step);
      if (!WasLost(ended.answer.status(), step.place)) return At(step.place, std::move(ended.answer).status());
      if (PutOff(ended)) return Status::Ok();
      return schedule_.RowsLost(step).With(ended.answer.status().message());
    }
    const std::pair task(step.stage, step.task);
    if (bringing_.contains(task)) {
      // Rows that were lost on their way here.
      held_.emplace(task, std::move(ended));
      return Status::Ok();
    }
    TaskAnswer& answer = *ended.answer;
    exchange::Exchange* output = tasks_.output(step.stage);
    if (step.place != Schedule::kDriver) {
      progress_.AddRows(answer.result.rows_read);
      progress_.AddBytes(answer.result.bytes_read);
      if (output != nullptr) {
        if (static_cast<int>(answer.rows.row_counts.size()) != output->consumers())
          return Status::Corrupt("an executor sent rows to other partitions than there are");
        output->SetElsewhere(step.task, RowsAt(step.place, step.stage), answer.rows);
      }
      tasks_.AddKeysSeen(step.stage, answer.keys_seen);
    }
    schedule_.Succeeded(step);
    if (schedule_.LeftOverOf(step.stage, step.task)) {
      log_->Say(fmt::format("task {} of stage {} has ended at {}", step.task + 1, step.stage + 1, NameOf(step.place)));
      GiveUpLeftOver(step.stage, step.task);
    }
    SkipBeyondLimit(step.stage);
    if (step.place != Schedule::kDriver) {
      preferred_.Ran(step.stage, step.task, step.place,
                     [this](int place) { return open_.contains(place) && !IsLost(place); });
    }
    if (counted_.insert(task).second) {
      counters_.Add(answer.result.counters);
      for (const exec::TaskWork& work : answer.result.works) {
        options_.report->AddTask(work.stage, work.task, work.begin_nanos, work.end_nanos, work.steps);
      }
    }
    if (step.place != Schedule::kDriver && WantedHere(step.stage)) {
      bringing_.insert(task);
      queue_->Add([this, step](udf::Hosts&) {
        events_->Add(RowsBrought{step.stage, step.task, step.place, tasks_.output(step.stage)->BringHere(step.task)});
      });
    }
    return Status::Ok();
  }

  // What a Limit needs of the stage in front of it are its first rows, in the order of tasks: when the first tasks have
  // given as many, the others need not run. (Within a process tasks notice that themselves, ops::LimitProgress.)
  void SkipBeyondLimit(int stage) {
    const auto& operators = stages_[stage].operators;
    if (stage != schedule_.aim() || operators.empty() || !MayRace(stage)) return;
    const plan::Operator& limit = operators.back();
    if (limit.kind != plan::OperatorKind::kLimit || limit.local ||
        !std::holds_alternative<flow::LimitStep>(spread_.plan.graph->steps()[limit.step].body) ||
        stages_[stage].output.kind != plan::ExchangeKind::kGather) {
      return;
    }
    const int tasks = tasks_.shape(stage).tasks;
    auto& [task, rows] = first_;
    if (rows >= limit.count) return;
    for (; task < tasks && rows < limit.count && schedule_.HasRun(stage, task); ++task)
      rows += tasks_.output(stage)->RowsOf(task).row_counts[0];
    if (rows < limit.count) return;
    int skipped = 0;
    for (int later = task; later < tasks; ++later) {
      if (schedule_.HasRun(stage, later) || !schedule_.Skip(stage, later)) continue;
      ++skipped;
      GiveUpLeftOver(stage, later);
    }
    if (skipped > 0) {
      log_->Say(fmt::format("stage {}: the first {} rows are there, {} tasks are left out", stage + 1, rows, skipped));
    }
  }

  // Whoever works on what is not wanted any more.
  void GiveUpLeftOver(int stage, int task) {
    const auto place = schedule_.LeftOverOf(stage, task);
    if (!place) return;
    const GiveUpTask give_up{.run = number_, .stage = stage, .task = task};
    PeerAt(*place)->Ask(ToFrame(give_up), [](const Result<net::Frame>&) {});
  }

  Status On(RowsBrought& brought) {
    const std::pair task(brought.stage, brought.task);
    bringing_.erase(task);
    if (const auto held = held_.extract(task); !held.empty()) {
      events_->Add(std::move(held.mapped()));
      return Status::Ok();
    }
    if (brought.status.ok()) {
      // It may have been lost after its last row was read.
      if (schedule_.HasRun(brought.stage, brought.task)) {
        schedule_.Move(brought.stage, brought.task, Schedule::kDriver);
      }
      return Status::Ok();
    }
    if (!WasLost(brought.status, brought.from)) return std::move(brought.status);
    if (schedule_.HasRun(brought.stage, brought.task) &&
        schedule_.PlaceOf(brought.stage, brought.task) == brought.from) {
      schedule_.LoseRows(brought.stage, brought.task);
    }
    return Status::Ok();
  }

  Status On(PlaceLost& lost) {
    if (!lost_.insert(lost.place).second) return Status::Ok();
    base::LogWarning("{}; what it had is done again", lost.why.message());
    log_->Say(fmt::format("{}; what it had is done again", lost.why.message()));
    if (open_.contains(lost.place)) schedule_.LosePlace(lost.place);
    if (lost_.size() > kLostMax + 2 * open_.size()) {
      return Status::Unavailable(fmt::format("{} executors were lost in this run, one after the other", lost_.size()));
    }
    launch_soon_ = true;
    TakeUp(true);
    return Status::Ok();
  }

  Status On(PlaceOpened& opened) {
    if (IsLost(opened.place)) return Status::Ok();
    if (opened.status.code() == Code::kStale) return Status::Ok();
    RETURN_IF_ERROR(std::move(opened.status));
    const auto executor = driver_.executors_->Find(opened.place);
    if (!executor) return Status::Ok();
    open_.insert(opened.place);
    schedule_.AddPlace(opened.place, executor->slots, files_.NumberOf(executor->host));
    AskForFiles(opened.place, executor->host);
    log_->Say(fmt::format("executor at {}{}{}: {} tasks at a time", executor->address,
                          executor->host.empty() ? "" : " on ", executor->host, executor->slots));
    return Status::Ok();
  }

  // While the others work.
  Status LookForExecutors() {
    const int64_t now = env_.clock().MonotonicNanos();
    if (driver_.executors_->count() > 0) {
      without_since_.reset();
    } else if (!without_since_) {
      without_since_ = now;
    } else if (now - *without_since_ > driver_.options_.patience_nanos) {
      return Status::Unavailable(
          fmt::format("all executors are lost, and no other one has come: {}", launch_failure_.message()));
    }
    if (launching_ || (!launch_soon_ && now < look_at_)) return Status::Ok();
    launch_soon_ = false;
    launching_ = true;
    driver_.launcher_->Add(
        [&driver = driver_, events = events_] { events->Add(Launched{driver.executors_->Launch()}); });
    return Status::Ok();
  }

  Status On(Launched& launched) {
    launching_ = false;
    look_at_ = env_.clock().MonotonicNanos() + driver_.options_.look_nanos;
    launch_failure_ = launched.places.ok() ? Status::Ok() : launched.places.status();
    if (!launched.places.ok()) return Status::Ok();
    for (const int place : *launched.places) OpenAt(place);
    return Status::Ok();
  }

  // ---------------------------------------------------------------------------------------------------------
  // executors

  std::shared_ptr<Peer> PeerAt(int place) { return driver_.executors_->PeerAt(place); }

  Status OpenAtExecutors() {
    ASSIGN_OR_RETURN(graph_, exec::EncodeGraph(*spread_.plan.graph));
    driver_.loop_.Call([this] { driver_.run_ = this; });
    const std::vector<int> places = driver_.executors_->Listen(
        [events = events_](int place, const Status& why) { events->Add(PlaceLost{place, why}); });
    for (const int place : places) OpenAt(place);
    while (open_.size() + lost_.size() < places.size()) {
      RETURN_IF_ERROR(WorkOff(events_->Wait(std::chrono::milliseconds(100))));
      if (env_.interrupted()) return Status::Cancelled("interrupted");
    }
    return Status::Ok();
  }

  void OpenAt(int place) {
    const auto executor = driver_.executors_->Find(place);
    if (!executor) return;  // Lost already; we are told.
    driver_.executors_->TellOutcomes(place, job_.outcomes);
    OpenRun open{.run = number_,
                 .job = fmt::format("{:016x} {}", driver_.session_, number_),
                 .place = place,
                 .plan_hash = plan::Fingerprint(spread_.plan),
                 .ends = {spread_.plan.ends.begin(), spread_.plan.ends.end()},
                 .partitions = options_.partitions,
                 .memory_bytes = executor->memory_bytes,
                 .lua_memory_bytes = job_.hosts.lua_memory_bytes_max,
                 .lua_path = job_.hosts.lua_path,
                 .folder = env::CurrentFolder(),
                 .lua_kernels = job_.hosts.lua_kernels,
                 .taps = options_.report != nullptr,
                 .program_run = job_.program_run,
                 .reach_nanos = job_.reach_nanos,
                 .caches = driver_.cached_places_.ToTell(*spread_.plan.graph),
                 .files = {}};
    for (const ListedFile& listed : job_.files) open.files.push_back(listed.file);
    net::Frame frame = ToFrame(open);
    frame.segments.push_back(net::Segment::Copy(graph_));
    PeerAt(place)->Ask(std::move(frame), [events = events_, place](Result<net::Frame> answer) {
      Status status = answer.status();
      if (answer.ok()) status = BodyOfAnswer(*answer).status();
      events->Add(PlaceOpened{place, std::move(status)});
    });
  }

  // What cannot be made again, like standard input, or not as it was: tasks that pushed would push something else, and
  // a cache holds what was made first. It is here, and so not lost.
  bool KeptToTheEnd(int stage) const {
    if (spread_.at_driver[stage] || stages_[stage].cache >= 0) return true;
    return spread_.repeats[stage].to_driver && std::any_of(spread_.repeats.begin(), spread_.repeats.end(),
                                                           [](const plan::Repeat& repeat) { return repeat.pushes; });
  }

  // Asked what the last stages read, and has been read.
  void ReleaseWhatIsRead() {
    for (int stage = 0; stage < static_cast<int>(stages_.size()); ++stage) {
      if (!finished_[stage] || schedule_.released(stage) || tasks_.output(stage) == nullptr) continue;
      if (KeptToTheEnd(stage)) continue;
      // Tasks that run again although nobody wants what they give any more use their rows all the same.
      bool wanted = schedule_.IsAtWork(stage);
      for (int reader = stage + 1; reader < static_cast<int>(stages_.size()) && !wanted; ++reader) {
        if (finished_[reader] && !schedule_.IsAtWork(reader)) continue;
        const std::vector<int> inputs = InputsOf(reader);
        wanted = std::find(inputs.begin(), inputs.end(), stage) != inputs.end();
      }
      if (wanted) continue;
      schedule_.Release(stage);
      {
        const std::lock_guard lock(outputs_mutex_);
        tasks_.DropOutput(stage);
      }
      for (const int place : open_) {
        if (!IsLost(place)) PeerAt(place)->Ask(ToFrame(DropOutput{number_, stage}), [](const Result<net::Frame>&) {});
      }
    }
  }

  void EndAtExecutors() {
    // They end when what they have printed is written here, which may take as long as it likes.
    driver_.executors_->EndRun(number_, [this] { return driver_.answers_->printing() && !env_.interrupted(); });
    // Answers that come from now on find nobody.
    (void)driver_.executors_->Listen(nullptr);
    driver_.loop_.Call([this] { driver_.run_ = nullptr; });
  }

  static constexpr size_t kLostMax = 16;
  static constexpr int64_t kStragglerNanos = 5'000'000'000;  // Whoever takes less is let be.
  static constexpr int64_t kPutOffNanos = 1'000'000'000;

  Impl& driver_;
  env::Env& env_;
  const uint64_t number_;
  const plan::SpreadPlan spread_;
  const std::vector<plan::Stage>& stages_;
  exec::WorkerPool* const pool_;
  const exec::RunnerOptions options_;
  const JobOptions& job_;
  exec::Progress progress_;
  JobReports reports_{driver_.env_, driver_.options_, *driver_.reporter_, spread_.plan.graph->name(),
                      static_cast<uint32_t>(stages_.size())};
  const std::shared_ptr<JobLog> log_ = reports_.log();
  exec::PlanTasks tasks_;
  Schedule schedule_;
  HostFiles files_;
  std::pair<std::string, int64_t> awaited_;  // A host without an executor, and since when.
  const std::shared_ptr<Events> events_ = std::make_shared<Events>();
  std::unique_ptr<TaskQueue> queue_;
  std::mutex outputs_mutex_;  // Exchanges are not let go of while somebody fetches from them.
  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  std::string graph_;
  PreferredPlaces preferred_{&driver_.cached_places_, spread_.plan, tasks_};
  const CachedPlaces::Caches caches_;       // That were full when the run began.
  std::pair<int, int64_t> first_ = {0, 0};  // Of the stage that is aimed at: so many first tasks, and their rows.
  std::vector<bool> finished_;
  std::set<int> open_;  // Places that know of the run.
  std::set<int> lost_;
  std::set<std::pair<int, int>> counted_;           // Stage and task.
  std::set<std::pair<int, int>> bringing_;          // The rows of these tasks are being brought here;
  std::map<std::pair<int, int>, TaskEnded> held_;   // they were made again meanwhile.
  std::vector<std::pair<int64_t, Event>> put_off_;  // And when.
  bool launching_ = false;
  bool launch_soon_ = false;  // One was lost.
  int64_t look_at_ = env_.clock().MonotonicNanos() + driver_.options_.look_nanos;
  std::optional<int64_t> without_since_;  // There are no executors.
  Status launch_failure_;
  TrainingStage training_{options_.checkpoints, &schedule_, log_.get()};
  Counters counters_;
};

void JobDriver::Impl::OnQuestion(const std::shared_ptr<Peer>& peer, const net::Frame& frame) {
  if (answers_->Take(peer, frame)) return;
  const bool fetches = frame.header.type == kFetchMessage || frame.header.type == kFetchCachedMessage;
  if (!fetches || run_ == nullptr) {
    peer->Answer(MakeAnswer(frame.header.request, Status::Stale("the driver has no such run")));
  } else if (frame.header.type == kFetchMessage) {
    run_->OnFetch(peer, frame);
  } else {
    run_->OnFetchCached(peer, frame);
  }
}

Status JobDriver::Impl::Run(const plan::Plan& plan, exec::WorkerPool* pool, const exec::RunnerOptions& options,
                            const JobOptions& job) {
  std::fflush(stdout);
  answers_->SetLuaPath(job.hosts.lua_path);
  answers_->SetFiles(job.files);
  const int64_t until = env_.clock().MonotonicNanos() + options_.patience_nanos;
  Status launched;
  while (true) {
    const size_t had = executors_->count();
    Result<std::vector<int>> started = std::vector<int>();
    launcher_->Call([&] { started = executors_->Launch(); });
    if (executors_->count() > 0) break;
    launched = started.status();
    if (env_.interrupted()) return Status::Cancelled("interrupted");
    // Those that made others unnecessary were lost just now, or so were those that have just started.
    const bool lost = launched.ok() && (had > 0 || !started->empty());
    if (lost && env_.clock().MonotonicNanos() <= until) continue;
    if (launched.ok()) launched = Status(Code::kUnreachable, "there are no executors");
    if (launched.code() != Code::kUnavailable || env_.clock().MonotonicNanos() > until) return launched;
    constexpr int64_t kPauseNanos = 200'000'000;
    env_.clock().SleepFor(kPauseNanos);
  }
  Status status = JobRun(*this, next_run_++, plan, pool, options, job).Run();
  // What was printed last may not have got there.
  return status.ok() ? answers_->print_failure() : status;
}

JobDriver::JobDriver(env::Env& env, JobDriverOptions options)
    : impl_(std::make_unique<Impl>(env, std::move(options))) {}
JobDriver::~JobDriver() = default;
Status JobDriver::Run(const plan::Plan& plan, exec::WorkerPool* pool, const exec::RunnerOptions& options,
                      const JobOptions& job) {
  return impl_->Run(plan, pool, options, job);
}

}  // namespace glim::cluster
