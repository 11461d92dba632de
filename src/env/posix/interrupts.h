// SPDX-License-Identifier: Apache-2.0
//
// Ctrl-C, SIGTERM and SIGHUP, as a flag and as something that poll() can wait for.
//
// A signal belongs to the process and arrives on any thread, so this is the one place with state of the whole process.
// The handler sets the flag and makes a descriptor readable that nobody ever reads: every thread that waits in poll()
// with that descriptor wakes, whichever thread the signal hit. A second signal ends the process at once with 130;
// children are then ended by their keeper (process.h).
//
// A signal that the parent told us to ignore (nohup, a background job of a script) stays ignored.
//
// Thread: any; Watch once, from the program's main thread.
#pragma once

namespace glim::env {

void WatchInterrupts();
bool Interrupted();

// Readable (for ever) once a watched signal came; -1, which poll() skips, when nobody watches.
int InterruptDescriptor();

// A write to a pipe that nobody reads shall be an error, not the end of the program. Leaves a handler of the program
// alone.
void IgnoreBrokenPipes();

}  // namespace glim::env
