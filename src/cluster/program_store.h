// SPDX-License-Identifier: Apache-2.0
//
// Programs of drivers at an agent, each under the name of its bytes (job/program_digest.h), for executors that have to
// be the driver's program. What is not here is fetched from the driver piece by piece and counts only when its bytes
// have that name. They stay over restarts of the agent; when there are too many, those go that were not wanted for the
// longest time. One that is running can be removed: the system keeps it until it ends.
//
// Thread: one at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "env/env.h"
#include "glim/status.h"

namespace glim::cluster {

struct ProgramStoreOptions {
  std::string folder;  // Its own.
  size_t programs_max = 8;
  uint64_t bytes_max = uint64_t{4} << 30;  // Of all.
};

class ProgramStore {
 public:
  static Result<std::unique_ptr<ProgramStore>> Open(env::Env& env, ProgramStoreOptions options);
  ProgramStore(const ProgramStore&) = delete;

  // The bytes from `offset` on, kProgramPieceBytes of them or all that are left.
  using Fetch = std::function<Result<std::string>(uint64_t offset)>;
  // The path of the program, which can be executed. `fetch` is called for one that is not here, until `size` bytes have
  // come. kCorrupt when they have another name; kInvalid when the name is none; kExhausted when it is larger than all
  // may be together.
  Result<std::string> Get(const std::string& name, uint64_t size, const Fetch& fetch);

 private:
  struct Program {
    std::string name;
    uint64_t size = 0;
    bool checked = false;  // Since the agent was started.
  };

  ProgramStore(env::Env& env, ProgramStoreOptions options) : env_(env), options_(std::move(options)) {}
  std::string PathOf(const std::string& name) const;
  Status FindWhatIsThere();
  Status FetchInto(const std::string& path, const std::string& name, uint64_t size, const Fetch& fetch);
  Result<std::string> NameOfFile(const std::string& path);
  // For one of this size to come.
  Status MakeRoom(uint64_t size);

  env::Env& env_;
  const ProgramStoreOptions options_;
  std::list<Program> programs_;  // The one that was wanted last is last.
};

}  // namespace glim::cluster
