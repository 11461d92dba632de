// SPDX-License-Identifier: Apache-2.0
//
// What the driver of a run tells the master of it: how far it is, twice a second, how it ended, and its log. The master
// is not waited for, and need not be there; what does not arrive comes with the next report. With an answer it may say
// that somebody wants the run to end.
//
// Thread: the driver's; cancelled() is any's.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "cluster/job/driver.h"
#include "cluster/job/job_log.h"
#include "cluster/job/line.h"
#include "env/env.h"
#include "param/replication/messages.h"

namespace glim::cluster {

class JobReports {
 public:
  // `env`, `options` and `line`, which does the telling, outlive this, and what is under way when this ends.
  JobReports(env::Env& env, const JobDriverOptions& options, Line& line, std::string name, uint32_t stages);

  // Told with the reports.
  const std::shared_ptr<JobLog>& log() const { return log_; }
  bool cancelled() const { return cancelled_->load(); }

  // There is somebody to tell, and it is time.
  bool IsDue() const;
  void Report(int stage, uint32_t tasks, uint32_t tasks_done, uint32_t executors);
  // Waits for a second at most.
  void ReportEnd(const Status& status);

 private:
  // What does not arrive is sent again with the next report.
  static void SendLog(const JobDriverOptions& options, const std::string& id, JobLog& log);
  int64_t WallMillis() const { return env_.clock().WallNanos() / 1'000'000; }

  env::Env& env_;
  const JobDriverOptions& options_;
  Line& line_;
  const std::shared_ptr<JobLog> log_;
  param::JobStatus status_;
  int64_t report_at_ = 0;
  const std::shared_ptr<std::atomic<bool>> reporting_ = std::make_shared<std::atomic<bool>>(false);
  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace glim::cluster
