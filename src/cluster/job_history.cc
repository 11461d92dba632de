// SPDX-License-Identifier: Apache-2.0
#include "cluster/job_history.h"

#include <utility>

#include "base/log.h"
#include "base/try.h"
#include "env/path.h"
#include "param/wire.h"

namespace glim::cluster {
namespace {

std::string Encode(const param::JobStatus& job) {
  const net::Frame frame = param::ToFrame(param::JobReport{0, job});
  return net::EncodeFrameHead(frame) + frame.body;
}

class Collector final : public net::FrameSink {
 public:
  Status OnHead(const net::FrameHead&) override { return Status::Ok(); }
  Status OnFrame(net::Frame frame, size_t) override {
    ASSIGN_OR_RETURN(param::JobReport report, param::FromFrame<param::JobReport>(frame));
    jobs.push_back(std::move(report.job));
    return Status::Ok();
  }
  std::vector<param::JobStatus> jobs;
};

// As far as it makes sense.
Status ReadJobs(env::FileSystem& files, const std::string& path, std::vector<param::JobStatus>* jobs) {
  auto file = files.OpenSequential(path);
  if (file.status().code() == Code::kNotFound) return Status::Ok();
  RETURN_IF_ERROR(file.status());
  Collector collector;
  net::FrameDecoder decoder({}, &collector);
  std::string buffer(64 << 10, '\0');
  Status status;
  while (status.ok()) {
    ASSIGN_OR_RETURN(const size_t size, (*file)->Read(buffer));
    if (size == 0) break;
    status = decoder.Feed(std::string_view(buffer).substr(0, size));
  }
  *jobs = std::move(collector.jobs);
  return status;
}

Result<std::unique_ptr<env::WritableFile>> BeginFile(env::FileSystem& files, const std::string& path,
                                                     const std::vector<param::JobStatus>& jobs) {
  const std::string beside = path + ".new";
  ASSIGN_OR_RETURN(auto file, files.Create(beside));
  for (const param::JobStatus& job : jobs) RETURN_IF_ERROR(file->Append(Encode(job)));
  RETURN_IF_ERROR(file->Sync());
  RETURN_IF_ERROR(files.Rename(beside, path));
  return file;
}

}  // namespace

std::unique_ptr<JobHistory> JobHistory::Open(env::FileSystem& files, const std::string& folder) {
  std::unique_ptr<JobHistory> history(new JobHistory);
  const std::string path = env::JoinPath(folder, "jobs.log");
  if (const Status status = ReadJobs(files, path, &history->before_); !status.ok())
    base::LogWarning("\"{}\": {}; jobs from there on are left out", path, status.message());
  std::vector<param::JobStatus>& jobs = history->before_;
  if (jobs.size() > kJobsMax) jobs.erase(jobs.begin(), jobs.end() - kJobsMax);
  auto file = BeginFile(files, path, jobs);
  if (file.ok()) {
    history->file_ = *std::move(file);
  } else {
    base::LogWarning("\"{}\": {}; jobs that end are not kept", path, file.status().message());
  }
  return history;
}

void JobHistory::Add(const param::JobStatus& job) {
  if (file_ == nullptr) return;
  if (const Status status = file_->Append(Encode(job)); !status.ok()) {
    base::LogWarning("jobs.log: {}; jobs that end are not kept any more", status.message());
    file_.reset();
  }
}

}  // namespace glim::cluster
