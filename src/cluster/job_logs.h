// SPDX-License-Identifier: Apache-2.0
//
// The logs of jobs on the master's disk: what became of a run, and what functions printed on its executors, as its
// driver tells it. `glim logs` shows them. A file for each, jobs/ID.log in the master's folder; the last kLogsMax jobs
// have one.
//
// It is for people who look back: a log that cannot be written is left out, with a warning, and stops nobody.
//
// Thread: one at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "env/env.h"

namespace glim::cluster {

class JobLogs {
 public:
  static constexpr size_t kLogsMax = 200;
  static constexpr size_t kOpenMax = 512;                      // Jobs at a time; more of them have no log.
  static constexpr uint64_t kLogBytesMax = uint64_t{1} << 20;  // Of a job; what a driver sends beyond is passed over.

  // Never fails: without a folder nothing is kept.
  JobLogs(env::FileSystem& files, const std::string& folder);

  // `text` begins at `from` in the job's log; what is there already is passed over. Returns up to where the driver
  // need not send it again. An id that is none is kInvalid: no name from the wire becomes a path.
  Result<uint64_t> Append(const std::string& id, uint64_t from, std::string_view text);
  // Nothing more comes.
  void End(const std::string& id);

  struct Piece {
    std::string text;
    uint64_t size = 0;  // Of the whole log until now.
  };
  // Up to kPieceBytes, from `from` on. kNotFound: there is no log of it (any more).
  Result<Piece> Read(const std::string& id, uint64_t from);
  static constexpr size_t kPieceBytes = 64 << 10;

 private:
  struct Open {
    std::unique_ptr<env::WritableFile> file;  // Null: it cannot be written.
    uint64_t size = 0;
  };
  std::string PathOf(const std::string& id) const;
  Open Begin(const std::string& id);
  Result<std::string> Contents(const std::string& path);

  env::FileSystem& files_;
  const std::string folder_;
  bool works_ = false;
  std::deque<std::string> ids_;       // Of all logs, the oldest first.
  std::map<std::string, Open> open_;  // Of jobs that run.
};

}  // namespace glim::cluster
