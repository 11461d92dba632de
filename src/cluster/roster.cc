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
    const bool was_ended = std::any_of(ended_jobs_.begin(), ended_jobs_.end(), [&](const JobStatus& ended) {
      return ended.id == job.id && ended.state != JobState::kLost;
    });
    if (known != running_.end()) running_.erase(known);
    if (!was_ended) End(job);
    return false;
  }
  if (known == running_.end()) {
    if (running_.size() < options_.running_max) running_[job.id] = {job, now};
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
    it = running_.erase(it);
    lost.state = JobState::kLost;
    lost.ended_millis = now_millis;
    lost.error = "its driver is gone";
    End(std::move(lost));
  }
}

void Roster::Remember(const JobStatus& job) {
  // One that was taken for lost and then ended after all.
  std::erase_if(ended_jobs_, [&](const JobStatus& ended) { return ended.id == job.id; });
  ended_jobs_.push_back(job);
  if (ended_jobs_.size() > options_.ended_max) ended_jobs_.pop_front();
}

void Roster::End(JobStatus job) {
  constexpr size_t kErrorBytesMax = 500;
  job.error.resize(std::min(job.error.size(), kErrorBytesMax));
  Remember(job);
  ended_(job);
}

void Roster::Describe(int64_t now, param::StatusAnswer* answer) const {
  for (const auto& [address, agent] : agents_) {
    answer->agents.push_back({agent.beat, now - agent.heard_at <= options_.dead_nanos});
  }
  answer->jobs.assign(ended_jobs_.begin(), ended_jobs_.end());
  for (const auto& [id, job] : running_) answer->jobs.push_back(job.status);
  std::stable_sort(answer->jobs.begin(), answer->jobs.end(),
                   [](const JobStatus& a, const JobStatus& b) { return a.begun_millis < b.begun_millis; });
}

}  // namespace glim::cluster
