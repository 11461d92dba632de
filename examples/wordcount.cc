// SPDX-License-Identifier: Apache-2.0
//
// Counts words: examples/wordcount.lua in C++.
#include <cstdio>
#include <string_view>
#include <tuple>

#include "glim/glim.h"

int main(int argc, char** argv) {
  glim::Session session(argc, argv);
  const auto& files = session.arguments();
  glim::Flow flow("word count");
  flow.TextFile(files.empty() ? std::vector<std::string>{"/etc/passwd"} : files)
      .FlatMap(R"(function(line) return line:gmatch("%w+") end)")
      .Map([](std::string_view word) { return std::tuple(word, int64_t{1}); })
      .ReduceBy([](int64_t x, int64_t y) { return x + y; })
      .Fprintf(stdout, "%s,%d\n");
  return glim::ExitCode(flow.Run(session));
}
