// SPDX-License-Identifier: Apache-2.0
//
// Which files the machines of a run have for its sources that read each machine's own (`per_host`, glim/sources.h). One
// executor on each host is asked, before the first stage; what all of them have found is read host by host, in the
// order of their names. A state machine: the driver asks and tells.
//
// Thread: one.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "exec/plan_tasks.h"
#include "glim/status.h"

namespace glim::cluster {

class HostFiles {
 public:
  HostFiles() = default;
  // `stages`: those of PlanTasks::HostStages.
  HostFiles(std::vector<std::string> hosts, const std::vector<int>& stages);

  // What is to be asked of an executor there: nobody of that host is being asked for these.
  std::vector<int> Ask(const std::string& host);
  // Whoever was asked was lost with the question.
  void NotFound(int stage, const std::string& host);
  // kInvalid when the files name other columns than those of another host.
  Status Found(int stage, const std::string& host, exec::FoundFiles found);

  bool complete() const;
  // A host of which something was not asked; empty: there is none.
  std::string Unasked() const;
  // Of all hosts, each with its host. Expects: complete.
  std::vector<io::Split> Splits(int stage) const;

  // Counts hosts from 0; -1: it is none of them.
  int NumberOf(const std::string& host) const;
  const std::string& NameOf(int number) const { return hosts_[number]; }
  const std::vector<std::string>& hosts() const { return hosts_; }

 private:
  struct Answer {
    bool asked = false, there = false;
    exec::FoundFiles found;
  };
  std::vector<std::string> hosts_;                         // Sorted.
  std::map<std::pair<int, std::string>, Answer> answers_;  // By stage and host.
};

}  // namespace glim::cluster
