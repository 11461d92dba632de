// SPDX-License-Identifier: Apache-2.0
#include "client/program_course.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <map>
#include <thread>
#include <utility>
#include <variant>

#include "base/try.h"
#include "engine/roles.h"

namespace glim {
namespace {

constexpr std::chrono::milliseconds kLook(50);

}  // namespace

// Where main is, between its thread and that of the executor which looks for a flow.
class ProgramCourse::Main {
 public:
  explicit Main(env::Env& env) : env_(env) {}
  std::thread::id thread() const { return thread_; }

  // In main's thread: it is at its next run. How that went.
  Result<exec::RunOutcome> Reach(const std::shared_ptr<flow::Graph>& graph) {
    std::unique_lock lock(mutex_);
    ++run_;
    graph_ = graph;
    changed_.notify_all();
    // As long as it takes: the executor ends with its driver.
    changed_.wait(lock, [&] { return outcomes_.contains(run_); });
    graph_ = nullptr;
    const std::string bytes = std::move(outcomes_.extract(run_).mapped());
    lock.unlock();
    return exec::DecodeOutcome(bytes);
  }
  // In main's thread: it has returned, or called exit.
  void End() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

  Result<std::shared_ptr<const flow::Graph>> FlowOf(uint64_t run, int64_t until,
                                                    const std::function<bool()>& given_up) {
    std::unique_lock lock(mutex_);
    while (true) {
      if (run_ == run && graph_ != nullptr) return std::shared_ptr<const flow::Graph>(graph_);
      if (run_ > run) return Status::Internal("the driver tells of its runs in the wrong order");
      if (ended_) {
        return Status::Invalid(fmt::format("its main ended after {} runs, and run {} is wanted", run_, run));
      }
      if (given_up()) return Status::Cancelled("this run has ended");
      if (env_.clock().MonotonicNanos() > until) {
        return Status::Unavailable(
            fmt::format("the driver's program, started as an executor, did not come to its run {} in time", run));
      }
      changed_.wait_for(lock, kLook);
    }
  }
  Status Tell(uint64_t first, std::vector<std::string> outcomes) {
    const std::lock_guard lock(mutex_);
    for (std::string& outcome : outcomes) outcomes_[first++] = std::move(outcome);
    changed_.notify_all();
    return Status::Ok();
  }

