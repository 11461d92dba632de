// SPDX-License-Identifier: Apache-2.0
//
// Counts the words of the files named, three at a time, read by cat: examples/parallel.lua in C++.
#include <cstdio>
#include <string_view>
#include <tuple>

#include "glim/glim.h"

int main(int argc, char** argv) {
  glim::Session session(argc, argv);
  glim::Flow flow("parallel");
  flow.Lines(session.arguments())
      .Partition(3)
      .PipeAsArgs("cat $1")
      .FlatMap(R"(function(line) return line:gmatch("%w+") end)")
      .Map([](std::string_view word) { return std::tuple(word, int64_t{1}); })
      .ReduceBy([](int64_t x, int64_t y) { return x + y; })
      .Fprintf(stdout, "%s\t%d\n");
  return glim::ExitCode(flow.Run(session));
}
