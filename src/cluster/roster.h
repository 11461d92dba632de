// SPDX-License-Identifier: Apache-2.0
//
// The agents and the jobs that a master has heard of lately. Nothing of it is in the master's log: who is there says so
// again and again, so a master that has started anew knows it after a second. Jobs that have ended are handed on, for
// the history.
//
// A state machine without I/O, clock or threads. Thread: that of its owner.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "param/replication/messages.h"

namespace glim::cluster {

class Roster {
 public:
  struct Options {
    int64_t dead_nanos = 3'000'000'000;     // An agent that was silent for so long is dead,
    int64_t forget_nanos = 60'000'000'000;  // and after that nobody speaks of it.
    int64_t lost_nanos = 10'000'000'000;    // A job whose driver was silent for so long is lost.
    size_t agents_max = 2048;
    size_t running_max = 512;
    size_t ended_max = 100;  // That Describe tells of.
  };

  // `ended`: called for each job that has ended, once.
  Roster(Options options, std::function<void(const param::JobStatus&)> ended)
      : options_(options), ended_(std::move(ended)) {}

  void OnAgent(const param::AgentBeat& beat, int64_t now);
  // True when the job is to end. What is said of a job that has ended already is passed over.
  bool OnJob(const param::JobStatus& job, int64_t now);
  Status Cancel(const std::string& id);
  bool IsRunning(const std::string& id) const { return running_.contains(id); }
  // Now and then. `now_millis`: since 1970.
  void OnTick(int64_t now, int64_t now_millis);
  // A job that ended before this master has started.
  void Remember(const param::JobStatus& job) { Remember(job, next_number_++); }
  // Fills in agents, and jobs in the order in which they were first heard of.
  void Describe(int64_t now, param::StatusAnswer* answer) const;

 private:
  struct Agent {
    param::AgentBeat beat;
    int64_t heard_at = 0;
  };
  struct Job {
    param::JobStatus status;
    uint64_t number = 0;
    int64_t heard_at = 0;
    bool cancel = false;
  };
  struct EndedJob {
    param::JobStatus status;
    uint64_t number;
  };
  void End(param::JobStatus job, uint64_t number);
  void Remember(const param::JobStatus& job, uint64_t number);

  const Options options_;
  const std::function<void(const param::JobStatus&)> ended_;
  std::map<std::string, Agent> agents_;  // By address.
  std::map<std::string, Job> running_;   // By id.
  std::deque<EndedJob> ended_jobs_;
  uint64_t next_number_ =
      1;  // Jobs in the order in which we heard of them: drivers' clocks need not agree, and may jump.
};

}  // namespace glim::cluster
