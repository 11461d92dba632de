// SPDX-License-Identifier: Apache-2.0
//
// A master or server with a planted bug (src/param/replication/mutant.h), to see what the ledger says of it.
//
//   faulty_node none|ack-before-backup|no-duplicate-table|held-before-written master DIR ADDRESS KEY
//   faulty_node ... server DIR MASTER NUMBER KEY
//
// Where held-before-written is planted the disk is a slow one, too: on a fast one what was promised too early is
// written a moment later, and nothing is lost that a kill could show.
//
// Thread: one.
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "engine/roles.h"
#include "glim/flow.h"
#include "param/replication/mutant.h"

namespace glim::param {
Mutant g_mutant = Mutant::kNone;
}  // namespace glim::param

// In place of the C library's. While it waits, what is to be written next waits in memory.
extern "C" int fdatasync(int descriptor) {
  if (glim::param::g_mutant == glim::param::Mutant::kHeldBeforeWritten) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return static_cast<int>(::syscall(SYS_fdatasync, descriptor));
}

int main(int argc, char** argv) {
  using glim::param::Mutant;
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 5) return 2;
  if (words[0] == "ack-before-backup") {
    glim::param::g_mutant = Mutant::kAckBeforeBackup;
  } else if (words[0] == "no-duplicate-table") {
    glim::param::g_mutant = Mutant::kNoDuplicateTable;
  } else if (words[0] == "held-before-written") {
    glim::param::g_mutant = Mutant::kHeldBeforeWritten;
  } else if (words[0] != "none") {
    return 2;
  }
  const auto env = glim::env::MakePosixEnv();
  const auto ends = glim::engine::Ends::kInterrupt;
  if (words[1] == "master") {
    return glim::ExitCode(glim::engine::RunMaster(*env, {words[3], words[2], words[4]}, ends));
  }
  glim::engine::ServerRole role;
  role.folder = words[2];
  role.master = words[3];
  role.node = static_cast<uint32_t>(std::atoi(words[4].c_str()));
  role.key_file = words.size() > 5 ? words[5] : "";
  role.memory_max = uint64_t{256} << 20;
  return glim::ExitCode(glim::engine::RunServer(*env, role, ends));
}
