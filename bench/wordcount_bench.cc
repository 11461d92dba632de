// SPDX-License-Identifier: Apache-2.0
//
// Word count with C++ functions only, for bench/flow.py: what a C++ user would write.
#include <cstdio>
#include <string_view>

#include "glim/glim.h"

int main(int argc, char** argv) {
  glim::Session session(argc, argv);
  glim::Flow flow("word count");
  flow.TextFile(session.arguments())
      .FlatMap([](std::string_view line, glim::Emitter& out) {
        auto is_word = [](char c) {
          return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        };
        for (size_t i = 0; i < line.size();) {
          size_t end = i;
          while (end < line.size() && is_word(line[end])) ++end;
          if (end > i) out(line.substr(i, end - i), 1);
          i = end + 1;
        }
      })
      .ReduceBy([](int64_t x, int64_t y) { return x + y; })
      .Fprintf(stdout, "%s,%d\n");
  return glim::ExitCode(flow.Run(session));
}
