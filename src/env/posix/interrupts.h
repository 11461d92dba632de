// SPDX-License-Identifier: Apache-2.0
//
// Ctrl-C, SIGTERM and SIGHUP, as a flag and as something that poll() can wait for.
//
// A signal belongs to the process and arrives on any thread, so this is the one place with state of the whole process.
// The handler sets the flag and makes a descriptor readable that nobody ever reads: every thread that waits in poll()
// with that descriptor wakes, whichever thread the signal hit. A second signal ends the process at once, with the exit
// code 128 + its number; children are then ended by their keeper (process.h).
//
// While nobody watches, signals do what they did before: there is nothing to clean up, and nobody to look at the flag.
// A signal that the parent told us to ignore (nohup, a background job of a script) stays ignored.
//
// Thread: any.
#pragma once

namespace glim::env {

// Calls may nest; the last Unwatch puts back the handlers that the first Watch found.
void WatchInterrupts();
void UnwatchInterrupts();
bool Interrupted();
// Expects: watched.
void AwaitInterrupt();

// Readable (for ever) once a watched signal came; -1, which poll() skips, when nobody ever watched.
int InterruptDescriptor();

// A write to a pipe that nobody reads, or beyond the allowed size of a file, shall be an error, not the end of the
// program. Leaves a handler of the program alone.
void IgnoreWriteSignals();

}  // namespace glim::env
