// SPDX-License-Identifier: Apache-2.0
//
// Child processes that leave nothing behind.
//
// Each child leads its own process group. Three things end a group: Kill() or the destructor; Wait(), which ends what
// the child itself left behind in the background; and our own death, however it comes. For the last one there is one
// *keeper* per Processes: a shell that reads from a pipe which groups live (`+ 12`, `- 12`) and which folders are to go
// with us (`/tmp/x`), and, when the pipe ends because we are gone, kills and removes what is left. PR_SET_PDEATHSIG
// would be less to write, but it is tied to the thread that forked, not to the process, and reaches only the child, not
// what the child started. The child reports itself before it becomes the command, so there is no moment at which it
// lives unknown to the keeper.
//
// A child is made by vfork: a fork would copy the page tables of a driver that holds gigabytes. Between vfork and exec
// only system calls are made, and all signals are blocked, so that none of our handlers runs in the child. What exec
// says comes back through a close-on-exec pipe.
//
// Thread: Start from any; a child from one thread at a time. The Processes outlives its children.
#pragma once

#include <memory>

#include "env/env.h"

namespace glim::env {

std::unique_ptr<Processes> MakePosixProcesses();

}  // namespace glim::env
