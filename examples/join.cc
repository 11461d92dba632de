// SPDX-License-Identifier: Apache-2.0
//
// The words that two files have in common, and how often each has them: examples/join.lua in C++.
#include <cstdio>
#include <string>
#include <string_view>
#include <tuple>

#include "glim/glim.h"

int main(int argc, char** argv) {
  glim::Session session(argc, argv);
  if (session.arguments().size() != 2) {
    std::fprintf(stderr, "usage: %s FILE FILE\n", argv[0]);
    return 2;
  }
  glim::Flow flow("join");
  const auto word_counts = [&flow](const std::string& file) {
    return flow.TextFile(file)
        .FlatMap(R"(function(line) return line:gmatch("%w+") end)")
        .Map([](std::string_view word) { return std::tuple(word, int64_t{1}); })
        .ReduceBy([](int64_t x, int64_t y) { return x + y; });
  };
  word_counts(session.arguments()[0]).Join(word_counts(session.arguments()[1])).Sort().Printf("%s %d %d\n");
  return glim::ExitCode(flow.Run(session));
}
