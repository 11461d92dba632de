// SPDX-License-Identifier: Apache-2.0
//
// The one place that forks: starts a program in its own process group with given stdin and stdout.
//
// Thread: any.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "env/posix/descriptor.h"
#include "glim/status.h"

namespace glim::env {

struct Pipe {
  Descriptor read;
  Descriptor write;
};
// Both ends close-on-exec and above 2, so that they are never in the way of a child's stdin, stdout or stderr.
Result<Pipe> MakePipe();

struct SpawnOptions {
  std::vector<std::string> argv;
  std::vector<std::string> environment;  // Added to ours; the later one of a name counts.
  int input = -1;                        // Becomes stdin and stdout; -1: /dev/null.
  int output = -1;
  // The child writes `+ PID\n` here before it becomes the program; when it cannot, `- PID\n` follows. -1: nowhere.
  int report = -1;
  bool new_session = false;  // Out of reach of the terminal's signals.
};

// The process id. kNotFound when there is no such program.
Result<pid_t> Spawn(const SpawnOptions& options);

}  // namespace glim::env
