// SPDX-License-Identifier: Apache-2.0
//
// The jobs of a cluster that have ended, on the master's disk: frames of job reports (docs/format/wire.md), one after
// the other, in the file jobs.log of its folder. It is for people who look back: a report that could not be written or
// read is left out, with a warning, and stops nobody.
//
// Thread: one at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "env/env.h"
#include "param/replication/messages.h"

namespace glim::cluster {

class JobHistory {
 public:
  static constexpr size_t kJobsMax = 1000;  // When it is opened the older ones are let go of.

  // Begins a new file with the last jobs of the old one. Never fails: without a file nothing is kept.
  static std::unique_ptr<JobHistory> Open(env::FileSystem& files, const std::string& folder);
  // What the file said when it was opened, in the order in which the jobs ended.
  const std::vector<param::JobStatus>& before() const { return before_; }
  void Add(const param::JobStatus& job);

 private:
  JobHistory() = default;

  std::vector<param::JobStatus> before_;
  std::unique_ptr<env::WritableFile> file_;
};

}  // namespace glim::cluster
