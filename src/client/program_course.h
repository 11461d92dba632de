// SPDX-License-Identifier: Apache-2.0
//
// How far the program's main has come, run by run, so that another process of the same program can follow it. That is
// how executors have functions in C++: they are the driver's program, started once more. Its main builds the same flows
// and runs them one after the other, and each Run there is answered as it went in the driver, without doing anything,
// until main is at the run at hand, for which it waits, while the executor's threads work. docs/design/jobs.md tells
// the whole story.
//
// In the driver it keeps what each run gave to main (exec/run_outcome.h), up to kBytesMax of it. It also knows what
// makes main's course one that cannot be followed: a flow in between that had no record, tables that main reads and
// writes itself, flows side by side, results through functions of the program. Then functions in C++ run in the driver.
//
// There is one in a process, since a process has one main; whoever makes a Session makes it.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cluster/job/executor.h"
#include "env/env.h"
#include "exec/run_outcome.h"
#include "flow/graph.h"
#include "glim/udf.h"

namespace glim {

class ProgramCourse {
 public:
  static constexpr size_t kBytesMax = size_t{64} << 20;

  // Of this process. In an executor the first call makes it listen.
  static ProgramCourse& Here();
  ProgramCourse(const ProgramCourse&) = delete;

  // ---- In an executor ----
  // This process follows the main of another one.
  bool follows() const { return executor_ != nullptr; }
  // Main is at its next run, which is one of this flow. Waits until it is known how that went, and gives main the same.
  Status Follow(const std::shared_ptr<flow::Graph>& graph, Counters* counters);

  // ---- In a driver ----
  // Of a run, from its beginning to its end.
  class Run {
   public:
    // `recorded`: with a record of what comes of it.
    Run(ProgramCourse& course, bool recorded);
    ~Run();
    Run(const Run&) = delete;

    // From 1; 0 when executors could not follow main to here.
    uint64_t number() const;
    // The flow as it has to be run for the record to have what it gives to main. Once, before it runs `ends`.
    std::shared_ptr<flow::Graph> Record(const std::shared_ptr<flow::Graph>& graph, const std::vector<int>& ends);
    // It has done these ends.
    void Finished(const std::vector<int>& ends, const Counters& counters);
    void End(const Status& status);

   private:
    ProgramCourse& course_;
    const bool recorded_;
    uint64_t number_ = 0;
    bool functions_of_main_ = false;  // They are called, and what they do is not recorded.
    std::shared_ptr<exec::RunOutcome> outcome_ = std::make_shared<exec::RunOutcome>();
    struct Collected {
      int step;
      const std::vector<Row>* rows;
      size_t before;
    };
    std::vector<Collected> collects_;
  };
  // From now on nobody can follow it, for this reason ("main has used a table"). The first one counts.
  void CannotBeFollowed(const std::string& why);
  // Empty: it can be followed.
  std::string why_not() const;
  // Of the runs before this one.
  std::vector<std::shared_ptr<const std::string>> OutcomesBefore(uint64_t run) const;
  // An executor may take so long to make its first Session, or to come to the run at hand.
  int64_t patience_nanos() const;

 private:
  class Main;

  ProgramCourse();

  const std::unique_ptr<env::Env> env_;
  const int64_t begun_nanos_;
  const std::shared_ptr<Main> main_;  // In an executor: where its main is.
  std::unique_ptr<cluster::ExecutorProcess> executor_;

  mutable std::mutex mutex_;  // Of all below.
  std::string why_not_;
  uint64_t runs_ = 0;
  int running_ = 0;
  size_t bytes_ = 0;
  std::vector<std::shared_ptr<const std::string>> outcomes_;
};

}  // namespace glim
