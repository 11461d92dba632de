// SPDX-License-Identifier: Apache-2.0
//
// Counts words with Unix programs: examples/wordcount_pipe.lua in C++.
#include <cstdio>

#include "glim/glim.h"

int main(int argc, char** argv) {
  glim::Session session(argc, argv);
  const auto& files = session.arguments();
  glim::Flow flow("word count by pipes");
  flow.TextFile(files.empty() ? std::vector<std::string>{"/etc/passwd"} : files)
      .FlatMap(R"(function(line) return line:gmatch("%w+") end)")
      .Pipe("sort")
      .Pipe("uniq -c")
      .Fprintf(stdout, "%s\n");
  return glim::ExitCode(flow.Run(session));
}
