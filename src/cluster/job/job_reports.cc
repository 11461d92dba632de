// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/job_reports.h"

#include <fmt/format.h>

#include <chrono>
#include <future>
#include <utility>

namespace glim::cluster {
namespace {

constexpr int64_t kReportNanos = 500'000'000;
constexpr int64_t kLastReportNanos = 1'000'000'000;

}  // namespace

JobReports::JobReports(env::Env& env, const JobDriverOptions& options, Line& line, std::string name, uint32_t stages)
    : env_(env), options_(options), line_(line), log_(std::make_shared<JobLog>(env.clock())) {
  status_.id = fmt::format("{:016x}", env_.RandomSeed());
  status_.name = std::move(name);
  status_.driver = options_.host;
  status_.begun_millis = WallMillis();
  status_.stages = stages;
  log_->Say(fmt::format("\"{}\" from {}: {} stages", status_.name, status_.driver, stages));
}

void JobReports::SendLog(const JobDriverOptions& options, const std::string& id, JobLog& log) {
  if (options.add_to_log == nullptr) return;
  while (true) {
    JobLog::Piece piece = log.Waiting();
    if (piece.text.empty()) return;
    const auto end = options.add_to_log(id, piece.from, std::move(piece.text));
    if (!end.ok()) return;
    log.Arrived(*end);
  }
}

bool JobReports::IsDue() const {
  return options_.report != nullptr && env_.clock().MonotonicNanos() >= report_at_ && !reporting_->load();
}

void JobReports::Report(int stage, uint32_t tasks, uint32_t tasks_done, uint32_t executors) {
  report_at_ = env_.clock().MonotonicNanos() + kReportNanos;
  status_.stage = static_cast<uint32_t>(stage) + 1;
  status_.tasks = tasks;
  status_.tasks_done = tasks_done;
  status_.executors = executors;
  reporting_->store(true);
  line_.Add([&options = options_, status = status_, cancelled = cancelled_, reporting = reporting_, log = log_] {
    if (options.report(status)) cancelled->store(true);
    SendLog(options, status.id, *log);
    reporting->store(false);
  });
}

void JobReports::ReportEnd(const Status& status) {
  if (options_.report == nullptr) return;
  status_.ended_millis = WallMillis();
  status_.state = status.ok()                         ? param::JobState::kDone
                  : status.code() == Code::kCancelled ? param::JobState::kCancelled
                                                      : param::JobState::kFailed;
  if (status.ok()) {
    status_.stage = status_.stages;
    status_.tasks_done = status_.tasks;
  } else {
    status_.error = status.message();
  }
  const auto told = std::make_shared<std::promise<void>>();
  log_->Say(fmt::format("{}{}{}", param::NameOf(status_.state), status.ok() ? "" : ": ", status.message()));
  line_.Add([&options = options_, last = status_, told, log = log_] {
    SendLog(options, last.id, *log);  // Who sees that it has ended finds all of it.
    (void)options.report(last);
    told->set_value();
  });
  (void)told->get_future().wait_for(std::chrono::nanoseconds(kLastReportNanos));
}

}  // namespace glim::cluster
