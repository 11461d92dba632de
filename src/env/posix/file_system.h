// SPDX-License-Identifier: Apache-2.0
//
// The file system of the machine, and files around descriptors that we were born with (stdin, stdout, stderr).
//
// Every descriptor is close-on-exec. Reading from something that can make us wait (pipe, terminal, socket) waits in
// poll() together with the interrupt descriptor, so that Ctrl-C ends it; descriptors that we share with others (stdin)
// are never switched to non-blocking, because that would change them for the shell too.
//
// OpenSequential("-") is stdin.
//
// Thread: as env.h says.
#pragma once

#include <memory>
#include <string>

#include "env/env.h"

namespace glim::env {

std::unique_ptr<FileSystem> MakePosixFileSystem();

// Reads or writes `descriptor`, which stays open. `name` is for messages.
std::unique_ptr<SequentialFile> BorrowForReading(int descriptor, std::string name);
std::unique_ptr<WritableFile> BorrowForWriting(int descriptor, std::string name);

}  // namespace glim::env
