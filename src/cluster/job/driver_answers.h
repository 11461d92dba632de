// SPDX-License-Identifier: Apache-2.0
//
// What executors ask of their driver beside rows: to write what functions print, for the Lua modules that they require,
// and for files that travel with the program. All of it takes its time, so threads of their own answer.
//
// Thread: any.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cluster/job/file_list.h"
#include "cluster/job/job_log.h"
#include "cluster/job/line.h"
#include "cluster/job/peer.h"
#include "env/env.h"
#include "net/frame.h"

namespace glim::cluster {

class DriverAnswers {
 public:
  explicit DriverAnswers(env::Env& env) : env_(env) {}

  // Where modules are looked for from now on, written as package.path is.
  void SetLuaPath(std::string path);
  // The files of the run at hand.
  void SetFiles(std::vector<ListedFile> files);
  // Where what is printed is kept, too, from now on.
  void SetLog(std::shared_ptr<JobLog> log);
  // Answers when it can. False: it is another question.
  bool Take(const std::shared_ptr<Peer>& peer, const net::Frame& frame);
  // Somebody who reads slowly is being written to.
  bool printing() const { return printing_.load(); }
  // Ok, or why something could not be written.
  Status print_failure() const;

 private:
  void Print(Peer& peer, const net::Frame& frame);
  net::Frame FindModule(const net::Frame& frame);
  net::Frame FindPiece(const net::Frame& frame);

  env::Env& env_;
  std::atomic<bool> printing_{false};
  mutable std::mutex mutex_;  // Of the next four.
  std::string lua_path_;
  std::shared_ptr<const std::vector<ListedFile>> files_;
  std::shared_ptr<JobLog> log_;
  Status print_failure_;
  Line printer_, finder_;  // Last: they use the others.
};

}  // namespace glim::cluster
