// SPDX-License-Identifier: Apache-2.0
#include "cluster/roster.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace glim::cluster {

using param::JobState;
using param::JobStatus;

void Roster::OnAgent(const param::AgentBeat& beat, int64_t now) {
  if (!agents_.contains(beat.address) && agents_.size() >= options_.agents_max) return;
  agents_[beat.address] = {beat, now};
}

bool Roster::OnJob(const JobStatus& job, int64_t now) {
  const auto known = running_.find(job.id);
  if (job.state != JobState::kRunning) {
    const bool was_ended = std::any_of(ended_jobs_.begin(), ended_jobs_.end(), [&](const EndedJob& ended) {
      return ended.status.id == job.id && ended.status.state != JobState::kLost;
    });
    const uint64_t number = known != running_.end() ? known->second.number : next_number_++;
    if (known != running_.end()) running_.erase(known);
    if (!was_ended) End(job, number);
    return false;
  }
  if (known == running_.end()) {
    if (running_.size() < options_.running_max) running_[job.id] = {job, next_number_++, now};
    return false;
  }
  known->second.status = job;
  known->second.heard_at = now;
  return known->second.cancel;
}

Status Roster::Cancel(const std::string& id) {
  const auto job = running_.find(id);
  if (job == running_.end()) return Status::NotFound(fmt::format("no job \"{}\" is running", id));
  job->second.cancel = true;
  return Status::Ok();
}

void Roster::OnTick(int64_t now, int64_t now_millis) {
  std::erase_if(agents_, [&](const auto& entry) {
    return now - entry.second.heard_at > options_.dead_nanos + options_.forget_nanos;
  });
  for (auto it = running_.begin(); it != running_.end();) {
    if (now - it->second.heard_at <= options_.lost_nanos) {
      ++it;
      continue;
    }
    JobStatus lost = std::move(it->second.status);
    const uint64_t number = it->second.number;
    it = running_.erase(it);
    lost.state = JobState::kLost;
    lost.ended_millis = now_millis;
    lost.error = "its driver is gone";
    End(std::move(lost), number);
  }
}

void Roster::Remember(const JobStatus& job, uint64_t number) {
  // One that was taken for lost and then ended after all.
  std::erase_if(ended_jobs_, [&](const EndedJob& ended) { return ended.status.id == job.id; });
  ended_jobs_.push_back({job, number});
  if (ended_jobs_.size() > options_.ended_max) ended_jobs_.pop_front();
}

void Roster::End(JobStatus job, uint64_t number) {
  constexpr size_t kErrorBytesMax = 500;
  job.error.resize(std::min(job.error.size(), kErrorBytesMax));
  Remember(job, number);
  ended_(job);
}

void Roster::Describe(int64_t now, param::StatusAnswer* answer) const {
  for (const auto& [address, agent] : agents_) {
    answer->agents.push_back({agent.beat, now - agent.heard_at <= options_.dead_nanos});
  }
  std::map<uint64_t, const JobStatus*> jobs;
  for (const EndedJob& job : ended_jobs_) jobs[job.number] = &job.status;
  for (const auto& [id, job] : running_) jobs[job.number] = &job.status;
  for (const auto& [number, job] : jobs) answer->jobs.push_back(*job);
}

}  // namespace glim::cluster
