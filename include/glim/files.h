// SPDX-License-Identifier: Apache-2.0
//
// Files that travel with a program: those that --files (SessionOptions::files) names are wherever its functions and
// the programs of its Pipe steps run, in one folder, by their last names:
//
//   glim::Session session(argc, argv);    // --files data/stop.txt
//   flow.Map([](std::string_view word) {
//     static const auto stop = ReadWords(glim::FilePath("stop.txt").value());
//     ...
//
// Thread: any.
#pragma once

#include <string>
#include <string_view>

#include "glim/status.h"

namespace glim {

// The environment variable that names the folder, for programs of Pipe: `grep -f "$GLIM_FILES/stop.txt"`.
inline constexpr const char* kFilesVariable = "GLIM_FILES";

// Where the file of that name is on this machine, in this process; after the first Session was made. kNotFound when
// --files names none such.
Result<std::string> FilePath(std::string_view name);

}  // namespace glim
