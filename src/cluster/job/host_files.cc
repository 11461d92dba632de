// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/host_files.h"

#include <fmt/format.h>

#include <algorithm>

namespace glim::cluster {

HostFiles::HostFiles(std::vector<std::string> hosts, const std::vector<int>& stages) : hosts_(std::move(hosts)) {
  std::sort(hosts_.begin(), hosts_.end());
  hosts_.erase(std::unique(hosts_.begin(), hosts_.end()), hosts_.end());
  for (const int stage : stages) {
    for (const std::string& host : hosts_) answers_[{stage, host}];
  }
}

std::vector<int> HostFiles::Ask(const std::string& host) {
  std::vector<int> stages;
  for (auto& [of, answer] : answers_) {
    if (of.second != host || answer.asked) continue;
    answer.asked = true;
    stages.push_back(of.first);
  }
  return stages;
}

void HostFiles::NotFound(int stage, const std::string& host) { answers_.at({stage, host}).asked = false; }

Status HostFiles::Found(int stage, const std::string& host, exec::FoundFiles found) {
  for (const auto& [of, other] : answers_) {
    if (of.first != stage || !other.there || other.found.columns == found.columns) continue;
    if (other.found.columns.empty() || found.columns.empty()) continue;  // Files without a byte.
    const auto names = [](const std::vector<std::string>& columns) {
      return fmt::format("{}", fmt::join(columns, ", "));
    };
    return Status::Invalid(fmt::format("the files of {} have other columns ({}) than those of {} ({})", host,
                                       names(found.columns), of.second, names(other.found.columns)));
  }
  Answer& answer = answers_.at({stage, host});
  answer.there = true;
  answer.found = std::move(found);
  for (io::Split& split : answer.found.splits) split.host = host;
  return Status::Ok();
}

bool HostFiles::complete() const {
  return std::all_of(answers_.begin(), answers_.end(), [](const auto& entry) { return entry.second.there; });
}

std::string HostFiles::Unasked() const {
  for (const auto& [of, answer] : answers_) {
    if (!answer.asked) return of.second;
  }
  return {};
}

std::vector<io::Split> HostFiles::Splits(int stage) const {
  std::vector<io::Split> splits;
  for (const std::string& host : hosts_) {
    const std::vector<io::Split>& found = answers_.at({stage, host}).found.splits;
    splits.insert(splits.end(), found.begin(), found.end());
  }
  return splits;
}

int HostFiles::NumberOf(const std::string& host) const {
  const auto found = std::lower_bound(hosts_.begin(), hosts_.end(), host);
  return found == hosts_.end() || *found != host ? -1 : static_cast<int>(found - hosts_.begin());
}

}  // namespace glim::cluster