 private:
  env::Env& env_;
  const std::thread::id thread_ = std::this_thread::get_id();
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t run_ = 0;
  std::shared_ptr<flow::Graph> graph_;        // Of that run, while main waits there.
  std::map<uint64_t, std::string> outcomes_;  // Those that main has not come to.
  bool ended_ = false;
};

ProgramCourse& ProgramCourse::Here() {
  // Never destroyed: the executor works until the process ends.
  static auto* const course = new ProgramCourse;
  return *course;
}

ProgramCourse::ProgramCourse()
    : env_(env::MakePosixEnv()), begun_nanos_(env_->clock().MonotonicNanos()), main_(std::make_shared<Main>(*env_)) {
  cluster::ExecutorOptions options;
  options.own_flow = [main = main_](uint64_t run, int64_t until, const std::function<bool()>& given_up) {
    return main->FlowOf(run, until, given_up);
  };
  options.on_outcomes = [main = main_](uint64_t first, std::vector<std::string> outcomes) {
    return main->Tell(first, std::move(outcomes));
  };
  executor_ = engine::StartIfProgram(*env_, options);
  if (!follows()) return;
  // Who waits for a run that does not come is told; then the process stays until its driver has heard of it. But a
  // function that ends the process ends it.
  std::atexit([] {
    if (std::this_thread::get_id() != Here().main_->thread()) env::ExitNow(1);
    Here().main_->End();
    constexpr int64_t kLong = 3'600'000'000'000;
    while (true) Here().env_->clock().SleepFor(kLong);
  });
}

Status ProgramCourse::Follow(const std::shared_ptr<flow::Graph>& graph, Counters* counters) {
  ASSIGN_OR_RETURN(const exec::RunOutcome outcome, main_->Reach(graph));
  const auto& steps = graph->steps();
  const auto known = [&](int32_t step) { return step >= 0 && static_cast<size_t>(step) < steps.size(); };
  for (const auto& [step, rows] : outcome.collected) {
    if (!known(step)) return Status::Corrupt("an outcome of another flow");
    if (const auto* collect = std::get_if<flow::CollectSink>(&steps[step].body)) {
      collect->rows->insert(collect->rows->end(), rows.begin(), rows.end());
    } else if (const auto* first = std::get_if<flow::FirstRowSink>(&steps[step].body)) {
      for (const Row& row : rows) (void)first->save(row);  // What came of it there is in the status.
    }
  }
  std::vector<int> finished(outcome.finished.begin(), outcome.finished.end());
  if (!std::all_of(finished.begin(), finished.end(), known)) return Status::Corrupt("an outcome of another flow");
  if (!finished.empty()) graph->MarkFinished(finished);
  for (const auto& [name, sum] : outcome.counters) counters->Add(name, sum);
  return outcome.status();
}

ProgramCourse::Run::Run(ProgramCourse& course, bool recorded) : course_(course), recorded_(recorded) {
  const std::lock_guard lock(course_.mutex_);
  number_ = ++course_.runs_;
  if (++course_.running_ > 1 && course_.why_not_.empty()) course_.why_not_ = "flows have run side by side";
}

ProgramCourse::Run::~Run() {
  const std::lock_guard lock(course_.mutex_);
  --course_.running_;
}

uint64_t ProgramCourse::Run::number() const {
  const std::lock_guard lock(course_.mutex_);
  return recorded_ && course_.why_not_.empty() ? number_ : 0;
}

std::shared_ptr<flow::Graph> ProgramCourse::Run::Record(const std::shared_ptr<flow::Graph>& graph,
                                                        const std::vector<int>& ends) {
  if (number() == 0) return graph;
  std::vector<flow::Step> steps = graph->steps();
  bool wraps = false;
  functions_of_main_ = std::any_of(steps.begin(), steps.end(), [](const flow::Step& step) {
    return std::holds_alternative<flow::ReadSource>(step.body) || std::holds_alternative<flow::OutputSink>(step.body) ||
           (std::holds_alternative<flow::PipeOutSink>(step.body) &&
            std::get<flow::PipeOutSink>(step.body).file == nullptr);
  });
  for (const int end : ends) {
    flow::StepBody& body = steps[end].body;
    if (const auto* collect = std::get_if<flow::CollectSink>(&body)) {
      const bool known = std::any_of(collects_.begin(), collects_.end(),
                                     [&](const Collected& other) { return other.rows == collect->rows; });
      if (!known) collects_.push_back({end, collect->rows, collect->rows->size()});
    } else if (auto* first = std::get_if<flow::FirstRowSink>(&body)) {
      wraps = true;
      first->save = [outcome = outcome_, end, save = std::move(first->save)](const Row& row) {
        outcome->collected.emplace_back(end, std::vector<Row>{row});
        return save(row);
      };
    }
  }
  return wraps ? graph->WithSteps(std::move(steps)) : graph;
}

void ProgramCourse::Run::Finished(const std::vector<int>& ends, const Counters& counters) {
  outcome_->finished.assign(ends.begin(), ends.end());
  outcome_->counters.assign(counters.all().begin(), counters.all().end());
}

void ProgramCourse::Run::End(const Status& status) {
  if (!recorded_) return course_.CannotBeFollowed("a flow has run in the program itself");
  if (functions_of_main_) course_.CannotBeFollowed("a flow has called functions of main");
  if (number() == 0) return;
  outcome_->SetStatus(status);
  for (const Collected& collected : collects_) {
    const auto begin =
        collected.rows->begin() + static_cast<std::ptrdiff_t>(std::min(collected.before, collected.rows->size()));
    outcome_->collected.emplace_back(collected.step, std::vector<Row>(begin, collected.rows->end()));
  }
  auto bytes = exec::EncodeOutcome(*outcome_);
  if (!bytes.ok()) return course_.CannotBeFollowed("what a flow gave cannot travel: " + bytes.status().message());
  const std::lock_guard lock(course_.mutex_);
  course_.bytes_ += bytes->size();
  if (course_.bytes_ > kBytesMax) {
    course_.why_not_ = fmt::format("flows have given it more than {} MiB", kBytesMax >> 20);
    course_.outcomes_.clear();
    return;
  }
  course_.outcomes_.push_back(std::make_shared<const std::string>(*std::move(bytes)));
}

void ProgramCourse::CannotBeFollowed(const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (!why_not_.empty()) return;
  why_not_ = why;
  outcomes_.clear();
}

std::string ProgramCourse::why_not() const {
  const std::lock_guard lock(mutex_);
  return why_not_;
}

std::vector<std::shared_ptr<const std::string>> ProgramCourse::OutcomesBefore(uint64_t run) const {
  const std::lock_guard lock(mutex_);
  const size_t count = std::min<size_t>(run - 1, outcomes_.size());
  return {outcomes_.begin(), outcomes_.begin() + static_cast<std::ptrdiff_t>(count)};
}

int64_t ProgramCourse::patience_nanos() const {
  constexpr int64_t kAtLeast = 30'000'000'000;
  return kAtLeast + 4 * (env_->clock().MonotonicNanos() - begun_nanos_);
}

}  // namespace glim
